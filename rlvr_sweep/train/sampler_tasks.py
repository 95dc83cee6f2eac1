"""A job (evals/job.py) as prompts of token ids: a benchmark, training prompts to be labelled, questions cut short.

task, prompts, skipped = make_task(store.job, tokenizer=tokenizer, context=4096, grader=grader)
"""

from collections.abc import Sequence
from typing import Any

from rlvr_sweep.data.prompts import prepare
from rlvr_sweep.data.sources import load
from rlvr_sweep.data.templates import adds_bos
from rlvr_sweep.errors import UserError
from rlvr_sweep.evals.job import Job, Prompt
from rlvr_sweep.evals.probe_scores import cut
from rlvr_sweep.evals.sampling import Task
from rlvr_sweep.grading.pool import Grader
from rlvr_sweep.train.problems import benchmarks

Made = tuple[Task, list[Prompt], int]  # the task, its prompts as text, and how many rows are left out for their length


def make_task(job: Job, *, tokenizer: Any, context: int, grader: Grader) -> Made:
    """The prompts of a job as token ids, the same as text, and how many rows are too long for it."""
    if job.kind == "label":
        return _label_task(job, tokenizer)
    if job.kind == "prefix":
        return _prefix_task(job, tokenizer, context)
    [task] = benchmarks(job.cell, tokenizer, context, grader, {})
    prompts = [
        Prompt(id=name, question_id=name, text=text, gold=gold)
        for name, text, gold in zip(task.question_ids, task.questions, task.golds, strict=True)
    ]
    return task, prompts, 0


def _label_task(job: Job, tokenizer: Any) -> Made:
    """The training prompts, but for those that training drops for their length."""
    cell = job.cell
    ready = prepare(
        load(cell.data, key="data").rows,
        tokenizer=tokenizer,
        template=cell.model.template,
        prefix=cell.model.prefix,
        max_prompt_tokens=cell.algo.max_prompt_tokens,
        key="data",
    )
    prompts = [Prompt(id=row.id, question_id=row.id, text=row.prompt, gold=row.answer) for row in ready.rows]
    return _made(job, prompts, ready.ids), prompts, ready.dropped


def _prefix_task(job: Job, tokenizer: Any, context: int) -> Made:
    """The beginning of each question as plain text; a question of too few tokens to be cut is left out.

    Of KOR-Bench the rule is given whole: it is longer than most questions, and the same for ten of them, of which a cut
    in it could ask for one at most."""
    assert job.percent is not None
    key = f"eval.benchmarks.{job.name}"
    rows = load(job.benchmark, key=key).rows
    encoded = tokenizer(
        [row.prompt for row in rows], add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    opening = [tokenizer.bos_token_id] if adds_bos(tokenizer) else []
    prompts, ids = [], []
    for row, tokens, offsets in zip(rows, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        question = row.columns["question"] if job.benchmark.kind == "kor" else row.prompt
        begin = row.prompt.rindex(question)
        count, end = cut(offsets, begin=begin, length=len(question), percent=job.percent)
        if count:
            rest = row.prompt[end : begin + len(question)]
            ids.append([*opening, *tokens[:count]])
            prompts.append(Prompt(row.id, row.id, row.prompt[:end], gold=row.answer, rest=rest))
    if not prompts:
        raise UserError(f"{key}: no question is long enough to be cut at {job.percent}%; write --percent 60 or more")
    if (longest := max(map(len, ids))) + job.max_tokens > context:
        fits = f"--max-tokens {context - longest}" if longest < context else "another benchmark, or a lower --percent"
        raise UserError(
            f"{key}: {longest} tokens of a question and {job.max_tokens} behind it exceed the model's context of "
            f"{context}; write {fits}"
        )
    return _made(job, prompts, ids), prompts, len(rows) - len(prompts)


def _made(job: Job, prompts: Sequence[Prompt], ids: list[list[int]]) -> Task:
    return Task(
        name=job.name,
        benchmark=job.benchmark,
        question_ids=[prompt.id for prompt in prompts],
        questions=[prompt.text for prompt in prompts],
        golds=[prompt.gold for prompt in prompts],
        prompts=ids,
        max_tokens=job.max_tokens,
        prefix=job.cell.model.prefix if job.kind == "label" else None,
        blind=job.kind == "label",
    )
