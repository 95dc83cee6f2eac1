"""vLLM beside the trainer on one GPU, at 512 completions a rollout of a model of Qwen2.5-1.5B's shape.

    python -m tests.trials.gpu_vllm OUT [NAME...]    # sleep awake lora resume hf; --tiny: hf on a CPU

Two rollouts each: seconds by phase, tokens a second. `resume`: killed after the first rollout and started again. What
seeds are worth: tests/trials/seeds.py.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose_or_refuse
from tests.trials import random_model
from tests.trials.gpu import problems, run

LONG = [
    "algo.rollouts=2",
    "algo.prompts_per_rollout=32",
    "algo.completions_per_prompt=16",
    "algo.updates_per_rollout=4",
]
LONG += ["algo.max_completion_tokens=896", "algo.max_prompt_tokens=256", "model.dtype=bfloat16", "eval=none"]
LONG += ["reward=random", "tracking=off", "compute.checkpoint_every=0", "compute.keep_model=false", "compute=gpu"]
VARIANTS = {
    "sleep": ["compute.backend=vllm", "compute.vllm_sleep=true"],
    "awake": ["compute.backend=vllm", "compute.vllm_sleep=false"],
    "lora": ["compute.backend=vllm", "compute.vllm_sleep=false", "model.lora={rank: 16}"],
    "hf": ["compute.backend=hf", "compute.generate_batch=512"],
}


def resume(lines: list[str], out: Path) -> dict[str, Any]:
    """Killed when the first rollout is in a checkpoint, and started again; against `sleep`, which ran through."""
    lines = [*lines, *VARIANTS["sleep"], "compute.checkpoint_every=1"]
    directory = CellDir.create(compose_or_refuse([*lines, f"runs={out / 'runs' / 'resume'}"], multirun=False)[0])
    command = [sys.executable, "-m", "rlvr_sweep.train.worker", str(directory.path)]
    with (out / "resume.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        while not list(directory.path.glob("checkpoints/*/COMPLETE")) and process.poll() is None:
            time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    steps = [json.loads(line)["step"] for line in (directory.path / "metrics.jsonl").read_text().splitlines()]
    return {"name": "resume", "exit": code, "steps": steps}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", default=["sleep", "awake", "lora", "resume"])
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    out: Path = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    data = problems(out / "problems.jsonl", 64)
    size = random_model.TINY if args.tiny else random_model.QWEN_1_5B
    words = [json.loads(line)["prompt"] for line in data.read_text().splitlines()]
    random_model.make(out / "model", words, size=size, dtype="float32" if args.tiny else "bfloat16")
    lines = ["model=path", f"model.path={out / 'model'}", "data=jsonl", f"data.path={data}", *LONG]
    if args.tiny:
        lines += ["compute=cpu", "algo.prompts_per_rollout=4", "algo.max_completion_tokens=16"]
    table: list[dict[str, Any]] = []
    for name in args.names:
        if name == "resume":
            table.append(resume(lines, out))
        else:
            table.append(run(name, [*lines, *VARIANTS[name]], out))
        (out / "table.json").write_text(json.dumps(table, indent=1))
        print(json.dumps(table[-1]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
