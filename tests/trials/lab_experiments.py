"""Runs every experiment of the lab to its end on two cores each, and says how long they take and what clipped.

    python -m tests.trials.lab_experiments OUT [NAME...] [--lanes 8] [--rollouts 1] [--more seed=0]

A lane is two cores of its own and runs one experiment after another, each in a folder of runs of its own, so that
times are those of a machine of two cores. OUT/times.md and times.json hold the table, OUT/results.tgz of each cell
cell.json, status.json, metrics.jsonl and its evaluations (without texts), OUT/displacement-*.txt how far the clip
arms moved. --rollouts and --more shorten it, to try this
itself. Exit code 1 where a cell failed, or where a clip arm did not clip, or an off-arm did.
"""

import argparse
import io
import json
import os
import queue
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rlvr_sweep.config.tree import conf_dir
from rlvr_sweep.report.record import Record
from rlvr_sweep.sweep.state import states

ROOT = Path(__file__).resolve().parents[2]
FIRST = ("clipping_control", "clipping")  # the longest
LAST = ("rewards", "compound")  # they wait for labels
LABELLED = ("qwen_math", "olmo", "qwen", "llama")
CLIPPING = ("clipping", "clipping_control")
LARGEST = 15 * 2**20  # bytes of results.tgz
# A process on the cores of its lane only, its children too.
ON_CORES = (
    "import os, sys; os.sched_setaffinity(0, map(int, sys.argv[1].split(','))); os.execv(sys.argv[2], sys.argv[2:])"
)


class Lanes:
    """Pairs of cores, each given to one command at a time."""

    def __init__(self, out: Path, count: int) -> None:
        self.out = out
        self.free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for lane in range(count):
            self.free.put(lane)

    def run(self, words: list[str], log: Path) -> dict[str, float]:
        """`python -m rlvr_sweep WORDS` on two cores, in OUT; its exit code, wall and CPU seconds, children included."""
        lane = self.free.get()
        try:
            cores = f"{2 * lane},{2 * lane + 1}"
            command = [sys.executable, "-c", ON_CORES, cores, sys.executable, "-m", "rlvr_sweep", *words]
            paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
            began = time.monotonic()
            with log.open("w") as file:
                process = subprocess.Popen(command, cwd=self.out, env=env, stdout=file, stderr=subprocess.STDOUT)
                _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.monotonic() - began
            return {"exit": process.returncode, "wall_s": seconds, "cpu_s": usage.ru_utime + usage.ru_stime}
        finally:
            self.free.put(lane)


def label(model: str, lanes: Lanes) -> dict[str, Any]:
    """The label file that lab/rewards and lab/compound look for."""
    words = ["label", f"model=lab/{model}", "data=lab/add", "compute=cpu", "--out", f"labels/lab/{model}/lab/add.jsonl"]
    found = {"name": f"label lab/{model}", **lanes.run(words, lanes.out / f"label-{model}.log")}
    print(_line(found), flush=True)
    return found


def experiment(name: str, lanes: Lanes, *, more: list[str], labels: list[Future]) -> dict[str, Any]:
    """One experiment to its end: what the table says of it."""
    if name in LAST:
        for future in labels:  # they began before this one, so that no lane waits for itself
            future.result()
    runs = lanes.out / "runs" / name
    words = ["-m", f"experiment=lab/{name}", "compute=cpu", "tracking=off", "sweep.slots=2", f"sweep.name={name}"]
    words += [f"runs={runs}", *more]
    found = {"name": name, **lanes.run(words, lanes.out / f"{name}.log")}
    manifest = runs / "_sweeps" / name / "manifest.jsonl"
    rows = [json.loads(line) for line in manifest.read_text().splitlines()] if manifest.is_file() else []
    cells = states([row["cell_id"] for row in rows], runs)
    done = [cell.path for cell in cells if cell.state == "done" and cell.path]
    found |= {
        "cells": len(cells),
        "done": len(done),
        "failed": [f"{c.cell_id}: {c.reason}" for c in cells if c.state != "done"],
    }
    found["cpu_s_a_cell"] = found["cpu_s"] / len(cells) if cells else None
    if name in CLIPPING:
        found["clip"] = clipped(done)
        measure(name, runs, lanes)
    print(_line(found), flush=True)
    return found


