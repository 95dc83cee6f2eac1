"""Model folders: what a folder must hold, said before anything is started."""

import json
import shutil
from pathlib import Path

import pytest

from rlvr_sweep.config.compose import compose, compose_or_refuse
from rlvr_sweep.lab.families import model_dir


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a lab model: a Hugging Face folder like any other."""
    return Path(shutil.copytree(model_dir("llama"), tmp_path / "model"))


def faults(folder: Path, *lines: str) -> list[str]:
    return compose(["model=path", f"model.path={folder}", *lines], multirun=False).faults


def test_a_model_folder_is_a_cell(folder: Path) -> None:
    assert faults(folder) == []


def test_its_content_is_its_identity(folder: Path, tmp_path: Path) -> None:
    [here] = compose_or_refuse(["model=path", f"model.path={folder}"], multirun=False)
    moved = folder.rename(tmp_path / "elsewhere")
    [there] = compose_or_refuse(["model=path", f"model.path={moved}"], multirun=False)
    weights = moved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    [changed] = compose_or_refuse(["model=path", f"model.path={moved}"], multirun=False)
    assert here.cell_id == there.cell_id != changed.cell_id


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (["config.json"], "no config.json"),
        (["model.safetensors"], "no weights"),
        (["tokenizer.json", "tokenizer_config.json"], "no tokenizer"),
    ],
)
def test_what_a_folder_lacks_is_named(folder: Path, missing: list[str], said: str) -> None:
    for name in missing:
        (folder / name).unlink()
    [fault] = faults(folder)
    assert said in fault
    assert "save" in fault


def test_a_tokenizer_without_chat_template_names_the_templates_that_work(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    config = folder / "tokenizer_config.json"
    settings = json.loads(config.read_text())
    settings.pop("chat_template", None)
    config.write_text(json.dumps(settings))
    [fault] = faults(folder)
    assert "model.template=raw" in fault
    assert faults(folder, "model.template=raw") == []


def test_the_folders_own_context_is_the_limit(folder: Path) -> None:
    [fault] = faults(folder, "algo.max_completion_tokens=250")
    assert "context of 256" in fault
    assert "algo.max_completion_tokens=192" in fault


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    [fault] = faults(tmp_path / "nowhere")
    assert "no such folder" in fault


def test_labels_of_unknown_origin_are_looked_at_before_a_run(tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    labels.write_text('{"id": "0", "label": "4"}\n')
    lines = ["reward=incorrect", f"data.labels={labels}"]
    assert "made for other data" in compose(lines, multirun=False).faults[0]
    labels.write_text("no JSON\n")
    assert str(labels) in compose(lines, multirun=False).faults[0]
