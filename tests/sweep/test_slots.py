"""Nobody gets a GPU or a core twice, and what is given back can be had again."""

from fractions import Fraction

import pytest

from rlvr_sweep import devices
from rlvr_sweep.config.compose import compose, compose_or_refuse
from rlvr_sweep.config.schema import Cell, Compute
from rlvr_sweep.errors import UserError
from rlvr_sweep.sweep.slots import Lease, Need, Slots, need

PAPERS = ["experiment=spurious_rewards/base"]


def composed(*lines: str) -> Cell:
    return compose_or_refuse([*PAPERS, *lines], multirun=False)[0].cell


def taken(lease: Lease | None) -> tuple[str, ...]:
    assert lease is not None
    return lease.gpus


def test_whole_gpus_go_to_one_cell_each() -> None:
    machine = Slots(("0", "1", "2"), cores=4)
    first = machine.take(Need(gpus=2))
    assert taken(first) == ("0", "1")
    assert machine.take(Need(gpus=2)) is None
    assert taken(machine.take(Need(gpus=1))) == ("2",)
    assert first is not None
    machine.give(first)
    assert taken(machine.take(Need(gpus=2))) == ("0", "1")


def test_shares_fill_a_gpu_before_the_next_one() -> None:
    machine = Slots(("0", "1"), cores=4)
    third = Need(gpus=1, share=Fraction(1, 3))
    assert [taken(machine.take(third)) for _ in range(3)] == [("0",)] * 3
    assert taken(machine.take(Need(gpus=1))) == ("1",)
    assert machine.take(third) is None


def test_what_is_offloaded_is_shared_out_too() -> None:
    machine = Slots(("0", "1", "2", "3"), cores=4, host=200)
    first, second = machine.take(Need(gpus=1, host=91)), machine.take(Need(gpus=1, host=91))
    assert taken(first) == ("0",) and taken(second) == ("1",)
    assert machine.take(Need(gpus=1, host=91)) is None
    assert taken(machine.take(Need(gpus=1))) == ("2",)
    assert first is not None
    machine.give(first)
    assert taken(machine.take(Need(gpus=1, host=91))) == ("0",)


def test_what_offloads_more_than_there_is_runs_beside_what_offloads_nothing() -> None:
    machine = Slots(("0", "1", "2"), cores=4, host=10)
    assert taken(machine.take(Need(gpus=1, host=91))) == ("0",)  # compute.check_memory=false: as it was told to
    assert taken(machine.take(Need(gpus=1))) == ("1",) and machine.take(Need(cores=1)) is not None
    assert machine.take(Need(gpus=1, host=1)) is None


def test_a_cell_of_more_ranks_than_cores_runs_alone() -> None:
    machine = Slots((), cores=2)
    lease = machine.take(Need(cores=4))
    assert lease is not None
    assert machine.take(Need(cores=1)) is None
    machine.give(lease)
    assert [machine.take(Need(cores=1)) is not None for _ in range(3)] == [True, True, False]


def test_a_cap_counts_cells() -> None:
    machine = Slots(("0", "1", "2"), cores=4, at_once=1)
    assert machine.take(Need(gpus=1)) is not None
    assert machine.take(Need(gpus=1)) is None


def test_what_can_never_start_is_said_before() -> None:
    cell = composed("compute=zero2_x8", "compute.backend=hf")
    with pytest.raises(UserError, match=r"takes 8 GPUs .* this machine has 2; write compute\.ranks=2 or compute=cpu,"):
        Slots(("0", "1"), cores=4).check(Need(gpus=8), cell)
    with pytest.raises(UserError, match=r"this machine has 1; write compute=gpu compute\.ranks=1 or compute=cpu,"):
        Slots(("0",), cores=4).check(Need(gpus=8), cell)
    assert not compose([*PAPERS, "compute=gpu", "compute.ranks=1"], multirun=False).faults
    with pytest.raises(UserError, match="no GPU is seen here; write compute=cpu,"):
        Slots((), cores=4).check(Need(gpus=1), cell)


def test_what_is_advised_instead_is_no_mistake() -> None:
    cell = composed("compute=zero2_x4")
    advised = r"has 3; write compute\.ranks=2 or compute=cpu compute\.backend=hf,"  # 64 prompts cannot be split over 3
    with pytest.raises(UserError, match=advised):
        Slots(("1", "2", "3"), cores=4).check(Need(gpus=4), cell)
    for words in ("compute=zero2_x4 compute.ranks=2", "compute=cpu compute.backend=hf"):
        assert not compose([*PAPERS, *words.split()], multirun=False).faults


@pytest.mark.parametrize(
    ("compute", "has_gpus", "wanted"),
    [
        ({"device": "auto"}, False, Need(cores=1)),
        ({"device": "auto"}, True, Need(gpus=1)),
        ({"device": "cuda", "ranks": 8, "nodes": 2}, True, Need(gpus=4)),
        ({"device": "cuda", "ranks": 2}, True, Need(gpus=2)),
        ({"device": "cpu", "ranks": 2, "threads": 3}, True, Need(cores=6)),
    ],
)
def test_what_a_cell_takes(compute: dict, has_gpus: bool, wanted: Need) -> None:
    assert need(Compute(name="x", **compute), has_gpus=has_gpus) == wanted


@pytest.mark.parametrize(("visible", "seen"), [("", ()), ("-1", ()), ("0, 3", ("0", "3")), ("GPU-ab", ("GPU-ab",))])
def test_only_visible_gpus_count(monkeypatch: pytest.MonkeyPatch, visible: str, seen: tuple[str, ...]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices.gpus_here() == seen
