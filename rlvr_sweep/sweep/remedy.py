"""What to write where a cell does not fit into the memory there is, each tried out on the estimate before it is said.

remedy(cell, total=150_000_000_000, gpus=8, host=2_000_000_000_000)
# "write compute=zero1_x2"; "write compute=zero1_x2 on 2 GPUs, or model.lora={rank: 16} here"

What leaves the cell as it is comes first: smaller passes, smaller batches of generation, a larger share, another
preset; then what it was told to spend; LoRA, which makes another cell of it, is the last.
"""

import math
from collections.abc import Iterator

from rlvr_sweep.config.rules import arm, loss_batch
from rlvr_sweep.config.schema import Cell, Compute, Lora
from rlvr_sweep.shapes.memory import estimate
from rlvr_sweep.sweep.presets import ABOUT, fitting, is_larger, on, said

BATCHES = (256, 128, 64, 32, 16)  # completions at once, where only the KV cache is too large
SPENT = {"gradient_checkpointing": False, "vllm_sleep": False, "vllm_memory": None}  # None: more than the default
RANK = 16
ROOM_TO_SERVE = 1.2  # vLLM's kernels and more than one completion, over the weights and one


def remedy(cell: Cell, total: int, *, gpus: int, host: int) -> str:
    """For a cell that does not fit into GPUs of `total` bytes, of which a node has `gpus` and `host` bytes of its own:
    the first that helps and, where that takes a larger machine, the first that helps on this one."""
    larger, engine = "", ""
    if share := _engine_share(cell, total):
        engine = f"compute.vllm_memory={share:g}"
        cell = cell.model_copy(update={"compute": cell.compute.model_copy(update={"vllm_memory": share})})
        if fits(cell, total, host=host):
            return f"write {engine}"
    for words, where in _ways(cell, total, gpus=gpus, host=host):
        words = f"{engine} {words}".strip()
        if not where:
            return f"write {words}" if not larger else f"write {larger}, or {words} here"
        larger = larger or f"{words}{where}"
    return f"write {larger}" if larger else "no compute preset makes room, nor does LoRA; write a smaller model"


def _ways(cell: Cell, total: int, *, gpus: int, host: int) -> Iterator[tuple[str, str]]:
    """(what to write, on how many GPUs where they are more than there are)."""
    yield from ((words, "") for words, other in _in_smaller_passes(cell) if fits(other, total, host=host))
    moot = ", ".join(f"compute.{key}" for key in sorted(said(cell) & ABOUT))
    for words, other in _smaller(cell):
        if words and fits(other, total, host=host):
            yield words, ""
        if batch := _batch(other, total, host=host):
            yield f"{words} {batch}".strip(), ""
        if not words and (share := _share(cell, total, host=host)):
            yield share, ""
        for narrow in (other, _generating(other, BATCHES[-1])):
            found = fitting(narrow, total, gpus=gpus, host=host)
            if found is None:
                continue
            preset, there = found
            passes = f"compute.micro_batch={there.compute.micro_batch}"
            if there.compute.micro_batch == on(other, preset).compute.micro_batch or passes in words:
                passes = ""
            batch = None if narrow is other else _batch(there, total, host=host)
            choice = " ".join(word for word in (words, f"compute={preset}", passes, batch) if word)
            where = f" on {there.compute.ranks} GPUs" if is_larger(there.compute, cell.compute, gpus=gpus) else ""
            yield f"{choice}{f' without {moot}' if moot else ''}", where


def _engine_share(cell: Cell, total: int) -> float | None:
    """compute.vllm_memory with which vLLM can hold the model, and some completions; None where it has as much."""
    found = estimate(cell, total)
    share = math.ceil(20 * ROOM_TO_SERVE * found.served / total) / 20
    return share if found.served > found.engine and share < 1 else None


def fits(cell: Cell, total: int, *, host: int) -> bool:
    """Whether it does as it is, in its share of a GPU."""
    room = total * (cell.compute.share or 1.0)  # a share left open is made to fit
    return estimate(cell, total).fits(room, host=host)


def _smaller(cell: Cell) -> Iterator[tuple[str, Cell]]:
    """The cell, and what is smaller than it, each with what to write for it."""
    yield "", cell
    compute, words = cell.compute, []
    for key, spent in SPENT.items():
        have, usual = getattr(compute, key), Compute.model_fields[key].default
        if have is spent or (spent is None and have > usual and compute.backend == "vllm"):
            compute = compute.model_copy(update={key: usual})
            words.append(f"compute.{key}={str(usual).lower()}")
    cell, said = cell.model_copy(update={"compute": compute}), " ".join(words)
    if words:
        yield said, cell
    yield from [*_in_smaller_passes(cell, said)][-1:]
    if cell.model.lora is None:
        lora = cell.model.model_copy(update={"lora": Lora.model_validate({"rank": RANK})})
        cell, said = cell.model_copy(update={"model": lora}), " ".join([f"model.lora={{rank: {RANK}}}", *words])
        yield said, cell
        yield from [*_in_smaller_passes(cell, said)][-1:]


def _in_smaller_passes(cell: Cell, words: str = "") -> Iterator[tuple[str, Cell]]:
    """With half as many completions a forward pass, a quarter, and so on, to the fewest that the loss allows."""
    size = arm(cell).micro_batch // 2
    while size >= (loss_batch(cell) or 1):
        compute = cell.compute.model_copy(update={"micro_batch": size})
        yield f"{words} compute.micro_batch={size}".strip(), cell.model_copy(update={"compute": compute})
        size //= 2


def _generating(cell: Cell, batch: int) -> Cell:
    """With so many completions at once."""
    compute = cell.compute.model_copy(update={"generate_batch": batch})
    return cell.model_copy(update={"compute": compute, "eval": cell.eval.model_copy(update={"batch": batch})})


def _batch(cell: Cell, total: int, *, host: int) -> str | None:
    """The most completions at once with which it fits; None where not even the fewest do."""
    found = next((batch for batch in BATCHES if fits(_generating(cell, batch), total, host=host)), None)
    return None if found is None else f"compute.generate_batch={found} eval.batch={found}"


def _share(cell: Cell, total: int, *, host: int) -> str | None:
    whole = cell.model_copy(update={"compute": cell.compute.model_copy(update={"share": None})})
    if not fits(whole, total, host=host):
        return None
    return f"compute.share={math.ceil(100 * estimate(cell, total).peak / total) / 100:g}"
