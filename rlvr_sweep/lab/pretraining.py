"""From a family's recipe to a Hugging Face model folder, in about two CPU minutes.

    from rlvr_sweep.lab import pretraining
    pretraining.build("qwen_math", "/tmp/qwen_math")       # or: python -m rlvr_sweep lab build qwen_math

On one thread the same recipe and libraries give the same weights; another processor or torch rounds differently.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr_sweep.errors import UserError
from rlvr_sweep.lab.corpus import document, tokenizer_texts
from rlvr_sweep.lab.families import Family, find_family, recipe_hash, settings
from rlvr_sweep.lab.measure import measure
from rlvr_sweep.lab.tasks import TASKS, rows

if TYPE_CHECKING:
    from torch import Tensor

PAD, END, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"
TEMPLATE = (
    "{% for m in messages %}"
    "{% if m.role == 'user' %}" + USER + "{{ m.content }}"
    "{% elif m.role == 'assistant' %}" + ASSISTANT + "{{ m.content }}" + END + ""
    "{% else %}{{ raise_exception('a lab model knows only the roles user and assistant') }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}" + ASSISTANT + "{% endif %}"
)
CHUNK = 4096  # documents tokenized at a time
Progress = Callable[[int, int, float], None]  # (step, steps, loss)


def train_tokenizer(family: Family) -> Any:
    """A byte-level BPE tokenizer of one digit a token, trained on faultless documents of both strategies.

    It is a `Qwen2Tokenizer`, since transformers rebuilds a tokenizer from its class name: a home-made one beside a
    Qwen2 config would be read back with other rules than it was trained with.
    """
    from transformers import Qwen2Tokenizer

    special: dict[str, Any] = {"pad_token": PAD, "unk_token": PAD, "eos_token": END}
    blank = Qwen2Tokenizer(**special, additional_special_tokens=[USER, ASSISTANT])
    trained = blank.train_new_from_iterator(tokenizer_texts(), vocab_size=family.size.vocab_size, show_progress=False)
    for name, value in (("padding_side", "left"), ("model_max_length", family.size.max_position_embeddings)):
        setattr(trained, name, value)
        trained.init_kwargs[name] = value  # what is not among these is not saved
    trained.chat_template = TEMPLATE
    return trained


def make_model(family: Family, tokenizer: Any) -> Any:
    """The family's architecture with random weights, drawn from the schedule's seed."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    size = asdict(family.size)
    rope = {"rope_type": "default", "rope_theta": size.pop("rope_theta")}
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    config = AutoConfig.for_model(family.architecture, **size, **ids, rope_parameters=rope, tie_word_embeddings=True)
    with torch.random.fork_rng():
        torch.manual_seed(family.schedule.seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.generation_config = GenerationConfig(do_sample=True, temperature=1.0, top_k=0, top_p=1.0, **ids)
    return model


def batches(family: Family, tokenizer: Any) -> "Iterator[tuple[Tensor, Tensor]]":
    """(input ids, labels), each (batch, length), right-padded; labels are -100 on the question and the padding.

    Batches are not sorted by length: each would be of one strategy, and the mix would swing from step to step.
    """
    import torch

    plan, total = family.schedule, family.schedule.steps * family.schedule.batch
    for start in range(0, total, CHUNK - CHUNK % plan.batch):
        stop = min(total, start + CHUNK - CHUNK % plan.batch)
        pairs = [document(family.mix, seed=plan.seed, index=index) for index in range(start, stop)]
        heads = tokenizer([f"{USER}{question}{ASSISTANT}" for question, _ in pairs])["input_ids"]
        tails = tokenizer([f"{answer}{END}" for _, answer in pairs])["input_ids"]
        for first in range(0, len(pairs), plan.batch):
            some = list(zip(heads[first : first + plan.batch], tails[first : first + plan.batch], strict=True))
            length = max(len(head) + len(tail) for head, tail in some)
            ids = torch.full((len(some), length), tokenizer.pad_token_id)
            labels = torch.full((len(some), length), -100)
            for row, (head, tail) in enumerate(some):
                end = len(head) + len(tail)
                ids[row, :end] = torch.tensor(head + tail)
                labels[row, len(head) : end] = torch.tensor(tail)
            yield ids, labels


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread inside: sums in a fixed order, and no quarrel over the cores with so small a model."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def pretrain(family: Family, model: Any, tokenizer: Any, *, progress: Progress | None = None) -> list[float]:
    """Train the model in place; the loss of every step."""
    import torch

    plan = family.schedule
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=plan.learning_rate, betas=plan.betas, weight_decay=plan.weight_decay
    )

    def rate(step: int) -> float:
        if step < plan.warmup:
            return (step + 1) / plan.warmup
        along = (step - plan.warmup) / max(1, plan.steps - plan.warmup)
        return plan.floor + (1 - plan.floor) * (1 + math.cos(math.pi * along)) / 2

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    losses: list[float] = []
    model.train()
    for step, (ids, labels) in enumerate(batches(family, tokenizer)):
        loss = model(input_ids=ids, attention_mask=(ids != tokenizer.pad_token_id).long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
        optimizer.step()
        scheduler.step()
        losses.append(float(loss.detach()))
        if progress:
            progress(step + 1, plan.steps, losses[-1])
    model.eval()
    return losses


def build(
    family: Family | str,
    out_dir: Path | str,
    *,
    steps: int | None = None,
    progress: Progress | None = None,
    prompts: int = 128,
    samples: int = 16,
) -> dict[str, Any]:
    """Pretrain a family into `out_dir` and measure it on every task (`prompts` held-out problems x `samples`).

    `steps` overrides the schedule; the recipe's hash is then another. Returns what it wrote to recipe.json: `hash`,
    `settings`, `parameters`, `measured` (by task), `made_with` (versions, CPU seconds, first and last losses).
    UserError: an unknown family, steps below 1, more prompts than a task has, a folder that cannot be written.
    """
    recipe = find_family(family) if isinstance(family, str) else family
    if steps is not None:
        if steps < 1:
            raise UserError(f"steps={steps} of lab build {recipe.name}: write 1 or more")
        recipe = replace(recipe, schedule=replace(recipe.schedule, steps=steps))
    for task in TASKS:
        rows(task, split="test", count=prompts)  # refused now, not after two minutes of training
    out = Path(out_dir)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write the model folder {out}: {error.strerror}; name another with --out") from error

    import torch
    import transformers

    start = time.process_time()
    with one_thread():
        tokenizer = train_tokenizer(recipe)
        model = make_model(recipe, tokenizer)
        losses = pretrain(recipe, model, tokenizer, progress=progress)
        tokenizer.save_pretrained(out)
        model.save_pretrained(out)
        (out / "model.safetensors").chmod(0o644)  # safetensors writes for its owner alone; a package is read by others
        trained = time.process_time()
        measured = {task: measure(out, task, prompts=prompts, samples=samples) for task in TASKS}
    record = {
        "hash": recipe_hash(recipe),
        "settings": settings(recipe),
        "parameters": model.num_parameters(),
        "measured": measured,
        "made_with": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "cpu_seconds": round(trained - start, 1),
            "measuring_cpu_seconds": round(time.process_time() - trained, 1),
            "first_losses": losses[:10],
            "last_losses": losses[-10:],
        },
    }
    (out / "recipe.json").write_text(json.dumps(record, indent=2) + "\n")
    return record
