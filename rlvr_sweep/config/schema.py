"""What a cell is: every choice of one run, typed and bounded. Hydra composes it, this judges it, the worker reads it.

    from rlvr_sweep.config.schema import Cell
    Cell.model_validate(json.loads(Path("runs/.../cell.json").read_text())["cell"])

A field made with `outside()` may change where or how a cell runs, never what comes out, and is not part of its
identity. Rules that need two fields live in rules.py, facts that need the disk in content.py.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from rlvr_sweep.grading.rules import NAMES as VERIFIERS
from rlvr_sweep.nearest import nearest
from rlvr_sweep.rewards import parse as parse_reward
from rlvr_sweep.strict import Strict, added, outside

Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9._/-]+$")]

Label = Annotated[Name, Field(json_schema_extra={"identity": False})]  # what a choice is called changes nothing

MathGrader = Literal["math_verify", "authors"]


class Lora(Strict):
    """LoRA by PEFT (arXiv 2106.09685). `targets` are module names, or "all-linear". No dropout: it would draw other
    masks for sampling and for old and new log-probs, and the ratio would leave 1 before any update."""

    rank: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    targets: list[str] | str = "all-linear"

    @field_validator("targets", mode="before")
    @classmethod
    def _are_names(cls, value: Any) -> Any:
        """One fault, where a union has one for each of its kinds."""
        if isinstance(value, dict) or (isinstance(value, list) and not all(isinstance(each, str) for each in value)):
            raise ValueError(f"{value!r} are no names of modules; write [q_proj,v_proj], or all-linear")
        return value


class Model(Strict):
    """A causal language model: a Hub id with its revision, a local Hugging Face folder, a lab model ("lab:NAME"), or
    random weights in a published model's architecture ("shape:NAME", shapes/table.py)."""

    name: Label
    family: Label
    hub: str | None = None
    revision: str | None = None
    path: str | None = outside(None)  # its content hash is in the identity instead
    template: Name = "chat"
    templates: list[Name] = outside(["chat", "raw"])  # the ones this model may be used with
    prefix: str | None = added(None, min_length=1)  # every response begins so; see data/templates.py
    stop: list[str] = Field([])  # strings that end a completion, kept in it
    stop_tokens: list[str] = Field([])  # further end-of-sequence tokens
    end: str | None = outside(None)  # a base model's end token and the one its chat template ends a turn with,
    turn_end: str | None = outside(None)  # where these are two
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    attention: Literal["eager", "sdpa", "flash_attention_2"] = outside("sdpa")
    lora: Lora | None = None
    context: int | None = Field(None, ge=8)  # tokens of prompt and completion; None: what the model's config says
    note: str | None = outside(None)

    @field_validator("prefix")
    @classmethod
    def _ends_with_a_word(cls, value: str | None) -> str | None:
        """Tokenizers join a blank to the word behind it, which is the model's to choose."""
        if value is not None and value != value.rstrip(" "):
            raise ValueError(f"{value!r} ends with a blank, which the next word's token begins with; leave it out")
        return value


