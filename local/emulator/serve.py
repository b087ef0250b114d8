"""Runs the emulator as a process of its own, or beside other code; what `ticketsync run cloud-emulator` calls."""

import contextlib
from asyncio import Transport
from collections.abc import Callable, Iterable
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from local.emulator.app import build
from local.emulator.settings import CAPABILITIES, Settings, capabilities_named

KEEP_ALIVE_S = 75  # as usual in front of such applications; a short one would break pooled connections by chance
STOP_S = 1  # held and dripping requests are given up after it


class ClosableProtocol(H11Protocol):
    """Lets the application close a connection without an answer, which ASGI has no word for."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as in the class itself
        """Hands the means to close the connection to its requests."""
        close: Callable[[], None] = transport.abort
        self.app_state = {**self.app_state, "close": close}
        super().connection_made(transport)


def server(settings: Settings, *, host: str, port: int) -> uvicorn.Server:
    """The emulator's HTTP server, not yet started; port 0 takes any free one."""
    return uvicorn.Server(
        uvicorn.Config(
            build(settings),
            host=host,
            port=port,
            http=ClosableProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # the control routes look at who is really connected
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_S,
        )
    )


def run(
    host: str,
    port: int,
    token: str,
    data_dir: Path | None = None,
    capabilities: Iterable[str] = CAPABILITIES,
    *,
    effect_log: bool = True,
) -> None:
    """Serves the emulator until SIGINT or SIGTERM.

    Raises:
        ValueError: an empty token, or a capability that does not exist.
        BlockingIOError: another emulator is using `data_dir`.
        SystemExit: the port is taken.
    """
    settings = Settings(
        token=token, capabilities=capabilities_named(capabilities), data_dir=data_dir, effect_log=effect_log
    )
    with contextlib.suppress(KeyboardInterrupt):
        server(settings, host=host, port=port).run()
