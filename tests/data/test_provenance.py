"""A label file of another model or other data is refused in one line that says how to make the right one."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlvr_sweep.config.compose import Grid, compose
from rlvr_sweep.data.provenance import FORMAT, check, sidecar
from rlvr_sweep.data.provenance import read as read_provenance
from rlvr_sweep.errors import UserError
from rlvr_sweep.evals import jobs
from rlvr_sweep.labels import commands
from tests.evals.stores import process

COUNT = 20


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A label file of lab/olmo for 20 rows of lab/add."""
    folder = tmp_path_factory.mktemp("labels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "_process", process(lambda prompt, sample: str(int(prompt.gold) + sample % 2)))
        path = folder / "labels.jsonl"
        words = ["model=lab/olmo", f"data.count={COUNT}", f"runs={folder}", "-n", "3", "--out", str(path)]
        assert commands.main(words) == 0
    return path


def grid(labels: Path, *lines: str) -> Grid:
    return compose(
        ["model=lab/olmo", "reward=majority_offline", f"data.count={COUNT}", f"data.labels={labels}", *lines],
        multirun=False,
    )


def faults(*args: Any) -> list[str]:
    return check(*args, make="COMMAND")[0]


def refused(labels: Path, *lines: str) -> str:
    [fault] = grid(labels, *lines).faults
    return fault


def test_the_right_labels_are_taken_without_a_word(labels: Path) -> None:
    [composed] = grid(labels).or_refuse().cells
    assert composed.cell.deviations == []


def test_a_part_of_the_labelled_rows_is_as_good(labels: Path) -> None:
    assert grid(labels, "data.count=16").faults == []


def test_labels_of_a_part_of_the_rows_are_taken_with_a_word(labels: Path) -> None:
    [composed] = grid(labels, "data.count=25").or_refuse().cells
    [deviation] = composed.cell.deviations
    assert "made for 20 of 25 rows; the others are not trained on" in deviation


def test_another_family_is_refused(labels: Path) -> None:
    fault = refused(labels, "model=lab/llama")
    assert "labels of lab/olmo (family olmo), the cell's model is lab/llama (llama)" in fault
    assert "write data.labels=labels/lab/llama/lab/add.jsonl, made by: " in fault
    assert fault.endswith("python -m rlvr_sweep label model=lab/llama data=lab/add algo=lab")


def test_another_revision_of_the_model_is_refused(labels: Path, tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["model"]["sha256"] = "f" * 64

    assert "labels of another revision of lab/olmo (content ffffffffffff" in refused(changed(labels, tmp_path, change))


def test_other_data_is_refused(labels: Path) -> None:
    fault = refused(labels, "data=lab/sub")
    assert "made for other data (lab/add): none of its 20 ids is in data" in fault and "data=lab/sub" in fault


def test_data_that_was_mended_since_is_refused(labels: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in labels.read_text().splitlines()]
    data = tmp_path / "data.jsonl"
    lines = [{"id": row["id"], "prompt": row["prompt"], "answer": row["gold"]} for row in rows]
    lines[3]["answer"] = "0"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    fault = refused(labels, "data=jsonl", f"data.path={data}", f"data.count={len(lines)}")
    assert f"1 of {COUNT} rows have another gold answer (first '{lines[3]['id']}')" in fault
    assert f"data.path={data}" in fault


def changed(labels: Path, tmp_path: Path, change: Any) -> Path:
    """A copy of the labels with another provenance."""
    copy = tmp_path / "copy.jsonl"
    copy.write_text(labels.read_text())
    document = json.loads(sidecar(labels).read_text())
    change(document)
    sidecar(copy).write_text(json.dumps(document))
    return copy


def test_labels_that_were_edited_are_refused(labels: Path, tmp_path: Path) -> None:
    copy = changed(labels, tmp_path, lambda document: None)
    copy.write_text(copy.read_text().replace('"votes": 2', '"votes": 3'))
    fault = refused(copy)
    assert "was changed after it was made" in fault and "copy.provenance.json" in fault


def test_labels_at_the_place_of_the_right_ones_stay_where_they_are(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`label` writes over no labels, so that its command alone would mend nothing."""
    monkeypatch.chdir(tmp_path)
    place = Path("labels/lab/llama/lab/add.jsonl")
    place.parent.mkdir(parents=True)
    for source, copy in ((labels, place), (sidecar(labels), sidecar(place))):
        copy.write_text(source.read_text())
    fault = refused(place, "model=lab/llama")
    assert "write data.labels=FILE.jsonl, made by: python -m rlvr_sweep label model=lab/llama" in fault
    assert fault.endswith("--out FILE.jsonl")


@pytest.mark.parametrize(
    ("lines", "counts", "said"),
    [
        (["reward=incorrect"], {"wrong": 0}, "none of its 20 labels is wrong, so no row is left"),
        (["reward=incorrect"], {"wrong": 5}, "5 of its 20 labels are wrong, which cannot fill a rollout of 16 prompts"),
        (["reward=incorrect", "data.repeat=true"], {"wrong": 5}, None),
        (["reward=incorrect", "data.repeat=true"], {"wrong": 0}, "none of its 20 labels is wrong"),
        (["reward=incorrect", "grading.grader=authors"], {"wrong": 0}, None),  # by another grader some may be wrong
        ([], {"wrong": 0}, None),
        ([], {"filled": 9}, "9 of its 20 labels are filled"),
    ],
)
def test_labels_that_cannot_fill_a_rollout_are_refused_before_anything_starts(
    lines: list[str], counts: dict[str, int], said: str | None, labels: Path, tmp_path: Path
) -> None:
    found = grid(changed(labels, tmp_path, lambda document: document["vote"].update(counts)), *lines).faults
    assert [said in fault for fault in found] == [True] if said else found == []


def test_labels_of_others_are_taken_with_a_word(tmp_path: Path) -> None:
    from rlvr_sweep.lab.tasks import rows

    path = tmp_path / "theirs.jsonl"
    path.write_text("".join(json.dumps(r | {"answer": "1"}) + "\n" for r in rows("add", split="train", count=COUNT)))
    [composed] = grid(path).or_refuse().cells
    [deviation] = composed.cell.deviations
    assert "theirs.jsonl: has no provenance" in deviation


def test_labels_of_others_for_other_data_are_refused_with_the_command_that_makes_the_right_ones(tmp_path: Path) -> None:
    path = tmp_path / "theirs.jsonl"
    path.write_text('{"id": "add-36-51", "prompt": "another question", "answer": "1"}\n')
    fault = refused(path)
    assert "theirs.jsonl: made for other data: of 1 labels 1 have another prompt" in fault
    assert fault.endswith(
        "; write data.labels=labels/lab/olmo/lab/add.jsonl, made by: "
        "python -m rlvr_sweep label model=lab/olmo data=lab/add algo=lab"
    )


def test_another_template_is_said(labels: Path) -> None:
    [composed] = grid(labels, "model.template=raw").or_refuse().cells
    [deviation] = composed.cell.deviations
    assert "sampled with model.template=chat, the cell trains with raw" in deviation


AUTHORS = ("grading.grader=authors", "data.empty_labels=keep")


def test_labels_as_the_authors_made_them_are_taken_without_a_word_and_others_with_one(
    labels: Path, tmp_path: Path
) -> None:
    [composed] = grid(labels, *AUTHORS).or_refuse().cells
    said = "\n".join(composed.cell.deviations)
    assert "sampled with model.template=chat, where the paper's code asks with the bare prompt" in said
    assert "voted by equivalence, where the paper's code counts exact strings" in said
    assert "empty labels were left out when it was made" in said

    assert "made with grading.grader=math_verify, the cell goes by authors" in said
    assert "sampled with samples 3, where the paper's code has 64" in said

    def change(document: dict[str, Any]) -> None:
        document["model"]["template"] = "raw"
        document["vote"].update(how="exact", empty="keep")
        document["sampling"]["samples"] = 64
        document["extractor"]["grader"] = "authors"

    [composed] = grid(changed(labels, tmp_path, change), *AUTHORS).or_refuse().cells
    assert composed.cell.deviations == []


@pytest.mark.parametrize(
    ("lines", "part", "changes", "said"),
    [
        ([], "vote", {"pick": "2"}, "made with --pick 2, so its labels are not the majority's"),
        ([], "vote", {"filter": "incorrect"}, "made with --filter incorrect; the prompts it left out are not trained"),
        (["reward=incorrect"], "vote", {"filter": "code"}, "made with --filter code"),
        (["reward=incorrect"], "vote", {"filter": "incorrect"}, None),
        (["algo.extraction=lenient"], "vote", {}, "made with algo.extraction=boxed, the cell goes by lenient"),
        ([], "sampling", {"max_tokens": 8}, "sampled with at most 8 tokens, the cell trains with 64"),
        ([], "sampling", {"temperature": 0.6}, None),
    ],
)
def test_other_labels_than_the_rewards_name_says_are_said(
    lines: list[str], part: str, changes: dict[str, Any], said: str | None, labels: Path, tmp_path: Path
) -> None:
    def change(document: dict[str, Any]) -> None:
        document["vote"]["wrong"] = COUNT
        document[part].update(changes)

    [composed] = grid(changed(labels, tmp_path, change), *lines).or_refuse().cells
    assert [said in text for text in composed.cell.deviations] == [True] if said else composed.cell.deviations == []


def test_empty_labels_that_are_not_trained_on_are_said(labels: Path, tmp_path: Path) -> None:
    copy = changed(labels, tmp_path, lambda document: document["vote"].update(filled=18))
    [composed] = grid(copy).or_refuse().cells
    assert "2 of 20 labels are empty, and their prompts are not trained on" in composed.cell.deviations[0]


def test_a_file_that_is_not_there_says_how_it_is_made(tmp_path: Path) -> None:
    fault = refused(tmp_path / "nope.jsonl")
    assert "no such file; make it: python -m rlvr_sweep label model=lab/olmo data=lab/add algo=lab --out " in fault
    [missing] = compose(["model=lab/olmo", "reward=incorrect"], multirun=False).faults
    assert missing.endswith(
        "write data.labels=labels/lab/olmo/lab/add.jsonl, made by: python -m rlvr_sweep label model=lab/olmo "
        "data=lab/add algo=lab"
    )


def test_hub_models_and_data_are_compared_by_revision(labels: Path, tmp_path: Path) -> None:
    lines = ["model=qwen2.5_math_7b", "data=deepscaler", "data.revision=a", "algo=spurious_rewards", "eval=none"]
    [composed] = compose(lines, multirun=False).or_refuse().cells
    hub = {"hub": composed.cell.model.hub, "revision": composed.cell.model.revision}

    def change(document: dict[str, Any]) -> None:
        document["model"] |= {"family": "qwen_math", "sha256": None, "name": "qwen2.5_math_7b", **hub}
        document["data"] |= {"hub": composed.cell.data.hub, "revision": "a"}

    copy = changed(labels, tmp_path, change)
    assert faults(copy, composed.cell, composed.hashes) == []
    other = composed.cell.model_copy(update={"data": composed.cell.data.model_copy(update={"revision": "b"})})
    [fault] = faults(copy, other, composed.hashes)
    assert "at revision a" in fault and "at b" in fault
    model = composed.cell.model.model_copy(update={"revision": "c"})
    [fault] = faults(copy, composed.cell.model_copy(update={"model": model}), composed.hashes)
    assert "the cell's model is Qwen/Qwen2.5-Math-7B at c" in fault


@pytest.mark.parametrize("text", ["{broken", "[]", "{}", '{"format": 0}', json.dumps({"format": FORMAT, "x": 1})])
def test_a_sidecar_that_says_nothing_is_not_ignored(text: str, tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    sidecar(path).write_text(text)
    with pytest.raises(UserError, match="make the labels again"):
        read_provenance(path)
