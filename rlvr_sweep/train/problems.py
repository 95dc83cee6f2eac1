"""A cell's problems, ready for the trainer: rows read, labelled, filtered, ordered, tokenized; and its benchmarks.

problems = prepare(cell, tokenizer, grader, batch)     # .dataset (one row a prompt visit), .tasks, .facts
"""

import json
from dataclasses import dataclass
from typing import Any

from rlvr_sweep.config.batch import Batch
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.data.facts import facts
from rlvr_sweep.data.labels import attach
from rlvr_sweep.data.order import order
from rlvr_sweep.data.overlap import overlap, refuse
from rlvr_sweep.data.prompts import prepare as tokenize
from rlvr_sweep.data.rows import Row
from rlvr_sweep.data.sources import load
from rlvr_sweep.errors import UserError
from rlvr_sweep.evals.sampling import Task
from rlvr_sweep.grading.pool import Grader

SHOWN = 5  # faults listed in full


@dataclass(frozen=True)
class Problems:
    """`visits`: one dictionary a prompt visit, in the order of the whole run. `facts`: counts for the record."""

    visits: list[dict[str, Any]]
    tasks: list[Task]
    facts: dict[str, Any]


def _check_golds(rows: list[Row], grader: Grader, key: str) -> None:
    """Gold answers nobody can match are found before training, not during."""
    faults = grader.gold_faults([row.answer for row in rows])
    if faults:
        shown = "; ".join(f"{rows[i].id}: {gold!r} ({reason})" for i, gold, reason in faults[:SHOWN])
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise UserError(
            f"{key}: {len(faults)} of {len(rows)} gold answers cannot be parsed: {shown}{more}; mend or drop these rows"
        )


def _tasks(
    cell: Cell, tokenizer: Any, grader: Grader, record: dict[str, Any]
) -> tuple[list[Task], dict[str, list[str]]]:
    """The benchmarks as tasks, and their prompts as text."""
    tasks, texts = [], {}
    for name, bench in cell.eval.benchmarks.items():
        key = f"eval.benchmarks.{name}"
        rows = load(bench, key=key)
        ready = tokenize(
            rows.rows,
            tokenizer=tokenizer,
            template=cell.model.template,
            max_prompt_tokens=cell.algo.max_prompt_tokens,
            key=key,
        )
        _check_golds(ready.rows, grader, key)
        record[key] = facts(rows=rows, prepared=ready)
        texts[name] = [row.prompt for row in rows.rows]
        tasks.append(
            Task(
                name=name,
                benchmark=bench,
                question_ids=[row.id for row in ready.rows],
                golds=[row.answer for row in ready.rows],
                prompts=ready.ids,
                max_tokens=bench.max_completion_tokens or cell.algo.max_completion_tokens,
            )
        )
    return tasks, texts


def prepare(cell: Cell, tokenizer: Any, grader: Grader, batch: Batch) -> Problems:
    """Everything a cell trains and is evaluated on. UserError, one line a fault, where something is wrong."""
    record: dict[str, Any] = {}
    loaded = load(cell.data, key="data")
    rows, audit = loaded.rows, None
    if cell.data.labels is not None:
        rows, audit = attach(rows, cell.data.labels, filter=cell.data.label_filter, verify=grader.verify)
    ready = tokenize(
        rows,
        tokenizer=tokenizer,
        template=cell.model.template,
        max_prompt_tokens=cell.algo.max_prompt_tokens,
        key="data",
    )
    _check_golds(ready.rows, grader, "data")
    tasks, texts = _tasks(cell, tokenizer, grader, record)
    overlaps = overlap([row.prompt for row in ready.rows], texts)
    record["data"] = facts(rows=loaded, prepared=ready, audit=audit, overlaps=overlaps)
    if cell.data.overlap == "refuse":
        refuse(overlaps, key="data")
    sequence = order(
        [row.id for row in ready.rows],
        rollouts=batch.rollouts,
        prompts=batch.prompts,
        seed=cell.seed,
        repeat=cell.data.repeat,
    )
    visits = []
    for index, row_id in sequence:
        row = ready.rows[index]
        visits.append(
            {
                "prompt": row.prompt,
                "prompt_ids": ready.ids[index],
                "row_id": row_id,
                "gold": row.answer,
                "label": row.label,
                "columns": json.dumps(row.columns),  # one type for Arrow, whatever a source's columns hold
            }
        )
    return Problems(visits=visits, tasks=tasks, facts=record)
