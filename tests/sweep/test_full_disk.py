"""A disk that fills while a checkpoint is written: the last complete one survives, the cell says why it failed, and
goes on once there is room."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, TINY

# In a mount namespace of its own: a disk of 3.2 MB, on which one checkpoint of a lab model fits and the next one not.
SCRIPT = """
set -u
mount -t tmpfs -o size=3200k tmpfs "$1/disk"
shift_dir="$1"; shift
"$@"; echo "first $?" >> "$shift_dir/codes"
cp -r "$shift_dir/disk" "$shift_dir/full"
mount -o remount,size=64m "$shift_dir/disk"
"$@"; echo "second $?" >> "$shift_dir/codes"
cp -r "$shift_dir/disk" "$shift_dir/after"
"""


def unshare(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


@pytest.mark.slow
def test_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    if sys.platform != "linux" or unshare("mount", "-t", "tmpfs", "tmpfs", str(tmp_path / "disk")).returncode:
        pytest.skip("this machine does not let a user mount a file system of his own")
    cell = [sys.executable, "-m", "rlvr_sweep", *TINY, "compute=cpu", f"runs={tmp_path}/disk"]
    done = unshare("bash", "-c", SCRIPT, "bash", str(tmp_path), *cell)
    codes = (tmp_path / "codes").read_text().split("\n")
    assert codes[:2] == ["first 1", "second 0"], done.stdout + done.stderr
    [full] = (tmp_path / "full").glob("*--*")
    status = json.loads((full / "status.json").read_text())
    assert status["state"] == "failed"
    assert "is full; make room" in status["reason"]
    [checkpoint] = (full / "checkpoints").glob("checkpoint-*")
    assert (checkpoint / "COMPLETE").is_file()
    assert "is full; make room" in done.stdout
    [after] = (tmp_path / "after").glob("*--*")
    assert json.loads((after / "status.json").read_text())["state"] == "done"
    assert [json.loads(line)["step"] for line in (after / "metrics.jsonl").read_text().splitlines()] == list(
        range(1, 9)
    )
