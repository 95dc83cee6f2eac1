"""The picture of one cell: accuracy and code share over the rollouts, from its metrics and its evaluations.

    figure(Record(Path("runs/...")), Path("figure.png"))

Lines are the training rollouts, points with bars the benchmarks (95% intervals over questions). Colours: Okabe and Ito.
"""

import logging
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlvr_sweep.cell_dir import replaced
from rlvr_sweep.report.arms import told_update
from rlvr_sweep.report.record import Record

TRAINING, REWARD = "#0072B2", "#E69F00"
BENCHMARKS = ("#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#999999")
MARKERS = "osD^vP"
DPI = 150
LEGEND = 4  # entries a row
WIDTH = 100  # characters a row


def figure(record: Record, path: Path) -> Path:
    """Draw `record` as a PNG at `path`, replaced whole. UserError where it cannot be written."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.WARNING)  # "generated new fontManager" is no news
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(7.2, 4.8), dpi=DPI)
    FigureCanvasAgg(drawn)
    above, below = drawn.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    right = _training(record, above, below)
    _evaluations(record, above, below)
    for axes, name in ((above, "accuracy (%)"), (below, "code share (%)")):
        axes.set_ylabel(name)
        axes.set_ylim(-3, 103)
        axes.grid(axis="y", color="#E4E4E4", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
    _ticks(below, record.batch["rollouts"])
    handles, labels = above.get_legend_handles_labels()
    method = textwrap.wrap(told_update(record), WIDTH)  # arms that differ in nothing else look alike
    rows = -(-len(handles) // LEGEND) + len(method)
    drawn.legend(
        handles, labels, loc="lower center", ncols=max(1, min(len(handles), LEGEND)), frameon=False, fontsize=9,
        title="\n".join(method), title_fontsize=9,
    )  # fmt: skip
    # Margins by hand: matplotlib's layout engines draw everything twice.
    drawn.subplots_adjust(
        left=0.085, right=0.925 if right else 0.985, top=0.93, bottom=0.115 + 0.045 * rows, hspace=0.09
    )
    drawn.align_ylabels([above, below])
    drawn.suptitle(
        record.slug + (f" ({record.state})" if not record.is_done else ""),
        x=0.01,
        y=0.985,
        ha="left",
        va="top",
        fontsize=11,
    )
    with replaced(path) as partial:
        drawn.savefig(partial, format="png")
    return path


def is_fresh(record: Record, path: Path) -> bool:
    """Whether the picture at `path` is younger than what it shows."""
    if not path.is_file():
        return False
    sources = [record.path / "metrics.jsonl", record.path / "DONE", *record.path.glob("evals/*/step-*.parquet")]
    return all(s.stat().st_mtime <= path.stat().st_mtime for s in sources if s.exists())


def _training(record: Record, above: Any, below: Any) -> bool:
    """The oracle, the reward and the code share of each training rollout, at the updates it was sampled after.

    True where the reward is no share and got an axis of its own, on the right.
    """
    rows = record.rollouts()
    if not rows:
        return False
    x = [row["rollout"] - 1 for row in rows]
    style = {"linewidth": 2.4, "solid_capstyle": "round"} | ({"marker": "."} if len(rows) < 3 else {})
    rewards = _column(rows, "reward")
    above.plot(
        x, _percent(_column(rows, "accuracy/ground_truth")), color=TRAINING, label="training, oracle", zorder=3, **style
    )
    below.plot(x, _percent(_column(rows, "code_frequency")), color=TRAINING, **style)
    known = [value for value in rewards if value is not None]
    if not known:
        return False
    thin = {"color": REWARD, "linewidth": 1.0, "label": "training, reward", "zorder": 3.5}
    if min(known) >= 0 and max(known) <= 1:
        above.plot(x, _percent(rewards), **thin)
        return False
    right = above.twinx()
    right.plot(x, [float("nan") if value is None else value for value in rewards], **thin)
    right.set_ylabel("reward", color=REWARD)
    right.tick_params(axis="y", colors=REWARD)
    right.spines[["top", "left"]].set_visible(False)
    above.plot([], [], **thin)
    return True


def _evaluations(record: Record, above: Any, below: Any) -> None:
    from rlvr_sweep.evals import statistics

    names = record.benchmarks()
    for number, name in enumerate(names):
        steps = record.eval_steps(name)
        rows = [record.eval_rows(name, step) for step in steps]
        aside = (
            (number - (len(names) - 1) / 2) * 0.012 * record.batch["rollouts"]
        )  # so that bars do not hide each other
        x = [record.rollout_of(step) + aside for step in steps]
        for axes, verdict in ((above, "correct"), (below, "has_code")):
            estimates = [statistics.accuracy(those, verdict=verdict) for those in rows]
            _points(axes, x, estimates, number, name)


def _points(axes: Any, x: Sequence[float], estimates: Sequence[Any], number: int, name: str) -> None:
    """Means with their intervals; a mean without an interval is a bare point, an unknown mean is none."""
    there = [(at, e) for at, e in zip(x, estimates, strict=True) if e.mean is not None]
    if not there:
        return
    low = [100 * (e.mean - (e.low if e.low is not None else e.mean)) for _, e in there]
    high = [100 * ((e.high if e.high is not None else e.mean) - e.mean) for _, e in there]
    color, marker = BENCHMARKS[number % len(BENCHMARKS)], MARKERS[number % len(MARKERS)]
    axes.errorbar(
        [at for at, _ in there],
        [100 * e.mean for _, e in there],
        yerr=[low, high],
        fmt=marker,
        color=color,
        markersize=5,
        markeredgecolor="white",
        elinewidth=1.2,
        capsize=2.5,
        clip_on=False,
        zorder=4,
        label=name,
    )


def _ticks(axes: Any, rollouts: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("rollouts trained on (bars: 95% intervals over questions)")
    axes.set_xlim(-0.035 * rollouts, 1.035 * rollouts)
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))


def _column(rows: Sequence[dict[str, Any]], key: str) -> list[float | None]:
    return [row.get(key) for row in rows]


def _percent(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else 100 * value for value in values]