class Source(Strict):
    """Where rows come from: a Hub dataset, a local file, a lab task, generated puzzles (data/puzzles), or KOR-Bench's
    files (data/kor.py). `verifier` says whether an answer to such a row is right, and what counts as an answer."""

    kind: Literal["hub", "file", "lab", "puzzle", "kor"]
    hub: str | None = None
    config: str | None = None
    revision: str | None = None
    split: str | None = None
    path: str | None = outside(None)  # its content hash is in the identity instead
    task: str | None = None  # a lab task, a puzzle family, or a category of KOR-Bench
    difficulty: int | None = added(None, ge=1)  # of puzzles
    wording: Literal["full", "terse"] = added("full")  # of puzzles: terse fits a lab model
    shots: int = added(0, ge=0, le=8)  # of KOR-Bench: worked examples of the same rule before the question
    verifier: Name = added("math")  # one of grading/rules.py; puzzles and KOR-Bench have their own
    count: int | None = Field(None, ge=1)  # the first rows only
    prompt_column: str = "prompt"
    answer_column: str = "answer"
    id_column: str | None = "id"

    @model_validator(mode="before")
    @classmethod
    def _verifier_of_the_task(cls, value: Any) -> Any:
        """Where none is said, a puzzle's and a category's own one; an unknown task is told where its rows are read."""
        name = f"{value.get('kind')}/{value.get('task')}" if isinstance(value, dict) else ""
        return {"verifier": name} | value if name in VERIFIERS else value

    @field_validator("verifier")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in VERIFIERS:
            raise ValueError(f"no such verifier; {nearest(value, VERIFIERS)}")
        return value

    @property
    def from_hub(self) -> bool:
        """Whether the rows stand for themselves by a Hub revision, and are fetched, not read from here."""
        return self.kind == "hub" or (self.kind == "kor" and self.path is None)


class Data(Source):
    """The training prompts. `ids` picks rows by id; `repeat` fills whole rollouts from few rows (one-shot RL)."""

    name: Label
    ids: list[str] | None = None
    repeat: bool = False
    labels: str | None = outside(None)  # a label file (JSONL: id, label); its content hash is in the identity
    label_filter: Literal["all", "incorrect"] = "all"  # incorrect: only prompts whose label is wrong
    empty_labels: Literal["drop", "keep"] = added("drop")  # keep, as the paper's code: they reward holding no answer
    overlap: Literal["report", "refuse"] = outside("report")  # training prompts that are in a benchmark


class Estimator(Strict):
    """How rewards become a gradient.

    `advantage`: group is (r - group mean) / (group std + std_epsilon), by `scale`; nsr_masked and psr_masked keep only
    its completions with r < 1, or r > 0 (model_task_alignment 2.7); nsr, psr and w_reinforce are r - 1, r, and
    psr_weight * r + r - 1, with no baseline (6.2 there); entropy_min puts the mean log-prob of a completion's tokens in
    the place of its reward (2.4 there). `whiten` normalizes advantages once more, over all tokens of the rollout.

    `loss` is what is averaged: dapo all tokens of an update (divided by an update's share of the rollout's tokens, so
    that micro-batches and ranks make no difference), grpo the sequence means, dr_grpo a sum over tokens divided by a
    constant, micro_batch the token means of batches of `loss_batch` completions (a pass may hold several).

    With `dynamic_sampling`, groups with zero spread are dropped and up to `max_generation_batches` generated in all.

    `rollout_correction` weighs the loss by (trainer's probability / vLLM's) of each token, or of the completion up to
    its end, cut off at `rollout_correction_max` (truncate) or 0 beyond it (mask): truncated importance sampling for
    what the two compute differently. The papers have none.
    """

    name: Label
    loss: Literal["dapo", "grpo", "dr_grpo", "micro_batch"] = "dapo"
    loss_batch: int | None = added(None, ge=1)
    scale: Literal["group", "batch", "none"] = "group"
    kl: float = Field(0.0, ge=0)
    advantage: Literal["group", "nsr_masked", "psr_masked", "nsr", "psr", "w_reinforce", "entropy_min"] = added("group")
    psr_weight: float = added(0.1, ge=0)  # lambda of w_reinforce
    std_epsilon: float = added(1e-4, gt=0)  # what is added to the standard deviation; TRL's default
    whiten: bool = added(False)
    entropy_bonus: float = added(0.0)  # times the mean entropy of the update's tokens; below 0 it is a penalty
    dynamic_sampling: bool = added(False)
    max_generation_batches: int = added(2, ge=1)
    rollout_correction: Literal["none", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"] = added(
        "none"
    )
    rollout_correction_max: float = added(3.0, gt=1)


