"""A loopback stand-in for the Hub: what huggingface_hub asks for to list and download a dataset or a model, no more.

with serve(Repo("datasets", "org/sums", {"test.jsonl": b"..."})) as hub:
    subprocess.run(..., env={"HF_ENDPOINT": hub.url, ...}); hub.asked      # ["GET /api/datasets/...", ...]
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass
class Repo:
    """A repository with one commit, on `main` and under the tags given."""

    kind: str  # "datasets" or "models"
    id: str
    files: dict[str, bytes]
    tags: tuple[str, ...] = ()
    gated: bool = False

    @property
    def sha(self) -> str:
        return sha1(repr((self.id, sorted(self.files.items()))).encode()).hexdigest()

    def has(self, revision: str) -> bool:
        return revision in ("main", self.sha, *self.tags)


@dataclass
class Hub:
    url: str
    asked: list[str] = field(default_factory=list)


API = re.compile(r"/api/(datasets|models)/(.+?)(?:/(revision|tree)/([^/]+))?")
RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@contextmanager
def serve(*repos: Repo) -> Iterator[Hub]:
    """Serve these repositories on a free loopback port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: `asked` is the log."""

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            path = urlsplit(self.path).path
            hub.asked.append(f"{self.command} {path}")
            if match := RESOLVE.fullmatch(path):
                kind, repo_id, revision, name = match.groups()
                kind = "datasets" if kind else "models"
            elif match := API.fullmatch(path):
                kind, repo_id, what, revision = match.groups()
                name = None
            else:
                self.refuse("RepoNotFound", 404)
                return
            repo = next((r for r in repos if (r.kind, r.id) == (kind, repo_id)), None)
            revision = unquote(revision or "main")
            if repo is None:
                self.refuse("RepoNotFound", 401)
            elif not repo.has(revision):
                self.refuse("RevisionNotFound", 404)
            elif repo.gated:
                self.refuse("GatedRepo", 403)
            elif name is None:
                listing = [
                    {"type": "file", "path": path, "size": len(body), "oid": sha1(body).hexdigest()}
                    for path, body in repo.files.items()
                ]
                info = {"id": repo.id, "sha": repo.sha, "siblings": [{"rfilename": name} for name in repo.files]}
                body = json.dumps(listing if what == "tree" else info | {"private": False}).encode()
                self.send(body, {"Content-Type": "application/json"})
            elif unquote(name) not in repo.files:
                self.refuse("EntryNotFound", 404)
            else:
                body = repo.files[unquote(name)]
                self.send(body, {"X-Repo-Commit": repo.sha, "ETag": f'"{sha1(body).hexdigest()}"'})

        def refuse(self, code: str, status: int) -> None:
            self.send(b"", {"X-Error-Code": code}, status=status)

        def send(self, body: bytes, headers: dict[str, str], status: int = 200) -> None:
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub = Hub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