def clipped(cells: list[Path]) -> dict[str, dict[str, Any]]:
    """The clipped fraction of each arm: mean over the updates of its cells, the largest, and updates without one."""
    arms: dict[str, list[dict[str, Any]]] = {}
    for path in cells:
        record = Record(path)
        arms.setdefault(record.cell["clip"]["name"], []).extend(record.metrics)
    found = {}
    for arm, rows in sorted(arms.items()):
        values = [row[key] for row in rows for key in ("clip_ratio/low", "clip_ratio/high") if row[key] is not None]
        missing = 2 * len(rows) - len(values)
        mean = 2 * sum(values) / len(values) if values else None
        most = max(values, default=None)
        right = missing == 0 and mean is not None and (mean > 0 if arm == "on" else most == 0)
        found[arm] = {"updates": len(rows), "mean": mean, "most": most, "missing": missing, "right": right}
    return found


def measure(name: str, runs: Path, lanes: Lanes) -> None:
    """The table of displacements (a line a cell in JSON beside it); the models are not needed after."""
    command = [sys.executable, "-m", "rlvr_sweep", "displacement", str(runs)]
    for suffix, more in (("txt", []), ("jsonl", ["--json"])):
        made = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=False)
        (lanes.out / f"displacement-{name}.{suffix}").write_text(
            made.stdout + ("" if suffix == "jsonl" else made.stderr)
        )
    for model in runs.glob("*--*/model"):
        shutil.rmtree(model)


def _line(found: dict[str, Any]) -> str:
    cells = f"{found['done']} of {found['cells']} cells done, " if "cells" in found else ""
    said = f"{found['name']}: {cells}exit {found['exit']}, {found['wall_s']:.0f} s on two cores"
    return "\n".join([said, *(f"  {reason}" for reason in found.get("failed", []))])