class Clip(Strict):
    """The clip ablation (spurious_rewards, section 4.4.2). `match` keeps an arm that makes fewer updates a rollout
    equal to the on-arm in rollouts (as the paper did), in optimizer steps, or in prompts seen, which is as many
    rollouts of a large batch and as many steps of a small rollout, and is kept as that. What an arm does not use is set
    to its default, so that one run has one identity.

    off_epsilon keeps the ratio without a bound; off_policy_gradient is the authors' loss -pi(y_t) A, with no old policy
    below; off_logprob is -A log pi(y_t). The other two make one update a rollout, so that the ratio is 1.
    """

    name: Literal["on", "off_epsilon", "off_policy_gradient", "off_logprob", "off_large_batch", "off_small_rollout"]
    epsilon_low: float = Field(0.2, gt=0)
    epsilon_high: float = Field(0.2, gt=0)
    dual: float | None = added(None, gt=1)  # where A < 0 the ratio is bounded by this too (arXiv 1912.09729, eq. 5)
    match: Literal["rollouts", "updates", "prompts"] = "updates"

    @model_validator(mode="before")
    @classmethod
    def _one_way_to_say_it(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        name = str(value.get("name"))
        if value.get("match") == "prompts":
            value = value | {"match": "rollouts" if name == "off_large_batch" else "updates"}
        unused = () if name in ("off_large_batch", "off_small_rollout") else ("match",)
        unused += ("epsilon_low", "epsilon_high", "dual") if name.startswith("off_") else ()
        return {key: item for key, item in value.items() if key not in unused}


class Algo(Strict):
    """The batches and the optimizer. Steps are rollouts; optimizer steps are derived (batch.py)."""

    name: Label
    rollouts: int = Field(ge=1)
    prompts_per_rollout: int = Field(ge=1)
    completions_per_prompt: int = Field(ge=2)
    votes_per_prompt: int | None = added(None, ge=2)  # TTRL: so many are sampled and vote; the first are trained on
    updates_per_rollout: int = Field(ge=1)
    max_prompt_tokens: int = Field(ge=1)
    max_completion_tokens: int = Field(ge=1)
    temperature: float = Field(1.0, gt=0)
    learning_rate: float = Field(gt=0)
    schedule: Literal["constant", "constant_with_warmup", "linear", "cosine"] = "constant"
    warmup_updates: int = Field(0, ge=0)
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    adam_beta2: float = Field(0.999, ge=0, lt=1)
    adam_epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    mask_truncated: bool = False
    deviations: list[str] = outside([])  # how this choice departs from the paper it names
    paper: str | None = outside(None)  # whose preset this is; cells that depart from it say so (departures.py)
    fixes: dict[str, dict[str, Any]] = outside({})  # in other groups: {estimator: {kl: 0}}; or what a list holds
    # What counts as an answer, for rewards; `auto` is one of the last two, by the template (settled.py).
    extraction: Literal["boxed", "tagged", "lenient"] = "boxed"

    @field_validator("extraction", mode="before")
    @classmethod
    def _without_a_template(cls, value: Any) -> Any:
        return "lenient" if value == "auto" else value


class Benchmark(Source):
    """One evaluation set and how it is sampled. temperature 0 is greedy (then `samples` must be 1)."""

    samples: int = Field(1, ge=1)
    temperature: float = Field(0.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_completion_tokens: int | None = Field(None, ge=1)  # None: as in training
    extraction: Literal["boxed", "tagged", "lenient"] = "boxed"
    ks: list[int] = outside([1])  # pass@k to report


class Eval(Strict):
    """Which benchmarks, and when: before, after, and every `every` rollouts (0: only before and after)."""

    name: Label
    benchmarks: dict[Name, Benchmark] = Field({})
    path: str | None = outside(None)  # a local file for a choice with one benchmark
    every: int = Field(0, ge=0)
    before: bool = True
    batch: int = outside(64, ge=1)  # completions a generate call and rank; vLLM batches by itself

    @model_validator(mode="before")
    @classmethod
    def _file_for_the_only_benchmark(cls, value: Any) -> Any:
        """`eval.path` turns a choice's only benchmark into that file of `prompt`, `answer`, `id` rows; where all are
        categories of KOR-Bench, it is the folder that holds them."""
        if not isinstance(value, dict) or value.get("path") is None:
            return value
        benchmarks = value.get("benchmarks") or {}
        if benchmarks and all(isinstance(b, dict) and b.get("kind") == "kor" for b in benchmarks.values()):
            return value | {"benchmarks": {n: b | {"path": value["path"]} for n, b in benchmarks.items()}}
        if len(benchmarks) != 1:
            return value
        [(name, bench)] = value["benchmarks"].items()
        sampling = {k: v for k, v in bench.items() if k not in Source.model_fields or k == "count"}
        return value | {"benchmarks": {name: sampling | {"kind": "file", "path": value["path"]}}}


class Grading(Strict):
    """Which math grader rewards and accuracies go by (both are recorded), and its limits. They are in the identity: a
    timed-out answer is unscorable. `authors` is that of the Spurious Rewards authors, with their rule for what counts
    as an answer: it looks for one in its own order, with extraction=tagged behind the last <answer>, otherwise
    whatever `extraction` says (grading/authors.py)."""

    grader: MathGrader = added("math_verify")
    soft_limit_s: float = Field(default=1.5, gt=0.1)  # a tenth of a second passes before a worker is given up
    hard_limit_s: float = Field(default=3.0, gt=0)
    workers: int | None = outside(None, ge=1)  # None: half the cores
    memory_mb: int = outside(4096, ge=256)


class Compute(Strict):
    """How a cell runs on a machine; nothing here changes the algebra."""

    name: Label
    device: Literal["auto", "cpu", "cuda"] = outside("auto")
    ranks: int = outside(1, ge=1)  # processes over all nodes, a GPU each
    nodes: int = outside(1, ge=1)  # machines the ranks are spread over, under SLURM
    # Part of a GPU that a cell of one rank takes: 0.25 puts four on it. None: by the model's size (sweep/packing.py).
    share: float | None = outside(None, ge=1 / 64, le=1)
    micro_batch: int | None = outside(None, ge=1)  # completions a pass and rank, at most; None: a whole update
    generate_batch: int | None = outside(None, ge=1)  # completions a generate call and rank; None: the whole rollout
    # What generates: Hugging Face, vLLM on the same GPUs, or a vLLM server on others (train/vllm_server.py).
    backend: Literal["hf", "vllm", "vllm_server"] = outside("hf")
    vllm_server: str | None = outside(None)  # http://HOST:PORT
    vllm_memory: float = outside(0.4, gt=0, lt=1)  # the share of a GPU's memory that vLLM may take
    vllm_sleep: bool = outside(True)  # vLLM gives its memory back during updates, at some seconds a rollout
    # Compute activations anew in the backward pass; auto: those of passes for which there is no room.
    gradient_checkpointing: bool | Literal["auto"] = outside("auto")
    liger: bool = outside(False)  # Liger's fused kernels for norms, rotary positions and MLPs
    zero: Literal[0, 1, 2, 3] = outside(0)  # DeepSpeed's ZeRO: what is sharded over the ranks (train/deepspeed.py)
    offload: bool = outside(False)  # with ZeRO: the optimizer's state in the CPU's memory, with 3 also the weights
    check_memory: bool = outside(True)  # refuse to start what cannot fit, by the estimate of shapes/memory.py
    checkpoint_every: int = outside(1, ge=0)  # rollouts; 0: only when asked to stop
    threads: int | None = outside(None, ge=1)  # CPU threads a rank; None: 1, or with offload its GPU's share of cores
    keep_model: bool = outside(True)  # write model/ at the end

    @field_validator("gradient_checkpointing", mode="before")
    @classmethod
    def _is_told(cls, value: Any) -> Any:
        if not isinstance(value, bool) and value != "auto":
            raise ValueError(f"{value!r} is neither true, nor false, nor auto")
        return value

    @field_validator("vllm_server")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/]+:\d+/?", value):
            raise ValueError(f"{value!r} is no address; write http://HOST:PORT")
        return value


class Tracking(Strict):
    """The W&B mirror. The record is on disk whatever this says."""

    name: Label
    mode: Literal["off", "offline", "online"] = outside("offline")
    project: str = outside("rlvr_sweep")
    entity: str | None = outside(None)


class Cluster(Strict):
    """What SLURM is asked for. What is null is left out of the request, or worked out from the cells."""

    name: Label = "slurm"
    partition: str | None = outside(None)
    account: str | None = outside(None)
    qos: str | None = outside(None)
    time: str = outside("24:00:00")  # [days-]hours:minutes:seconds
    gpus: int | None = outside(None, ge=0)  # a node; null: what a task's largest cell takes
    gpu_type: str | None = outside(None)
    cpus: int | None = outside(None, ge=1)  # a node; null: 8 a GPU, or the cells' cores
    memory: str | None = outside(None)  # a node, as in 64G
    constraint: str | None = outside(None)
    requeue: bool = outside(True)  # a cell that meets the time limit or is preempted goes back into the queue
    throttle: int | None = outside(None, ge=1)  # array tasks at once
    pack: int = outside(1, ge=1)  # cells an array task
    # Seconds before the limit at which cells are told to checkpoint; null: as sweep/slurm.py reckons.
    signal_s: int | None = outside(None, ge=10)
    modules: list[str] = outside([])  # module load ...
    container: str | None = outside(None)  # what goes before the command: apptainer exec --nv image.sif
    setup: list[str] = outside([])  # further shell lines before the command
    extra: list[str] = outside([])  # further sbatch options: --mail-type=END

    @field_validator("time")
    @classmethod
    def _has_one_way_to_be_written(cls, value: str) -> str:
        """SLURM reads a bare number as minutes, and YAML reads 1:00:00 as 3600."""
        if not re.fullmatch(r"(\d+-)?\d{1,3}:\d\d:\d\d", value):
            raise ValueError(
                f"{value!r} is no time limit; write [days-]hours:minutes:seconds in quotes, as in '24:00:00'"
            )
        return value


class Sweep(Strict):
    """How a grid is run."""

    name: str | None = outside(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")  # of its manifest
    max_cells: int = outside(1000, ge=1)  # a larger grid is a typing error until this says otherwise
    slots: int | None = outside(None, ge=1)  # cells at once; null: as many as the GPUs or cores take
    stagger_s: float = outside(1.0, ge=0)  # seconds between two starts
    fork: bool = outside(True)  # cells here are forked from one process that has imported torch (sweep/forks.py)
    retry: bool = outside(False)  # take failed cells too
    max_failures: int = outside(3, ge=1)  # of one cell; beyond it is not retried


class Cell(Strict):
    """One run: a model, a reward, data, an algorithm, a seed; and how it is evaluated, run and tracked."""

    seed: int = Field(ge=0, lt=2**31, strict=True)
    model: Model
    reward: SerializeAsAny[Strict]
    data: Data
    algo: Algo
    estimator: Estimator
    clip: Clip
    eval: Eval
    grading: Grading = Field(default_factory=Grading)
    compute: Compute
    tracking: Tracking
    cluster: Cluster = outside(Cluster())
    sweep: Sweep = outside(Sweep())
    runs: str = outside("runs")  # where run directories lie
    choices: dict[str, str] = outside({})  # the group choices this was composed from
    deviations: list[str] = outside([])  # gathered from its choices, shown beside its numbers

    @field_validator("reward", mode="before")
    @classmethod
    def _reward(cls, value: Any) -> Strict:
        return parse_reward(value)
