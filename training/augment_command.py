"""`marrow augment`: a figure of what each method of augmentation makes of one smear."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from marrow.catalogue import smears
from marrow.cli import AsJson, Session, session_of, show
from marrow.client import has_worker_installed
from marrow.errors import (
    BadModel,
    CannotSplit,
    MarrowError,
    NoStudy,
    NotASmear,
    NotFound,
    UnreadableSmear,
)
from marrow.images import Asset, find_assets, open_smear
from marrow.splits import patient_of
from marrow.study import Study

if TYPE_CHECKING:
    import torch

_SHOWN_FIT = 256
"""As `training.zca.FIT_IMAGES`, which must not be imported for `marrow --help`."""


class FitSet(NamedTuple):
    """What the whitening of a figure is fitted on."""

    images: torch.Tensor
    """uint8 (n, 3, S, S)."""
    words: str
    """For the caption: how many of what."""


def register(app: typer.Typer) -> None:
    """Add this subcommand."""
    app.command("augment")(augment)


def augment(
    context: typer.Context,
    smear: Annotated[Path, typer.Argument(help="The smear; of a slide one tile is shown.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the pictures.")],
    seed: Annotated[int, typer.Option(help="Of the copies.")] = 0,
    fit: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Smears that the whitening is fitted on; default: the study's training smears.",
        ),
    ] = None,
    input_px: Annotated[int, typer.Option(min=32, max=2048)] = 256,
    exact: Annotated[
        bool, typer.Option("--exact", help="Rotate by 35 degrees, not by up to 35.")
    ] = False,
    closer: Annotated[
        bool, typer.Option("--closer", help="Zoom in only, both axes alike.")
    ] = False,
    smear_is_patient: Annotated[
        bool,
        typer.Option("--smear-is-patient", help="A smear without a patient is its own patient."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Draw what each method of augmentation makes of a smear: a picture each, and a sheet."""
    if not has_worker_installed():
        raise BadModel('Augmentation needs torch: pip install "napari-marrow[worker]"')
    from training.augment import Seed8  # torch: not for every `marrow --help`
    from training.augment_figure import NOTICE, panels_of, write_figure
    from training.zca import ConvZCA, Whitening

    asset = _asset_of(smear)
    image, is_tile = _picture(asset.path, input_px)
    fitted = (
        _of_study(_study_of(session_of(context)), asset, input_px, smear_is_patient)
        if fit is None
        else _of_folder(fit, asset, input_px)
    )
    ranges = Seed8(is_exact=exact)
    if closer:
        ranges = ranges._replace(zoom=(ranges.zoom[0], 1.0), is_isotropic=True)
    whitening = Whitening.fit(fitted.images)
    local = ConvZCA.fit(fitted.images)
    panels = panels_of(image, asset.identity, seed, whitening, local, ranges)
    kind = "tile of a slide" if is_tile else "smear"
    if "synthetic" in smear.name.lower():  # as every file is named that marrow.synthetic writes
        kind = f"synthetic {kind}"
    caption = (
        f"One {kind}, {input_px} × {input_px} px (a), and one copy of it by each method, seed "
        f"{seed}: the eight of Wang et al. 2022 (b–i), whitening of neighbourhoods (j), and two "
        f"copies of the gentle preset, which also varies the stain (k, l); angles are "
        f"clockwise. Both whitenings are fitted on {fitted.words}. {NOTICE}"
    )
    try:
        written = write_figure(panels, caption, out)
    except OSError as error:
        raise MarrowError(f"{out}: {error.strerror}; give --out another folder") from error
    values = {
        "sheet": str(written[-1]),
        "pictures": [str(path) for path in written[:-1]],
        "fitted_on": len(fitted.images),
        "caption": caption,
    }
    show(as_json, values, f"{written[-1]} and {len(panels)} pictures beside it\n{caption}")


def _asset_of(path: Path) -> Asset:
    found, refusals = find_assets([path])
    if refusals:
        raise refusals[0]
    if len(found) != 1:
        raise NotFound(f"{path}: holds {len(found)} smears; name one file")
    return found[0]


