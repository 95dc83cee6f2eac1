"""A loopback stand-in for the W&B server, enough for the real client to create, resume, log and finish a run.

    with serving() as server:   # set WANDB_BASE_URL=server.url and a 40-character WANDB_API_KEY
        server.upserts, server.history(), server.exit_code

Its answers are ours: it shows what the client sends, not what the real server does with it.
"""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.operations: list[str] = []
        self.upserts: list[dict[str, Any]] = []
        self.streams: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []

    @property
    def config(self) -> dict[str, Any]:
        """The run's config as the client last sent it."""
        return json.loads([u["config"] for u in self.upserts if u.get("config")][-1])

    def history(self) -> list[dict[str, Any]]:
        """The rows of the run, in the order they came."""
        files = [
            s["files"]["wandb-history.jsonl"] for s in self.streams if "wandb-history.jsonl" in (s.get("files") or {})
        ]
        return [json.loads(line) for file in files for line in file["content"]]

    @property
    def exit_code(self) -> int | None:
        codes = [s["exitcode"] for s in self.streams if s.get("complete")]
        return codes[-1] if codes else None


class Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.bodies.append(body)
        if self.path.endswith("/file_stream"):
            self.server.streams.append(json.loads(body))
            self._send({})
        elif self.path == "/graphql":
            self._send(self._graphql(json.loads(body)))
        else:
            self._send({})

    def do_PUT(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self._send({})

    def _graphql(self, request: dict[str, Any]) -> dict[str, Any]:
        name, values = request.get("operationName") or "", request.get("variables") or {}
        self.server.operations.append(name)
        if name == "Viewer":
            return {
                "data": {
                    "viewer": {
                        "id": "v",
                        "entity": "someone",
                        "username": "someone",
                        "flags": "{}",
                        "teams": {"edges": []},
                    }
                }
            }
        if name == "UpsertBucket":
            self.server.upserts.append(values)
            project = {"id": "p", "name": values.get("project"), "entity": {"id": "e", "name": "someone"}}
            bucket = {
                "id": "b",
                "name": values.get("name"),
                "displayName": values.get("displayName"),
                "description": "",
                "config": values.get("config") or "{}",
                "sweepName": None,
                "project": project,
                "historyLineCount": 0,
            }
            return {"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}}
        if name == "RunResumeStatus":
            return {
                "data": {"model": {"id": "p", "name": "p", "entity": {"id": "e", "name": "someone"}, "bucket": None}}
            }
        if name == "CreateRunFiles":
            files = [{"name": f, "uploadUrl": f"{self.server.url}/put/{f}"} for f in values.get("files") or []]
            return {"data": {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}}
        return {"errors": [{"message": f"unknown operation {name}"}]}

    def _send(self, document: dict[str, Any]) -> None:
        payload = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a free port for the length of the block."""
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
