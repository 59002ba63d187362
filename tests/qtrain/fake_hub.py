"""A hub on this machine: repositories of a few files, answers with any status, or no answer at all."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """What the server gives.

    Attributes:
        files: Content by repository ("OWNER/NAME", of data sets "datasets/OWNER/NAME") and file.
        revisions: Branches and commits that every repository has.
        status: Given to every request instead, with no word of what it means.
        codes: The hub's word for it in the header X-Error-Code is left out where this is False.
        gated: Whether every repository is one whose terms must be accepted.
        silent: Whether requests get no answer until `woken` is set.
        asked: Paths of all requests about repositories.
    """

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.revisions = {"main", COMMIT}
        self.status: int | None = None
        self.codes, self.gated = True, False
        self.silent = False
        self.woken = threading.Event()
        self.asked: list[str] = []
        self.address = ""

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        if self.silent:
            self.woken.wait(30)
        if self.status is not None:
            return self.status, {}, b""
        if self.gated:
            return 403, {"X-Error-Code": "GatedRepo"}, b""
        if match := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/tree/([^/?]+)(/.*)?", path):
            kind, name, revision, _ = match.groups()
            files = self._files(kind, name)
            if files is None or revision not in self.revisions:
                return self._missing("RepoNotFound" if files is None else "RevisionNotFound")
            rows = [
                {"type": "file", "path": file, "size": len(data), "oid": _etag(data)} for file, data in files.items()
            ]
            return 200, {}, json.dumps(rows).encode()
        if match := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            kind, name, revision = match.groups()
            files = self._files(kind, name)
            if files is None or (revision or "main") not in self.revisions:
                return self._missing("RepoNotFound" if files is None else "RevisionNotFound")
            siblings = [{"rfilename": file} for file in files]
            about = {"id": name, "sha": COMMIT, "siblings": siblings, "private": False, "tags": [], "downloads": 0}
            return 200, {}, json.dumps(about).encode()
        if match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            kind, name, revision, file = match.groups()
            files = self._files("datasets" if kind else "models", name)
            if files is None:
                return self._missing("RepoNotFound")
            if revision not in self.revisions:
                return self._missing("RevisionNotFound")
            if file not in files:
                return self._missing("EntryNotFound", {"X-Repo-Commit": COMMIT})
            return 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{_etag(files[file])}"'}, files[file]
        return self._missing("EntryNotFound")

    def _files(self, kind: str, name: str) -> dict[str, bytes] | None:
        return self.files.get(f"datasets/{name}" if kind == "datasets" else name)

    def _missing(self, code: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        # The hub says 401 of what may be private.
        status = 401 if code == "RepoNotFound" and self.codes else 404
        return status, {**(headers or {}), **({"X-Error-Code": code} if self.codes else {})}, b""


def _etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@contextmanager
def fake_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """Serve a hub, and have the library take it for the real one."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._reply(body=False)

        def do_GET(self) -> None:
            self._reply(body=True)

        def _reply(self, *, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            if path != "/api/agent-harnesses":  # the client asks this once a day, about itself and no repository
                hub.asked.append(path)
            status, headers, content = hub.answer(path)
            try:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if body:
                    self.wfile.write(content)
            except OSError:
                self.close_connection = True  # the client has gone

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    use_hub(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        hub.woken.set()
        server.shutdown()
        thread.join()
        server.server_close()


def use_hub(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Have the library take an address for the hub's."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )
