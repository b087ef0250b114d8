"""The embedded stack: Kafka, PostgreSQL, the cloud emulator and the three services, from one data folder.

In: a folder, and a cloud unless the emulator is to stand in for it. Out: DIR/settings.json for the services,
DIR/stack.json for everybody else while all of it is up, DIR/tokens/ with a file for each token, and lines for a person.
Invariants: stack.json appears only after everything was ready and is gone before anything is stopped; when `up`
returns, nothing that it started is left. `up` killed with SIGKILL breaks both, `up` on the same folder mends both.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import asyncpg
from aiokafka.errors import KafkaError

from local.data_dir import DataDirInUseError, keep_secrets, open_data_dir, token_file
from local.files import read_json, write_json
from local.kafka_jars import JarsUnavailableError
from local.ports import held_ports
from local.postgres import ensure_databases, postgres_url
from local.servers import SERVER_PORTS, Servers, addresses, server_marks, server_programs
from local.services import EMULATOR, SERVICES, emulator_program, service_mark, service_program
from local.supervisor import MisconfiguredError, NotStartedError, Program, Supervisor, stop_leftovers
from shared.topics import TopicsError
from shared.topics import apply as apply_topics

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# With the servers' own patience, and a second to kill what is left of each, below the 15 s that `up` promises.
SERVICES_STOP_PATIENCE_S = 7.5

Say = Callable[[str], None]


class _StopRequested(BaseException):
    """A signal came while no child was running yet."""


@dataclass(frozen=True)
class _Stack:
    """Everything that is decided before the first child is started."""

    servers: Servers
    server_programs: list[Program]
    service_programs: list[Program]
    passwords: Mapping[str, str]  # by role, which is also its database
    file: Path
    content: Mapping[str, str]


@dataclass(frozen=True)
class Cloud:
    """The cloud that is used instead of the emulator; its token is given, or stands in a file that may change."""

    url: str
    token: str | Path


def up(data_dir: Path, *, cloud: Cloud | None, say: Say) -> int:
    """Run the stack in the foreground until SIGINT, SIGTERM or SIGHUP; call it in the main thread.

    Returns the exit code: 0 stopped as asked, 1 the folder's stack is running already, 69 something did not start,
    78 a service refuses its settings.
    """
    try:
        with _stop_signals_raise(), open_data_dir(data_dir) as folder:
            _stop_leftovers(folder, say=say)
            with held_ports(folder / "ports.json", [*SERVER_PORTS, EMULATOR, *SERVICES], say=say) as ports:
                stack = _prepare(folder, ports, cloud=cloud, say=say)
                asyncio.run(_run(stack, say=say))
    except _StopRequested:
        say("stopped")
    except DataDirInUseError as error:
        say(str(error))
        return 1
    except (NotStartedError, JarsUnavailableError) as error:
        say(str(error))
        return 78 if isinstance(error, MisconfiguredError) else 69
    return 0


@contextmanager
def _stop_signals_raise() -> Iterator[None]:
    """For the time before the event loop, which takes the signals over; one that comes late to this changes nothing."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _StopRequested

    before = {number: signal.signal(number, stop) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_leftovers(folder: Path, *, say: Say) -> None:
    (folder / "stack.json").unlink(missing_ok=True)
    ports = read_json(folder / "ports.json", int)
    services = [service_mark(name, folder, ports[name]) for name in (*SERVICES, EMULATOR) if name in ports]
    stop_leftovers(services, server_marks(folder), say=say)


def _prepare(folder: Path, ports: Mapping[str, int], *, cloud: Cloud | None, say: Say) -> _Stack:
    roles = {name: name.replace("-", "_") for name in SERVICES}
    own = keep_secrets(folder, [f"{role}_password" for role in roles.values()])
    passwords = {role: own[f"{role}_password"] for role in roles.values()}
    api_token_file = token_file(folder, "api_token")
    servers = addresses(folder, ports)
    content = {
        "kafka_bootstrap_servers": servers.kafka_bootstrap_servers,
        **{f"{roles[name]}_url": _url(ports[name]) for name in SERVICES},
        "cloud_url": cloud.url if cloud else _url(ports[EMULATOR]),
        "api_token_file": str(api_token_file),
        **{
            f"{role}_database_url": postgres_url(ports["postgres"], role, password, driver="+asyncpg")
            for role, password in passwords.items()
        },
    }
    settings = {name.upper(): value for name, value in content.items() if name != "cloud_url"}
    settings["CLOUDS_URL"] = content["cloud_url"]
    settings["CLOUDS_TOKEN_FILE"] = str(_cloud_token_file(folder, cloud))
    previous = token_file(folder, "api_token_previous", first=api_token_file.read_text().strip())
    settings["API_TOKEN_PREVIOUS_FILE"] = str(previous)
    write_json(folder / "settings.json", settings)
    services = [service_program(name, folder, port=ports[name], settings=settings) for name in SERVICES]
    if cloud is None:
        services.insert(0, emulator_program(folder, port=ports[EMULATOR], settings=settings))
    return _Stack(
        servers=servers,
        server_programs=server_programs(folder, ports=ports, say=say),
        service_programs=services,
        passwords=passwords,
        file=folder / "stack.json",
        content=content,
    )


def _cloud_token_file(folder: Path, cloud: Cloud | None) -> Path:
    if cloud is None:
        return token_file(folder, "emulator_token")
    if isinstance(cloud.token, Path):
        return cloud.token.absolute()
    return token_file(folder, "clouds_token", now=cloud.token)


async def _run(stack: _Stack, *, say: Say) -> None:
    """Start everything, keep it alive until a signal, stop everything. Raises NotStartedError."""
    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    supervisor = Supervisor(say=say)
    working = asyncio.create_task(_start_and_watch(stack, supervisor, say=say))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working  # ends only by an exception
    finally:
        say("stopping")
        stack.file.unlink(missing_ok=True)
        working.cancel()
        await asyncio.wait([working])
        await supervisor.stop()
        say("stopped")


async def _start_and_watch(stack: _Stack, supervisor: Supervisor, *, say: Say) -> None:
    say("starting Kafka and PostgreSQL")
    await supervisor.start(stack.server_programs)
    try:
        await ensure_databases(stack.servers.postgres_url, stack.passwords)
        await apply_topics(stack.servers.kafka_bootstrap_servers)
    except (OSError, asyncpg.PostgresError, KafkaError, TopicsError, TimeoutError) as error:
        raise NotStartedError(f"databases and topics could not be prepared: {error!r}") from error
    say(f"starting {', '.join(program.name for program in stack.service_programs)}")
    await supervisor.start(stack.service_programs, stop_patience_s=SERVICES_STOP_PATIENCE_S)
    write_json(stack.file, stack.content)
    say(f"ready: addresses are in {stack.file}, the API's token in tokens/ beside it; Ctrl-C stops everything")
    await supervisor.watch()


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
