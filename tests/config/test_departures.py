"""What a reader must know of a cell's prompts: end tokens that are two, tags that nobody reads, a forced start."""

import pytest

from rlvr_sweep.config.compose import compose_or_refuse

QWEN = ["model=qwen2.5_7b", "eval=math500", "data=deepscaler"]
LLAMA = ["model=llama3.1_8b", "eval=math500", "data=deepscaler"]


def said(*lines: str) -> str:
    return "\n".join(compose_or_refuse(list(lines), multirun=False)[0].cell.deviations)


def test_a_base_model_that_ends_otherwise_than_its_chat_template() -> None:
    assert "ends with <|endoftext|>; its chat template ends a turn with <|im_end|>. Completions end at e" in said(*QWEN)
    open_ended = said(*QWEN, "model.stop_tokens=[]")
    assert "run on behind it; \"model.stop_tokens=['<|im_end|>']\" ends them there" in open_ended
    assert "<|im_end|>" not in said(*QWEN, "model.template=raw")
    assert "<|im_end|>" not in said("model=qwen2.5_7b_instruct", *QWEN[1:])


@pytest.mark.parametrize("name", ["dapo", "nsr_masked", "psr_masked"])
def test_dapo_without_its_clip(name: str) -> None:
    told = f"estimator={name} without DAPO's clip-higher: clip.epsilon_high=0.2; clip=dapo has 0.28."
    assert told in said(f"estimator={name}")
    for clip in ("dapo", "off_epsilon"):
        assert "clip-higher" not in said(f"estimator={name}", f"clip={clip}")
    assert "clip-higher" not in said("estimator=grpo")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            ["algo=ttrl", "algo.rollouts=20"],
            "algo.warmup_updates=149, of 160 updates in all: the learning rate rises for 93%",
        ),
        (["algo=ttrl", "algo.rollouts=240"], "algo.warmup_updates=149, of 1920 updates in all"),
        (["algo=ttrl"], None),
        (["algo=ttrl", "algo.rollouts=240", "algo.warmup_updates=58", "algo.max_prompt_tokens=512"], None),
        (["algo=model_task_alignment"], None),
        (
            ["algo=model_task_alignment", "algo.rollouts=5"],
            "algo.warmup_updates=20, of 10 updates in all: the learning rate rises for 100%",
        ),
    ],
)
def test_a_run_too_short_for_its_warm_up(lines: list[str], told: str | None) -> None:
    found = said(*QWEN, *lines)
    assert told in found if told else "warmup_updates" not in found


def test_an_arm_with_fewer_updates_warms_up_for_more_of_them() -> None:
    lines = ["algo.schedule=cosine", "algo.warmup_updates=3"]
    assert "warmup" not in said(*lines, "clip=off_large_batch")
    assert "algo.warmup_updates=3, of 20 updates" in said(*lines, "clip=off_large_batch", "clip.match=rollouts")


def test_a_template_with_an_end_of_its_own() -> None:
    assert "\"model.stop=['</answer>']\" ends them there" in said(*QWEN, "model.template=r1")
    assert "</answer>" not in said(*LLAMA)  # its stop string is in its file


@pytest.mark.parametrize("template", ["r1", "r1_literal", "think_answer"])
def test_tags_that_nobody_reads(template: str) -> None:
    lines = [*QWEN, f"model.template={template}", "model.stop=['</answer>']"]
    text = said(*lines)
    assert "algo.extraction=boxed reads boxes only" in text
    assert "eval.benchmarks.math500.extraction=boxed reads boxes only" in text
    tagged = said(*lines, "algo.extraction=tagged", "eval.benchmarks.math500.extraction=tagged")
    assert "reads boxes only" not in tagged
    assert "reads boxes only" not in said(*lines, "grading.grader=authors")  # it finds answers by itself


def test_the_verifier_of_a_puzzle_reads_tags_by_itself() -> None:
    tagged = [*QWEN[:1], "model.template=think_answer"]
    assert "reads boxes only" not in said(*tagged, "data=puzzle/cipher", "eval=puzzle")
    assert "algo.extraction=boxed reads boxes only" in said(*tagged, "data=deepscaler", "eval=puzzle")


def test_what_the_papers_script_made_of_the_r1_template() -> None:
    own = [*LLAMA, "algo=spurious_rewards"]
    assert "a backslash and an n in their place (model.template=r1_literal), and without BOS" in said(*own)
    assert "backslash" not in said(*own, "model.template=r1_literal")
    assert "backslash" not in said(*LLAMA)


def test_the_authors_grader_over_tags() -> None:
    anywhere = said(*LLAMA, "algo=spurious_rewards", "algo.extraction=lenient")
    assert "algo.extraction=lenient takes an answer from the whole response" in anywhere
    assert "whole response" not in said(*LLAMA, "algo=spurious_rewards")
    assert "whole response" not in said("model=qwen2.5_math_7b", *QWEN[1:], "algo=spurious_rewards")


def test_an_experiments_own_deviations_come_first(tmp_path) -> None:
    file = tmp_path / "mine" / "experiment" / "study.yaml"
    file.parent.mkdir(parents=True)
    file.write_text('# @package _global_\ndeviations: ["Half of the paper\'s prompts."]\n')
    [cell] = compose_or_refuse(["experiment=study"], multirun=False, config_dir=tmp_path / "mine")
    assert cell.cell.deviations[0] == "Half of the paper's prompts."


def test_a_prefix_ends_with_a_word() -> None:
    with pytest.raises(Exception, match="ends with a blank") as caught:
        compose_or_refuse(["model.prefix='So '"], multirun=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("own", "how"), [(LLAMA, "tagged"), (("model=qwen2.5_math_7b", *QWEN[1:]), "lenient")])
def test_what_counts_as_an_answer_goes_by_the_template(own: tuple[str, ...], how: str) -> None:
    auto, said_so = (
        compose_or_refuse([*own, "algo=spurious_rewards", *more], multirun=False)[0]
        for more in ((), (f"algo.extraction={how}",))
    )
    assert auto.cell.algo.extraction == how
    assert auto.cell_id == said_so.cell_id


def test_where_the_papers_words_and_its_code_reward_otherwise() -> None:
    own = ("algo=spurious_rewards", "reward=format")
    assert 'looks behind the last "boxed"' in said("model=qwen2.5_math_7b", *QWEN[1:], *own)
    assert "1 to any response in r1 style" in said(*LLAMA, *own)
    assert "format reward" not in said("model=qwen2.5_math_7b", *QWEN[1:], *own, "reward.variant=last_box")
    assert "format reward" not in said(*QWEN, "reward=format")
