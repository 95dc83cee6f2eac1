"""`bench` on a CPU: what it measures, writes and leaves behind; and a mistake is one line."""

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from rlvr_sweep.bench import calibration as written
from rlvr_sweep.bench import commands, measured, table
from rlvr_sweep.bench.commands import main
from rlvr_sweep.bench.setting import one, prepare
from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.rules import arm
from rlvr_sweep.config.tree import launch_dir
from rlvr_sweep.errors import UserError
from rlvr_sweep.shapes import floor
from rlvr_sweep.shapes.memory import sizes_of
from rlvr_sweep.sweep import calibration

TINY = ["model=shape/tiny", "compute=cpu", "algo.max_prompt_tokens=256", "algo.max_completion_tokens=40"]
TINY += ["algo.prompts_per_rollout=4", "algo.completions_per_prompt=4", "algo.updates_per_rollout=2"]
SERVED = ["compute.backend=vllm_server", "compute.vllm_server=http://127.0.0.1:8000"]


@pytest.mark.slow
def test_ours_and_stock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setitem(floor.DEVICES, "64", floor.Device(1e12, 1e11))  # any processor here
    words = [*TINY, f"runs={tmp_path / 'runs'}", "--mean-tokens", "20", "--stock", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    shown = capsys.readouterr().out
    for word in ("generate", "update", "checkpoint", "tokens/s", "core-hours", "TRL's stock trainer", "by chance"):
        assert word in shown
    assert not (tmp_path / "runs").exists() and "computed anew" not in shown
    [file] = (tmp_path / "out").glob("*.json")
    found = json.loads(file.read_text())
    times, whole = found["measured"], found["whole"]
    assert times["rollouts"] == 2 and times["completions"] == 16
    assert all(times["seconds"][phase] > 0 for phase in ("generate", "update", "old_logprobs"))
    assert times["rollout_seconds"] == pytest.approx(sum(times["seconds"].values()), rel=1e-4)
    assert times["completions_per_hour"] == pytest.approx(16 * 3600 / times["rollout_seconds"], rel=1e-4)
    assert 0 < times["roofline"] < 1 and times["mfu"] is None and times["checkpoint"] > 0
    wanted = times["startup"] + 20 * times["rollout_seconds"] + 20 / 5 * times["checkpoint"]
    assert whole["seconds"] == pytest.approx(wanted, rel=1e-4) and whole["rollouts"] == 20
    assert whole["floor_hours"] < whole["hours"]
    for length in (times["completion_tokens"], found["stock"]["completion_tokens"]):
        assert 8 < length < 28  # 17 on average, of 32 completions
    assert found["stock"]["ratio"] > 0
    assert found["stock"]["command"] == f"{found['command']} --stock-only"
    assert calibration.Calibration.of(found).basis(one(TINY).cell).startswith("bench shape-tiny-cpu-hf-")


def asked(tmp_path: Path, *more: str, mean_tokens: int | None = 10) -> dict[str, Any]:
    return written.asked(prepare(one([*TINY, *more]), rollouts=2, mean_tokens=mean_tokens, scratch=tmp_path))


def test_unlike_settings_have_files_of_their_own(tmp_path: Path) -> None:
    machine = {"device": "NVIDIA H200", "count": 1}
    more = ([], ["algo.prompts_per_rollout=8"], ["algo.max_completion_tokens=41"], ["compute.vllm_sleep=false"])
    names = [written.name(asked(tmp_path, *lines), machine) for lines in more]
    names.append(written.name(asked(tmp_path, mean_tokens=20), machine))
    names += [written.name(asked(tmp_path, f"model.lora={{rank: {rank}}}"), machine) for rank in (8, 16)]
    assert len(set(names)) == len(names) and names[0].startswith("shape-tiny-cpu-hf-4x4-h200x1-")
    assert names[-1].startswith("shape-tiny-lora16-cpu-hf-4x4-h200x1-")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mean-tokens", "20"], r"was measured with mean_tokens 10 \(here 20\); write"),
        (["--mean-tokens", "10", "algo.prompts_per_rollout=8"], r"cell.prompts 4 \(here 8\)"),
        (["--mean-tokens", "10", "compute.micro_batch=2"], r"with cell.micro_batch null \(here 2\); write"),
        (["--mean-tokens", "10", "estimator.kl=0"], r"with cell.kl 0.1 \(here null\); write"),
    ],
)
def test_trl_is_not_compared_with_another_setting(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    kl = "estimator.kl=0.1" if "estimator.kl=0" in words else "estimator.kl=0"
    measured_before = asked(tmp_path, kl)
    (out / f"{written.name(measured_before, {'device': 'x86_64', 'count': 1})}.json").write_text(
        json.dumps(measured_before)
    )
    monkeypatch.setattr(commands, "_stock", lambda *_: pytest.fail("TRL's trainer was started"))
    line = [*TINY, f"runs={tmp_path / 'runs'}", "--stock-only", "--out", str(out)]
    with pytest.raises(UserError, match=said) as caught:
        main([*line, *words])
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(pytest.fail.Exception):  # the same setting is
        main([*line, "--mean-tokens", "10", kl])


@pytest.mark.parametrize("file", sorted((launch_dir() / "calibration").glob("*.json")), ids=lambda file: file.stem)
def test_what_is_shipped_is_of_its_command(file: Path, tmp_path: Path) -> None:
    found = json.loads(file.read_text())
    args = commands._parser().parse_intermixed_args(shlex.split(found["command"])[4:])
    wanted = written.asked(prepare(one(args.overrides), rollouts=2, mean_tokens=args.mean_tokens, scratch=tmp_path))
    assert {key: found[key] for key in wanted} == wanted
    assert found["name"] == file.stem == written.name(wanted, found["machine"])


def test_the_setting_is_the_cell_with_fewer_rollouts(tmp_path: Path) -> None:
    asked = one([*TINY, "eval.every=1", "seed=3"])
    found = prepare(asked, rollouts=2, mean_tokens=50, scratch=tmp_path)
    cell, whole = found.composed.cell, found.whole
    assert (cell.algo.rollouts, whole.algo.rollouts) == (2, 20)
    assert cell.algo.model_copy(update={"rollouts": 20}) == whole.algo
    assert (cell.seed, cell.reward, cell.estimator, cell.data) == (3, whole.reward, whole.estimator, whole.data)
    assert not cell.eval.benchmarks and cell.tracking.mode == "off" and not cell.compute.keep_model
    assert cell.model.path == "shape:tiny@50" and cell.compute.checkpoint_every == 2
    assert any("by chance" in note for note in found.notes)


def test_an_arm_of_more_rollouts_is_timed_by_as_many_as_were_asked_for(tmp_path: Path) -> None:
    lines = [*TINY, "clip=off_large_batch", "compute.checkpoint_every=5"]
    found = prepare(one(lines), rollouts=3, mean_tokens=None, scratch=tmp_path)
    assert (arm(found.composed.cell).rollouts, arm(found.whole).rollouts) == (3, 40)
    assert written.asked(found)["cell"]["checkpoint_every"] == 10  # of the 40


def test_a_dataset_that_is_not_here_is_made_on_the_spot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    asked = one([*TINY, "data=deepscaler"])
    found = prepare(asked, rollouts=2, mean_tokens=None, scratch=tmp_path / "scratch")
    assert found.composed.cell.data.kind == "file" and "data" in found.composed.hashes
    assert any(note.startswith("problems made on the spot") for note in found.notes)
    assert any(note.startswith("every completion has 40 tokens") for note in found.notes)


def test_lengths_are_those_of_the_record_by_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = prepare(one([*TINY, "compute.ranks=2"]), rollouts=2, mean_tokens=None, scratch=tmp_path)
    directory = CellDir.create(found.composed)
    (directory.path / "rollouts").mkdir()
    rows = [
        {"prompt": "ab" if i < 8 else "abc", "tokens": i + 1, "trained": int(i != 3), "generation_batch": 1}
        for i in range(16)
    ]
    pq.write_table(pa.Table.from_pylist(rows), directory.path / "rollouts" / "part-00002.parquet")
    monkeypatch.setattr(measured, "prompt_ids", lambda cell, texts: {text: [0] * len(text) for text in texts})
    rollout = measured.read_rollout(directory, 2)
    assert [[len(rank) for rank in batch] for batch in rollout.sampled] == [[8, 8]]
    assert (rollout.sampled[0][0][0], rollout.sampled[0][1][0]) == ((2, 1), (3, 9))
    assert len(rollout.trained) == 15 and (2, 4) not in rollout.trained


def test_a_record_becomes_seconds_and_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rollouts of two updates on two ranks, the first slow and left out; 5 s between those that count."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = [*TINY, "compute.ranks=2", "model.dtype=bfloat16"]
    setting = prepare(one(lines), rollouts=3, mean_tokens=None, scratch=tmp_path)
    directory = CellDir.create(setting.composed)
    (directory.path / "rollouts").mkdir()
    rows = [{"prompt": "abcd", "tokens": 40, "trained": 1, "generation_batch": 1}] * 16
    for number, at in ((1, 1000.0), (2, 1045.0), (3, 1090.0)):
        part = directory.path / "rollouts" / f"part-{number:05d}.parquet"
        pq.write_table(pa.Table.from_pylist(rows), part)
        os.utime(part, (at, at))
    first = {"generate": 10.0, "sync": 2.0, "score": 1.0, "old_logprobs": 4.0, "update": 12.0, "step": 27.0}
    second = {"generate": 0.0, "sync": 0.0, "score": 0.0, "old_logprobs": 0.0, "update": 13.0, "step": 13.0}
    slow = first | {"generate": 90.0, "step": 107.0}
    steps = [(n, step) for n in (1, 2, 3) for step in (slow if n == 1 else first, second)]
    times = [{"rollout": n} | {f"seconds/{phase}": spent for phase, spent in step.items()} for n, step in steps]
    for row, retries in zip(times, (0, 2, 0, 1, 0, 4), strict=True):
        row["alloc_retries"] = retries
    (directory.path / "timings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in times))
    metrics = [{"rollout": n, "truncated_rate": 0.25 * n} for n in (1, 2, 3)]
    (directory.path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
    phases = {"start": 3.0, "setup": 4.0, "train": 200.0, "checkpoint": 6.0, "save": 1.0}
    (directory.path / "phases.json").write_text(json.dumps(phases))
    monkeypatch.setattr(measured, "prompt_ids", lambda cell, texts: {text: [0] * len(text) for text in texts})
    sizes = sizes_of(one(lines).cell)
    found = measured.measure(directory, sizes=sizes, device=floor.Device(1e9, 1e8))
    assert found.seconds == {
        "generate": 8.0, "sync": 2.0, "score": 1.0, "old_logprobs": 4.0, "update": 25.0, "rest": 5.0
    }  # fmt: skip
    assert (found.rollout_seconds, found.completions_per_hour) == (45.0, 3600 * 16 / 45)
    assert (found.rollouts, found.completions, found.truncated) == (2, 16, 0.625)
    assert (found.startup, found.checkpoint, found.alloc_retries) == (8.0, 6.0, 5)
    assert found.tokens_per_second == {"generate": 16 * 40 / 8, "train": 16 * 44 / 25}
    each = [floor.Length(4, 40)] * 16
    assert found.mfu == pytest.approx(floor.update_flops(sizes, each) / 2 / 1e9 / 25)
    assert found.roofline == pytest.approx(floor.decode_bytes(sizes, each[:8], width=2) / 1e8 / 8)
    environment = {"commit": None, "versions": {}, "kept_tokens": 8192}
    machine = {"device": "NVIDIA H200", "count": 2, "unit": "GPU"}
    how: dict[str, Any] = {"sizes": sizes, "machine": machine, "peak": 147 * 10**9, "command": "python"}
    made = written.document(setting, environment, ours=found, **how)
    assert "peak memory: 147 GB a GPU; 5 times torch had to give back what it kept to find room" in table._lines(made)
    assert made["notes"][-1] == written.RECOMPUTES.format(", of more than 8,192 tokens")
    assert made["whole"]["hours"] == pytest.approx((8 + 20 * 45 + 20 / 5 * 6) * 2 / 3600, rel=1e-5)
    how["sizes"] = None  # of a model that nothing is known of
    assert written.document(setting, environment, ours=found, **how)["whole"]["hours"] == made["whole"]["hours"]
    assert found.floor and made["whole"]["floor_hours"] == pytest.approx(
        sum(found.floor.values()) * 20 * 2 / 3600, rel=1e-5
    )


def test_trls_first_rollout_is_left_out(tmp_path: Path) -> None:
    """Two rollouts of two updates: the second begins where the first's last update ends."""
    cell = prepare(one(TINY), rollouts=2, mean_tokens=None, scratch=tmp_path).composed.cell
    found = {"steps_ended": [50.0, 60.0, 75.0, 80.0], "completion_tokens": [9.0, 30.0]}
    made = written.stock(cell, found, peak=None)
    assert made["rollout_seconds"] == 20.0 and made["completions_per_hour"] == 3600 * 16 / 20
    assert made["completion_tokens"] == 30.0


def test_batches_are_read_one_after_the_other_and_ranks_at_once() -> None:
    cell = one([*TINY, "compute.ranks=2"]).cell
    sizes, device = sizes_of(cell), floor.Device(1e12, 1e11)
    long, short = [floor.Length(4, 40)] * 4, [floor.Length(4, 9)] * 4
    read = {n: floor.decode_bytes(sizes, ranks, width=4) / 1e11 for n, ranks in (("long", long), ("short", short))}
    rollout = measured.Rollout([[short, long], [short, short]], long)
    found = measured._floor(cell, [rollout], sizes, device)["generate"]
    assert found == pytest.approx(read["long"] + read["short"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rollouts", "1"], "the first only warms up; write 2 or more"),
        (["--rollouts", "x"], "bench: argument --rollouts"),
        (["--mean-tokens", "1"], "write a length between 2 and 1024"),
        (["model.path=shape:tiny@x"], "no mean length; write shape:tiny@800"),
        (["seed=0,1"], "times one cell, these are 2"),
        (["compute.nodes=2", "compute.ranks=4"], "write compute.nodes=1 compute.ranks=2"),
        (SERVED, "a vLLM server has others; write compute.backend=vllm"),
        (
            ["--stock", "reward=majority_online", "algo.votes_per_prompt=8"],
            "knows no algo.votes_per_prompt, so that nothing is comparable; leave it out",
        ),
        (["--stock-only", "estimator=dapo", "clip=dapo"], "knows no estimator.dynamic_sampling"),
        (["--out", __file__], "is no folder"),
        (["--out", "/proc/nowhere"], r"/proc/nowhere: cannot be written to \(.*\); write --out DIR"),
        (["--stock", "--stock-only"], "not allowed with argument --stock"),
        (["runs=/proc/nowhere"], "write runs=DIR"),
        (["algo.rollout=3"], "unknown key"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_left(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said) as caught:
        main([*TINY, *words])
    assert len(str(caught.value).splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_model_that_is_not_here_has_a_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with pytest.raises(UserError, match=r"prefetch .* random weights of its shape: model=shape/qwen2_5_7b"):
        main(["model=qwen2.5_7b", *TINY[1:], "compute.check_memory=false", f"runs={tmp_path / 'runs'}"])
    assert not (tmp_path / "runs").exists()


def test_real_weights_end_by_themselves(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="only random weights"):
        prepare(one(["model=lab/qwen"]), rollouts=2, mean_tokens=50, scratch=tmp_path)
