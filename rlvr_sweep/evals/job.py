"""One thing to sample from a model that nobody has trained: what it is, and the id that it has from that.

    Job("label", cell, hashes).id     # "630482240854"

The id is a hash of model, data, sampling and extractor; how many samples are wanted is not in it, so that 256 samples
go on from 64. The samples lie in a store (evals/store.py).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rlvr_sweep.config.schema import Benchmark, Cell

# Raise it when the extractors, the graders or the rows come to mean something else: samples are then made anew.
EXTRACTORS = 1
UNCOUNTED = ("samples", "ks")  # of a benchmark: how much is sampled and reported of it, not what
OF_TRAINING = ("repeat", "label_filter", "empty_labels")  # of the data: what is done with it when it is labelled

Kind = Literal["benchmark", "label", "prefix"]


@dataclass(frozen=True)
class Job:
    """One thing to sample: one benchmark of a cell, as the cell's first evaluation does (`benchmark`), its training
    prompts (`label`), or the first `percent` of each question, to be completed (`prefix`).

    `cell` has that benchmark alone; for a label job it is named "label" and says how the data's rows are sampled.
    `hashes` are those of the cell's files (config/content.py).
    """

    kind: Kind
    cell: "Cell"
    hashes: dict[str, str]
    percent: int | None = None

    @property
    def name(self) -> str:
        return next(iter(self.cell.eval.benchmarks))

    @property
    def benchmark(self) -> "Benchmark":
        return self.cell.eval.benchmarks[self.name]

    @property
    def identity(self) -> dict[str, Any]:
        """All that can change a sample or its verdict, as plain JSON."""
        from rlvr_sweep.config.identity import identity

        whole = identity(self.cell, self.hashes)
        parts = whole["cell"]
        bench = {k: v for k, v in parts["eval"]["benchmarks"][self.name].items() if k not in UNCOUNTED}
        source = f"eval.benchmarks.{self.name}"
        found = {
            "kind": self.kind,
            "extractors": EXTRACTORS,
            "seed": self.cell.seed,
            "model": parts["model"],
            "grading": parts["grading"],
            "benchmark": {"name": self.name, **bench, "max_completion_tokens": self.max_tokens},
            "content": {key: whole["content"].get(key) for key in ("model", source)},
        }
        if self.kind == "label":
            found["data"] = {k: v for k, v in parts["data"].items() if k not in OF_TRAINING}
            found["content"] = {key: whole["content"].get(key) for key in ("model", "data")}
            found["max_prompt_tokens"] = self.cell.algo.max_prompt_tokens
        if self.kind == "prefix":
            found["percent"] = self.percent
            found |= {"of": "question"} if self.benchmark.kind == "kor" else {}  # once it was of rule and question
        return found

    @property
    def id(self) -> str:
        """The first 12 hex digits of SHA-256 over the identity."""
        from rlvr_sweep.config.identity import digest

        return digest(self.identity)

    @property
    def max_tokens(self) -> int:
        return self.benchmark.max_completion_tokens or self.cell.algo.max_completion_tokens

    @property
    def slug(self) -> str:
        """A readable name; the id beside it makes it unique."""
        what = self.name if self.percent is None else f"{self.name}-{self.percent}percent"
        heat = "greedy" if self.benchmark.temperature == 0 else f"t{self.benchmark.temperature:g}"
        prompt = self.cell.model.template + ("-prefix" if self.cell.model.prefix else "")
        text = f"{self.cell.model.name}-{prompt}-{what}-{heat}"
        return "".join(c if c.isalnum() or c in "._-" else "-" for c in text)[:80]


@dataclass(frozen=True)
class Prompt:
    """A prompt of a job. Of a `prefix` job, `text` is what the model was given and `rest` what it was not."""

    id: str
    question_id: str
    text: str
    gold: str
    rest: str | None = None
