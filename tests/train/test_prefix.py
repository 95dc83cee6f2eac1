"""A forced start of the response: generated from and not trained on, seen by rewards, code frequency, evals, record."""

import json
from collections.abc import Callable
from typing import Any, cast

import pyarrow.parquet as pq
import pytest
from transformers import PreTrainedTokenizerBase

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.train.trainer import RLVRTrainer
from rlvr_sweep.train.worker import train

START = "```python"


def test_what_sees_a_forced_start(make_cell: Callable[..., CellDir], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []  # (what was generated from, what is trained on)
    real = RLVRTrainer._generate_and_score_completions

    def spied(self: RLVRTrainer, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = real(self, inputs)

        def decoded(part: str, row: int) -> str:
            ids = output[f"{part}_ids"][row][output[f"{part}_mask"][row] == 1]
            return str(cast(PreTrainedTokenizerBase, self.processing_class).decode(ids))

        seen.extend((decoded("prompt", row), decoded("completion", row)) for row in range(len(inputs)))
        return output

    monkeypatch.setattr(RLVRTrainer, "_generate_and_score_completions", spied)
    directory = make_cell(
        "reward=python", f"model.prefix='{START}'", "algo.rollouts=1", "eval.every=0", "eval.before=false"
    )
    assert train(directory, say=lambda **_: None, is_main=True, began=0.0)

    assert all(prompt.endswith(f"<|assistant|>{START}") for prompt, _ in seen)
    rows = pq.read_table(directory.path / "rollouts").to_pylist()
    for row, (_, trained) in zip(rows, seen, strict=True):
        assert row["text"].startswith(START)
        assert not trained.startswith(START)  # the model does not say it twice
        assert row["has_code"] and row["reward"] == 1.0  # by construction, as in the paper's code frequency
        assert START not in row["prompt"]  # the question as it was asked
    for row in pq.read_table(directory.path / "evals" / "add").to_pylist():
        assert row["text"].startswith(START) and row["has_code"]
    first = json.loads((directory.path / "metrics.jsonl").read_text().splitlines()[0])
    assert first["code_frequency"] == 1.0
    facts = json.loads((directory.path / "data.json").read_text())["prompt"]
    assert (facts["prefix"], facts["turn_end"], facts["warning"]) == (START, "<|end|>", None)


def test_a_forced_start_is_another_cell_and_says_what_it_does_to_code_frequency() -> None:
    free, forced, other = (
        compose_or_refuse(lines, multirun=False)[0] for lines in ([], [f"model.prefix='{START}'"], ["model.prefix=So"])
    )
    assert len({free.cell_id, forced.cell_id, other.cell_id}) == 3
    assert [line for line in forced.cell.deviations if "code_frequency is 1" in line]
    assert not other.cell.deviations
