"""What a rollout is made of: prompts sampled, decoded and scored, and which of the completions are trained on.

    groups, members = Rollouts(cell, scorer, trainer).collect(rows, number=3)    # of all ranks, of this one

TRL samples and scores one fixed batch. Here that is done before TRL is asked, so that more can be sampled than is
trained on: other prompts in the place of groups without spread, and completions that only vote.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from accelerate.utils import gather_object

from rlvr_sweep.config.rules import generation_batches, sampled_completions
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.data.templates import respond
from rlvr_sweep.draws import draw
from rlvr_sweep.train.dynamic_sampling import has_spread, sample
from rlvr_sweep.train.generation import Sample, Sampling
from rlvr_sweep.train.scoring import Prompt, Scored, Scorer, completion


class Group(NamedTuple):
    """A prompt's completions in slot order; where more are sampled than trained on, the first ones are."""

    row: dict[str, Any]  # of the training data
    samples: list[Sample]  # [] for other ranks' groups, where they are not needed
    scored: list[Scored]
    batch: int  # the generation batch of the rollout, from 1


@dataclass(frozen=True)
class Member:
    """A completion to train on, and the position of its group among all that were sampled for the rollout."""

    row: dict[str, Any]
    sample: Sample
    scored: Scored
    group: int


class Rollouts:
    """Makes rollouts. `consumed` (generation batches since the start of the run) must survive a resume; `seconds` holds
    those of the last rollout by phase."""

    def __init__(self, cell: Cell, scorer: Scorer, trainer: Any) -> None:
        self.cell, self.scorer, self.trainer = cell, scorer, trainer
        self.sampled, self.trained = sampled_completions(cell), cell.algo.completions_per_prompt
        is_corrected = cell.estimator.rollout_correction != "none"
        self.sampling = Sampling(cell.algo.max_completion_tokens, cell.algo.temperature, logprobs=is_corrected)
        self.consumed = 0
        self.seconds: dict[str, float] = {}

    def collect(self, rows: Sequence[dict[str, Any]], *, number: int) -> tuple[list[Group], list[Member]]:
        """Rollout `number` (from 1) over `rows`, this rank's prompts; with dynamic sampling these are not looked at, as
        how far the data has been read depends on what was dropped."""
        self.seconds = {"generate": 0.0, "sync": 0.0, "score": 0.0}
        accelerator, wanted = self.trainer.accelerator, self.trainer.batch.prompts
        own = wanted // accelerator.num_processes
        first = accelerator.process_index * own
        if not self.cell.estimator.dynamic_sampling:
            local = self._groups(rows, number=number, batch=1)
            groups = gather_object([group._replace(samples=[]) for group in local])
            return groups, self._members(list(enumerate(local, first)))
        begin = self.consumed

        def generate() -> list[Group]:
            start = self.consumed * wanted + first
            self.consumed += 1
            fresh = [self.trainer.train_dataset[i] for i in range(start, start + own)]
            return gather_object(self._groups(fresh, number=number, batch=self.consumed - begin))

        groups, chosen = sample(generate, spread=self._has_spread, wanted=wanted, most=generation_batches(self.cell))
        return groups, self._members([(position, groups[position]) for position in chosen[first : first + own]])

    def _groups(self, rows: Sequence[dict[str, Any]], *, number: int, batch: int) -> list[Group]:
        """One group a row, on this rank; all ranks must call it equally often."""
        began, size = time.perf_counter(), self.sampled
        visits = [row for row in rows for _ in range(size)]
        seeds = [draw(self.cell.seed, "rollout", number, r["row_id"], i % size) for i, r in enumerate(visits)]
        prompts = [row["prompt_ids"] for row in visits]
        samples = self.trainer.backend.generate(prompts, self.sampling, seeds=seeds)
        generated = time.perf_counter()
        texts = self.trainer.processing_class.batch_decode([s.ids for s in samples], skip_special_tokens=True)
        prefix, how, verifier = self.cell.model.prefix, self.cell.algo.extraction, self.cell.data.verifier
        members = [
            completion(respond(prefix, text), tokens=len(s.ids), truncated=s.truncated, how=how, verifier=verifier)
            for text, s in zip(texts, samples, strict=True)
        ]
        asked = [Prompt(r["row_id"], r["prompt"], r["gold"], r["label"], json.loads(r["columns"])) for r in rows]
        parts = [slice(i, i + size) for i in range(0, len(visits), size)]
        scored = self.scorer.score(asked, [members[part] for part in parts], rollout=number)
        self.seconds["generate"] += generated - began
        self.seconds["sync"] += self.trainer.backend.waking
        self.seconds["score"] += time.perf_counter() - generated
        return [Group(row, samples[part], scored[part], batch) for row, part in zip(rows, parts, strict=True)]

    def _has_spread(self, group: Group) -> bool:
        return has_spread([scored.reward for scored in group.scored[: self.trained]])

    def _members(self, groups: Sequence[tuple[int, Group]]) -> list[Member]:
        return [
            Member(group.row, group.samples[slot], group.scored[slot], position)
            for position, group in groups
            for slot in range(self.trained)
        ]
