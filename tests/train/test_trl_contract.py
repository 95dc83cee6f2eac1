"""The private parts of TRL and transformers that train/trainer.py builds on; read this first when TRL is upgraded."""

import inspect
from importlib.metadata import version

import pytest
from transformers import Trainer
from trl.trainer.grpo_trainer import GRPOTrainer

HOOKS = {  # name -> parameters our override relies on
    "_generate_and_score_completions": ["self", "inputs"],
    "_generate_single_turn": [
        "self",
        "prompt_ids",
        "images",
        "multimodal_fields",
        "num_generations",
        "has_tool_images",
    ],
    "_tokenize_prompts": ["self", "prompts"],
    "_compute_loss": ["self", "model", "inputs"],
    "_save_checkpoint": ["self", "model", "trial"],
    "_load_rng_state": ["self", "checkpoint"],
    "log": ["self", "logs", "start_time"],
}


def test_trl_is_the_pinned_one() -> None:
    assert version("trl") == "1.16.0"


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_has_the_parameters_we_override(name: str) -> None:
    assert list(inspect.signature(getattr(GRPOTrainer, name)).parameters) == HOOKS[name]


def test_the_order_inside_trl_that_we_rely_on() -> None:
    """Sampling, then old log-probs, then rewards, then advantages per sample in the output.

    The RNG state is loaded after the skip.
    """
    body = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    places = [
        body.index(mark)
        for mark in ("self._generate(prompts)", "old_per_token_logps, _, _", "self._calculate_rewards(")
    ]
    assert places == sorted(places)
    assert '"advantages": advantages' in body
    assert "compute_entropy=True" in inspect.getsource(GRPOTrainer._compute_loss)
    assert "_step % generate_every == 0" in inspect.getsource(GRPOTrainer._prepare_inputs)
    loop = inspect.getsource(Trainer)
    assert loop.index("skip_first_batches(") < loop.index("self._load_rng_state(resume_from_checkpoint)")
