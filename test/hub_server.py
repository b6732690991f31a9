"""A small server that speaks the Hugging Face hub's protocol for files, and fails in the ways that networks do."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

LARGE = 200
"""Bytes from which on a file is kept apart, as the hub does with large ones: it answers with another address."""


@dataclass
class Request:
    """What was asked for."""

    method: str
    path: str
    range: str | None
    token: str | None


@dataclass
class HubServer:
    """What the server has and how it behaves.

    Attributes:
        files: content by ``repo/file``.
        revision: the commit that every repository is at.
        gated: repositories that need the token ``secret``.
        cuts: after how many bytes the next answers break off, first things first.
        failing: every GET of a large file is answered 503.
        lying: names the right SHA-256 and size, but sends other bytes.
        honest: names the SHA-256 of what it sends, as the hub does for large files; False names no SHA-256.
        no_ranges: sends whole files, whatever part is asked for.
        requests: everything that was asked for.
        sent: the files whose bytes were sent, each as often as it was.
        address: set while it runs.
    """

    files: dict[str, bytes]
    revision: str
    gated: set[str] = field(default_factory=set)
    cuts: list[int] = field(default_factory=list)
    failing: bool = False
    lying: bool = False
    honest: bool = True
    no_ranges: bool = False
    requests: list[Request] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    address: str = ""

    @contextmanager
    def running(self) -> Iterator[HubServer]:
        """Serve on a free port of the loopback interface."""
        handler = type("Handler", (_Handler,), {"hub": self})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        self.address = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[HubServer]
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        hub = self.hub
        token = self.headers.get("Authorization")
        hub.requests.append(Request(self.command, self.path, self.headers.get("Range"), token))
        kept_apart = re.fullmatch(r"/apart/(.+)", self.path)
        found = kept_apart or re.fullmatch(r"/([^/]+/[^/]+)/resolve/([0-9a-f]{40})/(.+)", self.path)
        if found is None:
            return self._refuse(404, "EntryNotFound")
        if kept_apart:
            name = found[1]
        else:
            repo, revision, name = found[1], found[2], f"{found[1]}/{found[3]}"
            if repo in hub.gated and token != "Bearer secret":
                return self._refuse(401 if token is None else 403, "GatedRepo")
            if not any(key.startswith(f"{repo}/") for key in hub.files):
                return self._refuse(401, "RepoNotFound")
            if revision != hub.revision:
                return self._refuse(404, "RevisionNotFound")
        if name not in hub.files:
            return self._refuse(404, "EntryNotFound")
        content = hub.files[name]
        large = len(content) >= LARGE
        if large and hub.failing and with_body:
            return self._refuse(503, "")
        if large and not kept_apart:
            # Another host in name, as the hub's storage is: it must not be given the token.
            place = hub.address.replace("127.0.0.1", "localhost")
            headers = {"Location": f"{place}/apart/{name}", "X-Linked-Size": str(len(content)), "Content-Length": "0"}
            if hub.honest:
                headers["X-Linked-ETag"] = f'"{hashlib.sha256(content).hexdigest()}"'
            return self._head(302, {"ETag": '"abc"', "X-Repo-Commit": hub.revision, **headers})
        self._send(content, with_body)
        return None

    def _send(self, content: bytes, with_body: bool) -> None:
        hub = self.hub
        if hub.lying:
            content = bytes(byte ^ 1 for byte in content)
        first = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked and not hub.no_ranges:
            first = int(asked[1])
        headers = {"ETag": '"abc"', "X-Repo-Commit": hub.revision, "Content-Length": str(len(content) - first)}
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        self._head(206 if first else 200, headers)
        if not with_body:
            return
        hub.sent.append(self.path.rpartition("/")[2])
        if len(content) >= LARGE and hub.cuts:
            self.wfile.write(content[first : first + hub.cuts.pop(0)])
            self.close_connection = True
            return
        self.wfile.write(content[first:])

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _refuse(self, status: int, code: str) -> None:
        headers = {"Content-Length": "0"}
        if code:
            headers |= {"X-Error-Code": code, "X-Error-Message": f"{code} for {self.path}"}
        self._head(status, headers)
