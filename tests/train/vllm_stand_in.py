"""What stands in for vLLM where there is no GPU: a server that speaks its HTTP over real sockets, and TRL's side of it.

The model behind it is a lab model under Hugging Face, so that what it samples is what training with backend=hf samples.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import urlparse

import torch

from rlvr_sweep.train.generation import Sampling, Untrained


class StandIn:
    """The server. `answers` are those of its GET paths, to be changed by a test; `asked` holds all sampling_params."""

    def __init__(self, root: str, *, backend: Any = None, window: int = 4096) -> None:
        self.backend, self.asked, self.lock = backend, [], threading.Lock()
        self.broken = 0  # how many posts from now on get no answer
        self.ended_by: str | None = None  # what it says ended a completion, instead of what did
        self.shift = 0.0  # what its log-probs are above the model's
        config = {
            "weight_transfer_config": {"backend": "nccl"},
            "model_config": {"logprobs_mode": "processed_logprobs", "dtype": "torch.float32"},
        }
        self.answers: dict[str, Any] = {
            "/health": None,
            "/version": {"version": "0.26.0"},
            "/v1/models": {"data": [{"id": "served", "root": root, "max_model_len": window}]},
            "/server_info": {"vllm_config": config},
            "/get_world_size": {"world_size": 1},
        }

    def generate(self, body: dict[str, Any]) -> dict[str, Any]:
        asked, ids = body["sampling_params"], body["token_ids"]
        with self.lock:
            self.asked.append(asked | {"model": body["model"], "prompt": ids})
            how = Sampling(asked["max_tokens"], asked["temperature"], asked["top_p"])
            [sample] = self.backend.generate([ids], how, seeds=[asked["seed"]])
        reason = self.ended_by or ("length" if sample.truncated else "stop")
        choice = {"index": 0, "token_ids": sample.ids, "finish_reason": reason}
        if "logprobs" in asked:
            drawn = log_probs(self.backend.model, ids, sample.ids, temperature=asked["temperature"])
            choice["logprobs"] = {"content": [{"token": "token_id:0", "logprob": p + self.shift} for p in drawn]}
        return {"choices": [choice]}

    @contextmanager
    def running(self) -> Iterator[str]:
        """Its address while it runs."""
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = urlparse(self.path).path
                if path == "/inference/v1/generate":
                    self._say(405, {})
                else:
                    self._say(200 if path in stand_in.answers else 404, stand_in.answers.get(path))

            def do_POST(self) -> None:
                if stand_in.broken:
                    stand_in.broken -= 1
                    return
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._say(200, stand_in.generate(body))

            def _say(self, status: int, answer: Any) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b"" if answer is None else json.dumps(answer).encode())

            def log_message(self, *args: Any) -> None:
                """Not on the terminal."""

        class Listening(ThreadingHTTPServer):
            request_queue_size = 512  # connections that come at once

        with Listening(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_address[1]}"
            finally:
                server.shutdown()
                thread.join()


@torch.no_grad()
def log_probs(model: Any, prompt: list[int], completion: list[int], *, temperature: float) -> list[float]:
    """Of each token of the completion, under the model."""
    logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1].float() / temperature
    return logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])[:, 0].tolist()


def behind(model: Any, tokenizer: Any) -> Untrained:
    """What the server samples with."""
    return Untrained(model, tokenizer, device=torch.device("cpu"), dtype="float32", stop=[], batch=None)


def joined(stand_in: StandIn) -> type:
    """TRL's VLLMGeneration in server mode, but for NCCL: a push copies the weights. `made` and `pushes` say what TRL
    asked for."""

    class Joined:
        made: ClassVar[dict[str, Any]] = {}
        pushes = 0

        def __init__(self, **options: Any) -> None:
            Joined.made, self.model, self.vllm_client = options, options["model"], self

        def get_server_info(self) -> Any:
            return stand_in.answers["/server_info"]["vllm_config"]

        def sync_weights(self) -> None:
            Joined.pushes += 1
            stand_in.backend.model.load_state_dict(self.model.state_dict())

    return Joined
