"""Every estimator and clip arm: the gradient of our trainer is that of a reference of a few lines, on 1 and on 2 ranks.

The reference knows nothing of TRL: no padding, plain log-softmax, the formulas as the papers write them. Sampling is at
temperature 2: near a probability of 1 float32 would lose what is compared.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.config.content import model_path

PROBE = Path(__file__).with_name("probe.py")
CELL = [  # one rollout of 4 x 4, 2 updates; a learning rate that moves the ratio in one of them
    *("tracking=off", "eval=none", "compute=cpu", "compute.checkpoint_every=0", "compute.keep_model=false"),
    *("algo.rollouts=1", "algo.prompts_per_rollout=4", "algo.completions_per_prompt=4", "algo.updates_per_rollout=2"),
    *("algo.max_completion_tokens=48", "algo.learning_rate=3e-3", "algo.max_grad_norm=1e9", "data.count=16"),
    *("reward=random", "seed=14", "algo.temperature=2"),
]

BATCHES = ("estimator.loss=micro_batch", "estimator.loss_batch=2")

# -- the reference: a group's rewards -> advantages; a completion's log-probs -> token losses; an update's -> its loss


def normed(r: np.ndarray, epsilon: float = 1e-4) -> np.ndarray:
    return (r - r.mean()) / (r.std(ddof=1) + epsilon)


def whiten(a: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    mean = np.average(a, weights=tokens)
    return (a - mean) / np.sqrt(max(np.average((a - mean) ** 2, weights=tokens), 1e-8))


def clipped(low: float = 0.2, high: float = 0.2, dual: float = np.inf) -> Callable[..., torch.Tensor]:
    def losses(now: torch.Tensor, old: torch.Tensor, a: float) -> torch.Tensor:
        ratio = torch.exp(now - old)
        worst = torch.maximum(-a * ratio, -a * ratio.clamp(1 - low, 1 + high))
        return worst.clamp(max=-a * dual) if a < 0 else worst

    return losses


def token_mean(update: "Update") -> torch.Tensor:
    """Over an update's share of the rollout's tokens."""
    return torch.cat(update.losses).sum() / (update.rollout_tokens / update.of)


def sequence_mean(update: "Update") -> torch.Tensor:
    return torch.stack([losses.mean() for losses in update.losses]).mean()


def constant_mean(update: "Update") -> torch.Tensor:
    return torch.cat(update.losses).sum() / (len(update.losses) * 48)


def batch_mean(size: int) -> Callable[["Update"], torch.Tensor]:
    """Of the token means of batches of so many completions."""

    def mean(update: "Update") -> torch.Tensor:
        batches = [part[at : at + size] for part in update.parts for at in range(0, len(part), size)]
        return torch.stack([torch.cat([update.losses[i] for i in batch]).mean() for batch in batches]).mean()

    return mean


@dataclass
class Update:
    """What one update's loss is made of: token losses of its completions, and the parts they came in (as positions)."""

    losses: list[torch.Tensor]
    parts: list[list[int]]
    rollout_tokens: int
    of: int  # updates a rollout


@dataclass(frozen=True)
class Case:
    lines: list[str]
    advantage: Callable[[np.ndarray], np.ndarray] = normed
    token_loss: Callable[..., torch.Tensor] = field(default_factory=clipped)
    mean: Callable[[Update], torch.Tensor] = token_mean
    whitened: bool = False
    kl: float = 0.0
    bonus: float = 0.0
    by_certainty: bool = False
    scale_by_batch: bool = False
    masked: bool = False  # truncated completions are in their group, and not in the loss
    temperature: float = 2.0
    updates: int = 2


