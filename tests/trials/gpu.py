"""What a cell does on a GPU: a lab cell, its resume after SIGKILL, and a model of 1.5B shape, whole and with LoRA.

    python -m tests.trials.gpu OUT          (OUT takes the records; --tiny tries the script itself without a GPU)

A short table comes last.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose_or_refuse
from tests.trials import kill, random_model

WORDS = "A train goes 60 miles in 2 hours and the sum of its digits equals twice the product of"
BIG = ["algo.rollouts=2", "algo.prompts_per_rollout=8", "algo.updates_per_rollout=2", "algo.max_completion_tokens=256"]
BIG += ["algo.max_prompt_tokens=256", "model.dtype=bfloat16", "eval.benchmarks.add.count=16", "eval.every=0"]
BIG += ["reward=random"]  # random weights solve nothing; a random reward still gives a gradient


def problems(path: Path, count: int) -> Path:
    """Sums in many words, so that prompts differ in length."""
    rows = [
        {"id": str(i), "prompt": f"{WORDS[: 5 * (i % 17)]} What is {i}+{7 * i}?", "answer": str(8 * i)}
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(name: str, lines: list[str], out: Path) -> dict:
    """One cell in its own process; what a table needs of it."""
    directory = CellDir.create(compose_or_refuse([*lines, f"runs={out / 'runs' / name}"], multirun=False)[0])
    began = time.perf_counter()
    log = out / f"{name}.log"
    with log.open("w") as file:
        command = [sys.executable, "-m", "rlvr_sweep.train.worker", str(directory.path)]
        code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
    row = {
        "name": name,
        "exit": code,
        "seconds": time.perf_counter() - began,
        "reason": directory.read_status()["reason"],
    }
    if code == 0:
        for kept in ("metrics.jsonl", "timings.jsonl", "phases.json"):
            shutil.copy(directory.path / kept, out / f"{name}-{kept}")
        rows = [json.loads(line) for line in (directory.path / "metrics.jsonl").read_text().splitlines()]
        times = [json.loads(line) for line in (directory.path / "timings.jsonl").read_text().splitlines()]
        phases = json.loads((directory.path / "phases.json").read_text())
        row |= {
            "accuracy": [rows[0]["accuracy/ground_truth"], rows[-1]["accuracy/ground_truth"]],
            "grad_norm": [round(r["grad_norm"], 4) for r in rows[:4]],
            "ratio": [min(r["ratio/min"] for r in rows), max(r["ratio/max"] for r in rows)],
            "clipped": max(r["clip_ratio/region"] for r in rows),
            "tokens/s": max(t["tokens_per_second"] or 0 for t in times),
            "generate": sum(t["seconds/generate"] for t in times),
            "update": sum(t["seconds/update"] for t in times),
            "train": phases["train"],
        }
    return row


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    device = "cpu" if args.tiny else "cuda"
    lab = ["tracking=off", f"compute.device={device}", f"algo.rollouts={2 if args.tiny else 20}"]
    data = problems(out / "problems.jsonl", 64)
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / "rlvr-random-model"
    size = random_model.TINY if args.tiny else random_model.QWEN_1_5B
    random_model.make(folder, [json.loads(line)["prompt"] for line in data.read_text().splitlines()], size=size)
    big = ["model=path", f"model.path={folder}", "data=jsonl", f"data.path={data}", "tracking=off", *BIG]
    big += [] if args.tiny else ["compute=gpu"]
    table = [run("lab", lab, out), run("full", [*big, "algo.learning_rate=1e-5"], out)]
    table += [run("lora", [*big, "model.lora={rank: 16}"], out)]
    for row in table:
        print(json.dumps(row))
    print("kill and resume:")
    return kill.main([line for line in lab if not line.startswith("tracking")])


if __name__ == "__main__":
    sys.exit(main())
