"""requirements/setup.sh on made-up machines: a PATH of its own, with interpreters that only note what they are told."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = "bash sh cat cksum cp cut dirname find grep ls mkdir rm sed tail tr uname"
NAMES = ("python3", "python", "python3.13", "python3.12", "python3.11")
FAKE = """#!/bin/sh
case "$1 $2" in
    "-m venv") mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; echo "venv" >> CALLS ;;
    "-m pip") shift 2; echo "pip $*" >> CALLS; {pip} ;;
    *) echo {version} ;;
esac
"""


class Machine:
    """A clone in `tree` and a PATH that holds the standard tools and what is put there."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.bin, self.calls = folder / "tree", folder / "bin", folder / "calls"
        shutil.copytree(ROOT / "requirements", self.tree / "requirements")
        shutil.copy(ROOT / "pyproject.toml", self.tree)
        self.bin.mkdir()
        for tool in TOOLS.split():
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        self.put("uname", "#!/bin/sh\necho Linux\n")

    def put(self, name: str, script: str) -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(script)
        path.chmod(0o755)

    def python(self, version: str, *names: str, pip: str = "true") -> None:
        for name in names:
            self.put(name, FAKE.replace("CALLS", str(self.calls)).format(version=version, pip=pip))

    def setup(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.bin / "bash", "requirements/setup.sh"],
            cwd=self.tree,
            env={"PATH": str(self.bin), "HOME": str(self.tree), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def called(self) -> list[str]:
        """What was done since the last question."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return lines


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("version", ["3.14", "3.10"])
def test_a_wrong_python_is_refused_in_one_line(machine: Machine, version: str) -> None:
    machine.python(version, *NAMES)
    done = machine.setup()
    assert done.returncode == 2
    (line,) = (done.stdout + done.stderr).splitlines()
    assert f"python3 is Python {version}" in line and "3.11, 3.12 or 3.13" in line and "PYTHON=" in line
    assert not (machine.tree / ".venv").exists()


def test_no_python_at_all_is_one_line(machine: Machine) -> None:
    done = machine.setup()
    assert done.returncode == 2
    assert len((done.stdout + done.stderr).splitlines()) == 1


def test_a_supported_python_under_another_name_is_taken_and_named(machine: Machine) -> None:
    machine.python("3.14", "python3", "python")
    machine.python("3.12", "python3.12")
    done = machine.setup()
    assert done.returncode == 0, done.stderr
    assert "python3 is Python 3.14" in done.stdout and "taking python3.12" in done.stdout


def test_the_python_asked_for_is_taken_or_refused(machine: Machine) -> None:
    machine.python("3.11", "python3")
    machine.python("3.13", "python3.13")
    machine.python("3.9", "old")
    assert "Python 3.13" in machine.setup(PYTHON="python3.13").stdout
    for name, word in (("old", "Python 3.9"), ("nothere", "does not run")):
        done = machine.setup(PYTHON=name)
        assert done.returncode == 2 and word in done.stderr
    assert (machine.tree / ".venv/bin/python").exists(), "a refusal must leave what is there"


def test_a_machine_without_gpu_gets_the_cpu_lock_with_hashes(machine: Machine) -> None:
    machine.python("3.12", "python3")
    done = machine.setup()
    assert done.returncode == 0, done.stderr
    assert "no uv on PATH" in done.stdout and "no nvidia-smi" in done.stdout
    venv, uv, torch, locks, editable = machine.called()
    assert venv == "venv"
    assert uv.endswith("--require-hashes --no-deps -r .venv/uv.txt")
    assert (machine.tree / ".venv/uv.txt").read_text().count("--hash=sha256:") > 1
    assert torch.endswith("--no-deps torch==2.13.0+cpu")
    assert "--require-hashes --no-deps -r requirements/cpu.txt -r requirements/dev.txt" in locks
    assert editable.endswith("--no-deps --no-build-isolation --editable .")


def test_a_second_start_does_nothing(machine: Machine) -> None:
    machine.python("3.12", "python3")
    machine.setup()
    machine.called()
    done = machine.setup()
    assert (done.returncode, done.stdout, done.stderr, machine.called()) == (0, "", "", [])


def test_the_choice_of_a_device_lasts_until_another_is_named(machine: Machine) -> None:
    machine.python("3.12", "python3")
    machine.setup(DEVICE="gpu-vllm")
    assert any("requirements/gpu-vllm.txt" in call for call in machine.called())
    machine.setup()
    assert machine.called() == []
    assert "made for DEVICE=gpu-vllm" in machine.setup(DEVICE="cpu").stdout
    assert "venv" in machine.called()


@pytest.mark.parametrize(
    ("listing", "lock"),
    [("echo 'GPU 0: NVIDIA H200 (UUID: GPU-1)'", "gpu"), ("echo 'No devices were found'; exit 6", "cpu")],
)
def test_nvidia_smi_decides(machine: Machine, listing: str, lock: str) -> None:
    machine.python("3.12", "python3")
    machine.put("nvidia-smi", f"#!/bin/sh\n{listing}\n")
    assert f"lock requirements/{lock}.txt" in machine.setup().stdout


def test_changed_locks_are_installed_on_top(machine: Machine) -> None:
    machine.python("3.12", "python3")
    machine.setup()
    machine.called()
    (machine.tree / "requirements" / "dev.txt").write_text("# another\n")
    machine.setup()
    calls = machine.called()
    assert "venv" not in calls and any("--require-hashes" in call for call in calls)


def test_a_failed_or_broken_off_setup_is_made_anew(machine: Machine) -> None:
    machine.python("3.12", "python3", pip="echo no route; exit 1")
    done = machine.setup()
    assert done.returncode == 1
    assert "no route" in done.stderr and "setup: failed" in done.stderr
    leftover = machine.tree / ".venv" / "half-a-package"
    leftover.touch()
    machine.python("3.12", "python3")
    machine.called()
    done = machine.setup()
    assert done.returncode == 0, done.stderr
    assert "did not finish" in done.stdout
    assert not leftover.exists() and "venv" in machine.called()


def test_without_a_cpu_build_the_big_download_is_announced(machine: Machine) -> None:
    machine.python("3.12", "python3", pip="""case "$*" in *+cpu|*uv.txt) exit 1 ;; esac""")
    done = machine.setup()
    assert done.returncode == 0, done.stderr
    assert "WARNING" in done.stdout and "2.7 GB" in done.stdout
    assert any(call.endswith("install --no-warn-script-location torch==2.13.0") for call in machine.called())


def test_a_virtual_environment_of_the_users_own_is_left_alone(machine: Machine) -> None:
    machine.python("3.12", "python3")
    (machine.tree / ".venv").mkdir()
    (machine.tree / ".venv" / "mine").touch()
    done = machine.setup()
    assert done.returncode == 2 and "not made by this script" in done.stderr
    assert os.listdir(machine.tree / ".venv") == ["mine"]


UV = """#!/bin/sh
echo "uv $*" >> CALLS
case "$*" in *requirements/cpu.txt*) {then} ;; --version) echo uv 1.0 ;; "venv "*) PYTHON -m venv .venv ;; esac
"""


@pytest.mark.parametrize(("then", "by"), [("exit 0", "uv"), ("echo no route; exit 1", "pip")])
def test_what_uv_cannot_install_pip_does(machine: Machine, then: str, by: str) -> None:
    machine.python("3.12", "python3")
    uv = UV.replace("CALLS", str(machine.calls)).replace("PYTHON", str(machine.bin / "python3"))
    machine.put("uv", uv.format(then=then))
    done = machine.setup()
    assert done.returncode == 0, done.stderr
    assert ("uv could not install" in done.stdout) == (by == "pip")
    last = [call for call in machine.called() if "requirements/cpu.txt" in call][-1]
    assert last.startswith(by)
