"""Pseudo-labels for training prompts, from a file: JSON lines of `id` and `label`, checked against the data's prompts.

    rows, audit = attach(rows, "labels.jsonl", filter="incorrect", verify=verify)

The files released with arXiv 2506.10947 (`id`, `prompt`, `answer`, the answer being the label) are read as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rlvr_sweep.data.files import Broken, kind_of, read, refuse
from rlvr_sweep.data.rows import Row, text
from rlvr_sweep.errors import UserError

if TYPE_CHECKING:
    from rlvr_sweep.grading.verdict import Verdict

REMEDY = "write this data's label file"

Verify = Callable[[list[tuple[str, str | None]]], "list[Verdict]"]  # (gold, label) pairs


@dataclass(frozen=True)
class Label:
    """A line of a label file. An empty label says that no sample of the prompt held an answer. What a line may lack is
    None: the gold answer at the time, and how many of how many samples gave the label."""

    id: str
    label: str
    prompt: str | None
    source: str | None
    gold: str | None = None
    votes: int | None = None
    samples: int | None = None


def read_labels(path: str | Path, *, key: str = "data.labels") -> list[Label]:
    """The labels of a file. UserError with all its faults: no id, no label, an id that comes twice, broken JSON."""
    path = Path(path)
    labels, faults, seen = [], [], {}
    for place, raw in read(path, key=key):
        if isinstance(raw, Broken) or not isinstance(raw, dict):
            faults.append(f"{place}: {raw if isinstance(raw, Broken) else f'is {kind_of(raw)}, not an object'}")
            continue
        row_id, label = text(raw.get("id")), raw.get("label", raw.get("answer"))
        label = label if isinstance(label, str) and not label.strip() else text(label)
        found = [f"{place}: {name} {v}" for name, v in (("id", row_id), ("label", label)) if isinstance(v, Broken)]
        if not found and row_id in seen:
            found = [f"{place}: id {row_id!r} is also that of {seen[row_id]}"]
        faults += found
        if not found:
            seen[row_id] = place
            prompt, source, gold = (
                v if isinstance(v := raw.get(k), str) else None for k in ("prompt", "source", "gold")
            )
            votes, samples = (v if isinstance(v := raw.get(k), int) else None for k in ("votes", "samples"))
            labels.append(Label(row_id, label.strip(), prompt, source, gold, votes, samples))
    refuse(faults, where=f"{key}: {path}", remedy='write lines of {"id": ..., "label": ...}, one for each prompt')
    if not labels:
        raise UserError(f"{key}: {path}: holds no labels; write a label file of this data")
    return labels


def attach(
    rows: Sequence[Row],
    label_path: str | Path,
    *,
    filter: Literal["all", "incorrect"],
    verify: Verify,
    drop_empty: bool = True,
    key: str = "data.labels",
    remedy: str = REMEDY,
) -> tuple[list[Row], dict[str, Any]]:
    """The rows that have a label, in their order and with it set, and the audit of the file against the gold answers.

    Rows whose label is empty are dropped: an empty label would reward the completions that hold no answer. With
    `drop_empty=False` they stay, counted as wrong, as in the paper's released code. `filter="incorrect"` keeps the rows
    whose label is wrong by `verify`; where that cannot be known (None) the row is not kept.

    Audit: rows, labelled, unlabelled (rows the file says nothing of), empties, elsewhere (labels of other rows),
    correct, wrong, unscorable, label_accuracy (correct / (correct + wrong), None for 0 / 0), kept, matched_by.
    UserError: a faulty file, a file of another dataset (with `remedy`), or no row left.
    """
    labels = read_labels(label_path, key=key)
    by_row, matched_by = _match(rows, labels, where=f"{key}: {label_path}", remedy=remedy)
    found = [replace(row, label=by_row[row.id]) for row in rows if row.id in by_row]
    full = [row for row in found if row.label]
    verdicts = dict(zip((row.id for row in full), verify([(row.answer, row.label) for row in full]), strict=True))
    correct = sum(verdict.correct is True for verdict in verdicts.values())
    known_wrong = sum(verdict.correct is False for verdict in verdicts.values())
    wrong = known_wrong if drop_empty else known_wrong + len(found) - len(full)
    kept = full if drop_empty else found
    if filter == "incorrect":
        kept = [row for row in kept if not row.label or verdicts[row.id].correct is False]
    audit = {
        "rows": len(rows),
        "labelled": len(full),
        "unlabelled": len(rows) - len(found),
        "empties": len(found) - len(full),
        "elsewhere": len(labels) - len(found),
        "correct": correct,
        "wrong": wrong,
        "unscorable": len(full) - correct - known_wrong,
        "label_accuracy": correct / (correct + wrong) if correct + wrong else None,
        "kept": len(kept),
        "matched_by": matched_by,
    }
    if not kept:
        why = "no label of this data is wrong" if filter == "incorrect" and full else "all its labels are empty"
        raise UserError(
            f"{key}: {label_path}: {why}, so no row is left; write another label file or data.label_filter=all"
        )
    return kept, audit


def _match(rows: Sequence[Row], labels: list[Label], *, where: str, remedy: str) -> tuple[dict[str, str], str]:
    """Labels by row id, and what they were matched by. A file of another dataset raises; `remedy` says what to write.

    Ids such as "0", "1" say little, so where the file has prompts each must be its row's; without them the ids of
    one side must all be known to the other. Where no id is shared (ours are hashes) the prompts alone may decide.
    """
    by_id = {row.id: row for row in rows}
    shared = [label for label in labels if label.id in by_id]
    differ = [label for label in shared if label.prompt is not None and not _same(label.prompt, by_id[label.id].prompt)]
    absent = len(labels) - len(shared)
    looks = _looks_like(labels)
    if differ:
        raise UserError(
            f"{where}: made for other data: of {len(labels)} labels {len(differ)} have another prompt than the "
            f"row of their id (first {differ[0].id!r}), and {absent} ids are not in data; {looks}; {remedy}"
        )
    if shared and (found := compare_rows(rows, shared)):
        raise UserError(f"{where}: made for another revision of the data: {found}; {remedy}")
    if not shared:
        by_prompt = {_squeezed(label.prompt): label.label for label in labels if label.prompt is not None}
        found = {row.id: by_prompt[_squeezed(row.prompt)] for row in rows if _squeezed(row.prompt) in by_prompt}
        if found:
            return found, "prompt"
    without_prompts = any(label.prompt is None for label in labels)
    if not shared or (without_prompts and absent and len(shared) < len(rows)):
        raise UserError(
            f"{where}: made for other data: {absent} of its {len(labels)} ids are not in data, and "
            f"{len(rows) - len(shared)} of {len(rows)} rows have no label; {looks}; {remedy}"
        )
    return {label.id: label.label for label in shared}, "id and prompt" if not without_prompts else "id"


def matched(
    rows: Sequence[Row], labels: list[Label], *, key: str = "label audit", remedy: str = REMEDY
) -> list[tuple[Label, Row]]:
    """Each label with its row, where it has one. UserError for labels of another dataset, from `key` to `remedy`."""
    by_row, matched_by = _match(rows, labels, where=key, remedy=remedy)
    if matched_by == "prompt":
        by_prompt = {_squeezed(row.prompt): row for row in rows}
        found = [(label, by_prompt.get(_squeezed(label.prompt or ""))) for label in labels]
    else:
        by_id = {row.id: row for row in rows if row.id in by_row}
        found = [(label, by_id.get(label.id)) for label in labels]
    return [(label, row) for label, row in found if row is not None]


def compare_rows(rows: Sequence[Row], labels: Sequence[Label]) -> str | None:
    """How the rows differ from those that were labelled, in a few words; None where each row with a label has the
    prompt and the gold answer it had then."""
    by_id = {row.id: row for row in rows}
    shared = [label for label in labels if label.id in by_id]
    if not shared:
        return f"none of its {len(labels)} ids is in data"
    prompts = [one for one in shared if one.prompt is not None and not _same(one.prompt, by_id[one.id].prompt)]
    golds = [one for one in shared if one.gold is not None and one.gold != by_id[one.id].answer]
    for what, differ in (("another prompt", prompts), ("another gold answer", golds)):
        if differ:
            return f"{len(differ)} of {len(shared)} rows have {what} (first {differ[0].id!r})"
    return None


def _same(one: str, other: str) -> bool:
    return _squeezed(one) == _squeezed(other)


def _squeezed(prompt: str) -> str:
    return " ".join(prompt.split())


def _looks_like(labels: list[Label]) -> str:
    """What the file seems to be for, in a few words."""
    ids = f"ids {labels[0].id!r} to {labels[-1].id!r}"
    named = sorted({label.source for label in labels if isinstance(label.source, str)})
    if named:
        return f"it seems to be for {', '.join(named[:3])} ({ids})"
    prompt = labels[0].prompt
    return f"it has {ids}" + (f", its first prompt is {_squeezed(prompt)[:60]!r}" if prompt else "")
