"""The verb `logs`: the newest log of a cell, followed to its end; of a sweep, why its cells failed."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from rlvr_sweep.__main__ import main
from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.sweep import logs as module
from rlvr_sweep.sweep.logs import last_lines

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def cell(cell_id: str, state: str, *texts: str, reason: str | None = None) -> Path:
    """A cell's directory with a log an attempt."""
    path = Path("runs") / f"lab-llama-s0--{cell_id}"
    path.mkdir(parents=True)
    (path / "cell.json").write_text(json.dumps({"format": 1}))
    (path / "status.json").write_text(json.dumps({"state": state, "reason": reason}))
    if state == "done":
        (path / "DONE").touch()
    for number, text in enumerate(texts, 1):
        write_log(path, number, text)
    return path


def write_log(path: Path, attempt: int, text: str) -> None:
    folder = path / "attempts" / str(attempt)
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text(text)


def logs(capsys: Capture, *argv: str) -> tuple[str, str]:
    assert main(["logs", *argv]) == 0
    return capsys.readouterr()


def at_each_wait(monkeypatch: pytest.MonkeyPatch, *actions: Callable[[], object]) -> None:
    """Do them one by one, each time that the follower waits; one wait too many raises StopIteration."""
    left = iter(actions)
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=lambda seconds: next(left)()))


def test_the_newest_log(capsys: Capture) -> None:
    cell("aaa111", "failed", *(f"attempt {n}\n" for n in range(1, 12)))
    out, err = logs(capsys, "aaa111")
    assert out == "attempt 11\n"
    assert err == "rlvr_sweep: runs/lab-llama-s0--aaa111/attempts/11/log.txt\n"
    assert logs(capsys, "aaa111", "--attempt", "2")[0] == "attempt 2\n"


def test_so_many_lines(capsys: Capture) -> None:
    cell("aaa111", "done", "".join(f"line {n}\n" for n in range(100)))
    assert logs(capsys, "aaa111", "-n", "2")[0] == "line 98\nline 99\n"
    assert logs(capsys, "aaa111")[0].splitlines() == [f"line {n}" for n in range(60, 100)]
    assert logs(capsys, "aaa111", "-n", "0")[0] == ""


def test_a_long_log_is_read_from_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHORTEST", 16)
    log = tmp_path / "log.txt"
    log.write_bytes(b"".join(b"\xc3\xa4 %d\n" % n for n in range(200)))
    assert last_lines(log, 30) == [f"ä {n}" for n in range(170, 200)]
    assert len(last_lines(log, 500)) == 200


def test_bars_and_colours_are_plain_lines(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("10%\r50%\r100%\n\n\x1b[31mred\x1b[0m \x07bell\x1b[2J\r\n")
    assert last_lines(log, 9) == ["100%", "red  bell"]


def test_of_a_sweep_those_that_failed(capsys: Capture) -> None:
    ids = ["aaa111", "bbb222", "ccc333", "ddd444"]
    for cell_id, state in zip(ids, ["failed", "done", "running", "failed"], strict=True):
        cell(cell_id, state, "".join(f"{cell_id} {n}\n" for n in range(9)), reason="boom")
    folder = Path("runs/_sweeps/pilot")
    folder.mkdir(parents=True)
    (folder / "manifest.jsonl").write_text("".join(json.dumps({"cell_id": i}) + "\n" for i in [*ids[:3], "f" * 12]))
    out, _ = logs(capsys, "pilot", "-n", "1")
    assert (
        "lab-llama-s0--aaa111: failed (boom)\n  log: runs/lab-llama-s0--aaa111/attempts/1/log.txt\n  aaa111 8\n" in out
    )
    assert "lab-llama-s0--ccc333: lost" in out  # it says it runs, but nobody holds it
    assert "bbb222" not in out and "ddd444" not in out and "aaa111 7" not in out
    assert logs(capsys, "aaa111", "bbb222")[0].count("aaa111 ") == 5


def test_a_sweep_without_a_failure_says_so(capsys: Capture) -> None:
    for cell_id in ("aaa111", "bbb222"):
        cell(cell_id, "done", "fine\n")
    assert logs(capsys, "runs")[0].startswith("none of 2 cells failed or is lost; ")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["ccc333"], "has no log yet (pending); see python -m rlvr_sweep status ccc333"),
        (["aaa111", "--attempt", "7"], "attempt 7 has no log; attempts with one: 1, 2"),
        (["runs", "-f"], "runs: 3 cells; -f takes one: write its id"),
        (["runs", "--attempt", "1"], "--attempt takes one"),
        (["nosuch"], "nosuch: no such cell or sweep"),
    ],
)
def test_a_mistake_is_one_line(argv: list[str], said: str, capsys: Capture) -> None:
    cell("aaa111", "failed", "one\n", "two\n")
    cell("bbb222", "done", "fine\n")
    cell("ccc333", "pending")
    assert main(["logs", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err and len(err.splitlines()) == 1


def test_following_ends_with_the_cell(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cell("aaa111", "running", "begun\n")
    log = path / "attempts" / "1" / "log.txt"

    def add(data: bytes) -> Callable[[], object]:
        return lambda: log.open("ab").write(data)

    def end() -> None:
        add(b"last words\n")()
        (path / "status.json").write_text(json.dumps({"state": "failed", "reason": "boom"}))

    at_each_wait(monkeypatch, add(b"half a char \xc3"), add(b"\xa4\n"), end, (path / "DONE").touch)
    with CellDir(path).lock():
        out, err = logs(capsys, "aaa111", "-f")
    assert out == "begun\nhalf a char ä\nlast words\n"
    assert err.splitlines()[-1] == "rlvr_sweep: done"


def test_following_waits_for_the_start_and_goes_over_to_a_new_attempt(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cell("aaa111", "pending")

    def begin(attempt: int) -> Callable[[], object]:
        return lambda: write_log(path, attempt, f"attempt {attempt}\n")

    at_each_wait(monkeypatch, begin(1), begin(2), (path / "DONE").touch)
    with CellDir(path).lock():
        out, err = logs(capsys, "aaa111", "-f")
    assert out == "attempt 1\nattempt 2\n"
    assert "has not started; waiting for it" in err and "attempts/2/log.txt" in err


def test_following_one_that_is_over_prints_it_and_ends(capsys: Capture) -> None:
    cell("aaa111", "preempted", "stopped\n", reason="asked to stop")
    out, err = logs(capsys, "aaa111", "-f")
    assert out == "stopped\n"
    assert err.splitlines()[-1] == "rlvr_sweep: preempted: asked to stop"
