"""Makes a label file for a lab cell: the majority answer of 64 samples a prompt from the model before any RL.

    python -m tests.trials.labels model=lab/olmo --out labels-olmo.jsonl

A trial's tool: vote over equal answers, ties to the first seen, no templates of others, no resume.
"""

import argparse
import json
import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")

VOTES = 64


def make(lines: list[str], out: Path) -> dict[str, float]:
    """Write `out`; the share of right labels and of prompts without any answer."""
    import torch
    from accelerate import Accelerator

    from rlvr_sweep.config.compose import compose_or_refuse
    from rlvr_sweep.data.prompts import prepare
    from rlvr_sweep.data.sources import load as load_rows
    from rlvr_sweep.draws import draw
    from rlvr_sweep.grading.extraction import extract
    from rlvr_sweep.grading.pool import Grader
    from rlvr_sweep.train.generation import HuggingFace, Sampling
    from rlvr_sweep.train.model import load

    torch.set_num_threads(1)
    cell = compose_or_refuse(lines, multirun=False)[0].cell
    model, tokenizer = load(cell)
    rows = load_rows(cell.data, key="data").rows
    ready = prepare(
        rows,
        tokenizer=tokenizer,
        template=cell.model.template,
        max_prompt_tokens=cell.algo.max_prompt_tokens,
        key="data",
    )
    trainer = SimpleNamespace(
        accelerator=Accelerator(cpu=True),
        model_wrapped=model,
        processing_class=tokenizer,
        eos_token_ids=model.generation_config.eos_token_id,
        args=SimpleNamespace(ds3_gather_for_generation=True, gradient_checkpointing_kwargs=None),
    )
    backend = HuggingFace(trainer, stop=list(cell.model.stop), batch=512)
    prompts = [ids for ids in ready.ids for _ in range(VOTES)]
    seeds = [draw(0, "label", row.id, vote) for row in ready.rows for vote in range(VOTES)]
    samples = backend.generate(prompts, Sampling(cell.algo.max_completion_tokens, 1.0), seeds=seeds)
    texts = tokenizer.batch_decode([s.ids for s in samples], skip_special_tokens=True)
    right = empty = 0
    with Grader() as grader, out.open("w") as file:
        for i, row in enumerate(ready.rows):
            answers = [extract(text, how="boxed") for text in texts[i * VOTES : (i + 1) * VOTES]]
            classes = grader.equivalence_classes(answers)
            votes = Counter(c for c in classes if c is not None)
            label = answers[classes.index(votes.most_common(1)[0][0])] if votes else ""
            right += grader.verify([(row.answer, label)])[0].correct is True
            empty += not label
            file.write(json.dumps({"id": row.id, "label": label, "prompt": row.prompt}) + "\n")
    return {"prompts": len(ready.rows), "right": right / len(ready.rows), "empty": empty / len(ready.rows)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    print(json.dumps(make(arguments.overrides, arguments.out)))