def _study_of(session: Session) -> Study:
    try:
        return session.study
    except NoStudy as error:
        raise NoStudy(f"{error}, or give --fit a folder of smears") from error


def _picture(path: Path, input_px: int) -> tuple[torch.Tensor, bool]:
    """The whole field, or of a slide its middle tile, uint8 (3, S, S); and whether it is a tile."""
    import torch

    from marrow.tiles import read_tile, usable_tiles
    from training.preprocess import fit_image

    with open_smear(path) as image:
        if image.is_slide:
            tiles = usable_tiles(image, (), input_px, None)
            if not len(tiles):
                raise UnreadableSmear(path, "no tile of it lies in the usable area")
            pixels = read_tile(image, tiles.positions[len(tiles) // 2], tiles.size_px, input_px)
        else:
            pixels = fit_image(image.whole(), input_px)
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1), image.is_slide


def _of_folder(folder: Path, shown: Asset, input_px: int) -> FitSet:
    """At most `_SHOWN_FIT` smears of a folder, chosen by their hashes."""
    import torch

    if not folder.is_dir():
        raise NotFound(f"{folder} is no folder; give --fit a folder of smears")
    found = sorted(find_assets([folder])[0], key=lambda asset: _lot(asset.identity))
    images, identities = [], []
    for asset in found:
        try:
            images.append(_picture(asset.path, input_px)[0])
        except (UnreadableSmear, NotASmear):
            continue
        identities.append(asset.identity)
        if len(images) == _SHOWN_FIT:
            break
    if len(images) < 2:
        raise CannotSplit(f"{folder} holds {len(images)} readable smears; whitening needs 2")
    words = f"n = {len(images)} smears of a folder, {_whether(shown.identity, identities)}"
    return FitSet(torch.stack(images), words)


def _of_study(study: Study, shown: Asset, input_px: int, smear_is_patient: bool) -> FitSet:
    """At most `_SHOWN_FIT` labelled smears of the study's training patients.

    Raises
    ------
    CannotSplit
        If test patients are not drawn yet, or fewer than two training smears are labelled.
    """
    import torch

    from training.dataset import Decoder, views_of
    from training.labelled import labelled_smears
    from training.preprocess import Preprocessing
    from training.zca import require_training_only

    with study.database.read() as connection:
        tested = smears.test_patients(connection)
    if not tested:
        raise CannotSplit(
            "This study has no test patients yet, so nobody knows who trains: train a model "
            "first, or give --fit a folder of smears"
        )
    labelled = [
        one
        for one in labelled_smears(study, smear_is_patient).smears
        if patient_of(one.smear, smear_is_patient) not in tested
    ]
    chosen = sorted(labelled, key=lambda one: _lot(one.smear.identity))[:_SHOWN_FIT]
    patients = {patient_of(one.smear, smear_is_patient) for one in chosen}
    require_training_only(patients, tested)
    decoder = Decoder(chosen, Preprocessing(input_px=input_px), seed=0)
    views = views_of(chosen, tiles_per_slide=1)
    read = [pixels for _, pixels in decoder.batches([view] for view in views) if pixels is not None]
    if len(read) < 2:
        raise CannotSplit(
            f"{len(read)} labelled training smears can be read; whitening needs 2: label more, "
            "or give --fit a folder of smears"
        )
    identities = [one.smear.identity for one in chosen]
    words = (
        f"n = {len(read)} labelled smears of {len(patients)} training patients, "
        f"{_whether(shown.identity, identities)}"
    )
    return FitSet(torch.cat(read), words)


def _lot(identity: str) -> str:
    """So that no order of names or of imports chooses."""
    return hashlib.sha256(identity.encode()).hexdigest()


def _whether(identity: str, fitted: list[str]) -> str:
    if identity in fitted:
        return "this one among them"
    # What the fit set does not span is enlarged by eps^-1/2, a thousand times.
    return "this one not among them, which is why most of its ZCA (i) is clipped"
