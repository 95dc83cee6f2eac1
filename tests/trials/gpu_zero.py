"""ZeRO on several GPUs with vLLM beside it: a model of 1.5B (or --model) shape, one rollout of 512 completions each.

    python -m tests.trials.gpu_zero OUT zero2_x2 zero3_x2 [--model shape/qwen2_5_7b] [--more model.lora={rank: 16}]

Seconds by phase, the grad norms (the presets must agree), and the most memory that nvidia-smi saw on a GPU, beside what
`plan` had said. A short table comes last.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rlvr_sweep.devices import Peak, gpus_here
from tests.trials.gpu import problems

LONG = ["algo.rollouts=1", "algo.prompts_per_rollout=32", "algo.completions_per_prompt=16"]
LONG += ["algo.updates_per_rollout=4", "algo.max_completion_tokens=896", "algo.max_prompt_tokens=256"]
LONG += ["algo.learning_rate=1e-6", "eval=none", "reward=random", "tracking=off"]
LONG += ["compute.checkpoint_every=0", "compute.keep_model=false"]


def cell(preset: str, lines: list[str], out: Path) -> dict[str, Any]:
    """One cell by the command line, under a compute preset."""
    runs = out / "runs" / preset
    words = [*lines, f"compute={preset}", f"runs={runs}"]
    plan = subprocess.run(
        [sys.executable, "-m", "rlvr_sweep", "plan", *words], capture_output=True, text=True, check=False
    )
    said = [line for line in plan.stdout.splitlines() if line.startswith("memory:")]
    began = time.perf_counter()
    with (out / f"{preset}.log").open("w") as log, Peak(gpus_here()) as peak:
        code = subprocess.run(
            [sys.executable, "-m", "rlvr_sweep", *words], stdout=log, stderr=subprocess.STDOUT, check=False
        ).returncode
    row: dict[str, Any] = {"name": preset, "exit": code, "seconds": round(time.perf_counter() - began, 1)}
    row |= {"peak GB": round((peak.bytes or 0) / 1e9, 1), "plan": said[0] if said else plan.stderr.strip()[-300:]}
    found = next(iter(runs.glob("*--*")), None)
    if found is None:
        return row
    row["reason"] = json.loads((found / "status.json").read_text())["reason"]
    logs = sorted(found.glob("attempts/*/log.txt"))
    if logs:
        (out / f"{preset}-worker.log").write_text(logs[-1].read_text(errors="replace")[-20_000:])
    if code == 0:
        steps = [json.loads(line) for line in (found / "metrics.jsonl").read_text().splitlines()]
        times = [json.loads(line) for line in (found / "timings.jsonl").read_text().splitlines()]
        row["grad_norm"] = [round(step["grad_norm"], 4) for step in steps]
        row |= {
            key: round(sum(t[f"seconds/{key}"] for t in times), 1) for key in ("generate", "old_logprobs", "update")
        }
        row["tokens/s"] = round(max(t["tokens_per_second"] or 0 for t in times))
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--model", default="shape/qwen2_5_1_5b")
    parser.add_argument("--more", nargs="*", default=[])
    args = parser.parse_args()
    out: Path = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    data = problems(out / "problems.jsonl", 64)
    lines = [f"model={args.model}", "data=jsonl", f"data.path={data}", *LONG, *args.more]
    table: list[dict[str, Any]] = []
    for preset in args.presets:
        table.append(cell(preset, lines, out))
        (out / "table.json").write_text(json.dumps(table, indent=1))
        print(json.dumps(table[-1]), flush=True)
    return 1 if any(row["exit"] for row in table) else 0


if __name__ == "__main__":
    sys.exit(main())
