"""Processes die, databases are lost or set back, servers go away: the cloud ends up right, nothing is there twice."""

import asyncio
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from local.ports import held_ports
from shared.announce import LEASE_S
from tests.pipeline.running import TICKETSYNC, Stack, a_folder, eventually, ids, recordings

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

SERVICES = ("linker", "transfer", "cloud_updater")
AFTER_A_KILL_S = 120
# What topics alone bring back, as it was.
REBUILT = {
    "linker": "select recording_id, folder_id, filename, transfer_version, clouds_uuid from recording order by 1",
    "transfer": "select recording_id, folder_id, clouds_uuid, transfer_version, link_version from transfer order by 1",
    "cloud_updater": """
        select recording_id, clouds_uuid, transfer_version, link_version, f.body as file, ticket
        from recording left join file f using (recording_id) order by 1
    """,
}


def programs(service: str) -> tuple[str, str]:
    return "run", service.replace("_", "-")


def in_sync(stack: Stack, number: int, *, ticket: str = "TKT-BEFORE") -> str:
    """A folder whose recordings are all in the cloud with this ticket."""
    folder = a_folder()
    stack.publish(*recordings(folder, number))
    for recording_id in ids(recordings(folder, number)):
        stack.link(recording_id, ticket)
    stack.settle()
    return folder


@pytest.mark.parametrize("service", SERVICES)
def test_a_lost_database_comes_back_from_the_topics(stack: Stack, service: str) -> None:
    folder = in_sync(stack, 3)
    newest = stack.link(f"{folder}/0", "TKT-LAST")["link_version"]
    stack.settle()
    effects, rows = stack.effects(), stack.sql(service, REBUILT[service])

    replace_database(stack, service, anew)
    stack.settle(within_s=AFTER_A_KILL_S)
    assert stack.effects() == effects
    assert stack.sql(service, REBUILT[service]) == rows

    link = stack.link(f"{folder}/0", "TKT-AFTER")
    stack.settle()
    assert link["link_version"] > newest
    assert link["replaced_ticket_id"] == "TKT-LAST"
    assert stack.tickets(folder)[f"{folder}-0.wav"] == "TKT-AFTER"
    assert len(stack.effects()) == len(effects) + 1


@pytest.mark.parametrize("service", SERVICES)
def test_a_database_set_back_under_an_idle_service_catches_up_before_anything_is_done(
    stack: Stack, service: str
) -> None:
    folder = in_sync(stack, 2)
    keep_copy(stack, service)
    newer = in_sync(stack, 2)
    stack.link(f"{folder}/0", "TKT-AFTER-THE-COPY")
    stack.settle()
    newest = stack.state_of(f"{folder}/0")["link_version"]
    effects = stack.effects()

    replace_database(stack, service, from_copy)
    link = stack.link(f"{folder}/0", "TKT-AT-ONCE")
    stack.settle(within_s=AFTER_A_KILL_S)

    assert link["link_version"] > newest
    assert [one["kind"] for one in stack.effects()[len(effects) :]] == ["update_ticket"]
    assert stack.tickets(folder)[f"{folder}-0.wav"] == "TKT-AT-ONCE"
    assert set(stack.tickets(newer).values()) == {"TKT-BEFORE"}
    made_by: dict[tuple[str, int], set[str]] = defaultdict(set)
    for key, fact in stack.records("TicketLinked"):
        made_by[key, fact["link_version"]].add(fact["request_id"])
    assert all(len(requests) == 1 for requests in made_by.values())


def test_two_of_each_service_share_the_work(stack: Stack) -> None:
    with second_copies(stack) as copies:
        folders = [in_sync(stack, 10, ticket=f"TKT-{i}") for i in range(3)]
        for service, (port, _) in copies.items():
            ready = stack.http.get(f"http://127.0.0.1:{port}/readyz").json()
            assert all(0 < fold["assigned"] < 12 for fold in ready["folds"].values()), (service, ready)
    alone = in_sync(stack, 5)

    for folder in folders:
        assert len(set(stack.tickets(folder).values())) == 1
        pushed = [
            file["filename"] for one in stack.effects(folder) if one["kind"] != "update_ticket" for file in one["files"]
        ]
        assert len(pushed) == len(set(pushed))
    assert set(stack.tickets(alone).values()) == {"TKT-BEFORE"}


