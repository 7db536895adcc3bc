"""How well the heads learn on real cells, against scikit-learn on the same features and splits.

Not collected by pytest. Run it with MARROW_TEST_DATA set:

    python -m tests.training.study_cells [SEEDS] [--store FOLDER]

It prints the balanced accuracy of lineage over the test images, patients apart, one row a
seed, and the medians. About three minutes on one core, most of it for the features, which
are kept in the store.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from marrow.records import Smear, TrainingSpec
from marrow.schemes import Scheme
from marrow.splits import draw_test_patients, split
from tests.training.runs import Bench
from training.dataset import Decoder, LabelledSmear, views_of
from training.features import pooled_features
from training.network import build_network, load_trunk
from training.preprocess import Preprocessing
from training.turn import Turn

SCHEME = Path(__file__).parents[2] / "examples" / "cells.toml"
HEAD = "lineage"


def read_cells(folder: Path, scheme: Scheme) -> list[LabelledSmear]:
    """The labelled cells of a folder with a labels.csv, in its order."""
    cells = []
    with (folder / "labels.csv").open(newline="") as table:
        for number, row in enumerate(csv.DictReader(table), 1):
            path = folder / row["file"]
            with Image.open(path) as image:
                width, height = image.size
            smear = Smear(
                id=number,
                identity=hashlib.sha256(path.read_bytes()).hexdigest(),
                root="local",
                path=path.as_posix(),
                height_px=height,
                width_px=width,
                is_slide=False,
                patient=row["patient"],
                site=row["site"],
            )
            given = {head.name: row[head.name] for head in scheme.asked if row[head.name]}
            cells.append(LabelledSmear(smear, path, scheme.complete(given)))
    return cells


def spec_of(seed: int, weights: Path) -> TrainingSpec:
    """Frozen ImageNet MobileNetV2, 50 epochs."""
    return TrainingSpec(
        backbone="mobilenet_v2", weights=str(weights), tune="heads", epochs=50, seed=seed
    )


def heads_score(
    spec: TrainingSpec, scheme: Scheme, cells: Sequence[LabelledSmear], store: Path
) -> dict[str, float]:
    """Balanced accuracy and AUCs of the trained heads, from the card."""
    patients = draw_test_patients(cells, scheme, spec.test_share, spec.seed, False)
    train, test = split(cells, patients, False)
    end = Bench(scheme, train, test, store).segment(spec, budget_s=1e9)
    assert end.card is not None
    heads = end.card.figures["heads"]
    return {
        HEAD: heads[HEAD]["balanced_accuracy"]["value"],
        "eosinophil": heads["eosinophil"]["auc"]["value"],
    }


def logistic_score(
    features: np.ndarray, scheme: Scheme, cells: Sequence[LabelledSmear], seed: int,
    share: float, class_weight: str | None,
) -> float:  # fmt: skip
    """Balanced accuracy of scikit-learn's logistic regression on the same split."""
    patients = draw_test_patients(cells, scheme, share, seed, False)
    is_test = np.array([cell.smear.patient in patients for cell in cells])
    lineage = np.array([cell.answers[HEAD] for cell in cells])
    model = make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=2000, class_weight=class_weight)
    ).fit(features[~is_test], lineage[~is_test])
    return float(balanced_accuracy_score(lineage[is_test], model.predict(features[is_test])))


def plain_features(cells: Sequence[LabelledSmear], spec: TrainingSpec, scheme: Scheme,
                   store: Path) -> np.ndarray:  # fmt: skip
    """Pooled features of all cells, (n, C), in their order."""
    network = build_network(spec.backbone, scheme, spec.dropout, spec.seed)
    load_trunk(network, spec.weights)
    by_identity = sorted(cells, key=lambda cell: cell.smear.identity)
    turn = Turn(lambda: None, lambda: False, 1e9, lambda: 0.0)
    decoder = Decoder(by_identity, Preprocessing(input_px=spec.input_px), spec.seed)
    features, _ = pooled_features(network, decoder, views_of(by_identity, 1), store, turn)
    row_of = {cell.smear.id: row for row, cell in enumerate(by_identity)}
    return features.pooled[[row_of[cell.smear.id] for cell in cells]].numpy()


def compare(seeds: range, data: Path, store: Path) -> dict[str, list[float]]:
    """Scores by method, one a seed."""
    torch.set_num_threads(1)
    scheme = Scheme.from_toml(SCHEME)
    cells = read_cells(data / "cells", scheme)
    weights = data / "weights" / "mobilenet_v2-b0353104.pth"
    features = plain_features(cells, spec_of(0, weights), scheme, store)
    scores: dict[str, list[float]] = {
        "heads": [],
        "eosinophil AUC": [],
        "LR": [],
        "LR balanced": [],
    }
    for seed in seeds:
        spec = spec_of(seed, weights)
        own = heads_score(spec, scheme, cells, store)
        scores["heads"].append(own[HEAD])
        scores["eosinophil AUC"].append(own["eosinophil"])
        for name, weight in (("LR", None), ("LR balanced", "balanced")):
            scores[name].append(
                logistic_score(features, scheme, cells, seed, spec.test_share, weight)
            )
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", nargs="?", type=int, default=20)
    parser.add_argument("--store", type=Path, default=Path(tempfile.gettempdir()) / "study_cells")
    given = parser.parse_args()
    scores = compare(range(given.seeds), Path(os.environ["MARROW_TEST_DATA"]), given.store)
    print("seed  " + "  ".join(f"{name:>14}" for name in scores))
    for seed in range(given.seeds):
        print(f"{seed:4d}  " + "  ".join(f"{values[seed]:14.3f}" for values in scores.values()))
    print("med.  " + "  ".join(f"{median(values):14.3f}" for values in scores.values()))


if __name__ == "__main__":
    main()
