"""The verb `lab`: the table of families and tasks; `lab build`: make model folders again from their recipes.

python -m rlvr_sweep lab build olmo --out /tmp/lab
"""

import argparse
import time
from pathlib import Path
from typing import Any

from rlvr_sweep.errors import UserError
from rlvr_sweep.lab.families import FAMILIES, MODELS, find_family, model_dir, recipe_hash
from rlvr_sweep.lab.tasks import TASKS
from rlvr_sweep.parser import Parser


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="python -m rlvr_sweep lab",
        description="The embedded world of tiny models. Without a verb: its families and their measured state.",
    )
    verbs = top.add_subparsers(dest="verb")
    make = verbs.add_parser(
        "build",
        help="make model folders again from their recipes and compare them with the shipped ones",
        description="Pretrain families from their recipes, two CPU minutes each, and compare with the shipped ones.",
    )
    make.add_argument("families", nargs="*", metavar="FAMILY", help=f"of {', '.join(FAMILIES)}; all without a name")
    make.add_argument(
        "--out", type=Path, default=Path("lab-models"), help="where the folders go (default: %(default)s)"
    )
    make.add_argument("--steps", type=int, help="a shorter or longer schedule than the recipe's")
    make.add_argument("--prompts", type=int, default=128, help="held-out problems to measure on (default: %(default)s)")
    make.add_argument("--force", action="store_true", help="replace a folder that exists already")
    return top


def figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def show() -> None:
    """Print the families and tasks with the state before RL that each shipped recipe.json records."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from rlvr_sweep.lab.records import FIGURES, read_recipe

    table = Table(
        title="State before RL: held-out problems, sampled at T=1", box=SIMPLE, pad_edge=False, collapse_padding=True
    )
    for name in ("family", "task"):
        table.add_column(name, no_wrap=True)
    heads = ("accu-\nracy", "lenient", "code\nshare", "with\ncode", "no\ncode", "box\nrate")
    for name in (*heads, "pass\n@1", "pass\n@4", "pass\n@16"):
        table.add_column(name, justify="right", no_wrap=True)
    stale: list[str] = []
    for family in FAMILIES:
        record = read_recipe(model_dir(family))
        if record["hash"] != recipe_hash(family):
            stale.append(family)
        for position, task in enumerate(TASKS):
            state: dict[str, Any] = record["measured"][task]
            values = [*(state[name] for name in FIGURES), *(state["pass_at"][k] for k in ("1", "4", "16"))]
            table.add_row(family if position == 0 else "", task, *map(figure, values))
        table.add_section()
    console = Console()
    console.print(table)
    for family in FAMILIES.values():
        console.print(f"  {family.name}: {family.architecture}, {family.summary}", highlight=False)
    for task in TASKS.values():
        console.print(f"  {task.name}: {task.summary}", highlight=False)
    for name in stale:
        console.print(
            f"  the shipped {name} is of another recipe than this version's: python -m rlvr_sweep lab build {name}"
        )


def folder_for(family: str, out: Path, *, force: bool) -> Path:
    """Where a rebuilt family goes; UserError where that would replace something unasked, the shipped weights."""
    folder = (out / family).resolve()
    if folder.exists() and any(folder.iterdir()) and not force:
        what = "the shipped weights" if folder.parent == MODELS else "a folder with files in it"
        raise UserError(f"{folder} is {what}: name another place with --out, or add --force to replace it")
    return folder


def rebuild(family: str, folder: Path, *, steps: int | None, prompts: int) -> None:
    """Build one family and print seconds and the comparison with the shipped folder as it was before."""
    from rich.console import Console
    from rich.progress import Progress
    from transformers.utils.logging import disable_progress_bar

    from rlvr_sweep.lab.pretraining import build
    from rlvr_sweep.lab.records import compare, read_recipe

    console = Console(highlight=False, soft_wrap=True)
    shipped = read_recipe(model_dir(family)) if folder.parent == MODELS else None
    disable_progress_bar()  # of loading weights, a dozen times
    start = time.monotonic()
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(f"pretraining {family}", total=None)

        def advance(step: int, total: int, loss: float) -> None:
            bar.update(task, completed=step, total=total, description=f"pretraining {family} (loss {loss:.3f})")

        record = build(family, folder, steps=steps, progress=advance, prompts=prompts)
    console.print(f"{family}: {time.monotonic() - start:.0f} s, {record['parameters']:,} parameters, in {folder}")
    if shipped is not None:
        console.print(f"  the shipped weights were replaced: recipe {shipped['hash'][:12]}, now {record['hash'][:12]}")
        return
    found = compare(family, folder)
    most = found["max_difference"]
    differ = "weights of other sizes" if most is None else f"weights differ by at most {most:.2g}"
    weights = "identical weights" if found["weights_identical"] else differ
    recipe = "the same recipe" if found["same_recipe"] else "another recipe"
    console.print(f"  against the shipped one: {recipe}, {weights}")
    for name, figures in found["measured"].items():
        pairs = ", ".join(f"{key.replace('_', ' ')} {figure(a)} / {figure(b)}" for key, (a, b) in figures.items())
        console.print(f"  {name} (shipped / rebuilt): {pairs}")


def main(argv: list[str]) -> int:
    """The verb `lab`. Returns the exit code; UserError: an unknown family, a folder that would be replaced."""
    options = parser().parse_args(argv)
    if options.verb is None:
        show()
        return 0
    names = [find_family(name).name for name in options.families] or list(FAMILIES)
    folders = [folder_for(name, options.out, force=options.force) for name in names]
    for name, folder in zip(names, folders, strict=True):
        rebuild(name, folder, steps=options.steps, prompts=options.prompts)
    return 0
