"""How many parameters a model has, from its config.json alone: no weights, no torch.

    sizes = Sizes.of(json.loads(Path("model/config.json").read_text()))
    sizes.parameters                                     # 7615616512 for Qwen2.5-7B

Dense decoders of the Llama kind only; of any other architecture nothing is known, and that is said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KNOWN = ("llama", "mistral", "olmo2", "qwen2", "qwen3")


class Unknown(ValueError):
    """Nothing can be worked out, and why."""


@dataclass(frozen=True)
class Sizes:
    """The lengths that weights, activations and caches are made of."""

    model_type: str
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head: int  # of one attention head
    vocabulary: int
    is_tied: bool
    has_attention_bias: bool
    has_window: bool  # some layers attend to a window only: passes are padded (train/passes.py)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Sizes":
        """Raises Unknown for an architecture not in KNOWN, and where a length is missing."""
        kind = str(config.get("model_type"))
        if kind not in KNOWN:
            raise Unknown(f"nothing is known of model_type {kind}, only of {', '.join(KNOWN)}")
        try:
            hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
            return cls(
                model_type=kind,
                hidden=hidden,
                intermediate=int(config["intermediate_size"]),
                layers=int(config["num_hidden_layers"]),
                heads=heads,
                kv_heads=int(config.get("num_key_value_heads") or heads),
                head=int(config.get("head_dim") or hidden // heads),
                vocabulary=int(config["vocab_size"]),
                is_tied=bool(config.get("tie_word_embeddings", kind not in ("olmo2",))),
                has_attention_bias=kind == "qwen2" or bool(config.get("attention_bias")),
                has_window=bool(set(config.get("layer_types") or ()) - {"full_attention"})
                or bool(config.get("sliding_window") and config.get("use_sliding_window", kind == "mistral")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Unknown(f"its config.json does not say how large it is ({error})") from None

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """(in, out) of each linear module of a layer, by the name that LoRA's targets use."""
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def layer(self) -> int:
        """Parameters of one layer."""
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        count = sum(wide * high for wide, high in self.linears.values()) + 2 * self.hidden  # two norms
        if self.model_type == "olmo2":
            count += queries + keys  # norms over whole queries and keys
        elif self.model_type == "qwen3":
            count += 2 * self.head
        if self.has_attention_bias:
            count += queries + 2 * keys + (0 if self.model_type == "qwen2" else self.hidden)
        return count

    @property
    def parameters(self) -> int:
        """All of them: embedding, layers, the last norm, and the head where it is not the embedding."""
        return (2 - self.is_tied) * self.vocabulary * self.hidden + self.layers * self.layer + self.hidden

    @property
    def matrices(self) -> list[int]:
        """Elements of each: all parameters but norms and biases."""
        ends = (2 - self.is_tied) * [self.vocabulary * self.hidden]
        return self.layers * [wide * high for wide, high in self.linears.values()] + ends

    def adapters(self, rank: int, targets: Sequence[str] | str) -> list[int]:
        """Elements of each matrix of adapters of that rank on `targets`; a string that is no module's name means all
        linear modules."""
        names = [targets] if isinstance(targets, str) else targets
        chosen = [each for name, each in self.linears.items() if name in names] or list(self.linears.values())
        return self.layers * [rank * length for lengths in chosen for length in lengths]

    def lora_parameters(self, rank: int, targets: Sequence[str] | str) -> int:
        """Of those adapters."""
        return sum(self.adapters(rank, targets))

    def kv_bytes_per_token(self, width: int) -> int:
        """Bytes that a token takes in the KV cache, at `width` bytes a number."""
        return 2 * self.layers * self.kv_heads * self.head * width

    def kept_bytes_per_token(self, half: int, residual: int, *, lora: bool = False, padded: bool = False) -> int:
        """Bytes that a layer keeps of a token for the backward pass, at `half` bytes a number in the matrices and
        `residual` in the residual stream. Norms keep their input in float32 and its normalized form, which frozen ones
        (`lora`) do without; linears their input, each its own where autocast or an adapter makes it; attention its
        queries, keys, values and result (keys and values as often as there are queries behind a mask: `padded`); the
        MLP's product its factors and what they come from. Counted in tests/shapes/test_activations.py; Liger's layers
        keep less."""
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        wide = 2 * self.hidden  # of norms
        if self.model_type in ("olmo2", "qwen3"):
            wide += queries + keys
        normalized = 0 if lora else 4 if self.model_type == "olmo2" else residual
        inputs = (5 if lora or residual != half else 2) * self.hidden
        attention = 3 * queries + 2 * (queries if padded else keys)
        return wide * (4 + normalized) + (inputs + attention + 4 * self.intermediate) * half
