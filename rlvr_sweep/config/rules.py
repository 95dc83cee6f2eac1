"""The rules that need more than one field, each with what to write instead. Plain Python: no torch, no disk.

faults(cell) -> ["algo.updates_per_rollout: ... write 2 or 4", ...]
"""

from rlvr_sweep.config import batch
from rlvr_sweep.config.departures import departures, fixed_knobs
from rlvr_sweep.config.reward_rules import reward_faults
from rlvr_sweep.config.schema import Benchmark, Cell, Source
from rlvr_sweep.data.templates import TEMPLATES
from rlvr_sweep.nearest import nearest
from rlvr_sweep.rewards import has_part
from rlvr_sweep.shapes.table import name_in

UNBOUNDED = 1e6  # an epsilon that never acts; infinity would be invalid JSON
WITHOUT_BOUND = ("off_epsilon", "off_policy_gradient", "off_logprob")  # the clip arms that lift it
ELSEWHERE = {"hub": "the Hub", "lab": "the lab", "puzzle": "a generator"}  # kinds of data that read no file
RAW = ("nsr", "psr", "w_reinforce")  # the advantages without a baseline
MASKED = ("nsr_masked", "psr_masked")
WARM = 0.05  # the share of a run's updates beyond which a warm-up is told; no paper here has more
READ_BY = {  # a key of a source that only some kinds of data look at, and what says nothing there
    "hub": (("hub", "kor"), None),
    "revision": (("hub", "kor"), None),
    "config": (("hub", "kor"), None),
    "task": (("lab", "puzzle", "kor"), None),
    "difficulty": (("puzzle",), None),
    "wording": (("puzzle",), "full"),
    "shots": (("kor",), 0),
}


def arm(cell: Cell) -> batch.Batch:
    """The batches of a cell after its clip ablation. Raises ValueError where the numbers do not divide."""
    algo, updates, prompts = cell.algo, cell.algo.updates_per_rollout, cell.algo.prompts_per_rollout
    stretch = 1
    if cell.clip.name in ("off_large_batch", "off_small_rollout"):
        stretch = updates if cell.clip.match == "updates" else 1
        prompts = prompts // updates if cell.clip.name == "off_small_rollout" else prompts
        updates = 1
    return batch.plan(
        prompts=prompts,
        completions=algo.completions_per_prompt,
        updates=updates,
        rollouts=algo.rollouts * stretch,
        stretch=stretch,
        ranks=cell.compute.ranks,
        micro_batch=cell.compute.micro_batch,
        loss_batch=loss_batch(cell) or 1,
    )


def loss_batch(cell: Cell) -> int | None:
    """Completions over whose tokens the loss is a mean, of which an update's is the mean; None: it has no such part."""
    return cell.estimator.loss_batch if cell.estimator.loss == "micro_batch" else None


def sampled_completions(cell: Cell) -> int:
    """Completions sampled for a prompt: those that are trained on, or those that vote."""
    return cell.algo.votes_per_prompt or cell.algo.completions_per_prompt


def generation_batches(cell: Cell) -> int:
    """How often prompts may be sampled for one rollout, each time as many as a rollout holds."""
    return cell.estimator.max_generation_batches if cell.estimator.dynamic_sampling else 1


def deviations(cell: Cell) -> list[str]:
    """What a reader must know beside this cell's numbers: departures from the paper named, and what is not pinned."""
    found = [*cell.deviations, *cell.algo.deviations, *departures(cell)]
    if cell.estimator.advantage in ("nsr", "psr"):
        found.append(
            f"The loss of {cell.estimator.advantage} is averaged over all completions, as in the paper's objective; "
            "the released code drops the others from the batch, which makes its steps larger and fewer."
        )
    warming, updates = cell.algo.warmup_updates, arm(cell).optimizer_steps
    if warming > WARM * updates:
        found.append(
            f"algo.warmup_updates={warming}, of {updates} updates in all: the learning rate rises for "
            f"{min(1, warming / updates):.0%} of the run."
        )
    if (correction := cell.estimator.rollout_correction) != "none":
        found.append(
            f"estimator.rollout_correction={correction}, at most {cell.estimator.rollout_correction_max:g}: a second "
            "weight on the loss, for what vLLM and the trainer compute differently; no paper here has one."
        )
    if any(source.kind == "kor" for source in (cell.data, *cell.eval.benchmarks.values())):
        found.append("KOR-Bench is asked with our prompts and graded by our verifiers, not the released ones.")
    if shape := name_in(cell.model.path):
        found.append(f"The model's weights are random: {shape} is an architecture, and its accuracies mean nothing.")
    hub = {"model": (cell.model.hub, cell.model.revision), "data": (cell.data.hub, cell.data.revision)}
    hub |= {f"eval.benchmarks.{name}": (b.hub, b.revision) for name, b in cell.eval.benchmarks.items()}
    found += [
        f"{key}: {name} at no pinned revision; pin it with {key}.revision=COMMIT"
        for key, (name, revision) in hub.items()
        if name is not None and revision is None
    ]
    return found


def epsilons(cell: Cell) -> tuple[float, float]:
    """(low, high) bounds of the ratio around 1 that the loss uses."""
    if cell.clip.name in WITHOUT_BOUND:
        return UNBOUNDED, UNBOUNDED
    return cell.clip.epsilon_low, cell.clip.epsilon_high


def _batch_faults(cell: Cell) -> list[str]:
    algo, clip = cell.algo, cell.clip
    prompts, updates = algo.prompts_per_rollout, algo.updates_per_rollout
    if clip.name == "on" and updates == 1 and prompts % cell.compute.ranks == 0:
        size, least = prompts * algo.completions_per_prompt // cell.compute.ranks, loss_batch(cell) or 1
        legal = [str(u) for u in batch.divisors(size) if u > 1 and size % (u * least) == 0]
        *rest, last = legal or [""]
        return [
            "algo.updates_per_rollout: 1 update a rollout makes the ratio exactly 1, so clip=on can never act; write "
            f"{', '.join(rest)}{' or ' * bool(rest)}{last}{', or ' * bool(last)}clip=off_large_batch"
        ]
    if clip.name == "off_small_rollout" and prompts % (parts := updates * cell.compute.ranks):
        over = f" and {cell.compute.ranks} ranks" if cell.compute.ranks > 1 else ""
        legal = list(range(parts, 2 * prompts + parts, parts))
        each, least = prompts // updates, loss_batch(cell) or 1
        fewer = batch.or_ranks(_fewer(cell), prompts=each, size=each * algo.completions_per_prompt, parts=least)
        return [
            f"algo.prompts_per_rollout: clip=off_small_rollout divides {prompts} prompts by {updates} updates{over}; "
            f"write {batch.nearest(prompts, legal)}{'' if prompts % updates else fewer}"
        ]
    if clip.name == "off_small_rollout":
        prompts //= updates
    return [
        f"{key}: {text}"
        for key, text in batch.faults(
            prompts=prompts,
            completions=algo.completions_per_prompt,
            updates=1 if clip.name in ("off_large_batch", "off_small_rollout") else updates,
            ranks=cell.compute.ranks,
            loss_batch=loss_batch(cell) or 1,
            fewer=_fewer(cell),
        )
    ]


def _fewer(cell: Cell) -> list[int]:
    """Ranks fewer than its own on which a cell may run: as many on each node, and more than one to shard over."""
    compute = cell.compute
    least = 2 if compute.zero and not compute.offload else 1
    return [ranks for ranks in range(least, compute.ranks) if ranks % compute.nodes == 0]


def _loss_faults(cell: Cell) -> list[str]:
    estimator, clip, micro = cell.estimator, cell.clip, cell.compute.micro_batch
    found = []
    if estimator.loss == "micro_batch" and estimator.loss_batch is None:
        found.append(
            "estimator.loss_batch: missing; loss=micro_batch averages over the tokens of so many completions; "
            "write estimator.loss_batch=4"
        )
    elif estimator.loss == "micro_batch" and micro is not None and micro < (estimator.loss_batch or 1):
        found.append(
            f"compute.micro_batch: {micro} would change the loss, a mean over batches of estimator.loss_batch="
            f"{estimator.loss_batch}; write compute.micro_batch={estimator.loss_batch}"
        )
    elif estimator.loss != "micro_batch" and estimator.loss_batch is not None:
        found.append(
            f"estimator.loss_batch: estimator.loss={estimator.loss} does not depend on it; write "
            "estimator.loss=micro_batch or estimator.loss_batch=null"
        )
    if clip.name == "on" and clip.epsilon_low >= 1 and clip.epsilon_high >= UNBOUNDED:
        found.append(
            f"clip.epsilon_low: no ratio is below {1 - clip.epsilon_low:g} or above {1 + clip.epsilon_high:g}, so that "
            "clip=on can never act; write clip=off_epsilon"
        )
    if clip.dual is not None and clip.dual <= 1 + clip.epsilon_high:
        found.append(
            f"clip.dual: {clip.dual:g} is a bound on the ratio and must exceed 1 + clip.epsilon_high = "
            f"{1 + clip.epsilon_high:g}; write clip.dual=10"
        )
    return found


