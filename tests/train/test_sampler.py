"""The sampling process, run here: the rows of a cell's first evaluation, a resume that changes nothing, each kind of
job on a lab model."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from rlvr_sweep.errors import UserError
from rlvr_sweep.evals.job import Job
from rlvr_sweep.evals.jobs import benchmark_job, compose, with_model
from rlvr_sweep.evals.store import Store
from rlvr_sweep.lab.families import model_dir
from rlvr_sweep.labels.commands import label_job
from rlvr_sweep.protocol import FAILED
from rlvr_sweep.train import sampler
from rlvr_sweep.train.generation import HuggingFace, Sampling, Untrained
from rlvr_sweep.train.model import load
from rlvr_sweep.train.sampler import _sample

LINES = ["model=lab/olmo", "eval.benchmarks.add.count=12", "eval.batch=8", "data.count=6", "grading.workers=1"]


def composed(tmp_path: Path, *lines: str) -> Any:
    [one] = compose([*LINES, f"runs={tmp_path}", *lines])
    return one


def sampled(*jobs: Job, samples: int = 2) -> list[Store]:
    stores = [Store.create(job) for job in jobs]
    assert _sample([(store, samples) for store in stores]) == 0
    return stores


def test_what_is_sampled_without_a_trainer_is_what_a_trainer_samples(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    cell = composed(tmp_path).cell
    model, tokenizer = load(cell)
    trainer = SimpleNamespace(
        accelerator=Accelerator(cpu=True),
        model_wrapped=model,
        processing_class=tokenizer,
        eos_token_ids=model.generation_config.eos_token_id,
        args=SimpleNamespace(ds3_gather_for_generation=True, gradient_checkpointing_kwargs=None),
    )
    prompts = [tokenizer(f"<|user|>What is {a}+45?<|assistant|>")["input_ids"] for a in range(10, 26)]
    lengths: set[int] = set()
    for stop in ([], ["=1"]):
        trained = HuggingFace(trainer, stop=stop, batch=5)
        alone = Untrained(model, tokenizer, device=torch.device("cpu"), dtype="float32", stop=stop, batch=7)
        for how in (Sampling(48, 1.0), Sampling(48, 0.6, top_p=0.9), Sampling(48, 0.0)):
            expected = trained.generate(prompts, how, seeds=range(16))
            assert alone.generate(prompts, how, seeds=range(16)) == expected
            lengths |= {len(sample.ids) for sample in expected}
    assert len(lengths) > 3, "all of one length: what ends a completion could not show"


def test_a_stopped_process_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken = (
        Store.create(benchmark_job(composed(tmp_path / name), "add", samples=3, temperature=1.0))
        for name in ("whole", "broken")
    )
    assert _sample([(whole, 3)]) == 0
    add, added = Store.add, []

    def add_twice(store: Store, rows: Sequence[Any]) -> None:
        if len(added) == 2:
            raise KeyboardInterrupt
        added.append(len(rows))
        add(store, rows)

    monkeypatch.setattr(Store, "add", add_twice)
    with pytest.raises(KeyboardInterrupt):
        _sample([(broken, 3)])
    monkeypatch.undo()
    assert added == [8, 8] and len(broken.missing(samples=3) or []) == 20
    assert _sample([(broken, 3)]) == 0
    assert broken.missing(samples=3) == []
    assert broken.rows() == whole.rows() and len(whole.rows()) == 36
    assert {row["correct"] for row in whole.rows()} == {True, False}


def test_a_label_job_samples_what_training_would_train_on(tmp_path: Path) -> None:
    [store] = sampled(label_job(composed(tmp_path, "algo.max_prompt_tokens=11"), samples=2, temperature=1.0))
    assert store.skipped == 0 and len(store.prompts()) == 6
    assert {prompt.text[:8] for prompt in store.prompts()} == {"What is "}
    assert len({row["text"] for row in store.rows()}) > 6


def test_a_label_is_read_without_the_gold_answer(tmp_path: Path) -> None:
    """Where the gold answer is a letter, the authors' grader looks for nothing but letters."""
    data = tmp_path / "data.jsonl"
    data.write_text('{"id": "a", "prompt": "What is 36+51?", "answer": "C"}\n')
    lines = ["data=jsonl", f"data.path={data}", "data.count=1", "data.repeat=true", "grading.grader=authors"]
    [store] = sampled(label_job(composed(tmp_path, *lines), samples=4, temperature=1.0), samples=4)
    assert {row["answer"] for row in store.rows(samples=4)} - {None, *"ABCD"}


def test_prompts_that_are_too_long_are_counted(tmp_path: Path) -> None:
    from rlvr_sweep.evals.probe import main

    path = tmp_path / "made.jsonl"
    assert main(["make-benchmark", "--steps", "1-4", "--count", "4", "--out", str(path)]) == 0
    lines = ["data=jsonl", f"data.path={path}", "data.count=12", "algo.max_prompt_tokens=66"]
    [store] = sampled(label_job(composed(tmp_path, *lines), samples=1, temperature=1.0), samples=1)
    assert store.skipped > 0 and store.skipped + len(store.prompts()) == 12


def test_a_prefix_job_completes_plain_text(tmp_path: Path) -> None:
    one = composed(tmp_path)
    cell = with_model(one.cell, template="raw", stop=[])
    [store] = sampled(benchmark_job(one, "add", cell=cell, percent=80, temperature=0.0), samples=1)
    for prompt, row in zip(store.prompts(), store.rows(), strict=True):
        assert prompt.rest is not None and (prompt.text + prompt.rest).endswith("?")
        assert 0 < len(prompt.text) <= 0.8 * len(prompt.text + prompt.rest)
        assert row["temperature"] == 0.0 and row["question_id"] == prompt.question_id


