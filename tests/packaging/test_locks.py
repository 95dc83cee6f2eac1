"""The locks: exact, hashed, free of addresses, and in step with pyproject.toml (else: make lock)."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNTIME = ("cpu", "gpu", "gpu-vllm")
PYTHONS = ("3.11", "3.12", "3.13")
CUDA = re.compile(r"nvidia-|cuda-|triton$|torch$")


def entries(name: str) -> list[tuple[Requirement, list[str]]]:
    """(requirement, its hashes) of each entry of a lock; an entry goes on after a backslash."""
    text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(Requirement(line.split(" --hash=")[0].strip()), re.findall(r"--hash=(\S+)", line)) for line in lines]


def versions(name: str, python: str) -> dict[str, list[str]]:
    """Package -> its pinned versions on Linux x86-64 with that Python."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "platform_system": "Linux",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "os_name": "posix",
    }
    found: dict[str, list[str]] = {}
    for requirement, _ in entries(name):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            found.setdefault(requirement.name, []).append(str(requirement.specifier).removeprefix("=="))
    return found


@pytest.mark.parametrize("name", [*RUNTIME, "dev"])
def test_every_entry_is_one_version_with_hashes(name: str) -> None:
    for requirement, hashes in entries(name):
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), requirement


@pytest.mark.parametrize("path", sorted(REQUIREMENTS.glob("*.txt")), ids=lambda path: path.name)
def test_no_address_and_no_index_option(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^-(?!-hash)", text, flags=re.MULTILINE)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", RUNTIME)
def test_a_lock_holds_one_fitting_version_of_all_that_the_package_requires(name: str, python: str) -> None:
    pinned = versions(name, python)
    extras = ["dashboards", "gpu", *(["vllm"] if name == "gpu-vllm" else [])]
    wanted = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    for requirement in map(Requirement, wanted):
        if name == "cpu" and requirement.name == "torch":
            continue  # requirements/torch.txt
        (version,) = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} but {name}.txt pins {version}: make lock"


@pytest.mark.parametrize("python", PYTHONS)
def test_the_tools_are_locked_once_and_apart_from_what_they_stand_on(python: str) -> None:
    tools = versions("dev", python)
    for requirement in map(Requirement, PROJECT["optional-dependencies"]["dev"]):
        (version,) = tools[requirement.name]
        assert requirement.specifier.contains(version)
    for name in RUNTIME:
        assert not tools.keys() & versions(name, python).keys()


def test_the_cpu_lock_leaves_torch_and_cuda_to_the_torch_pin() -> None:
    assert not [requirement.name for requirement, _ in entries("cpu") if CUDA.match(requirement.name)]
    ((torch, hashes),) = entries("torch")
    assert torch.name == "torch" and not hashes
    assert versions("gpu", "3.11")["torch"] == [str(torch.specifier).removeprefix("==")]


def test_the_cpu_and_gpu_locks_agree_on_what_they_share() -> None:
    cpu, gpu = versions("cpu", "3.12"), versions("gpu", "3.12")
    assert {name: gpu[name] for name in cpu} == cpu


def test_the_vllm_lock_holds_the_set_that_ran() -> None:
    pinned = versions("gpu-vllm", "3.12")
    for requirement, _ in entries("vllm"):
        assert [f"=={version}" for version in pinned[requirement.name]] == [str(requirement.specifier)]
