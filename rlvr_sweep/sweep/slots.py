"""Who may start now: the GPUs of this machine, shares of them, or its cores, and what is taken of them.

    slots = Slots.of_this_machine()
    lease = slots.take(need(cell.compute, has_gpus=True))      # None: wait until another cell gives one back
    slots.give(lease)

No torch here: a process that only waits for others must not hold a CUDA context.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from rlvr_sweep import devices
from rlvr_sweep.config.rules import faults
from rlvr_sweep.config.schema import Cell, Compute
from rlvr_sweep.errors import UserError
from rlvr_sweep.sweep.gpus import check


@dataclass(frozen=True)
class Need:
    """What a cell takes while it runs: whole GPUs, a part of one, or cores; and what it offloads."""

    gpus: int = 0
    share: Fraction = Fraction(1)  # of its only GPU
    cores: int = 0
    host: int = 0  # bytes of the machine's own memory


@dataclass(frozen=True)
class Lease:
    """What a cell was given. `gpus` are what CUDA_VISIBLE_DEVICES shall hold."""

    need: Need
    gpus: tuple[str, ...] = ()


def need(compute: Compute, *, has_gpus: bool, share: Fraction = Fraction(1), host: int = 0) -> Need:
    """What a cell takes on one node; `share` of its GPU, if it has but one (sweep/packing.py), and `host` bytes of the
    node's own memory."""
    ranks = compute.ranks // compute.nodes
    if compute.device == "cpu" or (compute.device == "auto" and not has_gpus):
        return Need(cores=ranks * (compute.threads or 1))
    return Need(gpus=ranks, share=share if ranks == 1 else Fraction(1), host=host)


def _instead(cell: Cell, count: int) -> str:
    """The most of a node's `count` GPUs over which the cell's batches can be split, or cores."""
    words = "compute=cpu" if cell.compute.backend != "vllm" else "compute=cpu compute.backend=hf"
    for ranks in range(count * cell.compute.nodes, 0, -cell.compute.nodes):
        fewer: dict[str, Any] = {"ranks": ranks}
        if ranks == 1:  # ZeRO has nothing to shard on one
            fewer |= {"zero": 0, "offload": False}
        compute = cell.compute.model_copy(update=fewer)
        if not faults(cell.model_copy(update={"compute": compute})):
            return f"{'compute=gpu ' * (ranks == 1)}compute.ranks={ranks} or {words}"
    return words


class Slots:
    """The GPUs and cores to be shared out. `at_once` caps the number of cells whatever they take."""

    def __init__(
        self, gpus: tuple[str, ...], cores: int, at_once: int | None = None, *, host: int | None = None
    ) -> None:
        self.gpus, self.cores = gpus, cores
        self._free_host = devices.memory_here() if host is None else host
        self._free = {gpu: Fraction(1) for gpu in gpus}
        self._free_cores, self._leases, self._at_once = cores, 0, at_once

    @classmethod
    def of_this_machine(cls, at_once: int | None = None) -> "Slots":
        return cls(devices.gpus_here(), devices.cores_here(), at_once)

    def check(self, need: Need, cell: Cell) -> None:
        """UserError where `cell`, which takes `need`, could never start here."""
        if need.gpus > len(self.gpus):
            have = f"this machine has {len(self.gpus)}" if self.gpus else "no GPU is seen here"
            gpus = "1 GPU" if need.gpus == 1 else f"{need.gpus} GPUs"
            raise UserError(
                f"a cell takes {gpus} (compute.ranks), and {have}; write {_instead(cell, len(self.gpus))}, or see "
                "`python -m rlvr_sweep doctor`"
            )
        if need.gpus:
            check(self.gpus, ranks=need.gpus)

    def take(self, need: Need) -> Lease | None:
        """A lease, or None while others hold too much."""
        if self._at_once is not None and self._leases >= self._at_once:
            return None
        cores = min(need.cores, self.cores)  # more ranks than cores run all the same, alone
        fitting = [gpu for gpu, free in self._free.items() if free >= need.share]
        # The fullest GPU that still has room, so that a cell that wants a whole one finds it.
        fitting = sorted(fitting, key=lambda gpu: self._free[gpu])[: need.gpus]
        if len(fitting) < need.gpus or self._free_cores < cores:
            return None
        if need.host and self._leases and need.host > self._free_host:  # alone it is tried: who started it was told
            return None
        for gpu in fitting:
            self._free[gpu] -= need.share
        self._free_cores -= cores
        self._free_host -= need.host
        self._leases += 1
        order = [gpu for gpu in self.gpus if gpu in fitting]
        return Lease(need, tuple(order))

    def give(self, lease: Lease) -> None:
        for gpu in lease.gpus:
            self._free[gpu] += lease.need.share
        self._free_cores += min(lease.need.cores, self.cores)
        self._free_host += lease.need.host
        self._leases -= 1
