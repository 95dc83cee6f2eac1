"""Hub datasets and models through the real client: brought from a loopback stand-in, then read offline."""

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.data.hub import Repo, serve

ROWS = [{"problem": "What is 2+3?", "answer": "5", "id": "a"}, {"problem": "What is 4+4?", "answer": "8", "id": "b"}]
JSONL = "\n".join(map(json.dumps, ROWS)).encode()
CARD = b"---\nconfigs:\n- config_name: easy\n  data_files:\n  - split: test\n    path: easy/*.jsonl\n---\n# Sums\n"
SUMS = Repo("datasets", "org/sums", {"README.md": CARD, "easy/0.jsonl": JSONL, "hard/0.jsonl": b""}, tags=("v1",))
MODEL = Repo("models", "org/tiny", {"config.json": b"{}", "model.safetensors": b"\0" * 8, "original/big.json": b"{}"})

PREAMBLE = """
import json
from rlvr_sweep.config.schema import Model, Source
from rlvr_sweep.data.prefetch import prefetch
from rlvr_sweep.data.sources import load
from rlvr_sweep.errors import UserError
def sums(**more):
    return Source(kind="hub", prompt_column="problem", **({"hub": "org/sums", "split": "test"} | more))
def refused(call):
    try:
        call()
    except UserError as error:
        return print(error)
    raise SystemExit("was not refused")
tiny = Model(name="tiny", family="qwen2", hub="org/tiny")
"""


@pytest.fixture
def python(tmp_path: Path):
    """Run a snippet in its own process, with its own Hub cache; returns what it printed."""

    def run(code: str, endpoint: str, **env: str) -> str:
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "HF_ENDPOINT": endpoint} | env
        env |= {"HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        code = PREAMBLE + dedent(code)
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_what_prefetch_brought_is_read_without_network(python):
    with serve(SUMS, MODEL) as hub:
        said = python('prefetch([("data", sums()), ("eval.benchmarks.sums", sums())], [tiny, tiny])', hub.url)
        brought = len(hub.asked)
        read = python(
            """
            rows = load(sums(), key="data")
            print(json.dumps([[row.id, row.prompt, row.answer] for row in rows.rows]), rows.facts["commit"])
            from huggingface_hub import snapshot_download
            print(snapshot_download("org/tiny", allow_patterns=["*.safetensors", "config.json"]))
            """,
            hub.url,
            HF_HUB_OFFLINE="1",
        )
        assert len(hub.asked) == brought, "offline mode asked the network"
    assert said.splitlines() == [
        f"dataset org/sums test at {SUMS.sha[:12]}: 1 files, 0.0 MB",
        f"model org/tiny at {MODEL.sha[:12]}: 2 files, 0.0 MB",
    ]
    assert read.splitlines()[0] == json.dumps([["a", "What is 2+3?", "5"], ["b", "What is 4+4?", "8"]]) + f" {SUMS.sha}"
    assert not any("hard" in line or "original" in line for line in hub.asked), "files of no use were downloaded"


def test_offline_an_absent_file_is_named_with_the_command_that_brings_it(python):
    code = """
    refused(lambda: load(sums(revision="v1"), key="data"))
    """
    with serve(SUMS) as hub:
        said = python(code, hub.url, HF_HUB_OFFLINE="1")
        python('load(sums(revision="v1"), key="data")', hub.url)
        python(
            """
            from rlvr_sweep.data import hub
            hub.locate(sums(revision="v1"), key="data").paths[0].unlink()
            """,
            hub.url,
            HF_HUB_OFFLINE="1",
        )
        partial = python(code, hub.url, HF_HUB_OFFLINE="1")
    for text in (said, partial):
        assert len(text.splitlines()) == 1
        assert "org/sums" in text and "v1" in text and "`python -m rlvr_sweep prefetch`" in text
    assert "easy/0.jsonl" in partial


def test_a_pinned_commit_needs_the_network_once_and_a_branch_each_time(python):
    code = f'[load(sums(revision="{SUMS.sha}"), key="data") for _ in range(2)]'
    with serve(SUMS) as hub:
        python(code, hub.url)
        assert sum("/api/" in line for line in hub.asked) == 1
        python('[load(sums(revision="main"), key="data") for _ in range(2)]', hub.url)
        assert sum("/api/" in line for line in hub.asked) == 3


def test_each_refusal_of_the_hub_is_one_line(python):
    code = """
    refused(lambda: load(sums(hub="org/nothing"), key="data"))
    refused(lambda: load(sums(revision="v9"), key="data"))
    refused(lambda: load(sums(split="train"), key="data"))
    refused(lambda: load(sums(config="none"), key="data"))
    refused(lambda: load(sums(hub="org/closed"), key="data"))
    refused(lambda: load(sums(hub="a/b/c"), key="data"))
    refused(lambda: prefetch([], [Model(name="m", family="f", hub="org/absent")]))
    refused(lambda: prefetch([], [Model(name="m", family="f", hub="org/empty")]))
    """
    with serve(
        SUMS, Repo("datasets", "org/closed", {}, gated=True), Repo("models", "org/empty", {"a.txt": b""})
    ) as hub:
        lines = python(code, hub.url).splitlines()
    remedies = ("write another id", "data.revision=main", "data.split=test", "data.config=easy", "HF_TOKEN")
    remedies += ("OWNER/NAME", "write another id", "no *.safetensors")
    assert len(lines) == len(remedies)
    for line, remedy in zip(lines, remedies, strict=True):
        assert remedy in line, line


def test_without_a_network_the_message_names_the_offline_switch(python):
    with serve() as hub:
        closed = hub.url
    line = python('refused(lambda: load(sums(), key="data"))', closed)
    assert "HF_HUB_OFFLINE=1" in line and closed in line and len(line.splitlines()) == 1


def test_prefetch_in_offline_mode_is_refused(python):
    assert "unset it" in python("refused(lambda: prefetch([], []))", "http://127.0.0.1:9", HF_HUB_OFFLINE="1")


def test_a_category_of_kor_bench_is_brought_by_its_three_files(python):
    rule = b'{"idx": "1", "title": "Add", "rule_content": "a ! b is a + b."}\n'
    asked = [{"idx": str(n), "question": f"{n} ! 1?", "answer": f"[[{n + 1}]]", "rule_id": "1"} for n in range(5)]
    lines = "\n".join(map(json.dumps, asked)).encode()
    files = {
        f"data/{c}/{n}.jsonl": rule if n == "rule" else lines for c in ("logic", "cipher") for n in ("rule", "sample")
    }
    kor = 'def source(task): return Source(kind="kor", hub="org/kor", task=task, split="test", shots=1)\n'
    with serve(Repo("datasets", "org/kor", files)) as hub:
        said = python(kor + 'prefetch([("data", source("logic")), ("e", source("cipher"))], [])', hub.url)
    assert said.count("2 files") == 2
    read = python(
        kor
        + 'rows = load(source("logic"), key="data")\n'
        + 'print(rows.rows[0].id, rows.rows[0].answer, rows.facts["files"], len(rows.rows), source("logic").verifier)\n'
        + 'refused(lambda: load(source("puzzle"), key="data"))',
        "http://127.0.0.1:9",
        HF_HUB_OFFLINE="1",
    )
    assert read.startswith("kor-logic-0 1 {'rule': 'rule.jsonl', 'sample': 'sample.jsonl'} 5 kor/logic")
    assert "not in the cache" in read
