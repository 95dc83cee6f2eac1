"""What a cell will hold of a GPU's memory, worked out from its model's config.json before anything starts.

    found = estimate(cell)              # Estimate, or Unknown is raised with the reason
    found.peak, found.phase             # 61e9, "update"
    checkpoint_bytes(cell)              # 18e9, on the disk

A sum of terms in bytes a GPU; the largest of three phases counts. It is a model of the code in train/, not of CUDA:
the allocator's losses are a share of the whole (RESERVE). Pure Python, no torch.
"""

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from rlvr_sweep.config.content import model_path
from rlvr_sweep.config.rules import arm, sampled_completions
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.shapes.offload import host_bytes
from rlvr_sweep.shapes.sizes import Sizes, Unknown
from rlvr_sweep.shapes.table import SHAPES, find_shape, name_in

CONTEXT = 1_000_000_000  # CUDA's context and the kernels' workspaces
RESERVE = 0.05  # of the rest: what the allocator holds and cannot hand out
TILE = (4096, 32768)  # tokens and words of vocabulary that TRL's fused LM head takes at a time
ROOMY = 0.85  # of what there is: how much an estimate may take for activations to be kept
PIECES = 1.25  # of activations that are kept in some passes and not in others: blocks of many sizes leave gaps
BUCKET = 500_000_000  # elements that DeepSpeed reduces at a time
SAVED_A_SECOND = 500_000_000  # bytes of a checkpoint; 0.6 to 1.2 GB of whole models (worked out) were seen

Phase = Literal["generate", "update", "step"]
# What is held in a phase, besides what is always held.
HELD: dict[Phase, tuple[str, ...]] = {
    "generate": ("kv_cache", "generation_logits", "prompts", "gathered_weights", "autocast_weights", "engine"),
    "update": ("gradients", "buckets", "autocast_weights", "gathered_layer", "activations", "logits"),
    "step": ("gradients", "step_gradients"),
}
ALWAYS = ("weights", "optimizer", "reference", "resident_engine", "context")


@dataclass(frozen=True)
class Estimate:
    """Bytes a GPU by term. `parameters`: all of the model's; `trained`: those the optimizer updates; `host`: bytes that
    offloading holds in a node's own memory; `served`: those that vLLM beside the trainer must have of a GPU."""

    parameters: int
    trained: int
    terms: dict[str, int]
    host: int = 0
    served: int = 0

    @cached_property
    def phases(self) -> dict[Phase, int]:
        """Bytes in each phase, reserve included."""
        always = sum(self.terms.get(name, 0) for name in ALWAYS)
        held: dict[Phase, int] = {
            phase: always + sum(self.terms.get(name, 0) for name in names) for phase, names in HELD.items()
        }
        return {phase: round(size * (1 + RESERVE)) for phase, size in held.items()}

    @property
    def phase(self) -> Phase:
        return max(self.phases, key=lambda phase: self.phases[phase])

    @property
    def peak(self) -> int:
        return self.phases[self.phase]

    @property
    def engine(self) -> int:
        """What vLLM may take: its share of the GPU."""
        return self.terms.get("engine", 0) or self.terms.get("resident_engine", 0)

    def fits(self, total: float, *, host: int) -> bool:
        """Whether it does, into a GPU of `total` bytes and a node that has `host` of its own."""
        return self.peak <= total and self.host <= host and self.served <= self.engine

    def as_json(self) -> dict[str, Any]:
        """The formula's terms, for --json."""
        sizes = {"parameters": self.parameters, "trained_parameters": self.trained, "host_bytes": self.host}
        sizes["engine_least_bytes"] = self.served
        return {"peak_bytes": self.peak, "phase": self.phase, "phases": self.phases, "terms": self.terms} | sizes


