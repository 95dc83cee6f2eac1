"""Passes without padding give the log-probs, entropies and gradients of TRL's own."""

from inspect import unwrap
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPTJConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    Olmo2Config,
    Olmo2ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import add_fused_lm_head

from rlvr_sweep.shapes.sizes import KNOWN, Sizes
from rlvr_sweep.train import passes
from rlvr_sweep.train.passes import obstacle, token_log_probs
from rlvr_sweep.train.trainer import RLVRTrainer

PROMPTS, COMPLETIONS = [3, 7, 1, 5], [6, 2, 9, 4]
SIZE: dict[str, Any] = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 48}
SIZE |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
EAGER: dict[str, Any] = {"attn_implementation": "eager"}
FAMILIES = {
    "qwen": (Qwen2ForCausalLM, Qwen2Config),
    "llama": (LlamaForCausalLM, LlamaConfig),
    "olmo": (Olmo2ForCausalLM, Olmo2Config),
}


def model(family: str) -> Any:
    torch.manual_seed(0)
    kind, config = FAMILIES[family]
    found: Any = kind(config(**SIZE, attn_implementation="sdpa"))
    add_fused_lm_head(found, temperature=0.7, outputs=("log_probs", "entropy"))
    return found


def batch() -> dict[str, torch.Tensor]:
    """As TRL pads it, and some more, as to the longest of a larger rollout."""
    stream = torch.Generator().manual_seed(1)
    prompts, completions = torch.tensor(PROMPTS), torch.tensor(COMPLETIONS)
    return {
        "prompt_ids": torch.randint(0, 50, (4, 9), generator=stream),
        "prompt_mask": (torch.arange(9)[None] >= 9 - prompts[:, None]).long(),
        "completion_ids": torch.randint(0, 50, (4, 12), generator=stream),
        "completion_mask": (torch.arange(12)[None] < completions[:, None]).long(),
        "advantages": torch.tensor([1.0, -1.0, 0.5, 2.0]),
    }


def joined(part: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.cat([part[f"prompt_{of}"], part[f"completion_{of}"]], 1) for of in ("ids", "mask"))  # pyright: ignore


