"""Models and training states on disk: safetensors and JSON, never a pickle, never half."""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import safetensors
import safetensors.torch
import torch
from pydantic import Field, ValidationError, model_validator

from marrow.calibration import Calibration
from marrow.errors import BadModel
from marrow.records import Cell, Precision, Record, TrainingSpec
from marrow.schemes import Scheme, first_fault
from marrow.statistics.novelty import Reference
from training.network import MultiHeadNetwork, build_network
from training.preprocess import Preprocessing

WEIGHTS_NAME = "weights.safetensors"
REFERENCE_NAME = "reference.safetensors"
CARD_NAME = "card.json"

MAX_CARD_BYTES = 16 * 1024**2
"""A card lists the patients of each side: 16 MB hold some hundred thousand."""
MAX_HEADER_BYTES = 8 * 1024**2
"""A header takes about 100 bytes a tensor, and the largest backbone has some 2,000; a
training state has three times that, and its facts."""

_FACTS = "facts"
_METADATA = "__metadata__"
_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}
"""Per number of each type of safetensors."""


class ModelCard(Record):
    """What a model is, how it was made, and what it was trained on."""

    scheme: Scheme
    backbone: str
    preprocessing: Preprocessing
    preprocessing_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    weights_sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    """Of weights.safetensors; empty until `save_model` has written it."""
    data_sha256: str
    """Over the identities and labels of the training smears."""
    training: TrainingSpec
    split: dict[str, tuple[str, ...]]
    """Patients (pseudonyms) of each side: `train`, `test` ..."""
    split_sha256: dict[str, str] = Field(default_factory=dict)
    """Of each side, over the identities and labels of its smears."""
    versions: dict[str, str]
    """Of marrow, torch, torchvision and python."""
    figures: dict[str, Any]
    """Results with their n, unit and interval."""
    precision: Precision = "fp32"
    parity: dict[str, float] | None = None
    """Measured agreement of bf16 with fp32; None: not measured."""
    calibration: Calibration | None = None
    """Temperatures, thresholds and conformal quantiles; None: probabilities as they come, and
    neither sets nor the flags that need them."""
    reference_sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    """Of reference.safetensors, the training set's place in feature space; empty: none."""
    selection: dict[str, Any] = Field(default_factory=dict)
    """How the sweep chose: its cells, the chosen one, why, and the metric; {}: no sweep."""
    cells: tuple[Cell, ...] = ()
    """Of the sweep's grid, those that this model serves."""
    created: str
    """ISO 8601, UTC."""
    notes: tuple[str, ...] = ()
    """Sentences for a reader: which initial weights, what was dropped."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.calibration is None:
            return self
        fitted = {name: len(own.conformal) for name, own in self.calibration.heads.items()}
        wanted = {head.name: len(head.classes) for head in self.scheme.heads}
        if fitted != wanted:
            raise ValueError(f"calibration has heads {fitted}, wanted by the scheme: {wanted}")
        return self


def save_model(
    folder: Path, network: MultiHeadNetwork, card: ModelCard, reference: Reference | None = None
) -> ModelCard:
    """Write a model's folder; gives back the card with the hashes of its files.

    The card, which names the others' hashes, is replaced last: a crash before that leaves a
    folder that `load_model` refuses, or, if only the reference was new, `load_reference`.
    """
    contents = {WEIGHTS_NAME: safetensors.torch.save(_on_cpu(network.state_dict()))}
    if reference is not None:
        arrays = {name: torch.from_numpy(own) for name, own in reference.to_arrays().items()}
        contents[REFERENCE_NAME] = safetensors.torch.save(_on_cpu(arrays))
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    complete = card.model_copy(
        update={
            "weights_sha256": hashes[WEIGHTS_NAME],
            "reference_sha256": hashes.get(REFERENCE_NAME, ""),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        _replace(folder / name, content)
    _replace(folder / CARD_NAME, complete.model_dump_json(indent=1).encode())
    if reference is None:
        (folder / REFERENCE_NAME).unlink(missing_ok=True)
    return complete


def load_model(folder: Path, sha256: str | None = None) -> tuple[MultiHeadNetwork, ModelCard]:
    """The network, on the CPU and in eval mode, and its card.

    Parameters
    ----------
    folder : Path
        With weights.safetensors and card.json.
    sha256 : str or None
        What the weights' hash must be (from the catalogue); None: what the card says.

    Raises
    ------
    BadModel
        If a file is missing, altered, too large, not finite, or does not fit the card.
    """
    card = _read_card(folder / CARD_NAME)
    path = folder / WEIGHTS_NAME
    if not card.weights_sha256 or sha256 not in (None, card.weights_sha256):
        raise BadModel(
            f"{folder}: the card names weights {card.weights_sha256 or 'without a hash'}, "
            f"wanted {sha256 or 'a SHA-256'}; train or copy the model again"
        )
    # On the meta device nothing is allocated before the file is known to fit.
    with torch.device("meta"):
        network = build_network(card.backbone, card.scheme, card.training.dropout, seed=0)
    _check_tensors(path, network.state_dict())
    tensors = _read_checked(path, card.weights_sha256)[0]
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise BadModel(f"{path}: {broken[0]} holds NaN or infinity; train or copy the model again")
    network.load_state_dict(tensors, assign=True)
    return network.eval(), card


def load_reference(folder: Path, card: ModelCard) -> Reference | None:
    """The place of the model's training set in its feature space; None if the card names none.

    Raises
    ------
    BadModel
        If the file is missing, altered, too large, not finite, or does not fit the model.
    """
    if not card.reference_sha256:
        return None
    path = folder / REFERENCE_NAME
    declared = _read_header(path)
    declared.pop(_METADATA, None)
    if {entry.get("dtype") for entry in declared.values()} != {"F32"}:
        raise BadModel(f"{path}: holds other numbers than float32; train or copy the model again")
    tensors, _ = _read_checked(path, card.reference_sha256)
    try:
        reference = Reference.from_arrays({name: own.numpy() for name, own in tensors.items()})
    except ValueError as error:
        raise BadModel(f"{path}: {error}; train or copy the model again") from error
    is_finite = all(bool(own.isfinite().all()) for own in tensors.values())
    is_whole = len(reference.variances) == len(reference.mean)
    if not is_finite or (reference.variances <= 0).any() or (reference.rest <= 0 and not is_whole):
        raise BadModel(f"{path}: gives no finite distances; train or copy the model again")
    _require_width(path, len(reference.mean), _read_header(folder / WEIGHTS_NAME), card)
    return reference


def _require_width(path: Path, found: int, weights: dict[str, Any], card: ModelCard) -> None:
    """Raise BadModel unless the network has so many features, as the header of its weights says."""
    declared = weights.get(f"heads.{card.scheme.primary}.weight", {})
    if declared.get("shape", [])[1:] != [found]:
        raise BadModel(
            f"{path}: of {found} features, where the network's last layer is "
            f"{declared.get('shape')}; train or copy the model again"
        )


def save_state(path: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> str:
    """Write what a training run needs to go on; gives back the file's SHA-256 in hex.

    `facts` must be JSON. The file appears whole or not at all, and is on the disk when this
    returns.
    """
    # One entry alone: safetensors writes several in an order that differs from run to run.
    metadata = {_FACTS: json.dumps(facts, sort_keys=True, allow_nan=False)}
    stored = safetensors.torch.save(_on_cpu(tensors), metadata=metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, stored)
    return hashlib.sha256(stored).hexdigest()


def load_state(path: Path, sha256: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors, on the CPU, and facts as `save_state` wrote them.

    Raises
    ------
    BadModel
        If the file is missing or altered.
    """
    _read_header(path)
    tensors, metadata = _read_checked(path, sha256)
    try:
        facts = json.loads(metadata.get(_FACTS, "null"))
    except (ValueError, RecursionError) as error:
        raise BadModel(f"{path}: no training state (its facts cannot be read)") from error
    if not isinstance(facts, dict):
        raise BadModel(f"{path}: no training state (it holds no facts)")
    return tensors, facts


