import platform
import shutil
from pathlib import Path

import pytest
import torch

import marrow
import training
import worker
from worker import provenance as module
from worker.provenance import SERVING_SOURCES, code_version, device_name, provenance, source_hash


def folders() -> dict[str, Path]:
    packages = {"marrow": marrow, "training": training, "worker": worker}
    return {name: Path(package.__file__).parent for name, package in packages.items()}


@pytest.fixture
def copies(tmp_path):
    """Copies of the packages, free to be changed."""
    for name, folder in folders().items():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(folder, tmp_path / name, ignore=ignored)
    return {name: tmp_path / name for name in folders()}


def test_names_code_library_device_and_host():
    made_by = provenance("cpu")
    assert made_by.code_version == code_version()
    assert made_by.torch_version == torch.__version__
    assert platform.machine() in made_by.device
    assert made_by.device.endswith("(cpu)")
    assert made_by.host == platform.node()
    assert provenance(torch.device("cpu")) == made_by


def test_names_the_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"A100 number {device.index}")
    assert device_name(torch.device("cuda:1")) == "A100 number 1 (cuda)"


def test_code_version_has_the_package_version_and_the_start_of_the_hash():
    version, digits = code_version().split("+")
    assert version
    assert source_hash(folders()).startswith(digits)
    assert len(digits) == 12


def test_every_source_that_is_named_exists():
    for package, patterns in SERVING_SOURCES.items():
        for pattern in patterns:
            assert list(folders()[package].glob(pattern)), f"{package}/{pattern}"


@pytest.mark.parametrize(
    "changed",
    ["marrow/images/smear.py", "marrow/schemes.py", "training/preprocess.py", "worker/classify.py"],
)
def test_the_hash_follows_the_sources_of_serving(copies, changed):
    before = source_hash(copies)
    assert before == source_hash(folders())
    path = copies[changed.split("/")[0]].parent / changed
    path.write_text(path.read_text() + "\n# changed\n")
    assert source_hash(copies) != before


def test_the_hash_ignores_what_does_not_serve_and_the_line_ends(copies):
    before = source_hash(copies)
    (copies["training"] / "losses.py").write_text("nothing of this kind\n")
    (copies["marrow"] / "images" / "notes.txt").write_text("none\n")
    path = copies["marrow"] / "schemes.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert source_hash(copies) == before


def test_a_renamed_file_changes_the_hash(copies):
    before = source_hash(copies)
    images = copies["marrow"] / "images"
    (images / "smear.py").rename(images / "smear_image.py")
    assert source_hash(copies) != before


def test_works_in_a_checkout_that_is_not_installed(monkeypatch):
    def unknown(name):
        raise module.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(module.importlib.metadata, "version", unknown)
    assert code_version.__wrapped__().startswith("checkout+")
