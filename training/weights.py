"""Initial weights of a trunk: from a file, from torchvision's cache, or none."""

from __future__ import annotations

import hashlib
import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

import safetensors
import safetensors.torch
import torch
import torchvision

from marrow.errors import BadModel
from training.backbones import check_backbone

if TYPE_CHECKING:
    from training.network import MultiHeadNetwork

_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..+)$")
"""torchvision's DenseNet files have `norm.1`, its module has `norm1`
(torchvision/models/densenet.py, _load_state_dict)."""

_CLASSIFIER = re.compile(r"^(fc|classifier|heads)\.")
_COUNTER = "num_batches_tracked"

_UNREADABLE = (
    safetensors.SafetensorError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
)
"""What torch.load and safetensors raise on files that are damaged or of another kind."""


def load_trunk(network: MultiHeadNetwork, weights: str, sha256: str | None = None) -> str:
    """Fill the trunk; gives back a line that says what was loaded and what was dropped.

    Parameters
    ----------
    network : MultiHeadNetwork
        Its trunk is changed in place; its heads are not.
    weights : str
        `none`, `imagenet` (IMAGENET1K_V1, from torch's cache alone), or the path of a
        state dict (.pth, .pt) or .safetensors file of the same backbone.
    sha256 : str or None
        What the file's SHA-256, in hex, must be; None: it is not checked.

    Raises
    ------
    BadModel
        If the file is missing, altered, holds more than tensors, or does not fit.
    """
    if weights == "none":
        return f"trunk {network.backbone}: random, no weights loaded"
    path = _cached_imagenet(network.backbone) if weights == "imagenet" else Path(weights)
    if not path.is_file():
        raise BadModel(f"{path}: no such file; give `none`, `imagenet` or a file of weights")
    found = _sha256(path)
    if sha256 is not None and found != sha256.lower():
        raise BadModel(f"{path.name}: SHA-256 is {found}, wanted {sha256}; fetch the file again")
    kept, dropped = _match(_read(path), network.trunk.state_dict(), path)
    network.trunk.load_state_dict(kept, strict=False)
    line = f"trunk {network.backbone}: {len(kept)} tensors of {path.name} (sha256 {found[:16]})"
    return line + (f"; dropped its classifier {', '.join(dropped)}" if dropped else "")


def fetch_imagenet(backbone: str, progress: bool = False) -> Path:
    """Download the backbone's IMAGENET1K_V1 weights into torch's cache; the one use of the network.

    Raises
    ------
    BadModel
        If there are none, the download fails, or its checksum is wrong.
    """
    path, url, prefix = _imagenet(backbone)
    if path.is_file() and _sha256(path).startswith(prefix):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix, progress=progress)
    except (URLError, OSError, RuntimeError) as error:
        raise BadModel(f"{url}: not downloaded ({error}); fetch it elsewhere and give the file's "
                       "path as --weights") from error  # fmt: skip
    return path


def _imagenet(backbone: str) -> tuple[Path, str, str]:
    """Place in torch's cache, address, and the start of the SHA-256 that the name promises."""
    check_backbone(backbone)
    known = torchvision.models.get_model_weights(backbone).__members__
    if "IMAGENET1K_V1" not in known:
        raise BadModel(f"{backbone}: torchvision has no IMAGENET1K_V1 weights; give a file")
    url = str(known["IMAGENET1K_V1"].value.url)
    name = url.rsplit("/", 1)[1]
    promised = torch.hub.HASH_REGEX.search(name)
    if promised is None:
        raise BadModel(f"{url}: its name has no checksum; fetch it yourself and give the file")
    return Path(torch.hub.get_dir()) / "checkpoints" / name, url, promised.group(1)


def _cached_imagenet(backbone: str) -> Path:
    path, _, prefix = _imagenet(backbone)
    if not path.is_file():
        raise BadModel(
            f"{path}: the ImageNet weights of {backbone} are not here; run "
            f"`marrow models fetch {backbone}`, or give a file or `none` as --weights"
        )
    if not _sha256(path).startswith(prefix):
        raise BadModel(f"{path}: damaged; delete it and run `marrow models fetch {backbone}`")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file; anything else in it is refused."""
    stored: Any
    try:
        if path.suffix == ".safetensors":
            stored = safetensors.torch.load_file(path)
        else:
            _refuse_packed(path)
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own words tell how to run what is in the file.
        raise BadModel(
            f"{path.name}: no plain state dict (it holds more than tensors, and is not opened); "
            "save it with torch.save(network.state_dict()) or as .safetensors"
        ) from error
    except _UNREADABLE as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise BadModel(
            f"{path.name}: no plain state dict ({type(error).__name__}: {reason}); "
            "save it with torch.save(network.state_dict()) or as .safetensors"
        ) from error
    if not isinstance(stored, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in stored.items()
    ):
        raise BadModel(f"{path.name}: holds {type(stored).__name__}, wanted names and tensors")
    return {_today(name): tensor for name, tensor in stored.items()}


def _refuse_packed(path: Path) -> None:
    """Raise ValueError for an archive that unfolds to more than it is: torch never packs."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            held = sum(entry.file_size for entry in archive.infolist())
        if held > path.stat().st_size:
            raise ValueError(f"it unfolds to {held} bytes and has {path.stat().st_size}")


def _today(name: str) -> str:
    """A parameter's name as today's torchvision has it; our own models' trunks likewise."""
    return _OLD_DENSENET.sub(r"\1\2", name.removeprefix("trunk."))


def _match(
    stored: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], path: Path
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Tensors for the trunk, and names and shapes of the classifier that is left out."""
    others = {name: tensor for name, tensor in stored.items() if name not in wanted}
    dropped = {name: tensor for name, tensor in others.items() if _CLASSIFIER.match(name)}
    faults = [f"unexpected {name}" for name in others if name not in dropped]
    for name, tensor in wanted.items():
        if name not in stored:
            if not name.endswith(_COUNTER):  # files older than torch 0.4.1 lack it
                faults.append(f"missing {name}")
        elif stored[name].shape != tensor.shape:
            faults.append(f"{name} is {tuple(stored[name].shape)}, wanted {tuple(tensor.shape)}")
        elif not torch.isfinite(stored[name]).all():
            faults.append(f"{name} holds NaN or infinity")
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise BadModel(f"{path.name}: not of this backbone: {'; '.join(faults[:5])}{more}")
    kept = {name: tensor for name, tensor in stored.items() if name in wanted}
    return kept, [f"{name} {tuple(tensor.shape)}" for name, tensor in dropped.items()]