def _estimator_faults(cell: Cell) -> list[str]:
    """A knob that the chosen estimator does not have would make two ids of one run."""
    estimator, votes, trained = cell.estimator, cell.algo.votes_per_prompt, cell.algo.completions_per_prompt
    kind = estimator.advantage
    found = []
    if kind in RAW and estimator.scale != "none":
        found.append(
            f"estimator.scale: estimator.advantage={kind} has no baseline and no scale; write estimator.scale=none"
        )
    if kind != "w_reinforce" and estimator.psr_weight != 0.1:
        found.append(f"estimator.psr_weight: estimator.advantage={kind} has none; write estimator=w_reinforce")
    if estimator.scale == "none" and estimator.std_epsilon != 1e-4:
        found.append("estimator.std_epsilon: nothing is divided by a standard deviation; write estimator.scale=group")
    if not estimator.dynamic_sampling and estimator.max_generation_batches != 2:
        found.append(
            "estimator.max_generation_batches: without dynamic sampling there is one; "
            "write estimator.dynamic_sampling=true"
        )
    found += _correction_faults(cell)
    if kind == "entropy_min":
        unused = {
            "reward": ("ground_truth", getattr(cell.reward, "name", None) != "ground_truth"),
            "estimator.dynamic_sampling": ("false", estimator.dynamic_sampling),
            "algo.votes_per_prompt": ("null", votes is not None),
        }
        found += [
            f"{key}: estimator.advantage=entropy_min trains on no reward, so this could change nothing; "
            f"write {key}={value}"
            for key, (value, is_set) in unused.items()
            if is_set
        ]
    elif votes is not None and not has_part(cell.reward, "majority_online", "plugin"):
        found.append(
            "algo.votes_per_prompt: this reward takes no vote, so this could change nothing; write "
            "reward=majority_online or algo.votes_per_prompt=null"
        )
    if (kind in RAW or kind in MASKED) and has_part(cell.reward, "weighted"):
        found.append(
            f"reward: estimator.advantage={kind} takes rewards of 0 and 1, and a weighted sum is neither; write "
            "reward=all_of or any_of, or estimator=grpo"
        )
    if votes is not None and votes <= trained:
        found.append(
            f"algo.votes_per_prompt: {votes} must exceed the {trained} that are trained on "
            f"(algo.completions_per_prompt); write {2 * trained}, or null to vote over those"
        )
    return found


def _correction_faults(cell: Cell) -> list[str]:
    estimator = cell.estimator
    if estimator.rollout_correction == "none":
        if estimator.rollout_correction_max == 3:
            return []
        return [
            "estimator.rollout_correction_max: nothing is corrected, so this could change nothing; leave it out, or "
            "write estimator.rollout_correction=token_truncate"
        ]
    if cell.compute.backend != "hf":
        return []
    return [
        "estimator.rollout_correction: corrects for what vLLM computes otherwise than the trainer, and Hugging Face "
        "samples from the trainer's own model; write compute.backend=vllm, or estimator.rollout_correction=none"
    ]


def _source_faults(key: str, source: Source) -> list[str]:
    wanted = {"hub": source.hub, "file": source.path, "kor": source.path or source.hub}.get(source.kind, source.task)
    if wanted is None and source.kind == "kor":
        shared = "eval" if key.startswith("eval.") else key
        hub = f", or {key}.hub=OWNER/NAME" if shared == key else ""
        return [f"{shared}.path: missing; write {shared}.path=FOLDER, the one that holds KOR-Bench's data{hub}"]
    if wanted is None:
        field, example = {
            "hub": ("hub", "agentica-org/DeepScaleR-Preview-Dataset"),
            "file": ("path", "problems.jsonl"),
            "lab": ("task", "add"),
            "puzzle": ("task", "cipher"),
        }[source.kind]
        return [f"{key}.{field}: missing; write {key}.{field}={example}"]
    if source.path is not None and source.kind in ELSEWHERE:
        instead = f"data=jsonl data.path={source.path}" if key == "data" else f"{key}.kind=file"
        whence = f"as rows come from {ELSEWHERE[source.kind]}"
        return [f"{key}.path: would be ignored, {whence}; write {instead}, or leave it out"]
    return [  # and one run would have two ids
        f"{key}.{field}: would be ignored, as {key}.kind={source.kind} does not look at it; leave it out"
        for field, (kinds, nothing) in READ_BY.items()
        if source.kind not in kinds and getattr(source, field) != nothing
    ]


def _benchmark_faults(name: str, bench: Benchmark) -> list[str]:
    key = f"eval.benchmarks.{name}"
    found = _source_faults(key, bench)
    if bench.temperature == 0 and bench.samples > 1:
        found.append(
            f"{key}.samples: {bench.samples} greedy samples would all be the same; write 1, or a temperature above 0"
        )
    found += [
        f"{key}.ks: pass@{k} needs at least {k} samples, there are {bench.samples}; write {key}.samples={k}"
        for k in bench.ks
        if k > bench.samples
    ]
    return found


