"""The rules that need more than one field, each with what to write instead. Plain Python: no torch, no disk.

faults(cell) -> ["algo.updates_per_rollout: ... write 2 or 4", ...]
"""

from rlvr_sweep.config import batch
from rlvr_sweep.config.schema import Benchmark, Cell, Source
from rlvr_sweep.rewards import needs_labels

UNBOUNDED = 1e6  # an epsilon that never acts; infinity would be invalid JSON


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
    )


def deviations(cell: Cell) -> list[str]:
    """What a reader must know beside this cell's numbers: departures from the paper named, and what is not pinned."""
    found = list(cell.algo.deviations)
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
    if cell.clip.name == "off_epsilon":
        return UNBOUNDED, UNBOUNDED
    return cell.clip.epsilon_low, cell.clip.epsilon_high


def _batch_faults(cell: Cell) -> list[str]:
    algo, clip = cell.algo, cell.clip
    prompts, updates = algo.prompts_per_rollout, algo.updates_per_rollout
    if clip.name == "on" and updates == 1:
        return [
            "algo.updates_per_rollout: 1 update a rollout makes the ratio exactly 1, so clip=on can never act; "
            "write 2 or more, or clip=off_large_batch"
        ]
    if clip.name == "off_small_rollout" and prompts % updates:
        legal = list(range(updates, 2 * prompts + updates, updates))
        return [
            f"algo.prompts_per_rollout: clip=off_small_rollout divides {prompts} prompts by {updates} updates; "
            f"write {batch.nearest(prompts, legal)}"
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
            micro_batch=cell.compute.micro_batch,
        )
    ]


def _source_faults(key: str, source: Source) -> list[str]:
    wanted = {"hub": source.hub, "file": source.path, "lab": source.task}[source.kind]
    if wanted is None:
        field, example = {
            "hub": ("hub", "agentica-org/DeepScaleR-Preview-Dataset"),
            "file": ("path", "problems.jsonl"),
            "lab": ("task", "add"),
        }[source.kind]
        return [f"{key}.{field}: missing; write {key}.{field}={example}"]
    return []


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
        else f"write algo.max_prompt_tokens={context // 2} or fewer"
    )
    return [
        f"{key}.max_completion_tokens: {prompt} prompt and {tokens} completion tokens "
        f"exceed the model's context of {context}; " + remedy.format(key=key, room=context - prompt)
        for key, tokens in wanted.items()
        if prompt + tokens > context
    ]


def faults(cell: Cell) -> list[str]:
    """All cross-field faults of a cell, one line each."""
    found = _batch_faults(cell)
    model, algo = cell.model, cell.algo
    if (model.hub is None) == (model.path is None):
        found.append("model: needs either a Hub id or a folder; write model=path model.path=DIR")
    if model.template not in model.templates:
        found.append(
            f"model.template: {model.template!r} is not for {model.name}; write one of {', '.join(model.templates)}"
        )
    if model.stop and algo.mask_truncated:
        found.append(
            "algo.mask_truncated: a completion ended by a stop string counts as truncated in TRL and would be masked; "
            "write algo.mask_truncated=false"
        )
    if model.context is not None:
        found += context_faults(cell, model.context)
    found += _source_faults("data", cell.data)
    if needs_labels(cell.reward) and cell.data.labels is None:
        found.append(
            f"data.labels: reward={cell.choices.get('reward', 'this')} needs a label file; write data.labels=FILE.jsonl"
        )
    elif cell.data.label_filter == "incorrect" and cell.data.labels is None:
        found.append("data.label_filter: needs a label file; write data.labels=FILE.jsonl")
    if cell.eval.path is not None and len(cell.eval.benchmarks) != 1:
        found.append(
            f"eval.path: serves a choice with one benchmark, eval={cell.eval.name} has {len(cell.eval.benchmarks)}; "
            "write eval.benchmarks.NAME.path=FILE"
        )
    for name, bench in cell.eval.benchmarks.items():
        found += _benchmark_faults(name, bench)
    compute = cell.compute
    if compute.ranks % compute.nodes:
        found.append(
            f"compute.nodes: {compute.ranks} ranks cannot be spread over {compute.nodes} nodes evenly; "
            f"write compute.ranks={compute.nodes * -(-compute.ranks // compute.nodes)}"
        )
    if compute.share < 1 and compute.ranks > 1:
        found.append("compute.share: only a cell of one rank shares a GPU; write compute.share=1")
    if cell.grading.hard_limit_s <= cell.grading.soft_limit_s:
        found.append("grading.hard_limit_s: must exceed grading.soft_limit_s; write twice the soft limit")
    return found
