"""The table of `bench`, from its document: what a rollout took by phase, and what the whole cell will.

show(document, file)
"""

from pathlib import Path
from typing import Any

PHASES = {
    "generate": "generate",
    "sync": "weight sync",
    "score": "score",
    "old_logprobs": "old log-probs",
    "update": "update",
    "rest": "rest",
}


def show(document: dict[str, Any], file: Path) -> None:
    """Print it; `file` is where the document lies."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False)
    cell, machine, measured = document["cell"], document["machine"], document["measured"]
    device = machine["device"] if machine["unit"] == "GPU" else f"{machine['unit']} ({machine['cpu']})"
    console.print(
        f"{document['model']} on {machine['count']} x {device}: rollouts of {cell['prompts']} prompts x "
        f"{cell['completions']} completions of {measured['completion_tokens']:,.0f} tokens on average, "
        f"{cell['updates']} update{'s' * (cell['updates'] != 1)} each",
        style="bold",
        soft_wrap=True,
    )
    grid = Table(box=None, pad_edge=False, header_style="dim")
    grid.add_column("phase")
    for head in ("s/rollout", "share"):
        grid.add_column(head, justify="right")
    grid.add_column("")
    whole = measured["rollout_seconds"]
    seconds = measured["seconds"]
    for phase, name in PHASES.items():
        if seconds.get(phase):
            spent = seconds[phase]
            grid.add_row(name, f"{spent:,.2f}", f"{spent / whole:.0%}", _about(phase, document))
    grid.add_row("rollout", f"{whole:,.2f}", "", _rate(measured["completions_per_hour"]))
    one, every = measured["checkpoint"], cell["checkpoint_every"]
    if one and every:
        grid.add_row("checkpoint", f"+ {one / every:,.2f}", "", f"{one:,.1f} s each, every {every} rollouts")
    console.print(grid)
    for line in [*_lines(document), *document["notes"], f"written to {file}"]:
        console.print(line, soft_wrap=True)


def _about(phase: str, document: dict[str, Any]) -> str:
    """What else is known of a phase."""
    measured, machine = document["measured"], document["machine"]
    if phase == "generate":
        share = f", {measured['roofline']:.0%} of its memory's speed" if measured["roofline"] else ""
        return f"{measured['tokens_per_second']['generate']:,.0f} tokens/s{share}"
    if phase == "update":
        mfu = f", MFU {measured['mfu']:.0%}" if measured["mfu"] else ""
        return f"{measured['tokens_per_second']['train']:,.0f} tokens/s{mfu}"
    return "with waiting for the other ranks" if phase == "old_logprobs" and machine["count"] > 1 else ""


def _lines(document: dict[str, Any]) -> list[str]:
    measured, whole, stock, unit = (document[key] for key in ("measured", "whole", "stock", "machine"))
    unit = unit["unit"]
    lines = []
    if measured["peak_bytes"]:
        count = measured.get("alloc_retries")  # older documents have none
        tight = f"; {count} times torch had to give back what it kept to find room" if count else ""
        lines.append(f"peak memory: {measured['peak_bytes'] / 1e9:,.0f} GB a GPU{tight}")
    floor = f"; by its FLOPs and bytes at least {_hours(whole['floor_hours'])}" if whole["floor_hours"] else ""
    lines.append(
        f"the whole cell: {whole['rollouts']:,} rollouts, {_hours(whole['hours'])} {unit}-hours without evaluations"
        f"{floor}"
    )
    if stock:
        lines.append(
            f"TRL's stock trainer: {_rate(stock['completions_per_hour'])} of {stock['completion_tokens']:,.0f} tokens "
            f"({stock['rollout_seconds']:,.1f} s a rollout); this is {stock['ratio']:.2f} times as many"
        )
    return lines


def _rate(count: float) -> str:
    return f"{count:,.0f} completions/hour"


def _hours(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:,.0f}"
