"""The W&B mirror with the real client: offline, online (loopback), killed, resumed, without key, server or package."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlvr_sweep.train import mirror as module
from rlvr_sweep.train.mirror import Mirror, NullMirror, tags
from tests.train.wandb_server import serving

wandb = pytest.importorskip("wandb")
Warned = Callable[[], list[str]]
SECRET = "5ecre7" + "0123456789" * 3 + "abcd"  # 40 characters, as the client wants them
CELL: dict[str, Any] = {
    "version": 1,
    "cell_id": "0123456789ab",
    "arm_id": "ba9876543210",
    "slug": "lab-qwen-add-random-s0",
    "batch": {"rollouts": 2},
    "cell": {
        "seed": 0,
        "model": {"name": "lab/qwen"},
        "choices": {"reward": "random", "model": "lab/qwen", "clip": "dapo", "estimator": "nsr_masked"},
        "tracking": {"name": "offline", "mode": "offline", "project": "rlvr_sweep", "entity": None},
    },
}
PATIENT = 60.0  # seconds of a call, where its limit is not what is tested
CHILD = """
import json, logging, sys, time
from pathlib import Path
from rlvr_sweep.train import mirror
logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
args = json.loads(sys.argv[1])
mirror.SETTINGS.update(args["settings"])
mirror.LIMIT_S = args["limit"]
began = time.monotonic()
m = mirror.Mirror.start(args["cell"], Path(args["dir"]), args["mode"])
print("started", round(time.monotonic() - began, 1), type(m).__name__, flush=True)
for step in range(args["first"], args["last"] + 1):
    m.log(step, {"step": step, "reward": step / 10, "label_accuracy": None, "eval/add/accuracy": 0.5})
    if args["pause"]:
        print("row", step, time.monotonic(), flush=True)
        time.sleep(args["pause"])
if args["wait"]:
    print("waiting", flush=True)
    sys.stdin.readline()
m.summary({"accuracy": 0.75})
began = time.monotonic()
m.finish(0)
print("finished", round(time.monotonic() - began, 1), flush=True)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "cell").mkdir()
    return tmp_path


