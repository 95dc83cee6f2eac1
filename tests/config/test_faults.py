"""What is said of a faulty grid: every fault once, with the choices it holds for, and not more than can be read."""

import re
import shlex
from pathlib import Path

import pytest

from rlvr_sweep.config.compose import Grid, compose
from rlvr_sweep.config.faults import Faults
from rlvr_sweep.errors import UserError


def faults(*lines: str) -> list[str]:
    grid = compose(list(lines), multirun=True)
    assert grid.cells == []
    return grid.faults


def test_a_fault_of_all_cells_is_one_line() -> None:
    [fault] = faults("algo.rollouts=0", "seed=range(0,300)", "model=lab/qwen,lab/llama")
    assert fault.startswith("algo.rollouts=0: ")


def test_a_fault_of_some_cells_names_their_choices() -> None:
    [fault] = faults("model=qwen2.5_7b,lab/llama", "model.template=chat,raw,chat_boxed", "seed=0,1")
    assert fault.startswith("with model=lab/llama model.template=chat_boxed: model.template: 'chat_boxed' is not for")


def test_a_fault_that_says_its_choice_itself_says_it_once() -> None:
    [fault] = faults("seed=0,-1", "model=lab/qwen,lab/llama")
    assert fault.startswith("seed=-1: ")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("data.difficulty=5", "data.difficulty"),
        ("data.shots=1", "data.shots"),
        ("data.revision=abc", "data.revision"),
        ("eval.benchmarks.add.wording=terse", "eval.benchmarks.add.wording"),
        ("data.empty_labels=keep", "data.empty_labels"),
        ("algo.votes_per_prompt=64", "algo.votes_per_prompt"),
    ],
)
def test_what_the_data_does_not_look_at_is_refused(line: str, key: str) -> None:
    """It would be ignored, and give one run two ids."""
    [fault] = faults(line)
    assert fault.startswith(f"{key}: ")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("compute.gradient_checkpointing=maybe", "'maybe' is neither true, nor false, nor auto"),
        (
            "model.lora={targets:{q_proj:1}}",
            "{'q_proj': 1} are no names of modules; write [q_proj,v_proj], or all-linear",
        ),
        ("model.lora={targets:[q_proj,{v_proj:1}]}", "are no names of modules"),
    ],
)
def test_what_may_be_of_several_kinds_is_one_fault_under_its_own_key(line: str, said: str) -> None:
    [fault] = faults(line)
    assert fault.startswith(("compute.gradient_checkpointing: ", "model.lora.targets: ")) and said in fault


def test_a_weighted_sum_is_no_reward_for_an_estimator_of_right_and_wrong() -> None:
    [fault] = faults("reward=weighted", "reward.of=[{reward: ground_truth, weight: 2}]", "estimator=nsr")
    assert fault.startswith("reward: estimator.advantage=nsr takes rewards of 0 and 1")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["reward=all_of", "reward.of=[incorrect,format]"], "write data.label_filter=incorrect, or majority_offline"),
        (["reward=incorrect", "data.label_filter=all"], "write data.label_filter=incorrect, or majority_offline"),
        (["reward=majority_offline", "data.label_filter=incorrect"], "write data.label_filter=all, or incorrect"),
        (["reward=all_of", "reward.of=[incorrect,format]", "data.label_filter=incorrect"], None),
        (["reward=ground_truth", "data.label_filter=incorrect"], None),
        (["reward=majority_offline"], None),
    ],
)
def test_a_reward_of_labels_is_the_one_it_is_called(lines: list[str], said: str | None, tmp_path: Path) -> None:
    (tmp_path / "labels.jsonl").write_text('{"id": "add-36-51", "label": "1"}\n')
    lines = [*lines, f"data.labels={tmp_path}/labels.jsonl", "data.repeat=true"]
    found = compose(lines, multirun=False).faults
    assert [said in fault for fault in found] == [True] if said else found == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["model.template=r1", "reward=think_format"], "opens <think> in the prompt, .*; write reward.opened=true"),
        (["model.template=r1", "reward=think_format", "reward.opened=true"], None),
        (["reward=think_format", "reward.opened=true"], "does not open <think> .*; write reward.opened=false"),
        (["reward=tagged/random"], None),
        (["model.template=r1", "reward=tagged/random"], "{name: think_format, opened: true}"),
    ],
)
def test_a_thought_that_the_prompt_opens_is_not_looked_for_in_the_completion(
    lines: list[str], said: str | None
) -> None:
    """It would give 0 to every completion."""
    found = compose([*lines, "model.templates=[chat,r1]"], multirun=False).faults
    assert [bool(re.search(said, fault)) for fault in found] == [True] if said else found == []


def test_one_value_in_the_place_of_a_list_is_shown_as_one() -> None:
    [fault] = faults("model.stop='</answer>'")
    assert fault.endswith("; write \"model.stop=['</answer>']\"")


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("model.prefix=Let's solve this using Python.", "prefix", "Let's solve this using Python."),
        ("model.stop=[</answer>,x]", "stop", ["</answer>", "x"]),
    ],
)
def test_a_value_whose_quotes_the_shell_took_is_shown_with_them(line: str, key: str, value: object) -> None:
    [fault] = faults(line)
    [word] = shlex.split(fault.rpartition("; write ")[2])
    [one] = compose([word], multirun=True).cells
    assert getattr(one.cell.model, key) == value


def test_a_template_that_does_not_exist_is_told_before_a_run() -> None:
    [fault] = faults("model.template=foo", "model.templates=[foo]")
    assert fault.startswith("model.template: 'foo' is no prompt template; write one of chat, ")
    [fault] = faults("model.templates=[chat,foo]")
    assert fault.startswith("model.templates: 'foo' is no prompt template; write one of chat, ")


def test_many_choices_are_counted() -> None:
    grid = Faults()
    for seed in range(8):
        grid.add({"seed": f"seed={seed}"}, ["broken"] if seed < 5 else [])
    assert grid.lines() == ["with seed=0,1,2 and 2 more: broken"]


def test_faults_that_no_choices_single_out_name_a_cell() -> None:
    grid = Faults()
    for model, clip, found in (("a", "x", ["broken"]), ("a", "y", []), ("b", "x", []), ("b", "y", ["broken"])):
        grid.add({"model": f"model={model}", "clip": f"clip={clip}"}, found)
    assert grid.lines() == ["with model=a clip=x and 1 more cells: broken"]


def test_cells_that_fail_earlier_do_not_narrow_a_later_fault() -> None:
    found = faults("seed=0,-1", "algo.max_completion_tokens=64,250")
    assert [fault.split(": ")[0] for fault in found] == ["seed=-1", "with algo.max_completion_tokens=250"]


def test_more_than_twenty_faults_are_counted() -> None:
    found = faults("seed=range(-40,0)", "sead=1")
    assert len(found) == 21
    assert found[0].startswith("sead=1: unknown key")
    assert found[-1] == "... and 21 more"


def test_an_unknown_choice_is_not_followed_by_what_its_stand_in_lacks() -> None:
    [fault] = faults("reward=weigted", "reward.of=[{reward: python, weight: 2}]")
    assert fault.startswith("reward=weigted: ")


def test_faults_refuse_the_grid() -> None:
    with pytest.raises(UserError, match=r"^a\nb$"):
        Grid(faults=["a", "b"]).or_refuse()
    assert Grid(launcher="slurm").or_refuse().launcher == "slurm"
