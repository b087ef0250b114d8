"""docs/operations.md: the commands of each entry are run on a stack in the trouble that it is for, and answer as shown.

A `sh` block is run as it stands, line by line; the `text` block behind it has lines of what they print, in order, with
… for what differs. A line that ends in `# 1` ends with that exit code. What is in `console` blocks is not run.
"""

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from local.postgres import binaries
from tests.emulator.running import a_file, a_ticket
from tests.ops.commands import in_process
from tests.pipeline.running import Json, Stack, eventually, recordings, running_stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

PAGE = (Path(__file__).parents[2] / "docs/operations.md").read_text()
FOLDER = "2025-01-29"


class Site:
    """A stack with the recordings rec-1 to rec-4 in one folder, rec-1 and rec-2 with tickets; its files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.after: Callable[[], object] = _nothing
        self._running = ExitStack()
        self.start()
        self.stack.publish(*(self.recording(number) for number in range(1, 5)))
        self.stack.settle()

    def start(self) -> None:
        self.stack: Stack = self._running.enter_context(running_stack(self.folder / "data", CLOUD_PING_EVERY_S="1"))

    def stop(self) -> None:
        self._running.close()

    def recording(self, number: int) -> dict[str, object]:
        [event] = recordings(FOLDER, 1, folder_name="Monday", requires_ticket=False)
        return {**event, "recording_id": f"rec-{number}", "filename": f"recording_00{number}.wav"}

    def file(self, name: str, *lines: str) -> None:
        (self.folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def uuid(self) -> str:
        return str(self.stack.state_of("rec-1")["clouds_uuid"])

    def updater(self) -> Json:
        return self.stack.api("cloud_updater", "GET", "/status")

    def positions(self) -> list[Json]:
        found: list[Json] = self.stack.api("linker", "GET", "/positions")["positions"]
        return found

    def tell_the_cloud(self, path: str, *files: object, **body: object) -> httpx.Response:
        """As somebody else who uses the cloud's own API."""
        headers = {"Authorization": f"Bearer {self.stack.cloud_token}", "Accept": "application/json"}
        url = f"{self.stack.addresses['cloud_url']}/api/external/v1{path}"
        answer = self.stack.http.post(url, json={**body, "files": files}, headers=headers)
        return answer.raise_for_status()

    def run(self, line: str) -> str:
        """What the command printed, white space folded. It must end with 0, or with what the line says."""
        command, _, code = line.partition(" # ")
        program, *arguments = shlex.split(command)
        if program == "ticketsync":
            environment = {"TICKETSYNC_DATA_DIR": str(self.folder / "data"), "COLUMNS": "400"}
            ended = in_process(*arguments, settings=environment, folder=self.folder, together=True)
            code_seen, said = ended.code, ended.out
        else:
            code_seen, said = self._run_another(command)
        assert code_seen == int(code or 0), (command, said)
        return "\n".join(" ".join(one.split()) for one in said.splitlines())

    def _run_another(self, command: str) -> tuple[int, str]:
        """PostgreSQL's own programs."""
        database = urlsplit(self.stack.addresses["linker_database_url"])
        environment = {
            "PATH": f"{binaries()}:{os.environ['PATH']}",
            "PGHOST": str(database.hostname),
            "PGPORT": str(database.port),
            "PGUSER": str(database.username),
            "PGPASSWORD": str(database.password),
        }
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=150,
            check=False,
        )
        return done.returncode, done.stdout


def _nothing() -> None: ...


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        yield site
    finally:
        site.stop()


# -- the troubles, in the order of the page


def refused(site: Site) -> None:
    site.stack.cloud("POST", "/faults", json={"status": 422, "route": "update_ticket", "filename": "recording_001.wav"})
    site.stack.link("rec-1", "TKT-1")
    eventually(lambda: site.updater()["blocked"]["rejected"] == 1)


def not_ready(site: Site) -> None:
    """linker has ended, and who would start it again is held up."""
    site.stack.up.send_signal(signal.SIGSTOP)
    site.stack.kill("run", "linker")

    def start_again() -> None:
        site.stack.up.send_signal(signal.SIGCONT)
        eventually(lambda: site.stack.api("linker", "GET", "/readyz"), within_s=60)

    site.after = start_again


def nothing(site: Site) -> None:
    """No trouble: somebody looks."""


def paused(site: Site) -> None:
    site.run('ticketsync pause cloud-updater --why "the cloud is worked on until noon" --by ann')


def another_token(site: Site) -> None:
    site.stack.cloud("POST", "/faults", json={"status": 401, "times": None})
    site.stack.link("rec-3", "TKT-3")
    eventually(lambda: site.updater()["lane"]["reason"] == "unauthorized")

    def right_again() -> None:
        site.stack.cloud("DELETE", "/faults")
        site.stack.settle()

    site.after = right_again


def parked(site: Site) -> None:
    site.run("ticketsync link nobody.wav --folder Monday --ticket TKT-9")


def wrong_sheet(site: Site) -> None:
    site.file("wrong.csv", "recording_name,ticket_id", "recording_001.wav,TKT-2", "recording_002.wav,TKT-1")
    site.file("right.csv", "recording_name,ticket_id", "recording_001.wav,TKT-11", "recording_002.wav,TKT-12")
    site.run("ticketsync import wrong.csv")


