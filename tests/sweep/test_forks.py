"""A forked cell is as one that was started anew: the same bytes, the same parent; and where no fork is to be had, cells
start anew, which is said."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from rlvr_sweep.__main__ import main
from rlvr_sweep.config.schema import Compute
from rlvr_sweep.sweep import forks
from rlvr_sweep.sweep.forks import ForkServer, can_fork
from tests.conftest import TINY
from tests.sweep.test_local import start_grid, states_in, steps, wait_for

COMPARED = ("metrics.jsonl", "data.json", "model/*", "evals/add/*", "rollouts/*")


def bytes_of(runs: Path) -> dict[str, bytes]:
    files = [file for cell in runs.glob("*--*") for pattern in COMPARED for file in cell.glob(pattern)]
    return {str(file.relative_to(runs)): file.read_bytes() for file in files}


def test_a_forked_cell_has_the_same_bytes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], with_gpus: Callable[..., None]
) -> None:
    with_gpus(1)  # which cells on cores leave alone
    own = [line for line in TINY if not line.startswith("tracking")]
    lines = ["-m", *own, "compute=cpu", "seed=0,1", "sweep.stagger_s=0.2", "tracking=offline"]
    assert main([*lines, f"runs={tmp_path / 'anew'}", "sweep.fork=false"]) == 0
    assert main([*lines, f"runs={tmp_path / 'forked'}"]) == 0
    assert "fork server" not in capfd.readouterr().out
    anew, forked = bytes_of(tmp_path / "anew"), bytes_of(tmp_path / "forked")
    assert len(anew) == 2 * (2 + 6 + 3 + 4)
    assert forked == anew
    starts = {
        way: [json.loads(file.read_text())["start"] for file in (tmp_path / way).glob("*--*/phases.json")]
        for way in ("anew", "forked")
    }
    assert max(starts["forked"]) < min(starts["anew"]) / 3  # they did not import torch
    for cell in (tmp_path / "forked").glob("*--*"):
        assert list(cell.glob("wandb/offline-run-*/*.wandb"))


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_cells_outlive_the_server_and_the_others_start_anew(tmp_path: Path) -> None:
    process = start_grid(tmp_path, "seed=0,1", "sweep.slots=1", "algo.rollouts=20")
    wait_for(lambda: steps(tmp_path) >= 3)
    [server] = [p for p in children(process.pid) if Path(f"/proc/{p}/comm").read_text().startswith("python")]
    [worker] = set(children(process.pid)) - {server}  # its own child, named after its cell
    assert os.getsid(worker) == worker
    assert Path(f"/proc/{worker}/comm").read_text().strip() in next(tmp_path.glob("*-s0--*")).name
    os.kill(server, signal.SIGKILL)
    out, _ = process.communicate(timeout=600)
    assert states_in(tmp_path) == ["done", "done"]
    assert out.count("fork server: it was ended by SIGKILL; each cell now imports torch for itself") == 1


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "MODULE", "rlvr_sweep.no_such_module")
    with closing(ForkServer((), os.environ)) as server:
        wait_for(lambda: not server.is_starting)
        assert "No module named rlvr_sweep.no_such_module" in (server.fault or "")
        with (Path(os.devnull)).open("w") as log:
            assert server.fork(Path("cell"), {}, log) is None


def test_nothing_is_forked_beside_a_thread() -> None:
    code = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
    code += "; from rlvr_sweep.train.fork_server import _unfit; print(_unfit())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "threads running" in done.stdout


@pytest.mark.parametrize("compute", [{"ranks": 2}, {"zero": 2, "offload": True}, {"backend": "vllm"}])
def test_only_plain_cells_are_forked(compute: dict) -> None:
    assert can_fork(Compute(name="x"))
    assert not can_fork(Compute(name="x", **compute))
