"""Rollouts by a vLLM server on other GPUs than those that train (compute.backend=vllm_server).

    CUDA_VISIBLE_DEVICES=1 trl vllm-serve --model DIR --max_model_len 3840 --port 8000
    CUDA_VISIBLE_DEVICES=0 python -m rlvr_sweep ... compute.backend=vllm_server compute.vllm_server=http://127.0.0.1:8000

TRL starts the server and pushes the weights (NCCL); the requests are ours: token ids to /inference/v1/generate, one a
completion, as a request has one seed. A server holds the weights of one cell at a time.
"""

import fcntl
import hashlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import ProxyHandler, Request, build_opener

from rlvr_sweep.config.schema import Cell
from rlvr_sweep.errors import UserError
from rlvr_sweep.train.generation import Sample, Sampling
from rlvr_sweep.train.model import folder
from rlvr_sweep.train.vllm_engine import is_cut, pusher, request

PATIENCE_S = 300.0  # for a server that is being started beside us
RETRIES_S = (1.0, 5.0, 20.0)
GENERATE = "/inference/v1/generate"
AT_ONCE = 512  # requests a rank; each is an open file here, of which a shell has 1,024
ANSWER_S = 3600.0  # for one completion among all that are asked for at once: by then the server is lost
FINAL_ONLY = 2  # vLLM's RequestOutputKind: no answers in between


class Refused(Exception):
    """The server has answered, with another status than 200 or with no JSON."""

    def __init__(self, path: str, status: int, text: str) -> None:
        super().__init__(f"{path}: status {status}: {text[:200]}")
        self.status = status


class Server:
    """vLLM over HTTP. `model` is the name it serves; `awake` is called before each batch, on all ranks alike; the last
    call took `waking` seconds."""

    def __init__(
        self, url: str, *, ends: Sequence[int] = (), stop: Sequence[str] = (), awake: Callable[[], None] | None = None
    ) -> None:
        self.url, self.ends, self.stop, self.awake = url.rstrip("/"), ends, stop, awake
        self.model: str | None = None
        self.waking = 0.0
        self._opener = build_opener(ProxyHandler({}))  # it is a neighbour; a cluster's proxy does not know it

    def ask(self, path: str, body: dict[str, Any] | None = None, *, timeout_s: float | None = None) -> Any:
        """A GET, or a POST of JSON. Refused, or OSError where nobody answers."""
        data = None if body is None else json.dumps(body).encode()
        asked = Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with self._opener.open(asked, timeout=timeout_s) as answer:
                return json.loads(answer.read() or "null")
        except HTTPError as error:
            raise Refused(path, error.code, error.read().decode(errors="replace")) from None
        except HTTPException as error:  # it was ended while it answered
            raise ConnectionError(f"{self.url}{path}: half an answer ({type(error).__name__})") from error
        except ValueError:
            raise Refused(path, 200, "no JSON") from None

    def has(self, path: str) -> bool:
        """Whether a path is there to be posted to."""
        try:
            self.ask(path)
        except Refused as error:
            return error.status != 404
        return True

    def generate(self, prompts: Sequence[list[int]], sampling: Sampling, *, seeds: Sequence[int]) -> list[Sample]:
        """One completion a prompt, drawn by its seed, as by an engine in this process (vllm_engine.py)."""
        began = time.perf_counter()
        if self.awake is not None:
            self.awake()
        self.waking = time.perf_counter() - began
        if not prompts:
            return []
        try:
            self.model = self.model or self.ask("/v1/models")["data"][0]["id"]
            with ThreadPoolExecutor(min(AT_ONCE, len(prompts))) as pool:
                return list(pool.map(lambda ids, seed: self._one(ids, sampling, seed), prompts, seeds))
        except OSError as error:
            raise ConnectionError(
                f"the vLLM server at {self.url} is gone ({error}); start it and the cell again"
            ) from error

    def _ask_again(self, path: str, body: dict[str, Any]) -> Any:
        """`ask`, and again where a connection breaks: with its seed the answer is the same."""
        for wait in RETRIES_S:
            try:
                return self.ask(path, body, timeout_s=ANSWER_S)
            except OSError:
                time.sleep(wait)
        return self.ask(path, body, timeout_s=ANSWER_S)

    def _one(self, ids: list[int], sampling: Sampling, seed: int) -> Sample:
        asked = request(sampling, seed=seed, ends=self.ends, stop=self.stop) | {"output_kind": FINAL_ONLY}
        body = {"model": self.model, "token_ids": ids, "sampling_params": asked}
        [choice] = self._ask_again(GENERATE, body)["choices"]
        drawn = [token["logprob"] for token in choice["logprobs"]["content"]] if sampling.logprobs else None
        return Sample(choice["token_ids"], truncated=is_cut(choice["finish_reason"]), logprobs=drawn)


