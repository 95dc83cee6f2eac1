"""Rollouts by a server on other GPUs: what is asked of it, over real sockets, and what is said where it is not there or
another one."""

import json
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.errors import UserError
from rlvr_sweep.lab.families import model_dir
from rlvr_sweep.train import vllm_server, worker
from rlvr_sweep.train.generation import Sampling
from rlvr_sweep.train.model import load
from rlvr_sweep.train.trainer import RLVRTrainer
from rlvr_sweep.train.vllm_server import Server, hold, served
from tests.train.vllm_stand_in import StandIn, behind, joined, log_probs

ROOT = str(model_dir("olmo"))
LINES = ["model=lab/olmo", "tracking=off", "grading.workers=1", "compute.device=cpu", "eval=none", "algo.rollouts=2"]
LINES += ["algo.prompts_per_rollout=4", "algo.completions_per_prompt=4", "algo.updates_per_rollout=2"]
LINES += ["algo.max_completion_tokens=24", "reward=random"]
FEW = ["eval=lab", "eval.benchmarks.add.count=3", "eval.benchmarks.add.max_completion_tokens=4"]  # of 4 samples each
EACH = ["compute.checkpoint_every=1", "data.count=4", *FEW]  # each rollout visits each row
SERVER = ["compute.backend=vllm_server", "compute.vllm_server={url}"]


def composed(url: str, tmp_path: Path, *lines: str) -> Any:
    words = [*LINES, f"runs={tmp_path}", *(line.format(url=url) for line in SERVER), *lines]
    return compose_or_refuse(words, multirun=False)[0]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setenv("VLLM_HOST_IP", "127.0.0.1")  # not to be left behind in this process
    monkeypatch.setattr(vllm_server, "installed", lambda: "0.26.0+cu130")
    monkeypatch.setattr(vllm_server, "PATIENCE_S", 0.0)
    monkeypatch.setattr(vllm_server, "RETRIES_S", (0.0,))
    monkeypatch.setattr("rlvr_sweep.train.vllm_engine.require", lambda cell, use_cpu: None)
    cell = compose_or_refuse(LINES, multirun=False)[0].cell
    return StandIn(ROOT, backend=behind(*load(cell)))


def test_each_completion_is_a_request_with_a_seed_of_its_own(stand_in: StandIn) -> None:
    prompts, sampling = [[5, 6, 7], [8, 9]] * 4, Sampling(6, 0.7, 0.9)
    with stand_in.running() as url:
        samples = Server(url, ends=[9, 2], stop=["=1"]).generate(prompts, sampling, seeds=range(8))
    assert samples == stand_in.backend.generate(prompts, sampling, seeds=range(8))  # in the order of the prompts
    asked = sorted(stand_in.asked, key=lambda one: one["seed"])
    assert [one["seed"] for one in asked] == list(range(8)) and [one["prompt"] for one in asked] == prompts
    for one in asked:
        assert (one["model"], one["max_tokens"], one["temperature"], one["top_p"]) == ("served", 6, 0.7, 0.9)
        assert one["stop_token_ids"] == [2, 9] and one["stop"] == ["=1"] and one["include_stop_str_in_output"]
        assert one["detokenize"] and not one["skip_special_tokens"] and "logprobs" not in one


def test_sampled_log_probs_come_back_where_they_are_asked_for(stand_in: StandIn) -> None:
    with stand_in.running() as url:
        [sample] = Server(url).generate([[5, 6, 7]], Sampling(6, 0.7, logprobs=True), seeds=[3])
    assert sample.logprobs == log_probs(stand_in.backend.model, [5, 6, 7], sample.ids, temperature=0.7)


def test_a_broken_connection_is_asked_again_and_the_answer_is_the_same(stand_in: StandIn) -> None:
    with stand_in.running() as url:
        expected = Server(url).generate([[5, 6]], Sampling(6, 1.0), seeds=[3])
        stand_in.broken = 1
        assert Server(url).generate([[5, 6]], Sampling(6, 1.0), seeds=[3]) == expected
        assert stand_in.broken == 0 and len(stand_in.asked) == 2


