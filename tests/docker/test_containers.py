"""The whole system as containers, used from outside of them; where no Docker Engine has the images, skipped."""

import json
from datetime import UTC, datetime
from typing import cast

import pytest

from local.kafka_properties import MESSAGE_MAX_BYTES
from schemas.topics import CLOUD_TICKET_UPDATED, RECORDING_TRANSFERRED, TICKET_LINKED, TICKET_SYNC_REQUESTED
from tests.docker.containers import Containers, Json, eventually
from tests.docker.outside import Outside

# The first test to run builds the image and starts everything.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(1200), pytest.mark.xdist_group("docker")]

FOLDERS = 4
RECORDINGS_A_FOLDER = 15
REBALANCED_WITHIN_S = 60
CONSUMED_BY_CLOUD_UPDATER = (RECORDING_TRANSFERRED, TICKET_LINKED, CLOUD_TICKET_UPDATED, TICKET_SYNC_REQUESTED)


@pytest.fixture
def outside(containers: Containers, settings: dict[str, str]) -> Outside:
    return Outside(containers, settings)


def recordings() -> list[Json]:
    """As another service would publish them, one field more than the schema knows included."""
    return [
        {
            "recording_id": f"rec-{folder}-{number}",
            "folder_id": f"2025-01-{folder:02}",
            "folder_name": f"Day {folder}",
            "filename": f"recording_{folder}_{number}.wav",
            "size_bytes": 2_621_440,
            "token": 1234,
            "transcript": "Good morning, how may I help you?",
            "processed_at": datetime.now(UTC).isoformat(),
            "a_field_of_next_year": {"nobody": "knows it yet"},
        }
        for folder in range(1, FOLDERS + 1)
        for number in range(RECORDINGS_A_FOLDER)
    ]


async def test_recordings_published_from_outside_get_their_tickets_in_the_cloud(
    containers: Containers, outside: Outside
) -> None:
    published = recordings()
    tickets = {one["recording_id"]: f"TKT-{one['recording_id']}" for one in published}
    early = dict(list(tickets.items())[: len(tickets) // 3])

    outside.link(early)  # parked: nobody has heard of these recordings yet
    await outside.publish(published)
    before = outside.settled()
    outside.link({one: ticket for one, ticket in tickets.items() if one not in early})
    after = outside.settled()

    assert before["states"]["in_sync"] == len(early)
    assert before["states"]["waiting_for_ticket"] == len(tickets) - len(early)
    assert after["states"]["in_sync"] == after["recordings"] == len(tickets)
    assert (after["parked"], after["dead_letters"]) == (0, 0)
    assert outside.tickets_in_cloud() == {one["filename"]: tickets[one["recording_id"]] for one in published}
    # The same from inside, by the command line that docker-compose.yml brings along.
    inside: Json = json.loads(containers.compose("run", "--rm", "ticketsync", "status", "--json"))
    assert inside["states"] == after["states"]


def test_two_cloud_updaters_share_every_topic(outside: Outside) -> None:
    def assigned() -> list[list[int]]:
        copies = outside.readiness_of_cloud_updaters()
        return [[one["folds"][topic.name]["assigned"] for one in copies] for topic in CONSUMED_BY_CLOUD_UPDATER]

    def shared() -> bool:
        return all(
            len(copies) == 2 and min(copies) > 0 and sum(copies) == topic.partitions
            for topic, copies in zip(CONSUMED_BY_CLOUD_UPDATER, assigned(), strict=True)
        )

    eventually(shared, within_s=REBALANCED_WITHIN_S, otherwise=lambda: str(assigned()))


def test_a_service_enters_its_own_database_and_no_other(containers: Containers, settings: dict[str, str]) -> None:
    def entered(role: str, database: str) -> bool:
        password = settings[f"{role.upper()}_DATABASE_PASSWORD"]
        url = f"postgresql://{role}:{password}@127.0.0.1/{database}"
        return containers.execute("postgres", "psql", url, "--command", "select 1").returncode == 0

    roles = ("linker", "transfer", "cloud_updater")

    found = {
        (role, database) for role in roles for database in (*roles, "postgres", "template1") if entered(role, database)
    }

    assert found == {(role, role) for role in roles}


def test_the_services_run_without_root_and_cannot_change_their_image(containers: Containers) -> None:
    services = ("linker", "transfer", "cloud_updater", "cloud_emulator")

    users = {containers.execute(service, "id", "--user").stdout.strip() for service in services}
    written = [containers.execute(service, "touch", "/opt/code/a-file").returncode for service in services]

    assert users == {"10001"}
    assert 0 not in written


def test_kafka_takes_messages_as_large_as_in_the_embedded_stack(containers: Containers) -> None:
    environment = cast("list[str]", containers.inspect("kafka")[0]["Config"]["Env"])

    assert f"KAFKA_MESSAGE_MAX_BYTES={MESSAGE_MAX_BYTES}" in environment
    assert f"KAFKA_REPLICA_FETCH_MAX_BYTES={MESSAGE_MAX_BYTES}" in environment


async def test_started_again_everything_is_where_it_was(containers: Containers, outside: Outside) -> None:
    before = outside.settled()
    in_cloud = outside.tickets_in_cloud()

    containers.compose("stop", "--timeout", "20")
    containers.start(cloud_updater=2)

    outside_again = Outside(containers, outside.settings)
    assert outside_again.settled() == before
    assert outside_again.tickets_in_cloud() == in_cloud
