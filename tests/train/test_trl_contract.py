"""The private parts of TRL and transformers that train/trainer.py builds on; read this first when TRL is upgraded."""

import ast
import inspect
from importlib.metadata import version
from textwrap import dedent

import pytest
from transformers import Trainer
from trl.generation.vllm_generation import VLLMGeneration
from trl.trainer.grpo_trainer import GRPOTrainer

PASS = "_get_per_token_logps_and_entropies"
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
    "_prepare_inputs": ["self", "generation_batch"],
    "_compute_loss": ["self", "model", "inputs"],
    "_save_checkpoint": ["self", "model", "trial"],
    "save_model": ["self", "output_dir", "_internal_call"],
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
    loss = inspect.getsource(GRPOTrainer._compute_loss)
    for mark in (  # train/losses.py puts its own in the place of the old log-probs, and the dual clip is `delta`
        'old_per_token_logps = inputs.get("old_per_token_logps")',
        "per_token_logps.detach() if old_per_token_logps is None",
        "coef_1 = torch.clamp(coef_1, max=self.args.delta)",
        'inputs["num_items_in_batch"]',
    ):
        assert mark in loss
    for mark in ('output["importance_sampling_ratio"]', 'output["sampling_per_token_logps"]'):  # train/mismatch.py
        assert mark in body
    assert 'per_token_loss * inputs["importance_sampling_ratio"]' in loss
    assert "_step % generate_every == 0" in inspect.getsource(GRPOTrainer._prepare_inputs)
    loop = inspect.getsource(Trainer)
    assert loop.index("skip_first_batches(") < loop.index("self._load_rng_state(resume_from_checkpoint)")


def test_the_pass_that_gives_log_probs_takes_what_we_give_it() -> None:
    first = list(inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters)[:6]
    assert first == ["self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size"]


def test_the_loss_asks_the_model_for_one_pass_and_for_nothing_else() -> None:
    """train/trainer.py hands it what a larger pass found, in the model's place."""
    loss = ast.parse(dedent(inspect.getsource(GRPOTrainer._compute_loss)))
    uses = [node for node in ast.walk(loss) if isinstance(node, ast.Name) and node.id == "model"]
    passes = [node.args[0] for node in ast.walk(loss) if isinstance(node, ast.Call) and PASS in ast.unparse(node.func)]
    assert len(uses) == 1 and passes == uses


def test_what_trl_does_with_a_vllm_engine() -> None:
    """train/vllm_engine.py asks the engine itself, and lets TRL make it, push weights, and put them to sleep."""
    start = inspect.getsource(VLLMGeneration._init_vllm)
    push = inspect.getsource(VLLMGeneration.sync_weights)
    for mark in ("self.llm = LLM(", "model=model.name_or_path", "self._llm_weights_sleeping = self.enable_sleep_mode"):
        assert mark in start
    assert "dtype" not in start  # compute_in says it
    for mark in ('self.llm.wake_up(tags=["weights"])', "in self._iter_named_params()", "self.llm.reset_prefix_cache()"):
        assert mark in push
    for mark in ("self.vllm_client.update_named_params(", "self.vllm_client.reset_prefix_cache()"):  # of a server
        assert mark in push
    assert 'wake_up(tags=["kv_cache"])' in inspect.getsource(VLLMGeneration.generate)
    assert "self._dist.gather_params(" in inspect.getsource(VLLMGeneration._iter_named_params)