def trls(found: Any, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    trainer: Any = SimpleNamespace(accelerator=SimpleNamespace(autocast=lambda: torch.autocast("cpu", enabled=False)))
    bare: Any = unwrap(GRPOTrainer._get_per_token_logps_and_entropies)  # of TRL's profiler
    logps, entropies, _ = bare(trainer, found, ids, mask, 12, compute_entropy=True)
    assert entropies is not None
    return logps, entropies


def gradients(found: Any, logps: torch.Tensor, entropies: torch.Tensor, part: dict[str, torch.Tensor]) -> list:
    found.zero_grad()
    ratio = torch.exp(logps - logps.detach()) + 0.1 * entropies
    (ratio * part["advantages"][:, None] * part["completion_mask"]).sum().backward()
    return [parameter.grad.clone() for parameter in found.parameters()]


@pytest.mark.parametrize("stack", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_pass_without_padding_gives_trls_numbers_and_gradients(family: str, stack: bool) -> None:
    found, part = model(family), batch()
    ids, mask = joined(part)
    theirs = trls(found, ids, mask)
    ours = token_log_probs(found, ids, mask, keep=12, stack=stack)
    assert ours[1] is not None
    for a, b in zip(theirs, ours, strict=True):
        torch.testing.assert_close(a * part["completion_mask"], b, atol=1e-5, rtol=1e-5)
    expected = gradients(found, *theirs, part)
    for a, b in zip(expected, gradients(found, ours[0], ours[1], part), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_a_completion_that_is_masked_out_is_only_a_prompt() -> None:
    found, part = model("qwen"), batch()
    part["completion_mask"][2] = 0  # mask_truncated_completions
    ids, mask = joined(part)
    logps, _ = token_log_probs(found, ids, mask, keep=12)
    assert (logps[2] == 0).all() and (logps[0, :6] != 0).all()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_pass_computes_no_more_than_the_tokens_there_are(
    checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, seen = model("qwen"), []
    found.train()
    if checkpointing:
        found.gradient_checkpointing_enable({"use_reentrant": False})
    forward = found.model.forward
    monkeypatch.setattr(found.model, "forward", lambda **kw: seen.append(kw) or forward(**kw))
    part = batch()
    ids, mask = joined(part)
    logps, entropies = token_log_probs(found, ids, mask, keep=12)
    [given] = seen
    rows = [n + m for n, m in zip(PROMPTS, COMPLETIONS, strict=True)]
    assert given["input_ids"].shape == (1, sum(rows)) and entropies is not None
    assert given["position_ids"].tolist() == [[place for length in rows for place in range(length)]]
    expected = gradients(found, *trls(found, ids, mask), part)
    for a, b in zip(expected, gradients(found, logps, entropies, part), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_activations_are_kept_up_to_so_many_tokens(family: str) -> None:
    """A layer passes once where they are kept, twice where not; the gradients are the same to the last bit."""
    found, part = model(family), batch()
    found.train()
    found.gradient_checkpointing_enable({"use_reentrant": False})
    ids, mask = joined(part)
    made = []
    for kept, passes_of_a_layer in ((None, 2), (int(mask.sum()), 1), (int(mask.sum()) - 1, 2), (0, 2)):
        seen: list[object] = []
        handle = found.model.layers[0].mlp.register_forward_pre_hook(lambda *_, seen=seen: seen.append(None))
        logps, entropies = token_log_probs(found, ids, mask, keep=12, kept=kept)
        assert entropies is not None
        made.append(gradients(found, logps, entropies, part))
        handle.remove()
        assert len(seen) == passes_of_a_layer
    assert all(torch.equal(a, b) for each in made[1:] for a, b in zip(made[0], each, strict=True))


@pytest.mark.parametrize("stack", [False, True])
def test_a_row_knows_nothing_of_the_rows_beside_it(stack: bool) -> None:
    found, part = model("llama"), batch()
    ids, mask = joined(part)
    before, _ = token_log_probs(found, ids, mask, keep=12, stack=stack)
    ids[1] = (ids[1] + 7) % 50
    after, _ = token_log_probs(found, ids, mask, keep=12, stack=stack)
    assert (before[[0, 2, 3]] == after[[0, 2, 3]]).all() and not (before[1] == after[1]).all()


def test_generation_is_as_before() -> None:
    """The attention that knows of rows stands in for transformers' own, padding and all."""
    found = model("qwen")
    ids, mask = joined(batch())
    with torch.no_grad():
        whole = found(input_ids=ids[:, :9], attention_mask=mask[:, :9]).logits[:, -1]
        alone = [found(input_ids=ids[i : i + 1, 9 - n : 9]).logits[:, -1] for i, n in enumerate(PROMPTS)]
    torch.testing.assert_close(whole, torch.cat(alone), atol=1e-5, rtol=1e-4)


def test_a_row_is_all_that_an_attention_function_is_given() -> None:
    """FlashAttention looks for rows in `position_ids`; those of the whole pass would lead it past the row."""
    seen: list[tuple[int, set[str]]] = []

    def recording(module: Any, query: Any, key: Any, value: Any, mask: Any, **kwargs: Any) -> Any:
        seen.append((query.shape[2], set(kwargs)))
        return torch.zeros_like(query).transpose(1, 2), None

    by_rows = passes._by_rows(recording)
    heads = torch.zeros(1, 2, 7, 4)
    out, _ = by_rows(None, heads, heads, heads, None, row_lengths=[3, 4], position_ids=torch.arange(7), scaling=1.0)
    assert [length for length, _ in seen] == [3, 4] and out.shape == (1, 7, 2, 4)
    places = torch.tensor([0, 1, 2, 4, 5, 6, 7])
    out, _ = by_rows(None, heads, heads, heads, None, row_lengths=[3, 4], row_places=places, scaling=1.0)
    assert [length for length, _ in seen] == [3, 4, 4] and out.shape == (1, 7, 2, 4)
    assert all(names == {"scaling"} for _, names in seen)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (MistralConfig(**SIZE, sliding_window=4), "a sliding window of 4 tokens"),
        (Qwen2Config(**SIZE, use_sliding_window=True, sliding_window=4, max_window_layers=1), "sliding_attention"),
        (GPTJConfig(vocab_size=50, n_embd=32, n_layer=1, n_head=2, rotary_dim=8), "an attention of its own"),
        (LlamaConfig(**SIZE, **EAGER), "model.attention=eager"),
        (MistralConfig(**SIZE, sliding_window=None), None),
        (Qwen2Config(**SIZE), None),
        (LlamaConfig(**SIZE), None),
        (Olmo2Config(**SIZE), None),
    ],
)
def test_models_whose_rows_would_see_other_than_their_own_are_told_apart(config: Any, why: str | None) -> None:
    found = obstacle(AutoModelForCausalLM.from_config(config))
    assert found is None if why is None else why in str(found)
    if config.model_type in KNOWN:  # the memory estimate says it of the config alone, before there is a model
        assert Sizes.of(config.to_dict()).has_window == ("sliding" in str(found))


def test_every_weight_decays() -> None:
    trainer: Any = object.__new__(RLVRTrainer)
    trainer.model, trainer.optimizer, trainer.optimizer_cls_and_kwargs = model("qwen"), None, (torch.optim.AdamW, {})
    trainer.args = SimpleNamespace(weight_decay=0.1)
    decaying = [group["params"] for group in trainer.create_optimizer().param_groups if group["weight_decay"] == 0.1]
    assert {id(one) for group in decaying for one in group} == {id(one) for one in trainer.model.parameters()}


def test_the_fused_optimizer_makes_the_steps_of_the_plain_one() -> None:
    made = []
    for how in ({"foreach": False}, {"fused": True}):
        kinds: dict[str, Any] = how
        stream = torch.Generator().manual_seed(0)
        weights = torch.nn.Parameter(torch.randn(50, 8, generator=stream))
        optimizer = torch.optim.AdamW([weights], lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1, **kinds)
        for _ in range(5):
            weights.grad = torch.randn(50, 8, generator=stream)
            optimizer.step()
        made.append(weights.detach())
    torch.testing.assert_close(*made, atol=1e-6, rtol=1e-6)