def estimate(cell: Cell, total: int | None = None) -> Estimate:
    """The memory of a cell, a GPU. `total` is that of the GPU, of which vLLM takes its share; Unknown is raised where
    the model's config.json is not at hand."""
    if cell.compute.gradient_checkpointing == "auto":
        kept = kept_tokens(cell, total)
        found = estimate(recomputing(cell, kept is not None), total)
        if kept:
            most = round(kept * PIECES * _kept_bytes(cell))
            found.terms["activations"] = max(found.terms["activations"], most)
        return found
    sizes = sizes_of(cell)
    compute, batch, lora = cell.compute, arm(cell), cell.model.lora
    ranks, zero = compute.ranks, compute.zero
    count = sizes.parameters
    trained = sizes.lora_parameters(lora.rank, lora.targets) if lora else count
    half = 2 if cell.model.dtype == "bfloat16" else 4  # bytes of a number in computation
    master = half if zero or lora else 4  # of the weights that a forward pass reads
    adapter = half if zero else 4  # of what is trained
    shard = {1: (1, 1, ranks), 2: (1, ranks, ranks), 3: (ranks, ranks, ranks)}.get(zero, (1, 1, 1))
    of_weights, of_gradients, of_optimizer = shard
    on_gpu = 0 if compute.offload and zero else 1
    weights_here = 0 if compute.offload and zero == 3 else 1

    weights = (count * master + (trained * adapter if lora else 0)) // of_weights * weights_here
    # Adam's two moments in float32, and under DeepSpeed a float32 copy of the weights (ZeRO-3: not of float32 ones).
    optimizer = trained * (12 if zero and (half == 2 or zero < 3) else 8) // of_optimizer * on_gpu
    is_split = zero == 0 and ranks > 1
    length = cell.algo.max_prompt_tokens + cell.algo.max_completion_tokens
    tokens = batch.micro_batch * length
    terms = {
        "weights": weights,
        "optimizer": optimizer,
        "reference": 0 if lora or not cell.estimator.kl else count * (half if zero else 4) // of_weights,
        "context": CONTEXT,
        "gradients": trained * adapter // of_gradients * (1 if zero < 2 else on_gpu),
        "buckets": trained * adapter if is_split else 2 * min(BUCKET, trained) * adapter if zero and ranks > 1 else 0,
        # Autocast keeps the bfloat16 copies of float32 weights until the pass is over.
        "autocast_weights": sizes.layers * sizes.layer * 2 if master == 4 and half == 2 else 0,
        "gathered_layer": 0 if zero != 3 else 2 * max(sizes.layer, sizes.vocabulary * sizes.hidden) * half,
        "activations": _activations(sizes, cell, tokens=tokens, length=length, half=half, residual=master),
        "logits": _logits(sizes, tokens=tokens, half=half, is_trained=lora is None),
        "step_gradients": trained * 4 // of_optimizer * on_gpu if zero and half == 2 else 0,
    }
    sampled = sampled_completions(cell) * batch.prompts // ranks
    terms |= _generation(sizes, cell, total, completions=sampled, length=length, half=half, residual=master)
    if zero == 3:
        terms["gathered_weights"] = count * half
    terms = {name: size for name, size in terms.items() if size}
    served = _served(sizes, length=length, half=half) if compute.backend == "vllm" else 0
    return Estimate(count, trained, terms, host_bytes(cell, sizes), served)


def saving_seconds(cell: Cell) -> float:
    """What is reckoned for writing a checkpoint before one was timed; 0 where its size is not known."""
    try:
        return checkpoint_bytes(cell) / SAVED_A_SECOND
    except Unknown:
        return 0.0


def checkpoint_bytes(cell: Cell) -> int:
    """What a checkpoint takes of the disk, with its optimizer; while one is written the one before is still there.
    Unknown as `estimate`. Left out: the tokenizer, random states, a rollout that it is in the middle of."""
    compute, lora = cell.compute, cell.model.lora
    sizes = sizes_of(cell)
    trained = sizes.lora_parameters(lora.rank, lora.targets) if lora else sizes.parameters
    size = trained * 12  # float32 weights, those that Adam updates, and its two moments
    if compute.zero in (1, 2):  # and those to compute with
        size += trained * (2 if cell.model.dtype == "bfloat16" else 4)
    return size


def kept_tokens(cell: Cell, total: int | None) -> int | None:
    """compute.gradient_checkpointing, as the tokens of a pass up to which its activations are kept for the backward
    pass; a longer one computes them anew, for the same gradients and a third more work. None: kept in every pass, 0: in
    none. auto keeps what there is room for (`total` bytes a GPU; of an unknown one, nothing). All passes or none where
    they are padded, and under ZeRO-3, whose ranks gather the weights of a layer once more to compute it anew: all of
    them, or the others wait forever."""
    said = cell.compute.gradient_checkpointing
    if said != "auto":
        return 0 if said else None
    if total is None:
        return 0
    try:
        sizes, least = sizes_of(cell), estimate(recomputing(cell, True), total)
    except Unknown:
        return 0
    room = ROOMY * total * (cell.compute.share or 1.0) - least.phases["update"]  # a share left open is made to fit
    left = room / (1 + RESERVE) + least.terms["activations"]
    kept = max(0, int(left / (PIECES * _kept_bytes(cell))))
    if kept >= _longest_pass(cell):
        return None
    return 0 if cell.compute.zero == 3 or _is_padded(sizes, cell) else kept


def recomputing(cell: Cell, on: bool) -> Cell:
    """The cell with compute.gradient_checkpointing so."""
    return cell.model_copy(update={"compute": cell.compute.model_copy(update={"gradient_checkpointing": on})})


