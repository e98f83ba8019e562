"""A hub on this machine, as far as the datasets library asks: commits, trees, files."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serving(repos: Mapping[str, Mapping[str, bytes]], commit: str = COMMIT) -> Iterator[str]:
    """The address of a hub that has data set repositories (path -> content), each at one commit."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(urlsplit(self.path).path)
            repo = "/".join(path.removeprefix("/api").split("/")[2:4])
            if repo not in repos:
                return self._answer(404, {}, {"X-Error-Code": "RepoNotFound"})
            files = repos[repo]
            if path.startswith("/datasets/"):
                return self._file(files, path.split("/", 6)[6])
            _, _, _, _, _, *rest = path.split("/")
            what, revision, *below = rest or ("revision", "main")
            if revision not in ("main", commit):
                return self._answer(404, {}, {"X-Error-Code": "RevisionNotFound"})
            if what == "revision":
                return self._answer(200, {"id": repo, "sha": commit, "private": False, "tags": [], "downloads": 0})
            if what == "tree":
                return self._answer(200, list(_tree(files, "".join(f"{part}/" for part in below))))
            asked = json.loads(body)["paths"] if body[:1] == b"{" else parse_qs(body.decode()).get("paths", [])
            return self._answer(200, [_entry(files, name) for name in files if name in asked])

        do_HEAD = do_POST = do_GET

        def _file(self, files: Mapping[str, bytes], name: str) -> None:
            if name not in files:
                return self._answer(404, {}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return self._answer(200, files[name], {"X-Repo-Commit": commit, "ETag": f'"{_etag(files[name])}"'})

        def _answer(self, status: int, content: Any, headers: Mapping[str, str] = {}) -> None:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def _tree(files: Mapping[str, bytes], folder: str) -> Iterator[dict[str, Any]]:
    below = [name.removeprefix(folder) for name in files if name.startswith(folder)]
    for inner in sorted({name.split("/")[0] for name in below if "/" in name}):
        yield {"type": "directory", "path": folder + inner, "oid": _etag(inner.encode())}
    yield from (_entry(files, folder + name) for name in below if "/" not in name)


def _entry(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(files[name]), "oid": _etag(files[name])}
