"""A model as one file: `marrow models export` writes it, `marrow models import` takes it in.

A zip without compression that holds the weights, the card and, where the model has one, the
reference of its training features, each with its SHA-256. No pickle is ever opened.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple
from zipfile import BadZipFile, ZipFile

from pydantic import Field

from marrow.archive import ArchiveWriter, Form, Manifest, open_archive
from marrow.catalogue import models
from marrow.errors import BadModel, printable
from marrow.records import ModelRecord, Precision
from marrow.schemes import Scheme
from marrow.settings import STORE_ROOT
from marrow.study import Study

WEIGHTS, CARD, REFERENCE = "weights.safetensors", "card.json", "reference.safetensors"
MODELS = "models"
"""Folder of the store; each model lies below it, named by the beginning of its hash."""

MAX_FILE_BYTES = 4 * 1024**3
"""The largest backbone has 0.8 GB of weights."""
MAX_CARD_BYTES = 16 * 1024**2
"""A card lists the patients of each side: 16 MB hold some hundred thousand."""

_PICKLES = frozenset({".pt", ".pth", ".pkl", ".pickle", ".ckpt"})
_ASK = "ask for a file made by `marrow models export`"


class ModelManifest(Manifest):
    """Of an exported model."""

    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scheme: Scheme


MODEL = Form(
    name="exported model",
    manifest=ModelManifest,
    is_member={WEIGHTS, CARD, REFERENCE}.__contains__,
    stray="is none that an exported model has",
    needed=((WEIGHTS, WEIGHTS), (CARD, CARD)),
    error=BadModel,
    remedy=_ASK,
)
"""The form of an exported model."""


class Loaded(NamedTuple):
    """What a model's folder holds, once its weights were found to fit its card."""

    sha256: str
    """Of the weights."""
    preprocessing: str
    precision: Precision
    scheme: Scheme
    card: dict[str, object]


Load = Callable[[Path], Loaded]
"""Reads a model's folder; BadModel where weights and card do not fit. Needs the network, which
this floor has not."""


def folder_of(study: Study, made: ModelRecord) -> Path:
    """Where a model lies, with its weights and its card.

    Raises
    ------
    BadModel
        If this host sees one of the two not.
    """
    folder = study.path_in(STORE_ROOT, made.path)
    if folder is None:
        raise BadModel(f"{made.name} leads out of the store, to {made.path}: import it anew")
    for name in (CARD, WEIGHTS):
        if not (folder / name).is_file():
            raise BadModel(f"{made.name} has no {name} in {folder}: restore it from a backup")
    return folder


