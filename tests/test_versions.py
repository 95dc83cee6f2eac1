"""What a cell needs that is not installed, or does not fit, is said before it starts: the range and the command."""

import pytest

from rlvr_sweep import versions
from rlvr_sweep.config.schema import Compute
from rlvr_sweep.errors import UserError


def have(monkeypatch: pytest.MonkeyPatch, **found: str | None) -> None:
    full = {"torch": "2.11.0+cu130", "trl": "1.16.0", "vllm": None, "deepspeed": None, "liger_kernel": None} | found
    monkeypatch.setattr(versions, "installed", lambda: full)
    monkeypatch.setattr(versions, "find_spec", lambda name: full[name] and object())


def test_what_fits_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch)
    versions.check_installed(Compute(name="x"))
    have(monkeypatch, vllm="0.26.0", deepspeed="0.19.8")
    versions.check_installed(Compute(name="x", backend="vllm", zero=2))


@pytest.mark.parametrize(
    ("found", "compute", "told"),
    [
        ({}, Compute(name="x", zero=2), r"DeepSpeed is not installed; make setup, or: pip install 'rlvr_sweep\[gpu\]'"),
        ({}, Compute(name="x", liger=True), r"liger-kernel is not installed; .*or write compute.liger=false"),
        ({}, Compute(name="x", backend="vllm"), r"vLLM is not installed \(TRL takes >=0.22,<0.32\); .*pip install"),
        (
            {"vllm": "0.33.0"},
            Compute(name="x", backend="vllm"),
            "TRL 1.16.0 takes vLLM >=0.22,<0.32, not 0.33.0; DEVICE",
        ),
        (
            {"vllm": "0.30.0"},
            Compute(name="x", backend="vllm"),
            r"vLLM 0.30.0 is built for torch 2.13, not 2.11.0\+cu130",
        ),
    ],
)
def test_what_is_missing_or_does_not_fit_is_one_line(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, str], compute: Compute, told: str
) -> None:
    have(monkeypatch, **found)
    with pytest.raises(UserError, match=told) as refused:
        versions.check_installed(compute)
    assert "\n" not in str(refused.value)