def context_faults(cell: Cell, context: int) -> list[str]:
    """Completions, in training and in each benchmark, that do not fit behind the longest prompt.

    `context` is in tokens.
    """
    prompt = cell.algo.max_prompt_tokens
    wanted = {"algo": cell.algo.max_completion_tokens}
    wanted |= {
        f"eval.benchmarks.{n}": b.max_completion_tokens
        for n, b in cell.eval.benchmarks.items()
        if b.max_completion_tokens
    }
    remedy = (
        "write {key}.max_completion_tokens={room}"
        if prompt < context
        else f"write algo.max_prompt_tokens={context // 2} or fewer, or model=NAME, one that takes more"
    )
    return [
        f"{key}.max_completion_tokens: {prompt} prompt and {tokens} completion tokens "
        f"exceed the model's context of {context}; " + remedy.format(key=key, room=context - prompt)
        for key, tokens in wanted.items()
        if prompt + tokens > context
    ]


def faults(cell: Cell) -> list[str]:
    """All cross-field faults of a cell, one line each."""
    found = fixed_knobs(cell) + _loss_faults(cell) + _estimator_faults(cell)
    found += _batch_faults(cell)
    model, algo = cell.model, cell.algo
    if (model.hub is None) == (model.path is None):
        found.append("model: needs either a Hub id or a folder; write model=path model.path=DIR")
    if strange := [name for name in (model.template, *model.templates) if name not in TEMPLATES]:
        key = "model.template" if strange[0] == model.template else "model.templates"
        found.append(f"{key}: {strange[0]!r} is no prompt template; {nearest(strange[0], TEMPLATES)}")
    elif model.template not in model.templates:
        found.append(
            f"model.template: {model.template!r} is not for {model.name}; write one of {', '.join(model.templates)}"
        )
    if model.stop and algo.mask_truncated:
        found.append(
            "algo.mask_truncated: a completion ended by a stop string counts as truncated in TRL and would be masked; "
            "write algo.mask_truncated=false"
        )
    if algo.schedule == "constant" and algo.warmup_updates:
        found.append(
            "algo.warmup_updates: algo.schedule=constant has no warm-up, so this could change nothing; write "
            "algo.schedule=constant_with_warmup, or algo.warmup_updates=0"
        )
    if model.context is not None:
        found += context_faults(cell, model.context)
    found += _source_faults("data", cell.data)
    found += reward_faults(cell)
    if cell.eval.path is not None and all(b.path != cell.eval.path for b in cell.eval.benchmarks.values()):
        found.append(
            f"eval.path: serves a choice with one benchmark, eval={cell.eval.name} has {len(cell.eval.benchmarks)}; "
            "write eval.benchmarks.NAME.path=FILE"
        )
    for name, bench in cell.eval.benchmarks.items():
        found += [fault for fault in _benchmark_faults(name, bench) if fault not in found]
    compute = cell.compute
    if compute.ranks % compute.nodes:
        found.append(
            f"compute.nodes: {compute.ranks} ranks cannot be spread over {compute.nodes} nodes evenly; "
            f"write compute.ranks={compute.nodes * -(-compute.ranks // compute.nodes)}"
        )
    if compute.offload and not compute.zero:
        found.append("compute.offload: DeepSpeed does it, with ZeRO; write compute.zero=2 or compute.offload=false")
    if compute.zero and compute.device == "auto":
        found.append("compute.zero: needs compute.device=cuda; write that, or compute=cpu for a trial on cores")
    if compute.zero and compute.ranks == 1 and not compute.offload:
        found.append(
            f"compute.zero: {compute.zero} has nothing to shard on 1 rank; write compute.zero=0, compute.ranks=2 or "
            "compute.offload=true"
        )
    if compute.liger and compute.device == "cpu":
        found.append("compute.liger: its kernels are for GPUs; write compute.liger=false")
    if compute.backend == "vllm" and compute.device == "cpu":
        found.append("compute.backend: vllm generates on the GPUs that train; write compute.backend=hf for cores")
    if compute.backend == "vllm_server" and compute.vllm_server is None:
        found.append(
            "compute.vllm_server: missing; write compute.vllm_server=http://HOST:PORT, or compute.backend=vllm"
        )
    if compute.backend != "vllm_server" and compute.vllm_server is not None:
        found.append(
            f"compute.vllm_server: compute.backend={compute.backend} asks no server; write compute.backend=vllm_server"
        )
    if compute.share not in (None, 1) and compute.ranks > 1:
        found.append("compute.share: only a cell of one rank shares a GPU; write compute.share=1")
    if cell.grading.hard_limit_s <= cell.grading.soft_limit_s:
        found.append("grading.hard_limit_s: must exceed grading.soft_limit_s; write twice the soft limit")
    return found