def export_model(study: Study, model_id: int, target: Path, *, force: bool = False) -> ModelRecord:
    """Write a model into one file (mode 0600), whole or not at all.

    Raises
    ------
    BadModel
        If the target exists (unless `force`) or cannot be written, or the model is not whole or
        not as it was registered.
    """
    with study.database.read() as connection:
        made = models.get(connection, model_id)
    if target.exists() and not force:
        raise BadModel(f"{target} is there already: choose another name, or --force")
    folder = folder_of(study, made)
    aside = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            _write(folder, made, study.scheme, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
    except OSError as error:
        raise BadModel(f"{target}: cannot be exported ({error.strerror})") from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
    return made


def _write(folder: Path, made: ModelRecord, scheme: Scheme, file: IO[bytes]) -> None:
    with ArchiveWriter(file, 0, None) as writer:
        for name in (WEIGHTS, CARD, REFERENCE):
            if name == REFERENCE and not (folder / name).is_file():
                continue
            with (folder / name).open("rb") as source:
                stored = writer.add(name, source)
            if name == WEIGHTS and stored.sha256 != made.sha256:
                raise BadModel(
                    f"{folder / name} was altered: SHA-256 {stored.sha256[:12]}, registered as "
                    f"{made.sha256[:12]}; restore it from a backup"
                )
        writer.seal(ModelManifest, weights_sha256=made.sha256, scheme=scheme)


def import_model(study: Study, file: Path, load: Load) -> tuple[ModelRecord, bool]:
    """Put an exported model into the store and the registry; (the model, whether it is new).

    It does not become champion by this, and importing it twice is importing it once.

    Raises
    ------
    BadModel
        If it is damaged, no exported model, too large, a pickle, of another scheme, or its
        weights do not fit its card; then nothing is stored.
    """
    shelf = study.store / MODELS
    aside = shelf / f".{secrets.token_hex(8)}.part"
    try:
        _refuse_pickle(file)
        if file.stat().st_size > MAX_FILE_BYTES:
            raise BadModel(f"{file}: larger than {MAX_FILE_BYTES} bytes, which no model is; {_ASK}")
        _unpack(study, file, aside)
        found = _loaded(file, aside, load)
        _refuse_scheme(file, found.scheme, study.scheme)
        path = _path_of(study, found.sha256)
        _place(aside, study.store / path, found.sha256)
    except OSError as error:
        raise BadModel(f"{file}: cannot be imported ({error.strerror})") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    with study.database.write() as connection:
        is_new = models.of_weights(connection, found.sha256) is None
        made = models.register(
            connection,
            study.database.now(connection),
            sha256=found.sha256,
            path=path,
            preprocessing=found.preprocessing,
            precision=found.precision,
            card=found.card,
            job_id=None,
            is_foreign=True,
        )
    return made, is_new


def _loaded(file: Path, aside: Path, load: Load) -> Loaded:
    """What is in the unpacked folder; a refusal names the file that a person gave."""
    try:
        return load(aside)
    except BadModel as error:
        raise BadModel(str(error).replace(str(aside), str(file))) from error


def _unpack(study: Study, file: Path, aside: Path) -> None:
    with open_archive(file, MODEL) as archive:
        manifest = archive.manifest
        _refuse_scheme(file, manifest.scheme, study.scheme)
        if manifest.files[CARD].size > MAX_CARD_BYTES:
            raise BadModel(f"{file}: its card has {manifest.files[CARD].size} bytes; {_ASK}")
        if manifest.files[WEIGHTS].sha256 != manifest.weights_sha256:
            raise BadModel(
                f"{file}: it names weights {manifest.weights_sha256[:12]} and holds "
                f"{manifest.files[WEIGHTS].sha256[:12]}; {_ASK}"
            )
        for name in manifest.files:
            archive.extract(name, aside / name, lambda _: None)
            with (aside / name).open("rb") as opened:
                if _is_pickle(opened.read(9)):
                    raise BadModel(f"{file}: {name} is a pickle under another name; {_ASK}")


def _path_of(study: Study, sha256: str) -> str:
    """Posix path below the store: where the registry has the model, or where a new one goes."""
    with study.database.read() as connection:
        known = models.of_weights(connection, sha256)
    return f"{MODELS}/{sha256[:16]}" if known is None else known.path


def _place(aside: Path, folder: Path, sha256: str) -> None:
    """Move the unpacked model to its place, or find that it is there already."""
    if folder.exists():
        with (folder / WEIGHTS).open("rb") as weights:
            found = hashlib.file_digest(weights, "sha256").hexdigest()
        if found != sha256:
            raise BadModel(f"{folder} holds other weights ({found[:12]}): move it away")
        return
    aside.replace(folder)


def _refuse_scheme(file: Path, found: Scheme, wanted: Scheme) -> None:
    if found != wanted:
        raise BadModel(
            f"{file}: it answers scheme {found.name!r} ({_questions(found)}), the study asks "
            f"{wanted.name!r} ({_questions(wanted)}): import it into a study of its own scheme"
        )


def _questions(scheme: Scheme) -> str:
    return "; ".join(f"{head.name}: {', '.join(head.classes)}" for head in scheme.heads)


def _refuse_pickle(file: Path) -> None:
    """Raise BadModel for what `torch.save` or pickle wrote: loading it could run anything."""
    with file.open("rb") as opened:
        is_pickle = _is_pickle(opened.read(9), is_zip_allowed=True)
    with suppress(BadZipFile, NotImplementedError), ZipFile(file) as archive:
        inside = [name for name in archive.namelist() if Path(name).suffix.lower() in _PICKLES]
        if inside:
            raise BadModel(
                f"{file}: holds a pickle ({printable(inside[0][:80])}), which could run any "
                f"program: {_ASK}"
            )
    if is_pickle or file.suffix.lower() in _PICKLES:
        raise BadModel(f"{file}: a pickle, which could run any program: {_ASK}")


def _is_pickle(start: bytes, *, is_zip_allowed: bool = False) -> bool:
    """Whether the first 9 bytes are those of a pickle, or of torch's zip around one.

    A safetensors file begins with the length of its header, which may look like a pickle's
    first bytes; but then the ninth is the header's brace.
    """
    if start[:4] == b"PK\x03\x04":
        return not is_zip_allowed
    return start[:1] == b"\x80" and start[1:2] in (b"\2", b"\3", b"\4", b"\5") and start[8:] != b"{"