def test_an_announcer_that_slept_before_sending_does_not_have_the_last_word(stack: Stack) -> None:
    folder = in_sync(stack, 1)
    recording_id = f"{folder}/0"

    def announced() -> list[int]:
        return [fact["link_version"] for key, fact in stack.records("TicketLinked") if key == recording_id]

    with late_announcer(stack) as late:
        stack.link(recording_id, "TKT-SLEPT")
        eventually(lambda: psutil.Process(late.pid).status() == psutil.STATUS_STOPPED)
        stack.link(recording_id, "TKT-NEWEST")
        eventually(lambda: announced() == [1, 3])
        late.send_signal(signal.SIGCONT)
        late.wait(30)
    eventually(lambda: announced() == [1, 3, 2, 3])
    stack.settle()

    assert stack.tickets(folder) == {f"{folder}-0.wav": "TKT-NEWEST"}


@contextmanager
def late_announcer(stack: Stack) -> Iterator[subprocess.Popen[str]]:
    """See late_announcer.py; it has the lease when the block begins."""
    addresses = stack.addresses
    servers = [addresses["linker_database_url"], addresses["kafka_bootstrap_servers"]]
    command = [sys.executable, "-m", "tests.pipeline.late_announcer", *servers]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as late:
        try:
            assert late.stdout is not None
            assert any(line == "holding\n" for line in late.stdout)  # after what it logs
            time.sleep(LEASE_S + 1)  # whoever had the lease before has lost it
            yield late
        finally:
            late.kill()


@contextmanager
def second_copies(stack: Stack) -> Iterator[dict[str, tuple[int, subprocess.Popen[bytes]]]]:
    """Another process of each service until the block ends."""
    copies = {}
    try:
        with held_ports(stack.data_dir / "second-ports.json", SERVICES, say=print) as ports:
            for service, port in ports.items():
                command = [TICKETSYNC, *programs(service), "--data-dir", str(stack.data_dir), "--port", str(port)]
                with (stack.data_dir / "logs" / f"second-{service}.log").open("w") as out:
                    copies[service] = (port, subprocess.Popen(command, stdout=out, stderr=out))
            for port, _ in copies.values():
                eventually(lambda port=port: answers(stack, port), within_s=120)  # type: ignore[misc]
            yield copies
    finally:
        for _, process in copies.values():
            process.terminate()
        for _, process in copies.values():
            assert process.wait(40) == 0


def answers(stack: Stack, port: int) -> bool:
    try:
        return stack.http.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    except httpx.TransportError:
        return False


# -- databases


def anew(name: str) -> list[str]:
    return [f"drop database {name} with (force)", f"create database {name}"]


def from_copy(name: str) -> list[str]:
    return [f"drop database {name} with (force)", f"alter database {name}_copy rename to {name}"]


def keep_copy(stack: Stack, service: str) -> None:
    """A copy of the database as it is now. Nobody may be connected while it is made, so the service is held off."""

    def copied(name: str) -> list[str]:
        return [
            f"alter database {name} allow_connections false",
            f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'",
            "select pg_sleep(0.5)",
            f"create database {name}_copy template {name}",
            f"alter database {name} allow_connections true",
        ]

    replace_database(stack, service, copied)
    stack.settle(within_s=AFTER_A_KILL_S)


def replace_database(stack: Stack, service: str, statements: Callable[[str], list[str]]) -> None:
    url = stack.database(service)
    base, _, name = url.rpartition("/")

    async def execute() -> None:
        connection = await asyncpg.connect(f"{base}/postgres")
        try:
            for statement in statements(name):
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(execute())
