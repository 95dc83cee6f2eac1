"""A cell's problems, ready for the trainer: rows read, labelled, filtered, ordered, tokenized; and its benchmarks.

problems = prepare(cell, tokenizer=..., context=4096, grader=..., batch=...)     # .visits, .tasks, .facts
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlvr_sweep.config.batch import Batch
from rlvr_sweep.config.label_command import command as label_command
from rlvr_sweep.config.rules import generation_batches
from rlvr_sweep.config.schema import Cell, Source
from rlvr_sweep.data.facts import facts
from rlvr_sweep.data.labels import attach
from rlvr_sweep.data.order import order
from rlvr_sweep.data.overlap import overlap, refuse
from rlvr_sweep.data.prompts import prepare as tokenize
from rlvr_sweep.data.provenance import remedy
from rlvr_sweep.data.rows import Row
from rlvr_sweep.data.sources import load
from rlvr_sweep.data.templates import needs_chat, render_all, turn_end
from rlvr_sweep.errors import UserError
from rlvr_sweep.evals.sampling import Task
from rlvr_sweep.grading.pool import Grader, Verifier

SHOWN = 5  # faults listed in full


@dataclass(frozen=True)
class Problems:
    """`visits`: one dictionary a prompt visit, in the order of the whole run. `facts`: counts for the record.
    `window`: tokens of the longest prompt with the longest completion that may follow it."""

    visits: list[dict[str, Any]]
    tasks: list[Task]
    facts: dict[str, Any]
    window: int


def _check_golds(rows: list[Row], grader: Verifier, key: str) -> None:
    """Gold answers nobody can match are found before training, not during."""
    faults = grader.gold_faults([row.answer for row in rows])
    if faults:
        shown = "; ".join(f"{rows[i].id}: {gold!r} ({reason})" for i, gold, reason in faults[:SHOWN])
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise UserError(
            f"{key}: {len(faults)} of {len(rows)} gold answers cannot be parsed: {shown}{more}; mend or drop these rows"
        )


def _check_room(ids: list[list[int]], *, tokens: int, context: int, key: str) -> None:
    """A benchmark is evaluated whole or not at all: no question is left out because it is long."""
    longest = max(map(len, ids))
    if longest + tokens <= context:
        return
    if longest >= context:
        raise UserError(
            f"{key}: its longest prompt has {longest} tokens, the model's context {context}; "
            "leave the benchmark out, or take a model with a longer context"
        )
    raise UserError(
        f"{key}: its longest prompt has {longest} tokens, which leaves no room for {tokens} in the model's context of "
        f"{context}; write {key}.max_completion_tokens={context - longest}"
    )


@contextmanager
def _wording(source: Source, key: str) -> Iterator[None]:
    """Where prompts do not fit, says that puzzles have shorter ones."""
    try:
        yield
    except UserError as error:
        if source.kind == "puzzle" and source.wording == "full":
            raise UserError(f"{error}; or write {key}.wording=terse, the wording for lab models") from None
        raise


def benchmarks(cell: Cell, tokenizer: Any, context: int, grader: Grader, record: dict[str, Any]) -> list[Task]:
    """The cell's benchmarks with their prompts as token ids; facts of each go into `record`. UserError as `prepare`."""
    tasks = []
    for name, bench in cell.eval.benchmarks.items():
        key = f"eval.benchmarks.{name}"
        loaded = load(bench, key=key)
        _check_golds(loaded.rows, grader.named(bench.verifier, by=cell.grading.grader), key)
        texts = [row.prompt for row in loaded.rows]
        ids = render_all(texts, tokenizer=tokenizer, template=cell.model.template, prefix=cell.model.prefix)
        tokens = bench.max_completion_tokens or cell.algo.max_completion_tokens
        with _wording(bench, key):
            _check_room(ids, tokens=tokens, context=context, key=key)
        record[key] = facts(rows=loaded)
        tasks.append(
            Task(
                name=name,
                benchmark=bench,
                question_ids=[row.id for row in loaded.rows],
                questions=texts,
                golds=[row.answer for row in loaded.rows],
                prompts=ids,
                max_tokens=tokens,
                prefix=cell.model.prefix,
            )
        )
    return tasks


def _prompt(cell: Cell, tokenizer: Any) -> dict[str, Any]:
    """What prompts were made of; `warning` where the chat template ends a turn with a token that ends no completion."""
    model = cell.model
    end = turn_end(tokenizer) if needs_chat(model.template) else None
    ends = [tokenizer.eos_token, *model.stop_tokens]
    warning = (
        f"model.template={model.template}: the chat template ends a turn with {end}, which does not end a completion "
        f"(only {', '.join(map(str, ends))} does); \"model.stop_tokens=['{end}']\" ends it there"
    )
    found = {"template": model.template, "prefix": model.prefix, "turn_end": end, "ends": ends, "stop": model.stop}
    return found | {"warning": None if end is None or end in ends else warning}


def prepare(cell: Cell, *, tokenizer: Any, context: int, grader: Grader, batch: Batch) -> Problems:
    """Everything a cell trains and is evaluated on. UserError, one line a fault, where something is wrong."""
    record: dict[str, Any] = {}
    loaded = load(cell.data, key="data")
    rows, audit = loaded.rows, None
    judge = grader.named(cell.data.verifier, by=cell.grading.grader)
    if cell.data.labels is not None:
        labels = Path(cell.data.labels).expanduser()
        rows, audit = attach(
            rows,
            labels,
            filter=cell.data.label_filter,
            drop_empty=cell.data.empty_labels == "drop",
            verify=judge.verify,
            remedy=remedy(labels, cell, make=label_command(cell)),
        )
    with _wording(cell.data, "data"):
        ready = tokenize(
            rows,
            tokenizer=tokenizer,
            template=cell.model.template,
            prefix=cell.model.prefix,
            max_prompt_tokens=cell.algo.max_prompt_tokens,
            key="data",
        )
    _check_golds(ready.rows, judge, "data")
    tasks = benchmarks(cell, tokenizer, context, grader, record)
    overlaps = overlap([row.prompt for row in ready.rows], {task.name: task.questions for task in tasks})
    record["data"] = facts(rows=loaded, prepared=ready, audit=audit, overlaps=overlaps)
    record["prompt"] = _prompt(cell, tokenizer)
    if cell.data.overlap == "refuse":
        refuse(overlaps, key="data")
    sequence = order(
        [row.id for row in ready.rows],
        rollouts=batch.rollouts * generation_batches(cell),
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
    windows = [max(map(len, task.prompts)) + task.max_tokens for task in tasks]
    windows.append(max(len(visit["prompt_ids"]) for visit in visits) + cell.algo.max_completion_tokens)
    return Problems(visits=visits, tasks=tasks, facts=record, window=max(windows))
