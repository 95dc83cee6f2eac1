"""Loads a causal language model and refuses one whose weights are not those of its config.

    model = causal_lm("DIR", dtype=torch.float32, attn_implementation="sdpa")

transformers only warns of a weight that is missing, too many or of another shape, and trains on from random numbers.
"""

from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM

from rlvr_sweep.config.model_folder import not_causal

SHOWN = 3
# What transformers raises on a folder it cannot make sense of; a broken file shows as any of these.
ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
    TypeError,
    AttributeError,
    ImportError,
    SafetensorError,
    StrictDataclassError,
)


class Misfit(ValueError):
    """Weights and config are not of one model."""


def causal_lm(where: str, **options: Any) -> Any:
    """The model. Raises one of ERRORS, Misfit among them."""
    config = AutoConfig.from_pretrained(where)
    if fault := not_causal(config.architectures):
        raise Misfit(fault)
    found: Any = AutoModelForCausalLM.from_pretrained(
        where, output_loading_info=True, ignore_mismatched_sizes=True, **options
    )
    model, info = found
    if faults := [*_shapes(info), *_keys("lack", info["missing_keys"]), *_keys("have also", info["unexpected_keys"])]:
        raise Misfit(f"its weights are not those of its config.json: they {'; they '.join(faults)}")
    return model


def _keys(verb: str, keys: Any) -> list[str]:
    names = sorted(keys)
    if not names:
        return []
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [f"{verb} {', '.join(names[:SHOWN])}{more}"]


def _shapes(info: dict[str, Any]) -> list[str]:
    found = sorted((str(key), tuple(have), tuple(want)) for key, have, want in info["mismatched_keys"])
    if not found:
        return []
    key, have, want = found[0]
    more = f" and {len(found) - 1} more differ" if len(found) > 1 else ""
    return [f"have {key} as {list(have)}, not {list(want)}{more}"]


def first_line(error: Exception) -> str:
    """What an error says, its kind where it says little (KeyError: 'added_tokens')."""
    text = next(iter(str(error).strip().splitlines()), "")[:300]
    return text if " " in text else f"{type(error).__name__}: {text}"
