"""Stores of samples without any model: what a sampling process would have written, by a rule of the test's own."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlvr_sweep.data.sources import load
from rlvr_sweep.evals import rows
from rlvr_sweep.evals.job import Prompt
from rlvr_sweep.evals.store import Store

Answer = Callable[[Prompt, int], str | None]  # what sample number n of a prompt answers


def row(prompt: Prompt, sample: int, answer: str | None, *, temperature: float = 1.0, seed: int = 0) -> dict[str, Any]:
    """A row as evals/sampling.py makes it; an answer is right where it is the gold one."""
    text = "" if answer is None else f"\\boxed{{{answer}}}"
    found = dict.fromkeys(rows.SCHEMA.names) | {
        "cell_id": "0" * 12,
        "step": 0,
        "benchmark": "b",
        "prompt_id": prompt.id,
        "question_id": prompt.question_id,
        "sample": sample,
        "temperature": temperature,
        "text": text,
        "gold": prompt.gold,
        "answer": answer,
        "correct": answer == prompt.gold,
        "reason": "equal" if answer == prompt.gold else "not_equal",
        "has_code": sample % 2 == 0,
        "truncated": False,
        "tokens": 3,
        "seed": seed,
    }
    for name in ("correct_strict", "correct_lenient"):
        found[name] = found["correct"]
    return found


def process(answer: Answer, *, batch: int = 7) -> Callable[[Sequence[str]], int]:
    """Stands in for `jobs._process`: fills the stores of its words with what `answer` says."""

    def run(words: Sequence[str]) -> int:
        for samples, _, path in (word.partition(":") for word in words):
            store = Store(Path(path))
            job = store.job
            source = job.cell.data if job.kind == "label" else job.benchmark
            if not store.is_begun:
                prompts = [Prompt(r.id, r.id, r.prompt, r.answer) for r in load(source, key="data").rows]
                if job.kind == "prefix":
                    half = [len(p.text) * (job.percent or 0) // 100 for p in prompts]
                    prompts = [
                        Prompt(p.id, p.id, p.text[:at], p.gold, rest=p.text[at:])
                        for p, at in zip(prompts, half, strict=True)
                    ]
                store.write_prompts(prompts, skipped=0)
            prompts = store.prompts()
            missing = store.missing(samples=int(samples)) or []
            made = [row(prompts[p], s, answer(prompts[p], s), seed=job.cell.seed) for p, s in missing]
            for start in range(0, len(made), batch):
                store.add(made[start : start + batch])
        return 0

    return run