def bad_record(site: Site) -> None:
    site.stack.publish({"recording_id": "rec-9"})
    for service in ("linker", "transfer"):
        eventually(lambda service=service: site.stack.api(service, "GET", "/status")["dead_letters"] == 1)  # type: ignore[misc]


def older_cloud(site: Site) -> None:
    """The folder shows an old ticket; the page's second part is about one that is gone."""
    file = a_file("recording_001.wav", ticket_info=a_ticket("TKT-OLD"))
    site.stack.settle()
    site.tell_the_cloud(f"/recording/update-ticket/{quote(site.uuid(), safe='')}", file)


def lost_folder(site: Site) -> None:
    site.stack.forget(site.uuid())
    site.stack.link("rec-3", "TKT-33")
    eventually(lambda: site.updater()["blocked"]["missing_in_cloud"] == 1)


def older_database(site: Site) -> None:
    site.run("pg_dump --format=custom --file=linker.dump linker")
    site.stack.link("rec-1", "TKT-AFTER-THE-BACKUP")
    site.stack.settle()


def lost_kafka(site: Site) -> None:
    site.stop()
    shutil.rmtree(site.folder / "data/kafka")
    site.start()


def more_partitions(site: Site) -> None:
    async def add() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=site.stack.addresses["kafka_bootstrap_servers"])
        await admin.start()
        try:
            await admin.create_partitions({"TicketLinked": NewPartitions(24)})
        finally:
            await admin.close()

    asyncio.run(add())
    eventually(lambda: {"topic": "TicketLinked", "partition": 23, "next_offset": 0} in site.positions(), within_s=60)
    site.stack.link("rec-4", "TKT-4")
    site.stack.settle()


def restarted(site: Site) -> None:
    """What the page has systemd do, each after the other; what is published meanwhile is not lost."""
    for number, service in enumerate(("linker", "transfer", "cloud_updater"), start=11):
        before = site.stack.process("run", service.replace("_", "-"))
        before.send_signal(signal.SIGTERM)
        site.stack.publish(site.recording(number))
        before.wait(30)
        eventually(lambda service=service: site.stack.api(service, "GET", "/readyz"), within_s=60)  # type: ignore[misc]
    site.stack.settle()
    assert {site.stack.state_of(f"rec-{number}")["state"] for number in (11, 12, 13)} == {"no_ticket_needed"}


def old_application(site: Site) -> None:
    files = [a_file(f"old_{number}.wav", token=3, transcribe="words") for number in (1, 2)]
    uuid = site.tell_the_cloud("/recording", *files, folder="New Year's Eve").json()["data"]["uuid"]
    lines = [
        {
            "recording_id": f"old-{number}",
            "folder_id": "2024-12-31",
            "clouds_uuid": uuid,
            "filename": f"old_{number}.wav",
            "size": files[number - 1]["size"],
            "token": 3,
            "transcript": "words",
            **({"ticket_info": {"ticket_id": "TKT-O"}} if number == 1 else {}),
        }
        for number in (1, 2)
    ]
    site.file("recordings.jsonl", *map(json.dumps, lines))


TROUBLES: dict[str, list[Callable[[Site], None]]] = {
    "Recordings wait for a person": [refused],
    "A recording does not show its ticket": [nothing, nothing],
    "A service is not ready": [not_ready, not_ready],
    "Something is slow": [nothing],
    "Nothing is sent to the cloud": [paused, nothing],
    "We changed the token": [another_token],
    "Links wait for their recordings": [parked],
    "A spreadsheet was wrong": [wrong_sheet],
    "Records cannot be applied": [bad_record, nothing],
    "The cloud was restored from a backup": [older_cloud, lost_folder],
    "Our database was restored from a backup": [older_database],
    "Kafka was lost": [lost_kafka],
    "Add partitions": [more_partitions],
    "Upgrade without stopping": [nothing, restarted],
    "Move over from the old application": [old_application],
}


def entries() -> dict[str, list[tuple[str, str]]]:
    """Title → its pairs of commands and answers."""
    found = {}
    for entry in PAGE.split("\n## ")[1:]:
        title, _, words = entry.partition("\n")
        blocks = re.findall(r"```sh\n(.*?)```\n(?:```text\n(.*?)```)?", words, re.DOTALL)
        if blocks:
            found[title] = blocks
    return found


def test_every_entry_with_commands_is_tried() -> None:
    assert {title: len(blocks) for title, blocks in entries().items()} == {
        title: len(troubles) for title, troubles in TROUBLES.items()
    }
    assert all(answer for blocks in entries().values() for _, answer in blocks)


@pytest.mark.parametrize("title", TROUBLES)
def test_its_commands_answer_as_the_page_says(site: Site, title: str) -> None:
    for (commands, answer), trouble in zip(entries()[title], TROUBLES[title], strict=True):
        site.after = _nothing
        trouble(site)
        try:
            said = "\n".join(site.run(line) for line in commands.splitlines())
        finally:
            site.after()

        place = 0
        for line in answer.splitlines():
            pattern = ".*".join(re.escape(part) for part in " ".join(line.split()).split("…"))
            match = re.compile(f"^{pattern}$", re.MULTILINE).search(said, place)
            assert match, f"not there, or not in this order: {line}\n{said}"
            place = match.end()