CASES = {
    "grpo": Case([]),
    "grpo in micro-batches": Case(["compute.micro_batch=2"]),
    "sequence mean": Case(["estimator=grpo_sequence"], mean=sequence_mean),
    "micro-batch mean": Case([*BATCHES, "compute.micro_batch=2"], mean=batch_mean(2)),
    "micro-batch mean, a pass for two of them": Case([*BATCHES, "compute.micro_batch=4"], mean=batch_mean(2)),
    "micro-batch mean with kl": Case([*BATCHES, "estimator.kl=0.1"], mean=batch_mean(2), kl=0.1),
    "scaled by the batch": Case(["estimator.scale=batch"], advantage=lambda r: r - r.mean(), scale_by_batch=True),
    "dr_grpo": Case(["estimator=dr_grpo"], advantage=lambda r: r - r.mean(), mean=constant_mean),
    "whitened": Case(["estimator.whiten=true"], whitened=True),
    "spurious_rewards": Case(
        ["estimator=spurious_rewards"], advantage=lambda r: normed(r, 1e-9), mean=batch_mean(4), whitened=True
    ),
    "nsr_masked": Case(
        ["estimator=nsr_masked", "clip=dapo", "estimator.dynamic_sampling=false"],
        advantage=lambda r: normed(r, 1e-6) * (r < 1),
        token_loss=clipped(0.2, 0.28, 10.0),
    ),
    "psr_masked": Case(
        ["estimator=psr_masked", "clip=dapo", "estimator.dynamic_sampling=false"],
        advantage=lambda r: normed(r, 1e-6) * (r > 0),
        token_loss=clipped(0.2, 0.28, 10.0),
    ),
    "nsr": Case(["estimator=nsr"], advantage=lambda r: np.where(r == 0, -1.0, 0.0)),
    "psr": Case(["estimator=psr"], advantage=lambda r: np.where(r == 1, 1.0, 0.0)),
    "w_reinforce": Case(
        ["estimator=w_reinforce", "estimator.psr_weight=0.3"], advantage=lambda r: np.where(r == 1, 0.3, -1.0)
    ),
    "entropy_min": Case(
        ["estimator=entropy_min", "reward=ground_truth"], advantage=lambda r: normed(r, 1e-6), by_certainty=True
    ),
    "entropy_min on-policy": Case(
        ["estimator=entropy_min", "reward=ground_truth", "clip=off_large_batch", "clip.match=rollouts"],
        advantage=lambda r: normed(r, 1e-6),
        by_certainty=True,
        updates=1,
    ),
    "overlong masked": Case(["algo.mask_truncated=true", "algo.max_completion_tokens=40"], masked=True),
    "overlong masked, sequence mean": Case(
        ["algo.mask_truncated=true", "algo.max_completion_tokens=40", "estimator.loss=grpo"],
        mean=sequence_mean,
        masked=True,
    ),
    "overlong masked, whitened": Case(
        ["algo.mask_truncated=true", "algo.max_completion_tokens=40", "estimator.whiten=true"],
        masked=True,
        whitened=True,
    ),
    "kl": Case(["estimator.kl=0.1", "algo.temperature=1.5"], kl=0.1, temperature=1.5),
    "entropy bonus": Case(["estimator.entropy_bonus=0.5", "compute.micro_batch=2"], bonus=0.5),
    "entropy bonus, micro-batch mean": Case(
        ["estimator.entropy_bonus=0.5", *BATCHES, "compute.micro_batch=4"],
        mean=batch_mean(2),
        bonus=0.5,
    ),
    "asymmetric": Case(["clip.epsilon_low=0.1", "clip.epsilon_high=0.3"], token_loss=clipped(0.1, 0.3)),
    "dual clip": Case(["clip.dual=1.25", "algo.learning_rate=1e-2"], token_loss=clipped(0.2, 0.2, 1.25)),
    "off_epsilon": Case(["clip=off_epsilon"], token_loss=lambda now, old, a: -a * torch.exp(now - old)),
    "off_policy_gradient": Case(["clip=off_policy_gradient"], token_loss=lambda now, old, a: -a * torch.exp(now)),
    "off_logprob": Case(["clip=off_logprob"], token_loss=lambda now, old, a: -a * now),
    "off_large_batch": Case(
        ["clip=off_large_batch", "clip.match=rollouts"], token_loss=lambda now, old, a: -a * now, updates=1
    ),
    "off_small_rollout": Case(
        ["clip=off_small_rollout", "clip.match=rollouts"], token_loss=lambda now, old, a: -a * now, updates=1
    ),
    "arm and estimator crossed": Case(
        ["clip=off_policy_gradient", "estimator=w_reinforce"],
        advantage=lambda r: np.where(r == 1, 0.1, -1.0),
        token_loss=lambda now, old, a: -a * torch.exp(now),
    ),
}


def logits_of(model: Any, member: dict[str, Any], case: Case) -> torch.Tensor:
    """(tokens of the completion, vocabulary) log-probs."""
    ids = torch.tensor([member["prompt"] + member["ids"]])
    logits = model(ids).logits[0, len(member["prompt"]) - 1 : -1]
    return torch.log_softmax(logits / case.temperature, dim=-1)


def log_probs(model: Any, member: dict[str, Any], case: Case) -> torch.Tensor:
    return logits_of(model, member, case).gather(1, torch.tensor(member["ids"])[:, None])[:, 0]


