"""The table of one cell, at the end of a run and in `show CELL`: what ran, what came out, oracle and reward, seconds.

    console.print(table(record, facts(record), figure=path), crop=False)

At 80 columns nothing is cut; a narrower console folds. Shares are in percent, intervals are 95%.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rlvr_sweep.report.record import Record
from rlvr_sweep.shown import interval, percent, shown

MEASURES = {
    "accuracy": "accuracy",
    "accuracy_authors": "  authors' grader",
    "accuracy_math_verify": "  math-verify",
    "lenient": "lenient accuracy",
    "code": "code share",
}
RATES = {
    "accuracy_with_code": "  with code",
    "accuracy_without_code": "  without code",
    "boxed_rate": "boxed",
    "answered_rate": "answered",
    "truncated_rate": "truncated",
}
NUMBERS = ("reward", "entropy", "completion_tokens/mean")  # of training, not shares
NAMES = {
    "accuracy/ground_truth": "oracle accuracy",
    "agreement": "oracle = reward",
    "label_accuracy": "label accuracy",
    "code_frequency": "code share",
    "boxed_rate": "boxed",
    "truncated_rate": "truncated",
    "unscorable_rate": "unscorable",
    "grader_timeout_rate": "grader timed out",
    "frac_reward_zero_std": "groups without spread",
    "completion_tokens/mean": "tokens",
}
QUIET = ("truncated_rate", "unscorable_rate", "grader_timeout_rate")  # only worth a line where they happen


def table(record: Record, found: Mapping[str, Any], *, figure: Path | None = None) -> Group:
    """Facts (facts.py) as a renderable; print it with crop=False, so that long paths stay whole."""
    parts: list[RenderableType] = [*_head(record, found)]
    for name, one in found["benchmarks"].items():
        parts += _benchmark(name, one)
    if not found["benchmarks"]:
        parts += ["", "no evaluation yet" if record.cell["eval"]["benchmarks"] else "no benchmark (eval=none)"]
    if found["training"]:
        parts += _training(found["training"])
    parts += ["", _seconds(found["seconds"])]
    parts += [_path("picture", figure)] if figure else []
    parts.append(_path("record", record.path))
    return Group(*parts)


def change(estimate: Any) -> Text:
    """A difference in points; green or red where its interval leaves out 0."""
    style = ""
    if estimate is not None and estimate.low is not None:
        style = "green" if estimate.low > 0 else "red" if estimate.high < 0 else ""
    return Text(interval(estimate, sign=True), style=style)


def ago(seconds: float) -> str:
    """A duration in its largest unit: "12 s", "5 min", "3 h", "2 days"."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def columns(first: str, *others: str) -> Table:
    """An unframed table; the first column is text, the others numbers. No cell is ever cut."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(first, overflow="fold")
    for name in others:
        made.add_column(name, justify="right", overflow="fold")
    return made


def _head(record: Record, found: Mapping[str, Any]) -> list[Text]:
    cell, batch = record.cell, record.batch
    style = {"done": "green", "failed": "red"}.get(found["state"], "yellow")
    state = Text.assemble((found["state"], style))
    if found["reason"] and found["state"] != "done":
        state.append(f" ({found['reason']})")
    elif found["state"] == "running" and record.status.get("updated"):
        state.append(f" (last sign of life {ago(time.time() - record.status['updated'])} ago)")
    state.append(
        f", {found['step']} of {found['steps']} updates; a rollout is {batch['prompts']} prompts x "
        f"{batch['completions']} completions = {batch['updates']} updates"
    )
    choices = cell.get("choices") or {}
    names = {"model": cell["model"]["name"], "reward": choices.get("reward") or cell["reward"]["name"]}
    names |= {group: cell[group]["name"] for group in ("data", "algo", "estimator", "clip")}
    what = ", ".join(f"{group} {name}" for group, name in names.items())
    lines = [
        Text(f"{record.slug}--{record.cell_id}", style="bold", overflow="fold"),
        state,
        Text(f"{what}, seed {record.seed}"),
    ]
    lines += [Text(f"deviates: {text}", style="yellow") for text in found["deviations"]]
    data = found["data"]
    if data["too_long"]:
        limit = cell["algo"]["max_prompt_tokens"]
        left_out = f"{data['too_long']} of {data['rows']} prompts are longer than {limit} tokens and left out"
        lines.append(Text(f"data: {left_out}"))
    if data["labels"]:
        audit = data["labels"]
        right = "unknown" if audit["label_accuracy"] is None else f"{100 * audit['label_accuracy']:.0f}%"
        counts = f"{audit['empties']} empty; {audit['kept']} rows kept"
        lines.append(Text(f"labels: {right} of {audit['correct'] + audit['wrong']} are right, {counts}"))
    lines += [
        Text(f"overlap: of {name}'s {n['prompts']} prompts {_counts(n)} are in the training data", style="yellow")
        for name, n in found["overlap"].items()
    ]
    return lines


def _counts(one: Mapping[str, int]) -> str:
    return ", ".join(f"{count} ({how})" for how, count in one.items() if how != "prompts" and count)


def _benchmark(name: str, one: Mapping[str, Any]) -> list[RenderableType]:
    """What a benchmark showed before and after, as far as there is one."""
    how = "greedy" if one["temperature"] == 0 else f"{one['samples']} samples each, temperature {one['temperature']}"
    steps = [str(step) for step in one["steps"].values() if step is not None]
    sides = {side: one[side] for side in ("before", "after") if one[side]}
    made = columns("percent", *sides, *(["change"] if one["change"] else []))
    there = list(sides.values())

    def estimates(key: str) -> None:
        difference = [change(one["change"][key])] if one["change"] else []
        made.add_row(MEASURES.get(key, key), *(interval(side[key]) for side in there), *difference)

    def rates(*keys: str) -> None:
        for key in keys:
            if any(side[key] is not None for side in there) and not (
                key in QUIET and not any(side[key] for side in there)
            ):
                made.add_row(RATES[key], *(percent(side[key]) for side in there))

    estimates("accuracy")
    for key in ("accuracy_authors", "accuracy_math_verify"):  # the grader that accuracy does not go by
        if any(key in side and side[key].mean not in (None, side["accuracy"].mean) for side in there):
            estimates(key)
    rates("accuracy_with_code", "accuracy_without_code")
    for key in [key for key in there[0] if key.startswith("pass@")]:
        estimates(key)
    estimates("lenient")
    estimates("code")
    rates("boxed_rate", "answered_rate", "truncated_rate")
    made.add_row("tokens", *(_number(side["mean_tokens"]) for side in there))
    if any(side["accuracy"].unscorable for side in there):
        made.add_row("unscorable", *(str(side["accuracy"].unscorable) for side in there), style="yellow")
    return ["", Text(f"{name}: {one['questions']} questions, {how}; update {' -> '.join(steps)}", style="bold"), made]


def _training(one: Mapping[str, Any]) -> list[RenderableType]:
    last, some = one["rollouts"], one["averaged"]
    spans = [f"1-{some}" if some > 1 else "1", f"{last - some + 1}-{last}" if some > 1 else str(last)]
    made = columns("percent", *(f"rollout{'s' * (some > 1)} {span}" for span in spans))
    for key, first in one["first"].items():
        ends = [first, one["last"][key]]
        if all(value is None for value in ends) or (key in QUIET and not any(ends)):
            continue
        if key == "reward":
            made.add_row("reward (mean)", *(_number(value, 3) for value in ends))
        else:
            show = _number if key in NUMBERS else percent
            made.add_row(NAMES.get(key, key), *(show(value) for value in ends))
    return ["", Text("training: the reward against the oracle", style="bold"), made]


def _number(value: float | None, digits: int | None = None) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if digits is not None else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _seconds(one: Mapping[str, Any]) -> Text:
    keys = ("start-up", "generate", "score", "old_logprobs", "update", "other", "evaluate", "save")
    known = [f"{key.replace('_', ' ')} {one[key]:.1f}" for key in keys if one[key] is not None]
    text = "seconds: " + (", ".join(known) or "none yet")
    if one["total"] is not None:
        text += f"; {one['total']:.1f} in all"
    if one["tokens_per_second"] is not None:
        text += f"; {one['tokens_per_second']:,.0f} tokens/s generated"
    return Text(text)


def _path(name: str, path: Path) -> Text:
    return Text(f"{name}: {shown(path)}", no_wrap=True, overflow="ignore")
