"""Historical variance: the published ranking, ours from a run's rollouts, and what a wrong rank or id says."""

import json
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.config.tree import conf_dir
from rlvr_sweep.data.one_shot import choose, main, override, rank, read_history, run_history
from rlvr_sweep.data.order import order
from rlvr_sweep.data.rows import prompt_id
from rlvr_sweep.errors import UserError

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "data" / "one_shot" / "acc_step_500.json"

# model_task_alignment, 6.1: rank -> (index in DSR-sub, std, mean)
TABLE = {
    1: ("124", 0.40676, 0.441),
    2: ("267", 0.39607, 0.351),
    4: ("931", 0.324, 0.635),
    7: ("568", 0.309, 0.478),
    11: ("875", 0.278, 0.530),
    13: ("682", 0.27261, 0.549),
    16: ("50", 0.269, 0.407),
    17: ("870", 0.261, 0.432),
    605: ("60", 0.107, 0.077),
    606: ("906", 0.107, 0.914),
    1201: ("847", 0.0, 0.0),
    1207: ("174", 0.0, 0.0),
    1208: ("770", 0.0, 0.0),
    1209: ("789", 0.0, 0.0),
}
PI_1 = (
    r"The pressure \( P \) exerted by wind on a sail varies jointly as the area \( A \) of the sail and the cube of "
    r"the wind's velocity \( V \). When the velocity is \( 8 \) miles per hour, the pressure on a sail of \( 2 \) "
    r"square feet is \( 4 \) pounds. Find the wind velocity when the pressure on \( 4 \) square feet of sail is "
    r"\( 32 \) pounds."
)
PI_13 = (
    "Given that circle $C$ passes through points $P(0,-4)$, $Q(2,0)$, and $R(3,-1)$.  \n$(1)$ Find the equation of "
    "circle $C$.  \n$(2)$ If the line $l: mx+y-1=0$ intersects circle $C$ at points $A$ and $B$, and $|AB|=4$, find "
    "the value of $m$."
)
HISTORY = {"a": [0.0, 0.0], "b": [0.0, 1.0], "c": [1.0, 1.0], "007": [0.25, 0.75]}


@pytest.mark.skipif(not PUBLISHED.is_file(), reason=f"{PUBLISHED} is not there: this test reads the published history")
def test_the_published_table_comes_out() -> None:
    ranking = rank(read_history(PUBLISHED))
    assert len(ranking) == 1209
    for number, (index, std, mean) in TABLE.items():
        one = ranking[number - 1]
        assert (one.rank, one.id) == (number, index)
        assert one.variance**0.5 == pytest.approx(std, abs=6e-4)
        assert one.mean == pytest.approx(mean, abs=1.1e-3)
    still = [one for one in ranking if one.variance == 0]
    assert [one.rank for one in still] == list(range(1106, 1210))
    assert sum(one.mean == 0 for one in still) == 99


def test_the_most_varied_first_and_equals_as_they_come() -> None:
    assert [one.id for one in rank(HISTORY)] == ["b", "007", "a", "c"]
    assert [one.id for one in rank(dict(reversed(HISTORY.items())))] == ["b", "007", "c", "a"]
    assert (rank(HISTORY)[1].variance, rank(HISTORY)[1].mean, rank(HISTORY)[1].count) == (0.0625, 0.5, 2)


def test_the_shipped_examples_are_those_prompts() -> None:
    for name, prompts in (("pi_1", [PI_1]), ("pi_13", [PI_13]), ("pi_1_13", [PI_1, PI_13])):
        data = OmegaConf.load(conf_dir() / "data" / "one_shot" / f"{name}.yaml")
        assert (data.ids, data.repeat) == ([prompt_id(prompt) for prompt in prompts], True)


def test_what_is_pasted_picks_the_rows_and_fills_whole_rollouts() -> None:
    line = override(rank({"add-36-51": [0.0, 1.0], "add-97-10": [0.5, 0.5]}))
    assert line == "'data.ids=[add-36-51,add-97-10]' data.repeat=true"
    cell = compose_or_refuse(["data.ids=[add-36-51,add-97-10]", "data.repeat=true"], multirun=False)[0].cell
    ids = ["add-36-51", "add-97-10"]
    assert cell.data.ids == ids
    visits = order(ids, rollouts=20, prompts=16, seed=0, repeat=True)
    assert len(visits) == 20 * 16
    assert all([i for i, _ in visits[n : n + 16]].count(0) == 8 for n in range(0, len(visits), 16))


def test_an_id_that_reads_as_a_number_keeps_its_zeros(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": "007", "prompt": "1+1?", "answer": "2"}\n')
    pasted = shlex.split(override(choose(rank(HISTORY), ranks=[], ids=["007"])))
    assert pasted == ["data.ids=['007']", "data.repeat=true"]
    lines = ["data=jsonl", f"data.path={tmp_path}/rows.jsonl", *pasted]
    assert compose_or_refuse(lines, multirun=False)[0].cell.data.ids == ["007"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ranks", "5"], "--ranks 5: there are 4 examples; the nearest is 4"),
        (["--ranks", "0"], "the nearest is 1"),
        (["--ids", "07"], "--ids 07: no such example among 4; the nearest are 007"),
        (["--ranks", "1", "--ids", "b"], "example 'b' (rank 1) is named twice"),
        (["--ranks", "one"], "write --ranks 1,13"),
        (["--run", "x"], "needs one history"),
    ],
)
def test_a_wrong_choice_is_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "acc.json").write_text(json.dumps(HISTORY))
    with pytest.raises(UserError) as caught:
        main([str(tmp_path / "acc.json"), *words])
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "{}", "{", '{"a": []}', '{"a": [2]}', '{"a": [true]}', '{"a": 0.5}'])
def test_a_history_of_another_form_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "acc.json").write_text(text)
    with pytest.raises(UserError, match="write "):
        read_history(tmp_path / "acc.json")


def rollout(folder: Path, number: int, *rows: tuple[str, bool | None]) -> None:
    (folder / "rollouts").mkdir(parents=True, exist_ok=True)
    table = [{"rollout": number, "row_id": row_id, "correct": correct} for row_id, correct in rows]
    pq.write_table(pa.Table.from_pylist(table), folder / "rollouts" / f"part-{number:05d}.parquet")


def test_one_of_our_own_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = tmp_path / "runs" / "a--3f2a9c01b7de"
    rollout(cell, 1, ("x", True), ("x", True), ("y", False), ("y", None), ("q#1", False), ("q#1", True), ("z", None))
    rollout(cell, 2, ("x#1", False), ("x#1", True), ("y#1", True), ("y#1", True), ("q#1#1", True), ("q#1#1", False))
    overrides = ["seed=1", "data.count=64", "data.ids=[x,y]", "data.labels=made.jsonl", "+data.split=test"]
    (cell / "cell.json").write_text(json.dumps({"cell": {"choices": {"data": "lab/sub"}}, "overrides": overrides}))
    assert run_history(cell) == {"x": [1.0, 0.5], "y": [0.0, 1.0], "q#1": [0.5, 0.5]}
    assert main(["--run", "3f2a", "--runs", str(tmp_path / "runs"), "--ranks", "1"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].split() == ["1", "y", "0.25000", "0.50000", "0.500", "2"]
    assert out[-1] == "train on these:  data=lab/sub data.count=64 data.split=test 'data.ids=[y]' data.repeat=true"
    with pytest.raises(UserError, match="holds no rollouts"):
        run_history(tmp_path)