def reference(case: Case, ranks: list[dict[str, Any]], number: int, model: Any) -> dict[str, torch.Tensor]:
    """The gradient of update `number` (from 0), by name."""
    members = [member for rank in ranks for member in rank["members"]]
    first = np.cumsum([0] + [len(rank["members"]) for rank in ranks])
    model.load_state_dict(ranks[0]["start"], strict=False)
    with torch.no_grad():
        old = [log_probs(model, member, case) for member in members]
    rewards = np.array([m["reward"] for m in members], dtype=float)
    if case.by_certainty:
        rewards = np.array([o.mean().item() for o in old])
    groups = np.array([m["group"] for m in members])
    advantages = np.zeros(len(members))
    for group in set(groups):
        advantages[groups == group] = case.advantage(rewards[groups == group])
    if case.scale_by_batch:
        advantages /= rewards.std(ddof=1) + 1e-4
    tokens = np.array([0 if case.masked and m["truncated"] else len(m["ids"]) for m in members])
    if case.whitened:
        advantages = whiten(advantages, tokens)

    model.load_state_dict(ranks[0]["updates"][number]["weights"], strict=False)
    model.zero_grad()
    update = Update([], [], int(tokens.sum()), case.updates)
    for rank, offset in zip(ranks, first, strict=False):
        for cut in rank["updates"][number]["cut"]:
            update.parts.append([])
            for index in (offset + tag for tag in cut):
                table = logits_of(model, members[index], case)
                now = table.gather(1, torch.tensor(members[index]["ids"])[:, None])[:, 0]
                before = old[index] if case.updates > 1 else now.detach()
                losses = case.token_loss(now, before, float(advantages[index])) * bool(tokens[index])
                if case.kl:  # the first weights are the reference's
                    losses = losses + case.kl * (torch.exp(old[index] - now) - (old[index] - now) - 1)
                losses = losses + case.bonus * (table.exp() * table).sum(1)  # less the entropy of each token
                update.parts[-1].append(len(update.losses))
                update.losses.append(losses)
    case.mean(update).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


# -- both, side by side


def create(lines: list[str], runs: Path, ranks: int) -> CellDir:
    lines = [*CELL, f"compute.ranks={ranks}", f"runs={runs}", *lines]
    return CellDir.create(compose_or_refuse(lines, multirun=False)[0])


def weights(directory: CellDir) -> Any:
    """The model before training."""
    path = model_path(directory.cell)
    assert path is not None
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)


def run(directories: list[CellDir], ranks: int) -> None:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks)] if ranks > 1 else []
    environment = os.environ | {"PYTHONPATH": str(PROBE.parents[2])}
    paths = [str(directory.path) for directory in directories]
    done = subprocess.run(
        [sys.executable, *launch, str(PROBE), *paths], env=environment, capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module", params=[1, 2], ids=["one rank", "two ranks"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """case -> what each rank kept."""
    count = request.param
    runs = tmp_path_factory.mktemp("runs")
    made = {name: create(case.lines, runs, count) for name, case in CASES.items()}
    run(list(made.values()), count)
    return {
        name: [torch.load(directory.path / f"probe-{rank}.pt", weights_only=False) for rank in range(count)]
        for name, directory in made.items()
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return weights(create([], tmp_path_factory.mktemp("model"), 1))


def error(case: Case, ranks: list[dict[str, Any]], number: int, model: Any) -> float:
    """How far our gradient of an update is from a reference, relative to ours."""
    wanted = reference(case, ranks, number, model)
    ours = torch.cat([ranks[0]["updates"][number]["gradient"][key].flatten() for key in wanted])
    theirs = torch.cat([value.flatten() for value in wanted.values()])
    assert ours.norm() > 0.1, "nothing to compare"
    return ((ours - theirs).norm() / ours.norm()).item()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_the_references(name: str, found: Any, model: Any) -> None:
    case, ranks = CASES[name], found[name]
    assert len(ranks[0]["updates"]) == case.updates
    assert max(error(case, ranks, number, model) for number in range(case.updates)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not name.startswith("grpo")])
def test_it_is_not_that_of_plain_grpo(name: str, found: Any, model: Any) -> None:
    """Else the test above could not tell them apart; where the ratio is 1, it differs in what it is a mean over."""
    plain = Case([], temperature=CASES[name].temperature)
    assert max(error(plain, found[name], number, model) for number in range(CASES[name].updates)) > 1e-2


@pytest.mark.slow
def test_the_bound_acts_in_the_on_arms_and_never_in_an_off_arm(found: Any) -> None:
    acted = {name: sum(row["clip_ratio/region_mean"] for row in found[name][0]["metrics"][:-1]) for name in CASES}
    assert all(acted[name] == 0.0 for name in CASES if name.startswith(("off_", "arm")))
    assert all(acted[name] > 0 for name in ("grpo", "nsr", "asymmetric", "dual clip", "whitened"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "advantage"), [("nsr", -1.0), ("w_reinforce", -1.0), ("nsr_masked", 0.0), ("psr", 0.0)]
)
def test_what_a_group_that_is_all_wrong_counts_for(name: str, advantage: float, found: Any) -> None:
    members = [member for rank in found[name] for member in rank["members"]]
    right = {member["group"] for member in members if member["reward"] == 1}
    wrong = [member["advantage"] for member in members if member["group"] not in right]
    assert wrong == [advantage] * 4
