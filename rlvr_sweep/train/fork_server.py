"""One process that has imported torch, transformers and TRL, and forks a worker for each cell it is asked for.

    python -m rlvr_sweep.train.fork_server 7         # 7: its end of a socket pair; sweep/forks.py holds the other

A small cell spends more on its imports than on its training; here they are paid once a sweep. Nothing is computed
before a fork, and CUDA is never touched: what is forked is as a worker that has just done its imports.

The socket carries JSON: {"ready": true}, or {"fault": "..."} before the end. Then each {"cell": path, "launcher": pid,
"environment": {...}}, which brings the log's descriptor, is answered by {"pid": ...} or {"fault": "..."}.
"""

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from rlvr_sweep.lifeline import call_process, dies_with_parent
from rlvr_sweep.train import worker

LONGEST_REQUEST = 1 << 18
ADOPTION_S = 10.0
ARROW = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}  # pyarrow's allocator starts a thread otherwise
# torch.cuda.is_available() would start CUDA, and nothing that is forked after that can use a GPU.
NVML_ONLY = "PYTORCH_NVML_BASED_CUDA_CHECK"
FORMER = os.environ.get(NVML_ONLY)
# What a worker imports by train(), and below what the libraries import late, by the cell's model or settings.
MODULES = (
    "torch",
    "rlvr_sweep.grading.pool",
    "rlvr_sweep.train.environment",
    "rlvr_sweep.train.arguments",
    "rlvr_sweep.train.evaluation",
    "rlvr_sweep.train.mirror",
    "rlvr_sweep.train.model",
    "rlvr_sweep.train.problems",
    "rlvr_sweep.train.recorder",
    "rlvr_sweep.train.trainer",
)
LATE = (
    "transformers.models.llama.modeling_llama",
    "transformers.models.olmo2.modeling_olmo2",
    "transformers.models.qwen2.modeling_qwen2",
    "transformers.models.qwen2.tokenization_qwen2",
    "wandb.sdk.launch.inputs.internal",
)


def main(descriptor: int) -> int:
    channel = socket.socket(fileno=descriptor)
    os.environ |= ARROW | {NVML_ONLY: "1"}
    worker.leave_out_vllm()
    for name in MODULES:
        importlib.import_module(name)
    for name in LATE:
        with contextlib.suppress(Exception):  # absent or broken: the cell that wants it says so
            importlib.import_module(name)
    if fault := _unfit():
        _say(channel, fault=fault)
        return 1
    gc.collect()
    gc.freeze()  # a collection in a child would touch, and so copy, every page
    _say(channel, ready=True)
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, LONGEST_REQUEST, 1)
        if not message:  # the launcher has closed its end, or is gone
            return 0
        try:
            between = os.fork()
        except OSError as error:
            _say(channel, fault=f"cannot fork ({error.strerror})")
        else:
            if between == 0:
                _fork_again(channel, json.loads(message), descriptors[0])
            os.waitpid(between, 0)
        os.close(descriptors[0])


def _say(channel: socket.socket, **message: Any) -> None:
    channel.send(json.dumps(message).encode())


def _unfit() -> str | None:
    """Why this process must not be forked; None: it may be."""
    import torch

    threads = sorted(path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm"))
    if len(threads) > 1:
        return f"an import has left threads running ({', '.join(threads)})"
    opened = [os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    if torch.cuda.is_initialized() or any(name.startswith("/dev/nvidia-uvm") for name in opened):
        return "an import has started CUDA"
    return None


def _fork_again(channel: socket.socket, request: dict[str, Any], log: int) -> None:
    """Twice, so that the worker is the launcher's child, as if that one had started it itself. Does not return."""
    try:
        if os.fork():
            os._exit(0)
    except OSError as error:
        _say(channel, fault=f"cannot fork ({error.strerror})")
        os._exit(1)
    code = 1
    try:
        _become_worker(channel, request, log)
        code = worker.main([request["cell"]])
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # as at the end of any Python process
        traceback.print_exc()
    finally:
        os._exit(code)


def _become_worker(channel: socket.socket, request: dict[str, Any], log: int) -> None:
    """What Popen and a new interpreter would have done: see sweep/process.py."""
    os.setsid()
    end = time.monotonic() + ADOPTION_S
    while os.getppid() != request["launcher"] and time.monotonic() < end:  # until the process between has ended
        time.sleep(0.0005)
    if with_launcher := dies_with_parent(signal.SIGTERM):
        with_launcher()
    if os.getppid() != request["launcher"]:
        _say(channel, fault="the launcher did not become the worker's parent")
        raise RuntimeError("no launcher")
    _say(channel, pid=os.getpid())
    channel.close()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    if FORMER is not None:
        os.environ[NVML_ONLY] = FORMER
    else:
        del os.environ[NVML_ONLY]
    os.environ.update(request["environment"])
    sys.argv = [worker.__file__, request["cell"]]
    call_process(Path(request["cell"]).name.rpartition("--")[2])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