def table(rows: list[dict[str, Any]]) -> str:
    """times.md."""
    import torch
    import transformers

    lines = [f"torch {torch.__version__}, transformers {transformers.__version__}, {cpu()}, two cores each", ""]
    lines += [
        "| experiment | cells | done | failed | wall on two cores, s | CPU-s a cell |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        each = "" if row.get("cpu_s_a_cell") is None else f"{row['cpu_s_a_cell']:.1f}"
        counts = (row["cells"], row["done"], len(row["failed"])) if "cells" in row else ("", "", row["exit"] and "yes")
        lines.append("| " + " | ".join(map(str, (row["name"], *counts, f"{row['wall_s']:.0f}", each))) + " |")
    for row in rows:
        if "clip" in row:
            lines += ["", f"{row['name']}: clipped fraction of tokens, over all updates of an arm's cells", ""]
            lines += ["| clip | updates | mean | largest of an update | as it must be |", "|---|---|---|---|---|"]
            for arm, of in row["clip"].items():
                shown = ["none" if of[key] is None else f"{of[key]:.3g}" for key in ("mean", "most")]
                lines.append(f"| {arm} | {of['updates']} | {' | '.join(shown)} | {'yes' if of['right'] else 'NO'} |")
    failed = [f"- {row['name']}: {reason}" for row in rows for reason in row.get("failed", [])]
    return "\n".join([*lines, *(["", "Failed:", "", *failed] if failed else [])]) + "\n"


def cpu() -> str:
    """The processor, as Linux calls it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown processor"
    )


def pack(out: Path) -> Path:
    """results.tgz, without texts; where that is too large, with the first and the last evaluation only."""
    target = out / "results.tgz"
    for thin in (False, True):
        with tarfile.open(target, "w:gz", compresslevel=9) as archive:
            for cell in sorted((out / "runs").glob("*/*--*")):
                for name in ("cell.json", "status.json", "metrics.jsonl"):
                    if (cell / name).is_file():
                        archive.add(cell / name, arcname=str((cell / name).relative_to(out)))
                for benchmark in sorted((cell / "evals").glob("*")):
                    files = sorted(benchmark.glob("*.parquet"))
                    for file in files[:: max(1, len(files) - 1)] if thin else files:
                        _add(archive, file, str(file.relative_to(out)))
            for file in sorted([*out.glob("times.*"), *out.glob("displacement-*"), *out.glob("*.log")]):
                archive.add(file, arcname=file.name)
        if target.stat().st_size <= LARGEST:
            break
    return target


def _add(archive: tarfile.TarFile, file: Path, name: str) -> None:
    """An evaluation without its texts."""
    import pyarrow.parquet as pq

    rows = pq.ParquetFile(file).read()
    made = io.BytesIO()
    pq.write_table(rows.drop_columns(["text"]), made, compression="zstd")
    info = tarfile.TarInfo(name)
    info.size = made.tell()
    made.seek(0)
    archive.addfile(info, made)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all of conf/experiment/lab")
    parser.add_argument("--lanes", type=int, default=1, metavar="N", help="pairs of cores (default 1)")
    parser.add_argument("--rollouts", type=int, metavar="N", help="of every cell, to try this script")
    parser.add_argument("--more", nargs="+", default=[], metavar="KEY=VALUE", help="further overrides, as seed=0")
    args = parser.parse_args()
    more = [*args.more, *([f"algo.rollouts={args.rollouts}"] if args.rollouts else [])]
    known = sorted(path.stem for path in (conf_dir() / "experiment" / "lab").glob("*.yaml"))
    if unknown := [name for name in args.names if name not in known]:
        parser.error(f"no such experiment: {', '.join(unknown)}; there are {', '.join(known)}")
    wanted = args.names or known
    names = [*(n for n in FIRST if n in wanted), *(n for n in wanted if n not in FIRST + LAST)]
    names += [n for n in LAST if n in wanted]
    if again := [name for name in names if (args.out / "runs" / name).exists()]:
        parser.error(f"{args.out}/runs holds {', '.join(again)}, which would not be timed again; give a new folder")
    if 2 * args.lanes > (os.cpu_count() or 1):
        parser.error(f"--lanes {args.lanes}: wants {2 * args.lanes} cores, there are {os.cpu_count()}")
    out: Path = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    lanes, rows, lock = Lanes(out, args.lanes), [], threading.Lock()
    began = time.monotonic()

    def keep(future: Future) -> None:  # after each: a table of what is there, should this be killed
        with lock:
            rows.append(future.result())
            (out / "times.json").write_text(json.dumps(rows, indent=1) + "\n")
            (out / "times.md").write_text(table(rows))

    with ThreadPoolExecutor(args.lanes) as pool:
        first = [pool.submit(experiment, n, lanes, more=more, labels=[]) for n in names if n in FIRST]
        models = LABELLED if any(n in LAST for n in names) else ()
        labels = [pool.submit(label, model, lanes) for model in models]
        rest = [pool.submit(experiment, n, lanes, more=more, labels=labels) for n in names if n not in FIRST]
        for future in [*first, *labels, *rest]:
            future.add_done_callback(keep)
    rows.sort(key=lambda row: row["name"])
    (out / "times.json").write_text(json.dumps(rows, indent=1) + "\n")
    (out / "times.md").write_text(table(rows))
    print(table(rows))
    target = pack(out)
    print(f"{time.monotonic() - began:.0f} s in all; {target}, {target.stat().st_size / 2**20:.1f} MiB")
    wrong = any(row["exit"] or row.get("failed") for row in rows)
    wrong = (
        wrong or len(rows) < len(names) or not all(of["right"] for row in rows for of in row.get("clip", {}).values())
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
