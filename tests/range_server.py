"""A small web server for tests: serves a folder on loopback, and can misbehave in the ways that servers do."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_KINDS = {".html": "text/html; charset=utf-8", ".json": "application/vnd.pypi.simple.v1+json"}


@dataclass
class Site:
    """What a server does, and what it was asked.

    Attributes:
        folder: The files that it serves.
        url: Where, with a slash at the end.
        ranges: Whether it takes Range requests.
        tags: Whether it sends an ETag.
        busy: How many of the next requests it answers with 503.
        cut: How many of the next bodies it breaks off in the middle.
        silent: How many of the next requests it never answers.
        drip: Seconds between two bytes of a body.
        password: `user:password` that it asks for, if any.
        redirect: Where it sends requests for other files than these, if anywhere.
        requests: `(path, first byte, last byte)` of every request.
        headers: The headers of every request.
        sent: Bytes of all bodies.
        connections: How many were opened.
    """

    folder: Path
    url: str = ""
    ranges: bool = True
    tags: bool = True
    busy: int = 0
    cut: int = 0
    silent: int = 0
    drip: float = 0.0
    password: str = ""
    redirect: str = ""
    requests: list[tuple[str, int, int]] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)
    sent: int = 0
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def forget(self) -> None:
        """Forgets what it was asked."""
        self.requests, self.headers, self.sent, self.connections = [], [], 0, 0


@contextmanager
def serve(folder: Path, **options: Any) -> Iterator[Site]:
    """A server for a folder, as long as the context lasts."""
    site = Site(folder, **options)
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            with site.lock:
                site.connections += 1

        def log_message(self, *arguments: Any) -> None:
            pass

        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with site.lock:
                cut = site.cut > 0 and len(body) > 1
                site.cut -= cut
                site.sent += len(body)
            if site.drip:
                for number in range(len(body)):
                    if ended.wait(site.drip):
                        return
                    self.wfile.write(body[number : number + 1])
            elif cut:
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
            else:
                self.wfile.write(body)

        def do_GET(self) -> None:
            path = self.path.partition("?")[0].lstrip("/")
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            first, last = (int(asked[1]), int(asked[2])) if asked else (0, -1)
            with site.lock:
                site.requests.append((path, first, last))
                site.headers.append(self.headers)
                busy, silent = site.busy > 0, site.silent > 0
                site.busy -= busy
                site.silent -= silent
            if silent:
                ended.wait()
                self.close_connection = True
                return None
            if busy:
                return self.answer(503)
            wanted = "Basic " + base64.b64encode(site.password.encode()).decode()
            if site.password and self.headers.get("Authorization") != wanted:
                return self.answer(401)
            file = site.folder / path
            if file.is_dir():  # a page of a package registry
                file = next(file.glob("index.*"), file)
            if not file.is_file():
                if site.redirect:
                    return self.answer(302, Location=site.redirect + path)
                return self.answer(404)
            data = file.read_bytes()
            tag = {"ETag": f'"{hashlib.sha256(data).hexdigest()[:16]}"'} if site.tags else {}
            if kind := _KINDS.get(file.suffix):
                tag["Content_Type"] = kind
            if not site.ranges or not asked:
                return self.answer(200, data, **tag)
            if first >= len(data):
                return self.answer(416, Content_Range=f"bytes */{len(data)}", **tag)
            part = data[first : last + 1]
            place = f"bytes {first}-{first + len(part) - 1}/{len(data)}"
            return self.answer(206, part, Content_Range=place, **tag)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