def test_what_a_server_that_is_being_ended_has_so_far_is_no_completion(stand_in: StandIn) -> None:
    stand_in.ended_by = "abort"
    with (
        stand_in.running() as url,
        pytest.raises(ConnectionError, match=r"is gone \(vLLM gave a completion up: abort\); start it and the cell"),
    ):
        Server(url).generate([[5, 6]], Sampling(6, 1.0), seeds=[3])


def test_no_rank_asks_before_the_weights_are_there(stand_in: StandIn) -> None:
    events: list[str] = []
    trainer: Any = SimpleNamespace(
        vllm_generation=SimpleNamespace(sync_weights=lambda: events.append("push")),
        accelerator=SimpleNamespace(wait_for_everyone=lambda: events.append("wait")),
        state=SimpleNamespace(global_step=0),
        model=SimpleNamespace(),
        eos_token_ids=[2],
    )
    with stand_in.running() as url:
        trainer.cell = SimpleNamespace(model=SimpleNamespace(stop=[]), compute=SimpleNamespace(vllm_server=url))
        backend = served(trainer)
        for step, prompts in ((0, [[5]]), (0, []), (4, [[5]])):  # a rank without prompts takes part in the push
            trainer.state.global_step = step
            backend.generate(prompts, Sampling(1, 1.0), seeds=[1] * len(prompts))
    assert events == ["push", "wait", "wait", "push", "wait"]