def _kept_bytes(cell: Cell) -> float:
    """Activations of a token, kept."""
    return estimate(recomputing(cell, False)).terms["activations"] / _longest_pass(cell)


def _longest_pass(cell: Cell) -> int:
    """Tokens that a micro-batch can have."""
    return arm(cell).micro_batch * (cell.algo.max_prompt_tokens + cell.algo.max_completion_tokens)


def _is_padded(sizes: Sizes, cell: Cell) -> bool:
    """As train/passes.py's obstacle says of the model itself."""
    return sizes.has_window or cell.model.attention == "eager"


def _activations(sizes: Sizes, cell: Cell, *, tokens: int, length: int, half: int, residual: int) -> int:
    """What a forward pass keeps for the backward one."""
    h, is_lora, is_padded = sizes.hidden, cell.model.lora is not None, _is_padded(sizes, cell)
    layer = sizes.kept_bytes_per_token(half, residual, lora=is_lora, padded=is_padded)
    layer += _eager(sizes, cell, length, half=half)
    if not cell.compute.gradient_checkpointing:
        return tokens * (sizes.layers * layer + 4 * h)
    return tokens * (sizes.layers * h * residual + layer + 4 * h)


def _eager(sizes: Sizes, cell: Cell, length: int, *, half: int) -> int:
    """An eager attention's weights for a token of a row of `length`, in float32 and as they are used: rows are padded
    there, and none sees another."""
    return sizes.heads * length * (4 + half) if cell.model.attention == "eager" else 0


def _logits(sizes: Sizes, *, tokens: int, half: int, is_trained: bool) -> int:
    """A tile of the fused LM head and its products, and the head's gradient in float32."""
    tile = min(tokens, TILE[0]) * min(sizes.vocabulary, TILE[1]) * half
    return tile + tokens * sizes.hidden * 4 + (sizes.vocabulary * sizes.hidden * 4 if is_trained else 0)


def _generation(
    sizes: Sizes, cell: Cell, total: int | None, *, completions: int, length: int, half: int, residual: int
) -> dict[str, int]:
    """KV cache and logits of `completions` a rank, or what vLLM takes."""
    compute = cell.compute
    if compute.backend == "vllm_server":  # on other GPUs
        return {}
    if compute.backend == "vllm":
        engine = _served(sizes, length=length, half=half) if total is None else round(total * compute.vllm_memory)
        sleeps = compute.vllm_sleep
        return {"engine" if sleeps else "resident_engine": engine}
    at_once = min(compute.generate_batch or completions, completions)
    # Rotary positions leave the keys in the residual stream's type, and transformers' cache of a window keeps them so.
    keys = residual if sizes.has_window and not cell.model.lora else half
    width = sizes.kv_bytes_per_token(half) // 2 + sizes.kv_bytes_per_token(keys) // 2
    tokens, rows, prompt = at_once * length, at_once, cell.algo.max_prompt_tokens
    for benchmark in cell.eval.benchmarks.values():
        most = benchmark.max_completion_tokens or cell.algo.max_completion_tokens
        asked = (
            cell.eval.batch if benchmark.count is None else min(cell.eval.batch, benchmark.count * benchmark.samples)
        )
        tokens, rows = max(tokens, asked * (prompt + most)), max(rows, asked)
    return {
        "kv_cache": tokens * width,
        "generation_logits": 3 * at_once * sizes.vocabulary * 4,
        # The first pass has all prompts at once; of an MLP gate, up and their product are there together.
        "prompts": rows * prompt * (3 * sizes.intermediate * half + _eager(sizes, cell, prompt, half=half)),
    }


def _served(sizes: Sizes, *, length: int, half: int) -> int:
    """What vLLM cannot do without: the weights, and the cache of one completion."""
    return sizes.parameters * half + length * sizes.kv_bytes_per_token(half)


def sizes_of(cell: Cell) -> Sizes:
    """From the folder, the table of shapes, or the Hub's cache; Unknown where none of them has the model."""
    if (shape := name_in(cell.model.path)) is not None:
        return Sizes.of(find_shape(shape).config())
    folder = model_path(cell)
    if folder is not None:
        return _read(folder / "config.json")
    for shape in SHAPES.values():
        if cell.model.hub in shape.hubs:
            return Sizes.of(shape.config())
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(str(cell.model.hub), "config.json", revision=cell.model.revision)
    if not isinstance(cached, str):
        raise Unknown(f"{cell.model.hub} is not in the Hub's cache; `python -m rlvr_sweep prefetch` brings it")
    return _read(Path(cached))


@lru_cache(maxsize=64)
def _read(file: Path) -> Sizes:
    try:
        return Sizes.of(json.loads(file.read_text()))
    except (OSError, ValueError) as error:
        raise Unknown(str(error) if isinstance(error, Unknown) else f"{file} cannot be read") from None