def test_of_a_rule_with_questions_the_question_is_cut(tmp_path: Path) -> None:
    """Ten questions of KOR-Bench share a rule: cut in it, they would ask for ten continuations of one beginning."""
    asked = [f"What is {n} ! 9, then?" for n in (12, 34)]
    file = tmp_path / "kor.jsonl"
    file.write_text("".join(json.dumps({"rule": "a!b=2a", "question": q, "answer": "1"}) + "\n" for q in asked))
    source = ["kind=kor", "task=operation", f"path={file}", "max_completion_tokens=4", "count=null"]
    one = composed(tmp_path, *[f"eval.benchmarks.add.{key}" for key in source])
    cell = with_model(one.cell, template="raw")
    [store] = sampled(benchmark_job(one, "add", cell=cell, percent=50, temperature=0.0), samples=1)
    for question, prompt in zip(asked, store.prompts(), strict=True):
        begun = prompt.text.rpartition("Question:\n")[2]
        assert "a!b=2a" in prompt.text and prompt.rest is not None
        assert begun + prompt.rest == question and 0 < len(begun) <= len(question) / 2


@pytest.mark.parametrize(("digits", "remedy"), [(240, "write --max-tokens 19\n"), (600, "write another benchmark")])
def test_a_prefix_that_does_not_fit_says_what_does(
    digits: int, remedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "long.jsonl"
    file.write_text(json.dumps({"id": "a", "prompt": "7" * digits, "answer": "2"}) + "\n")  # a digit is a token
    lines = ["eval=math500", f"eval.path={file}", "eval.benchmarks.math500.max_completion_tokens=64"]
    [one] = compose(["model=lab/olmo", "grading.workers=1", f"runs={tmp_path}", *lines])
    cell = with_model(one.cell, template="raw", stop=[])
    store = Store.create(benchmark_job(one, "math500", cell=cell, percent=99, temperature=0.0))
    assert _sample([(store, 1)]) == 2
    assert remedy in capsys.readouterr().err


def test_a_job_that_cannot_be_done_keeps_no_other_from_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = composed(tmp_path)
    stores = [
        Store.create(benchmark_job(one, "add", cell=with_model(one.cell, template=name), samples=1, temperature=1.0))
        for name in ("lorem_ipsum", "raw")
    ]
    assert _sample([(store, 1) for store in stores]) == 2
    assert stores[0].missing(samples=1) is None and stores[1].missing(samples=1) == []
    assert "lorem_ipsum" in capsys.readouterr().err


def test_samples_of_prompts_that_have_changed_are_not_gone_on_with(tmp_path: Path, capsys: Any) -> None:
    job = benchmark_job(composed(tmp_path), "add", samples=1)
    [store] = sampled(job, samples=1)
    store.write_prompts(store.prompts()[::-1], skipped=0)
    assert _sample([(store, 2)]) == 2
    assert "its prompts have changed since it was begun; delete the folder" in capsys.readouterr().err


class Engine:
    """Stands in for vllm.LLM: every completion is its prompt's first token."""

    asked = 0

    def generate(self, prompts: list[dict[str, list[int]]], *, sampling_params: list[Any], use_tqdm: bool) -> list[Any]:
        Engine.asked += len(prompts)
        ids = [prompt["prompt_token_ids"][:1] for prompt in prompts]
        return [SimpleNamespace(outputs=[SimpleNamespace(token_ids=one, finish_reason="stop")]) for one in ids]


def test_vllm_samples_without_the_weights_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []

    def alone(folder: str, **options: Any) -> Engine:
        made.append({"folder": folder, **options})
        return Engine()

    module = ModuleType("vllm")
    module.SamplingParams = lambda **asked: SimpleNamespace(**asked)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setattr("rlvr_sweep.train.vllm_engine.alone", alone)
    monkeypatch.setattr("rlvr_sweep.train.vllm_engine.require", lambda cell, use_cpu: None)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("rlvr_sweep.train.model.load", None)  # not to be called
    cell = composed(tmp_path, "compute.backend=vllm", "compute.device=auto")
    jobs = [benchmark_job(cell, "add", samples=2, temperature=1.0), label_job(cell, samples=2, temperature=1.0)]
    stores = sampled(*jobs)
    assert [len(store.rows(columns=[])) for store in stores] == [24, 12] and Engine.asked == 36
    [options] = made
    assert options["folder"] == str(model_dir("olmo")) and options["dtype"] == cell.cell.model.dtype
    assert 64 < options["window"] < 128  # the longest question and 64 tokens more


def test_the_usual_cause_of_a_librarys_error_stands_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr(Untrained, "generate", fail)
    store = Store.create(benchmark_job(composed(tmp_path), "add"))
    assert sampler.main([f"2:{store.path}"]) == FAILED
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("rlvr_sweep: OutOfMemoryError: CUDA out of memory. Tried to allocate 20 GiB; the GPU's mem")


def test_vllm_without_a_gpu_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    cell = composed(tmp_path, "compute.backend=vllm", "compute.device=auto")
    store = Store.create(benchmark_job(cell, "add", samples=2, temperature=1.0))
    with pytest.raises(UserError, match=r"compute\.backend=vllm: wants a GPU"):
        _sample([(store, 2)])


def test_a_server_that_trains_is_not_sampled_from(tmp_path: Path) -> None:
    cell = composed(tmp_path, "compute.backend=vllm_server", "compute.vllm_server=http://127.0.0.1:8000")
    store = Store.create(benchmark_job(cell, "add", samples=2, temperature=1.0))
    with pytest.raises(UserError, match=r"vllm_server: a server has the weights of the cell .*compute\.backend=vllm"):
        _sample([(store, 2)])