def test_a_cell_trains_with_a_server_as_it_does_without(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class_of_trl = joined(stand_in)
    monkeypatch.setattr("trl.trainer.grpo_trainer.VLLMGeneration", class_of_trl)
    with stand_in.running() as url:
        directory = CellDir.create(composed(url, tmp_path))
        assert worker.train(directory, say=directory.status, is_main=True, began=0.0)
    assert class_of_trl.made["mode"] == "server" and class_of_trl.made["server_base_url"] == url
    assert class_of_trl.pushes == 2 and len(stand_in.asked) == 32
    assert len({one["seed"] for one in stand_in.asked}) == 32
    assert f"rollouts by vLLM 0.26.0 at {url} (1 GPUs)" in capsys.readouterr().out
    alone = CellDir.create(compose_or_refuse([*LINES, f"runs={tmp_path / 'hf'}"], multirun=False)[0])
    assert worker.train(alone, say=alone.status, is_main=True, began=0.0)
    one, other = (
        [json.loads(line) for line in (of.path / "metrics.jsonl").read_text().splitlines()] for of in (directory, alone)
    )
    assert one == other and len(one) == 4


def test_seeds_are_the_cells_own_and_a_resumed_cell_goes_on_with_them(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trl.trainer.grpo_trainer.VLLMGeneration", joined(stand_in))

    def train(name: str, *lines: str) -> set[tuple[int, tuple[int, ...]]]:
        """(seed, prompt) of what was asked for."""
        directory, before = CellDir.create(composed(url, tmp_path / name, *EACH, *lines)), len(stand_in.asked)
        with suppress(KeyboardInterrupt):
            worker.train(directory, say=directory.status, is_main=True, began=0.0)
        return {(one["seed"], tuple(one["prompt"])) for one in stand_in.asked[before:]}

    with stand_in.running() as url:
        straight, again, other = train("straight"), train("again"), train("other", "seed=1")
        with monkeypatch.context() as patch:
            patch.setattr(RLVRTrainer, "_record_rollout", stop_in_the_second(RLVRTrainer._record_rollout))
            killed = train("killed")
        resumed = train("killed")
    assert len(straight) == 32 + 12 and again == straight == killed  # both evaluations have the same seeds
    assert not {seed for seed, _ in straight} & {seed for seed, _ in other}
    assert len(resumed) == 16 + 12 and resumed < straight, "the second rollout, with the seeds it would have had"


def stop_in_the_second(record: Any) -> Any:
    def record_or_stop(self: RLVRTrainer, number: int, *args: Any) -> None:
        if number == 2:
            raise KeyboardInterrupt
        record(self, number, *args)

    return record_or_stop


def test_an_evaluation_asks_for_all_of_a_benchmark_at_once(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vLLM batches by itself; in calls of eval.batch each would wait for its longest completion."""
    monkeypatch.setattr("trl.trainer.grpo_trainer.VLLMGeneration", joined(stand_in))
    sizes, generate = [], Server.generate

    def generate_and_count(self: Server, prompts: Any, sampling: Sampling, *, seeds: Any) -> Any:
        sizes.append(len(prompts))
        return generate(self, prompts, sampling, seeds=seeds)

    monkeypatch.setattr(Server, "generate", generate_and_count)
    few = [*FEW, "eval.batch=2"]
    with stand_in.running() as url:
        directory = CellDir.create(composed(url, tmp_path, *few, "algo.rollouts=1", "compute.keep_model=false"))
        assert worker.train(directory, say=directory.status, is_main=True, began=0.0)
    assert sizes == [12, 16, 12]  # before, the rollout, after


@pytest.mark.parametrize(
    ("path", "answer", "said"),
    [
        ("/v1/models", {"data": [{"id": "other", "max_model_len": 4096}]}, "serves other, the cell's model is "),
        ("/v1/models", {"data": [{"id": "x", "root": ROOT, "max_model_len": 64}]}, "takes 64 tokens, the cell's compl"),
        ("/version", {"version": "0.28.0"}, "runs vLLM 0.28.0, here is 0.26.0"),
        ("/server_info", {"vllm_config": {}}, "takes no weights"),
        (
            "/server_info",
            {
                "vllm_config": {
                    "weight_transfer_config": {"backend": "nccl"},
                    "model_config": {"dtype": "torch.bfloat16"},
                }
            },
            "computes in bfloat16, the cell in model.dtype=float32",
        ),
        ("/server_info", ..., "without VLLM_SERVER_DEV_MODE=1"),
        ("/version", ..., "one of an older TRL"),
        ("/version", {}, "it is no vLLM server"),
    ],
)
def test_another_server_than_the_cell_needs_is_one_line(
    stand_in: StandIn, tmp_path: Path, path: str, answer: Any, said: str
) -> None:
    stand_in.answers[path] = answer
    if answer is ...:
        del stand_in.answers[path]
    with (
        stand_in.running() as url,
        pytest.raises(UserError) as caught,
        hold(composed(url, tmp_path).cell, window=128, is_main=True),
    ):
        pass
    told = str(caught.value)
    assert said in told and "\n" not in told
    assert told.endswith(f"trl vllm-serve --model {ROOT} --max_model_len 128 --dtype float32")


def test_a_server_without_token_ids_is_one_line(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_server, "GENERATE", "/inference/v0/generate")
    with (
        stand_in.running() as url,
        pytest.raises(UserError, match=r"has no /inference/v0/generate; start it with --enable-scale-out"),
        hold(composed(url, tmp_path).cell, window=128, is_main=True),
    ):
        pass


def test_a_server_that_does_not_answer_is_one_line(stand_in: StandIn, tmp_path: Path) -> None:
    with stand_in.running() as url:
        pass
    with (
        pytest.raises(
            UserError, match=r"does not answer \(.*refused\); start it on other GPUs: CUDA_VISIBLE_DEVICES=N"
        ),
        hold(composed(url, tmp_path).cell, window=128, is_main=True),
    ):
        pass
    with pytest.raises(ConnectionError, match=r"is gone .*; start it and the cell again"):
        Server(url).generate([[5]], Sampling(1, 1.0), seeds=[1])


def test_a_server_has_the_weights_of_one_cell_at_a_time(stand_in: StandIn, tmp_path: Path) -> None:
    with stand_in.running() as url:
        cell = composed(url, tmp_path).cell
        with hold(cell, window=128, is_main=True):
            with (
                pytest.raises(UserError, match=r"another cell \(process \d+ on .*write sweep\.slots=1"),
                hold(cell, window=128, is_main=True),
            ):
                pass
            with hold(cell, window=128, is_main=False):  # another rank of the same cell
                pass
        with hold(cell, window=128, is_main=True):
            pass
