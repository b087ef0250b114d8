"""A real HTTP server on loopback that answers what a test tells it to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep


@dataclass
class Reply:
    """One answer; `wait_s` passes before it is sent. With `missing_bytes` it is cut short of its end."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    missing_bytes: int = 0


@dataclass
class Server:
    """Where it listens, and the requests it has seen as (method, path, authorization), with their bodies."""

    url: str
    seen: list[tuple[str, str, str]]
    bodies: list[bytes]


@contextmanager
def answering(*replies: Reply) -> Iterator[Server]:
    """Answers the requests with the replies in turn, the last one again and again."""
    seen: list[tuple[str, str, str]] = []
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            bodies.append(self._read_whole())
            reply = replies[min(len(seen), len(replies) - 1)]
            seen.append((self.command, self.path, self.headers.get("Authorization", "")))
            sleep(reply.wait_s)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body) + reply.missing_bytes))
            self.end_headers()
            with suppress(
                BrokenPipeError, ConnectionResetError
            ):  # a client that did not wait is what some tests are about
                self.wfile.write(reply.body)

        def _read_whole(self) -> bytes:
            """A connection that is closed before all of a request is read is cut, and its answer may be lost."""
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size_bytes := int(self.rfile.readline(), 16):
                body += self.rfile.read(size_bytes)
                self.rfile.readline()
            self.rfile.readline()
            return body

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as declared there
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Server(f"http://127.0.0.1:{server.server_port}", seen, bodies)
        finally:
            server.shutdown()
            thread.join()
