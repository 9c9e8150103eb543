"""A line to a system on which something happens at each call: a user edits, or somebody counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import requests

Before = Callable[[str, str, bytes], None]
"""Told of each call (method, path, body) before it is passed on."""
_OWN = {"connection", "transfer-encoding", "content-encoding", "content-length", "host"}


@contextmanager
def between(url: str, before: Before) -> Iterator[str]:
    """A URL that leads to `url`."""
    class Line(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            before(self.command, self.path, body)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _OWN}
            answer = requests.request(self.command, url + self.path, data=body, headers=headers,
                                      allow_redirects=False, timeout=60)
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in _OWN:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _pass_on

        def log_message(self, *_words: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Line)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
