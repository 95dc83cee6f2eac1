"""Makes directories of cells as the trainer would leave them, with chosen accuracies.

    cell(tmp_path, reward="python", before=0.4, after=0.8, state="failed", trained=3)

What they hold is made up; only the format is real.
"""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

from rlvr_sweep.evals import rows
from rlvr_sweep.train.recorder import Recorder

STARTED = 1_800_000_000.0


def cell(
    runs: Path,
    *,
    model: str = "lab/qwen",
    reward: str = "ground_truth",
    data: str = "lab/add",
    seed: int = 0,
    state: str = "done",
    rollouts: int = 10,
    updates: int = 2,
    trained: int | None = None,  # rollouts it got to; None: all
    before: float = 0.4,
    after: float = 0.7,
    code: tuple[float, float] = (0.5, 0.9),
    questions: int = 40,
    every: int = 5,
    benchmarks: tuple[str, ...] = ("add",),
    reward_scale: float = 1.0,
    deviations: tuple[str, ...] = (),
    reason: str | None = None,
    log: str = "",
    clip: dict[str, Any] | None = None,
    estimator: dict[str, Any] | None = None,
    **algo: Any,
) -> Path:
    """One cell's directory under `runs`."""
    algo = {"max_prompt_tokens": 64, "name": "lab", "learning_rate": 1e-4} | algo
    bench = {"kind": "lab", "samples": 2, "temperature": 1.0, "ks": [1, 2]}
    inside: dict[str, Any] = {
        "seed": seed,
        "model": {"name": model, "family": model.split("/")[-1]},
        "reward": {"name": reward},
        "data": {"name": data},
        "algo": algo,
        "estimator": {"name": "grpo"} | (estimator or {}),
        "clip": {"name": "on"} | (clip or {}),
        "eval": {"name": "lab", "benchmarks": dict.fromkeys(benchmarks, bench)},
    }
    arm_id = _digest({key: value for key, value in inside.items() if key != "seed"})
    cell_id = _digest(inside)
    slug = f"{model}-{data}-{reward}-s{seed}".replace("/", "-")
    path = runs / f"{slug}--{cell_id}"
    (path / "attempts" / "1").mkdir(parents=True)
    choices = {"model": model, "reward": reward, "data": data, "algo": algo["name"], "eval": "lab"}
    document = {
        "format": 1,
        "cell_id": cell_id,
        "arm_id": arm_id,
        "slug": slug,
        "identity": {"version": 1, "cell": inside, "content": {"model": "0" * 64}},
        "content": {"model": "0" * 64},
        "cell": inside | {"choices": choices, "deviations": list(deviations), "tracking": {"mode": "offline"}},
        "batch": {"rollouts": rollouts, "prompts": 4, "completions": 4, "updates": updates, "ranks": 1}
        | {"micro_batch": 8, "rollout_size": 16, "train_batch": 8, "optimizer_steps": rollouts * updates},
    }
    write(path / "cell.json", document)
    trained = rollouts if trained is None else trained
    draws = random.Random(cell_id)
    recorder = Recorder(path)
    for number in range(1, trained + 1):
        share = (number - 1) / max(1, rollouts - 1)
        right = before + share * (after - before) + draws.uniform(-0.05, 0.05)
        has_code = code[0] + share * (code[1] - code[0])
        for update in range(updates):
            step = (number - 1) * updates + update + 1
            recorder.step(
                {"step": step, "rollout": number, "reward": reward_scale * right, "accuracy/ground_truth": right}
                | {"agreement": 1.0, "code_frequency": has_code, "boxed_rate": 0.95, "truncated_rate": 0.0}
                | {"entropy": 0.3, "completion_tokens/mean": 31.5, "label_accuracy": None, "tokens": 500.0},
                {"step": step, "rollout": number, "seconds/generate": 0.5 if not update else 0.0, "seconds/score": 0.01}
                | {"seconds/old_logprobs": 0.02, "seconds/update": 0.2, "seconds/step": 0.75},
            )
    if trained:
        recorder.rollout(trained, [_completion(trained, slot, right=slot % 2 == 0) for slot in range(6)])
    steps = [r * updates for r in range(trained + 1) if r == 0 or r == rollouts or (every and r % every == 0)]
    for name in benchmarks:
        for step in steps:
            share = step / (rollouts * updates)
            at = before + share * (after - before), code[0] + share * (code[1] - code[0])
            rows.write(rows.path(path, name, step), _evaluation(cell_id, name, step, seed, questions, *at))
    if state == "done":
        write(path / "DONE", {})
        write(path / "phases.json", {"import": 4.0, "setup": 1.0, "train": 8.0, "evaluate": 2.0, "save": 0.1})
    if state != "pending":
        finished = STARTED + 16 if state != "running" else None
        status = {"state": state, "attempt": 1, "started": STARTED, "updated": STARTED + 15, "finished": finished}
        write(path / "status.json", status | {"reason": reason})
    if log:
        (path / "attempts" / "1" / "log.txt").write_text(log)
    return path


def write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document))


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:12]


def _completion(rollout: int, slot: int, *, right: bool) -> dict[str, Any]:
    text = f"python: 12 + 30 = {42 if right else 43} \\boxed{{{42 if right else 43}}} [{slot}]"
    row = {"rollout": rollout, "step": rollout, "row_id": "add-7", "slot": slot, "prompt": "What is 12 + 30?"}
    row |= {"text": text, "answer": "42" if right else "43", "gold": "42", "tokens": 20, "truncated": False}
    row |= {"has_code": True, "boxed": True, "repeats": False, "reward": float(right), "advantage": 0.0}
    return row | {"correct": right, "reason": "equal" if right else "not_equal"}


def _evaluation(
    cell_id: str, name: str, step: int, seed: int, questions: int, right: float, code: float
) -> list[dict[str, Any]]:
    """Two samples a question; which are right is drawn from the question and the seed, so that steps are paired."""
    found = []
    for question in range(questions):
        for sample in range(2):
            draws = random.Random(f"{name} {question} {seed} {sample}")
            correct, has_code = draws.random() < right, draws.random() < code
            found.append(
                {"cell_id": cell_id, "step": step, "benchmark": name, "prompt_id": f"q{question}"}
                | {"question_id": f"q{question}", "sample": sample, "temperature": 1.0, "seed": seed}
                | {
                    "text": f"so \\boxed{{{question}}}",
                    "gold": str(question),
                    "answer": str(question),
                    "correct": correct,
                }
                | {"reason": "equal" if correct else "not_equal", "correct_strict": correct, "correct_lenient": correct}
                | {"correct_math_verify": correct, "correct_authors": correct}
                | {"has_code": has_code, "truncated": False, "tokens": 30}
            )
    return found