def child(
    home: Path, *, mode: str = "offline", env: dict[str, str] | None = None, **more: Any
) -> subprocess.Popen[str]:
    """A process that mirrors a few rows of CELL into home/cell. Its home is `home`: no netrc of this machine counts."""
    args = {
        "cell": CELL,
        "dir": str(home / "cell"),
        "mode": mode,
        "first": 1,
        "limit": module.LIMIT_S,
        "last": 5,
        "pause": 0,
        "wait": False,
        "settings": {},
    }
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "XDG_"))}
    clean |= {"HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)} | (env or {})
    command = [sys.executable, "-c", CHILD, json.dumps(args | more)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=clean, cwd=home, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def finished(process: subprocess.Popen[str]) -> tuple[str, list[str]]:
    """Its output and the warnings it logged, once it has ended well."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out, [line for line in err.splitlines() if line.startswith("WARNING")]


def fragments(home: Path) -> list[Path]:
    """The run directories, oldest first. The client adds "-1" to the name of a second one of the same second."""
    return sorted((home / "cell" / "wandb").glob(f"offline-run-*-{CELL['cell_id']}*"))


def records(fragment: Path) -> list[dict[str, Any]]:
    """Every record of a run directory, read by wandb's own tool."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(fragment)]
    out = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def history(fragment: Path) -> list[dict[str, Any]]:
    return [r["history"]["item"] for r in records(fragment) if r["type"] == "history"]


def holds_rows(fragment: Path) -> bool:
    """Whether its log names our metrics: quicker than `records`."""
    [log] = fragment.glob("*.wandb")
    return b"train/reward" in log.read_bytes()


def test_offline_keeps_rows_resumes_by_id_and_holds_no_secret(home: Path) -> None:
    env = {"WANDB_API_KEY": SECRET}
    out, warnings = finished(child(home, env=env, limit=PATIENT))
    assert "Mirror" in out and warnings == []
    finished(child(home, env=env, first=4, last=8))
    first, second = fragments(home)
    found = records(first)
    [run] = [r["run"] for r in found if r["type"] == "run"]
    assert "environment" not in {r["type"] for r in found}  # which would hold the command line
    assert (run["run_id"], run["run_group"]) == (CELL["cell_id"], CELL["arm_id"])
    rows = [r["history"]["item"] for r in found if r["type"] == "history"]
    assert [r["train/global_step"] for r in rows] == [1, 2, 3, 4, 5]
    assert rows[-1]["train/reward"] == 0.5 and rows[-1]["eval/add/accuracy"] == 0.5
    assert not any("label_accuracy" in key or key == "train/step" for key in rows[-1])  # null is absent, not 0
    assert holds_rows(second)
    files = [path for path in home.rglob("*") if path.is_file()]
    assert len(files) > 2
    assert [path for path in files if SECRET[:16].encode() in path.read_bytes()] == []


def test_sigkill_loses_no_row_older_than_the_flush(home: Path) -> None:
    process = child(home, last=10_000, pause=0.05)
    assert process.stdout is not None
    seen: dict[int, float] = {}
    for line in process.stdout:
        word, *rest = line.split()
        if word == "row":
            seen[int(rest[0])] = float(rest[1])
            if seen[int(rest[0])] - seen[1] > 8:
                break
    killed = time.monotonic()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    must = {step for step, at in seen.items() if at < killed - 5}  # a flush a second, the client's own 15
    assert must
    [fragment] = fragments(home)
    assert must <= {r["train/global_step"] for r in history(fragment)}


def test_online_sends_config_group_tags_and_history(home: Path) -> None:
    with serving() as server:
        env = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": SECRET}
        _, warnings = finished(child(home, mode="online", env=env, limit=PATIENT))
        assert warnings == []
        first = server.upserts[0]
        assert (first["name"], first["groupName"], first["jobType"]) == (CELL["cell_id"], CELL["arm_id"], "train")
        assert first["project"] == "rlvr_sweep"
        assert first["displayName"] == CELL["slug"] + " clip=dapo estimator=nsr_masked"
        assert first["tags"] == ["clip=dapo", "estimator=nsr_masked", "model=lab/qwen", "reward=random"]
        assert set(server.config) == {"cell", "_wandb"}
        assert server.config["cell"]["value"]["model"] == {"name": "lab/qwen"}
        assert [row["train/global_step"] for row in server.history()] == [1, 2, 3, 4, 5]
        assert server.exit_code == 0
        assert SECRET.encode() not in b"".join(server.bodies)
        assert not any(b'"argv"' in body or b'"args"' in body for body in server.bodies)


def test_a_server_that_does_not_answer_costs_seconds_and_one_line(home: Path) -> None:
    env = {"WANDB_BASE_URL": "http://127.0.0.1:1", "WANDB_API_KEY": SECRET}
    out, warnings = finished(child(home, mode="online", env=env))
    assert float(out.split()[1]) < 20  # 3 + 7 + 3 at the most, and about 5
    assert len(warnings) == 1 and "wandb sync" in warnings[0]
    assert holds_rows(fragments(home)[-1])


def test_online_without_a_key_is_offline_with_one_line(home: Path) -> None:
    _, warnings = finished(child(home, mode="online"))
    assert len(warnings) == 1 and "API key" in warnings[0]
    assert len(fragments(home)) == 1


def test_a_server_that_dies_does_not_hold_the_end(home: Path) -> None:
    with serving() as server:
        env = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": SECRET}
        process = child(home, mode="online", env=env, wait=True, settings={"finish_timeout": 1.0})
        assert process.stdout is not None and process.stdin is not None
        assert "Mirror" in process.stdout.readline() and "waiting" in process.stdout.readline()
    process.stdin.write("\n")
    began = time.monotonic()
    finished(process)
    assert time.monotonic() - began < 20  # about 4


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The mirror's warnings so far."""
    return lambda: [
        r.getMessage() for r in caplog.records if r.name == module.__name__ and r.levelno >= logging.WARNING
    ]


def test_a_broken_client_is_one_line(home: Path, monkeypatch: pytest.MonkeyPatch, warned: Warned) -> None:
    def broken(**_: Any) -> None:
        raise RuntimeError("no such\nthing")

    monkeypatch.setattr(wandb, "init", broken)
    made = Mirror.start(CELL, home / "cell", "offline")
    assert isinstance(made, NullMirror) and "no such thing" in made.why
    assert len(warned()) == 1 and "\n" not in warned()[0]
    made.log(1, {"reward": 1.0})
    made.finish(0)


def test_no_client_is_one_line(home: Path, monkeypatch: pytest.MonkeyPatch, warned: Warned) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert isinstance(Mirror.start(CELL, home / "cell", "offline"), NullMirror)
    assert len(warned()) == 1


def test_off_says_nothing(home: Path, warned: Warned) -> None:
    assert isinstance(Mirror.start(CELL, home / "cell", "off"), NullMirror)
    assert warned() == [] and not (home / "cell" / "wandb").exists()


class Client:
    """Stands for a client and its run; `log` does what it is told."""

    def __init__(self, act: Any) -> None:
        self.act, self.calls, self.torn = act, 0, 0
        self.url = None
        self.settings = self
        self.mode = "offline"

    def log(self, row: dict[str, Any]) -> None:
        self.calls += 1
        self.act()

    def teardown(self, exit_code: int) -> None:
        self.torn += 1


def test_the_first_failure_is_the_last_call(warned: Warned) -> None:
    client = Client(lambda: 1 / 0)
    mirror = Mirror(client, client, module._Guard())
    for step in range(5):
        mirror.log(step, {"reward": 1.0})
    mirror.finish(0)
    assert client.calls == 1 and client.torn == 1
    assert len(warned()) == 1 and "ZeroDivisionError" in warned()[0]


def test_a_call_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch, warned: Warned) -> None:
    monkeypatch.setattr(module, "LIMIT_S", 0.2)
    client = Client(lambda: time.sleep(60))
    mirror = Mirror(client, client, module._Guard())
    began = time.monotonic()
    mirror.log(1, {})
    mirror.log(2, {})
    assert time.monotonic() - began < 20 and client.calls == 1
    assert len(warned()) == 1 and "no answer" in warned()[0]


def test_tags_are_cut_to_what_the_server_takes() -> None:
    assert tags({"reward": "random", "data": "d" * 90}) == ["data=" + "d" * 59, "reward=random"]
