"""The picture of `align`: pass@k against k, a panel a task, a line a model with its 95% band.

figure({("add", "lab/olmo"): {"pass_at_k": {1: Estimate(...), 2: ...}}}, Path("align.png"))
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")  # Okabe and Ito
MARKERS = "osD^vP*X"
DPI = 150
ACROSS = 3  # panels a row


def figure(found: Mapping[tuple[str, str], Mapping[str, Any]], path: Path) -> Path:
    """Draw the facts of `align.measure`, by task and model, as a PNG at `path`, replaced whole. UserError where it
    cannot be written."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.WARNING)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from rlvr_sweep.cell_dir import replaced

    tasks = list(dict.fromkeys(task for task, _ in found))
    models = list(dict.fromkeys(model for _, model in found))
    across, down = min(ACROSS, len(tasks)), -(-len(tasks) // ACROSS)
    drawn = Figure(figsize=(1.2 + 3.2 * across, 0.9 + 2.9 * down), dpi=DPI, layout="constrained")
    FigureCanvasAgg(drawn)
    panels = drawn.subplots(down, across, squeeze=False, sharey=True).flat
    for axes, task in zip(panels, tasks, strict=False):
        for number, model in enumerate(models):
            if (task, model) in found:
                _line(axes, found[task, model]["pass_at_k"], number, model)
        _frame(axes, task)
    for axes in list(panels):  # those that no task took
        axes.set_visible(False)
    handles, labels = next(iter(drawn.axes)).get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=min(4, len(handles)), frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as partial:
        drawn.savefig(partial, format="png")
    return path


def _line(axes: Any, estimates: Mapping[int, Any], number: int, model: str) -> None:
    known = {k: e for k, e in estimates.items() if e.mean is not None}
    color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
    means = [100 * e.mean for e in known.values()]
    axes.plot(list(known), means, color=color, marker=marker, markersize=4, linewidth=1.8, label=model, clip_on=False)
    banded = {k: e for k, e in known.items() if e.low is not None}
    low, high = ([100 * getattr(e, side) for e in banded.values()] for side in ("low", "high"))
    axes.fill_between(list(banded), low, high, color=color, alpha=0.15, linewidth=0)


def _frame(axes: Any, task: str) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    axes.set_title(task, fontsize=10, loc="left")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("k")
    if axes.get_subplotspec().is_first_col():
        axes.set_ylabel("pass@k (%)")
    axes.set_ylim(-2, 102)
    axes.grid(axis="y", color="#E4E4E4", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
