"""The wheel holds the configuration tree, the lab's models and the licence, and runs from where it is installed."""

import email.message
import email.parser
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONF = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "conf").rglob("*.yaml") if "local" not in p.parts)
MODELS = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "rlvr_sweep/lab/models").rglob("*") if p.is_file())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """The wheel of a copy of the tree in which a user keeps a conf/local of their own."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in ("conf", "rlvr_sweep"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, tree)
    (tree / "conf" / "local").mkdir(exist_ok=True)
    (tree / "conf" / "local" / "default.yaml").write_text("runs: /scratch/me\n")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)]
    built = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = out.glob("rlvr_sweep-*.whl")
    return ZipFile(path)


def metadata(wheel: ZipFile) -> email.message.Message:
    (name,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
    return email.parser.Parser().parsestr(wheel.read(name).decode())


def test_the_configuration_tree_is_inside_the_package(wheel: ZipFile) -> None:
    shipped = sorted(name for name in wheel.namelist() if name.startswith("rlvr_sweep/conf/"))
    assert shipped == [f"rlvr_sweep/{name}" for name in CONF]


def test_the_lab_models_are_there_byte_for_byte(wheel: ZipFile) -> None:
    weights = [name for name in MODELS if name.endswith("/model.safetensors")]
    assert len(weights) == 4
    for name in MODELS:
        assert wheel.read(name) == (ROOT / name).read_bytes()


def test_nothing_but_the_package_lands_in_site_packages(wheel: ZipFile) -> None:
    assert {name.split("/")[0].split("-")[0] for name in wheel.namelist()} == {"rlvr_sweep"}


def test_the_licence_is_apache_2(wheel: ZipFile) -> None:
    (name,) = [n for n in wheel.namelist() if n.endswith("licenses/LICENSE")]
    assert wheel.read(name).decode().split() == (ROOT / "LICENSE").read_text(encoding="utf-8").split()
    assert "Apache License Version 2.0, January 2004" in " ".join(wheel.read(name).decode().split())
    assert metadata(wheel)["License-Expression"] == "Apache-2.0"


def test_metadata_pins_trl_exactly_and_refuses_python_3_14(wheel: ZipFile) -> None:
    fields = metadata(wheel)
    assert "trl==1.16.0" in fields.get_all("Requires-Dist", [])
    assert set(fields["Requires-Python"].split(",")) == {">=3.11", "<3.14"}
    assert set(fields.get_all("Provides-Extra", [])) == {"gpu", "vllm", "dashboards", "dev"}


def test_the_command_runs_from_the_wheel_in_another_folder(wheel: ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "site")
    (entry,) = [n for n in wheel.namelist() if n.endswith("entry_points.txt")]
    assert "rlvr-sweep = rlvr_sweep.__main__:main" in wheel.read(entry).decode()
    start = "import sys; from rlvr_sweep import __main__ as m; print(m.__file__); sys.exit(m.main(['--cfg', 'job']))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", start], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, *cell = done.stdout.splitlines()
    assert first.startswith(str(tmp_path / "site"))
    assert any(line.startswith("# cell_id") for line in cell)