def _on_cpu(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    # Copies: safetensors takes neither channels-last nor tensors that share their memory.
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()
    }


def _read_card(path: Path) -> ModelCard:
    _require_file(path)
    try:
        if path.stat().st_size > MAX_CARD_BYTES:
            raise BadModel(f"{path}: larger than {MAX_CARD_BYTES} bytes, which is no model card")
        card = ModelCard.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadModel(f"{path}: cannot be read ({error.strerror}); is this a model?") from error
    except ValidationError as error:
        raise BadModel(f"{path}: no model card of this version ({first_fault(error)})") from error
    if card.preprocessing.hash != card.preprocessing_hash:
        raise BadModel(f"{path}: its preprocessing does not have the hash that it names")
    return card


def _require_file(path: Path) -> None:
    """Raise BadModel for what would block or never end when it is read: a pipe, a device."""
    if path.exists() and not path.is_file():
        raise BadModel(f"{path}: no file; train or copy the model again")


def _read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file, once its declared sizes agree with the file's."""
    _require_file(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 10 or length > min(size - 8, MAX_HEADER_BYTES):
                raise BadModel(f"{path}: no safetensors file (it declares {length} header bytes)")
            header = dict(json.loads(file.read(length)))
        held = sum(_bytes_of(entry) for name, entry in header.items() if name != _METADATA)
    except OSError as error:
        raise BadModel(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, BadModel):
            raise
        raise BadModel(f"{path}: no safetensors file (its header cannot be read)") from error
    if held != size - 8 - length:
        raise BadModel(
            f"{path}: declares {held} bytes of tensors and has {size - 8 - length}; "
            "train or copy the model again"
        )
    return header


def _bytes_of(entry: dict[str, Any]) -> int:
    """How many bytes a tensor of this entry has; ValueError where shape and offsets disagree."""
    begin, end = entry["data_offsets"]
    needed = math.prod(entry["shape"]) * _BYTES[entry["dtype"]]
    if not 0 <= begin <= end or end - begin != needed:
        raise ValueError("a tensor's shape and its offsets disagree")
    return int(needed)


def _check_tensors(path: Path, wanted: Mapping[str, torch.Tensor]) -> None:
    """Raise BadModel unless the file declares exactly these names, types and shapes."""
    header = _read_header(path)
    header.pop(_METADATA, None)
    faults = [f"missing {name}" for name in wanted if name not in header]
    faults += [f"unexpected {name}" for name in header if name not in wanted]
    for name in wanted.keys() & header.keys():
        declared = (header[name].get("dtype"), header[name].get("shape"))
        tensor = wanted[name]
        expected = ("I64" if tensor.dtype == torch.int64 else "F32", list(tensor.shape))
        if declared != expected:
            faults.append(f"{name} is {declared}, wanted {expected}")
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise BadModel(f"{path}: does not fit its card: {'; '.join(sorted(faults)[:3])}{more}")


def _read_checked(path: Path, sha256: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a file with that SHA-256; another one is never held in memory."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != sha256:
                raise BadModel(
                    f"{path}: SHA-256 is {found}, wanted {sha256}; it was altered or cut short"
                )
            file.seek(0)
            stored = file.read()
    except OSError as error:
        raise BadModel(f"{path}: cannot be read ({error.strerror})") from error
    try:
        tensors = safetensors.torch.load(stored)
    except safetensors.SafetensorError as error:
        raise BadModel(f"{path}: no safetensors file ({error})") from error
    length = int.from_bytes(stored[:8], "little")
    return tensors, json.loads(stored[8 : 8 + length]).get(_METADATA, {})


def _replace(path: Path, content: bytes) -> None:
    """Put the file in place whole and on the disk, or not at all."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        with aside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