def served(trainer: Any) -> Server:
    """The server that TRL has joined to the trainer: its weights are pushed when they have changed."""
    keep_up = pusher(trainer)

    def awake() -> None:
        keep_up()
        trainer.accelerator.wait_for_everyone()  # rank 0 pushes, and the others must not ask before

    cell = trainer.cell
    return Server(cell.compute.vllm_server, ends=trainer.eos_token_ids, stop=cell.model.stop, awake=awake)


@contextmanager
def hold(cell: Cell, *, window: int, is_main: bool) -> Iterator[None]:
    """Have the server for this cell alone, once it answers and serves what the cell needs. `window`: tokens of the
    longest prompt with its completion. UserError otherwise, on all ranks."""
    url = str(cell.compute.vllm_server)
    check(cell, Server(url), window=window, is_main=is_main)
    if not is_main:
        yield
        return
    if urlparse(url).hostname in ("127.0.0.1", "localhost"):
        os.environ.setdefault("VLLM_HOST_IP", "127.0.0.1")  # where the server finds us, for the weights
    locks = Path(cell.runs) / "_servers"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # freed by the system when its holder dies
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"compute.vllm_server: {url} has the weights of another cell ({file.read().strip()}); write "
                "sweep.slots=1 (cluster.throttle=1), or give each cell a server of its own"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def check(cell: Cell, server: Server, *, window: int, is_main: bool) -> None:
    """UserError where nobody answers within PATIENCE_S, or the server is another one than the cell needs."""
    key, where = f"compute.vllm_server: {server.url}", folder(cell)
    dtype = cell.model.dtype
    command = f"trl vllm-serve --model {where} --max_model_len {window} --dtype {dtype}"
    start = f"start it on other GPUs: CUDA_VISIBLE_DEVICES=N {command}"
    _wait(server, f"{key} does not answer", start, is_main=is_main)
    try:
        version = server.ask("/version")["version"]
        served = server.ask("/v1/models")["data"][0]
        info = server.ask("/server_info?config_format=json")["vllm_config"]
        gpus = server.ask("/get_world_size")["world_size"]
    except (Refused, LookupError, TypeError) as error:
        cause = "it is no vLLM server, one of an older TRL, or was started without VLLM_SERVER_DEV_MODE=1"
        raise UserError(f"{key} cannot be trained with ({error}): {cause}; {start}") from None
    if not server.has(GENERATE):
        remedy = "start it with --enable-scale-out, before vLLM 0.30 with VLLM_ENABLE_SCALE_OUT_ENDPOINTS=1"
        raise UserError(f"{key} has no {GENERATE}; {remedy}")
    here = installed()
    if version.partition("+")[0] != here.partition("+")[0]:
        raise UserError(f"{key} runs vLLM {version}, here is {here}: weights are sent in another form; {start}")
    if not info.get("weight_transfer_config"):
        raise UserError(f"{key} takes no weights; {start}")
    root = served.get("root") or served["id"]
    if root not in (cell.model.hub, where) and Path(root).resolve() != Path(where).resolve():
        raise UserError(f"{key} serves {root}, the cell's model is {where}; {start}")
    if served["max_model_len"] < window:
        raise UserError(f"{key} takes {served['max_model_len']} tokens, the cell's completions reach {window}; {start}")
    there = str(info["model_config"].get("dtype")).removeprefix("torch.")
    if there in ("float16", "bfloat16", "float32") and there != dtype:
        raise UserError(f"{key} computes in {there}, the cell in model.dtype={dtype}; {start}")
    if cell.estimator.rollout_correction != "none" and info["model_config"]["logprobs_mode"] != "processed_logprobs":
        raise UserError(f"{key} was started without --logprobs-mode processed_logprobs; {start}")
    if is_main:
        on = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
        print(f"rlvr_sweep: rollouts by vLLM {version} at {server.url} ({gpus} GPUs), training on GPUs {on} here")


def installed() -> str:
    """The version of vLLM here: its half of the transfer of weights."""
    return metadata.version("vllm")


def _wait(server: Server, silent: str, start: str, *, is_main: bool) -> None:
    """Until it answers. A server that loads a model refuses connections for a minute or two; a name that nobody has
    will not come to be."""
    began, told = time.monotonic(), False
    while True:
        try:
            server.ask("/health", timeout_s=10)
            return
        except Refused as error:
            if error.status != 503:
                raise UserError(f"{silent} as a vLLM server does ({error}); {start}") from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, socket.gaierror) or time.monotonic() - began > PATIENCE_S:
                raise UserError(f"{silent} ({reason}); {start}") from None
        if is_main and not told:
            told = True
            print(f"rlvr_sweep: {silent} yet; waiting up to {PATIENCE_S:.0f} s for it", file=sys.stderr, flush=True)
        time.sleep(1)


def free_port() -> int:
    """A port that nobody listens on: the server meets the trainer there for the weights, and cells may run side by
    side."""
    with socket.socket() as free:
        free.bind(("", 0))
        return free.getsockname()[1]
