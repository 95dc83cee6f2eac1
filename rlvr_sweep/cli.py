"""The verbs and the command line, thin: nothing heavier than rich is imported before a verb needs it.

python -m rlvr_sweep --help
"""

import argparse
import importlib
import sys
from pathlib import Path

from rlvr_sweep import __version__
from rlvr_sweep.errors import UserError
from rlvr_sweep.nearest import nearest
from rlvr_sweep.parser import Parser

# verb -> (module with `main(argv) -> int`, what it does)
VERBS = {
    "plan": ("rlvr_sweep.sweep.plan", "what a grid would run, what is there already, what it costs; starts nothing"),
    "status": ("rlvr_sweep.sweep.status", "how cells and sweeps stand"),
    "logs": ("rlvr_sweep.sweep.logs", "the log of a cell, or why a sweep's cells failed"),
    "retry": ("rlvr_sweep.sweep.retry", "run failed cells again"),
    "cancel": ("rlvr_sweep.sweep.cancel", "stop cells, queued or running; their command goes on from there"),
    "gc": ("rlvr_sweep.sweep.gc", "what of the disk can be had back; removes it with --yes"),
    "align": ("rlvr_sweep.evals.align", "pass@k of base models over tasks, before any RL"),
    "baseline": ("rlvr_sweep.evals.baseline", "a base model under other prompts and decodings, before any RL"),
    "probe": ("rlvr_sweep.evals.probe", "has a model seen a benchmark? completes its questions from a part of them"),
    "label": ("rlvr_sweep.labels.commands", "pseudo-labels by a vote over samples; label audit: what they are worth"),
    "one-shot": ("rlvr_sweep.data.one_shot", "which few examples to train on, by the variance of their accuracy"),
    "show": ("rlvr_sweep.report.commands", "what ran in a cell or a sweep, and what came out"),
    "displacement": ("rlvr_sweep.analysis.displacement", "how far arms moved a model, and what was left of it there"),
    "lab": ("rlvr_sweep.lab.commands", "the embedded tiny models: list them, rebuild them"),
    "prefetch": ("rlvr_sweep.data.commands", "bring what cells need from the Hub, on a node with network"),
    "bench": ("rlvr_sweep.bench.commands", "what a cell takes on this machine, by phase, beside TRL and the floor"),
    "doctor": ("rlvr_sweep.doctor.commands", "is this machine ready? --probe runs a rollout of a cell"),
}


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m rlvr_sweep",
        description="Runs one cell (a model, a reward, data, an algorithm, a seed), or with -m a grid of cells.",
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="choices and keys, in Hydra's grammar")
    parser.add_argument("-m", "--multirun", action="store_true", help="several values span a grid: seed=0,1,2")
    parser.add_argument("--cfg", choices=["job"], help="print the judged cell as YAML and start nothing")
    parser.add_argument("-cd", "--config-dir", type=Path, metavar="DIR", help="a configuration tree of your own")
    parser.add_argument("--version", action="version", version=f"rlvr_sweep {__version__}")
    return parser


def _epilog() -> str:
    from rlvr_sweep.config.tree import conf_dir, groups

    lines = ["choices (group=choice):"]
    lines += [f"  {group:<10} {', '.join(options)}" for group, options in groups(conf_dir()).items() if options]
    lines += ["", "verbs (each has --help):"]
    lines += [f"  {verb:<10} {what}" for verb, (_, what) in VERBS.items()]
    lines += [
        "",
        "examples:",
        "  python -m rlvr_sweep model=lab/llama reward=python seed=1",
        "  python -m rlvr_sweep -m model=lab/qwen_math,lab/olmo reward=ground_truth,python seed=0,1,2",
        "  python -m rlvr_sweep model=path model.path=DIR data=jsonl data.path=train.jsonl"
        " eval=math500 eval.path=test.jsonl",
    ]
    return "\n".join(lines)


def _not_an_override(word: str) -> str:
    from rlvr_sweep.config.keys import is_known
    from rlvr_sweep.config.tree import conf_dir, groups

    if word in groups(conf_dir()) or is_known(word):
        return f"{word}: has no value; write {word}=VALUE"
    if word in VERBS:
        return f"{word}: a verb comes first, and takes its words as they are; write python -m rlvr_sweep {word} ..."
    return f"{word}: neither a verb nor key=value; {nearest(word, VERBS)}"


def main(argv: list[str]) -> int:
    """Run a verb, or compose and run cells. Returns the exit code."""
    if argv and argv[0] in VERBS:
        module, _ = VERBS[argv[0]]
        return importlib.import_module(module).main(argv[1:])
    args = _parser().parse_intermixed_args(argv)
    for word in args.overrides:
        if "=" not in word and not word.startswith("~"):
            raise UserError(_not_an_override(word))
    if args.config_dir is not None and not args.config_dir.is_dir():
        raise UserError(f"--config-dir {args.config_dir}: no such folder")
    from rlvr_sweep.config.compose import compose

    grid = compose(
        args.overrides, multirun=args.multirun, config_dir=args.config_dir and args.config_dir.resolve()
    ).or_refuse()
    if args.cfg:
        import yaml

        for composed in grid.cells:
            sys.stdout.write(f"# cell_id {composed.cell_id}  arm_id {composed.arm_id}\n")
            sys.stdout.write(yaml.safe_dump(composed.cell.model_dump(mode="json"), sort_keys=False))
        return 0
    from rlvr_sweep.sweep.launch import launch

    return launch(grid.cells, launcher=grid.launcher or "local", command=argv, multirun=args.multirun)
