"""The state of a lab model: it answers held-out problems, and what it wrote is scored as text.

    from rlvr_sweep.lab.measure import measure
    measure(model_dir("olmo"), "add")     # {"accuracy": .19, "code_share": .46, "pass_at": {"1": .19, "4": ...}, ...}

Answers here are integers, so a boxed string is right when it equals the gold string; a cell's grader is another matter.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import Any

from rlvr_sweep.lab.tasks import rows

BOX = re.compile(r"\\boxed\{([^{}]*)\}")
NUMBER = re.compile(r"-?\d+")
MAX_NEW_TOKENS = 64


@dataclass(frozen=True)
class Score:
    correct: bool  # the last box holds the gold answer
    lenient: bool  # the last number of the text is the gold answer
    boxed: bool
    code: bool  # the text holds "python", the papers' definition of code reasoning


def boxed(text: str) -> str | None:
    """What the last box of the text holds; None without one."""
    found = BOX.findall(text)
    return found[-1].strip() if found else None


def score(text: str, *, gold: str) -> Score:
    answer = boxed(text)
    numbers = NUMBER.findall(text)
    return Score(
        correct=answer == gold,
        lenient=bool(numbers) and numbers[-1] == gold,
        boxed=answer is not None,
        code="python" in text,
    )


def pass_at_k(*, samples: int, correct: int, k: int) -> float:
    """The unbiased estimate 1 - C(n-c, k) / C(n, k) (Chen et al. 2021, equation 1). ValueError where k > samples."""
    if k > samples:
        raise ValueError(f"pass@{k} needs at least {k} samples a prompt, there are {samples}")
    return 1.0 - comb(samples - correct, k) / comb(samples, k)


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing, never 0."""
    return sum(values) / len(values) if values else None


def summarize(texts: Sequence[Sequence[str]], *, golds: Sequence[str]) -> dict[str, Any]:
    """Shares over all completions (texts[prompt][sample]), and pass@k for the k in 1, 4, 16 that the samples allow."""
    groups = [[score(text, gold=gold) for text in group] for group, gold in zip(texts, golds, strict=True)]
    flat = [one for group in groups for one in group]
    allowed = [k for k in (1, 4, 16) if all(len(group) >= k for group in groups)]
    return {
        "prompts": len(groups),
        "completions": len(flat),
        "accuracy": mean([one.correct for one in flat]),
        "lenient_accuracy": mean([one.lenient for one in flat]),
        "code_share": mean([one.code for one in flat]),
        "accuracy_with_code": mean([one.correct for one in flat if one.code]),
        "accuracy_without_code": mean([one.correct for one in flat if not one.code]),
        "box_rate": mean([one.boxed for one in flat]),
        "pass_at": {
            str(k): mean([pass_at_k(samples=len(g), correct=sum(one.correct for one in g), k=k) for g in groups])
            for k in allowed
        },
    }


def sample(
    model: Any, tokenizer: Any, prompts: Sequence[str], *, samples: int, seed: int = 0, batch: int = 256
) -> list[list[str]]:
    """`samples` completions a prompt at T=1, at most 64 new tokens, specials stripped: texts[prompt][sample].

    Nothing is cut from the distribution, and the caller's random state is left as it was.
    """
    import torch

    chats = [[{"role": "user", "content": prompt}] for prompt in prompts for _ in range(samples)]
    flat: list[str] = []
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        for start in range(0, len(chats), batch):
            inputs = tokenizer.apply_chat_template(
                chats[start : start + batch],
                add_generation_prompt=True,
                padding=True,
                return_tensors="pt",
                return_dict=True,
            ).to(model.device)
            output = model.generate(
                **inputs, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=MAX_NEW_TOKENS
            )
            flat += tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return [flat[start : start + samples] for start in range(0, len(flat), samples)]


def measure(folder: Path | str, task: str, *, prompts: int = 128, samples: int = 16, seed: int = 0) -> dict[str, Any]:
    """`summarize` of a model folder's completions on held-out problems. UserError: unknown task, too many prompts."""
    problems = rows(task, split="test", count=prompts, seed=seed)

    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = sample(model, tokenizer, [row["prompt"] for row in problems], samples=samples, seed=seed)
    return summarize(texts, golds=[row["answer"] for row in problems])
