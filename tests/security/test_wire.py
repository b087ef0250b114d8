"""Whatever stands in a field, or in what the cloud said, a request to the cloud keeps its path and its headers."""

import asyncio
import json
from collections.abc import Sequence
from urllib.parse import unquote

from shared import migrations
from tests.cloud_updater import given as to_updater
from tests.cloud_updater.running import running_updater
from tests.security.wire import Received, answer, listening
from tests.servers import CreateDatabase
from tests.transfer import given as to_transfer
from tests.transfer.running import migrated, running_transfer

INJECTED = "\r\nX-Injected: 1\r\n\r\nPOST /injected HTTP/1.1\r\n"
API = "/api/external/v1"
HEADERS = {
    "accept",
    "accept-encoding",
    "authorization",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "user-agent",
}
HOSTILE = [
    "../../ping",
    "..",
    ".",
    "a/../b",
    "a\\..\\b",
    "%2e%2e%2fping",
    "?x=1",
    "#x",
    ";x=1",
    "//evil.example/x",
    "https://evil.example/x",
    "@evil.example",
    "a b\tc",
    f"a{INJECTED}",
    "\u2028é=",
]


def respond(request: Received) -> bytes:
    """A cloud that takes everything; a new folder's uuid is the folder's name."""
    if request.path == f"{API}/ping":
        capabilities = ["ticket-info", "idempotency-key", "link-version"]
        return answer("200 OK", json.dumps({"status": 200, "capabilities": capabilities}).encode())
    uuid = json.loads(request.body).get("folder", "")
    return answer("200 OK", json.dumps({"status": 200, "message": "ok", "data": {"uuid": uuid}}).encode())


def segments_after(requests: Sequence[Received], route: str) -> set[str]:
    """What stands for the uuids in the paths: one segment each, without any sign that means something there."""
    paths = [one.path for one in requests if one.path != f"{API}/ping"]
    assert all(path.startswith(f"{API}{route}/") for path in paths), paths
    segments = {path.removeprefix(f"{API}{route}/") for path in paths}
    assert set("".join(segments)).isdisjoint("/?#;.\\@: \r\n\t"), segments
    return {unquote(segment) for segment in segments}


async def test_no_uuid_of_the_cloud_changes_a_path(create_database: CreateDatabase) -> None:
    of_transfer, of_updater = await migrated(await create_database()), await create_database()
    await asyncio.to_thread(migrations.upgrade, "cloud_updater", of_updater)
    numbered = list(enumerate(HOSTILE))
    async with listening(respond) as cloud:
        async with running_transfer(of_transfer, cloud.url) as transfer:
            for recording in ("first", "second"):
                before = len(cloud.received)
                for n, uuid in numbered:
                    event = to_transfer.a_recording(f"{recording}-{n}", folder_id=f"F{n}", folder_name=uuid)
                    await transfer.fold(event)
                await transfer.upload_until_settled()
        injected = cloud.received[before:]
        before = len(cloud.received)
        async with running_updater(of_updater, cloud.url) as updater:
            await updater.fold(*(to_updater.a_transfer(f"R{n}", uuid=uuid) for n, uuid in numbered))
            await updater.fold(*(to_updater.a_link(f"R{n}") for n, _ in numbered))
            await updater.push()
        pushed = cloud.received[before:]

    assert segments_after(injected, "/recording/inject") == set(HOSTILE)
    assert segments_after(pushed, "/recording/update-ticket") == set(HOSTILE)


async def test_no_field_adds_a_line_to_a_request(create_database: CreateDatabase) -> None:
    fields = dict.fromkeys(("folder_id", "folder_name", "filename", "transcript"), f"a{INJECTED}")
    database_url = await migrated(await create_database())
    async with (
        listening(respond) as cloud,
        running_transfer(database_url, cloud.url) as transfer,
    ):
        await transfer.fold(to_transfer.a_recording(f"R1{INJECTED}", **fields))
        await transfer.upload_until_settled()

    [create] = [one for one in cloud.received if one.path != f"{API}/ping"]
    assert create.path == f"{API}/recording"
    assert create.header_names == sorted(HEADERS)
    assert set(create.body).isdisjoint(b"\r\n")
    assert json.loads(create.body)["folder"] == f"a{INJECTED}"


async def test_no_field_adds_a_line_to_a_push(create_database: CreateDatabase) -> None:
    database_url = await create_database()
    await asyncio.to_thread(migrations.upgrade, "cloud_updater", database_url)
    recording, file = f"R1{INJECTED}", {"filename": f"a{INJECTED}", "size": "1 MB", "token": 1, "transcribe": INJECTED}
    async with listening(respond) as cloud, running_updater(database_url, cloud.url) as updater:
        await updater.fold(to_updater.a_transfer(recording, folder_id=f"F1{INJECTED}", file=file))
        await updater.fold(to_updater.a_link(recording, filename=f"a{INJECTED}"))
        await updater.push()

    [push] = [one for one in cloud.received if one.path != f"{API}/ping"]
    assert push.path.startswith(f"{API}/recording/update-ticket/")
    assert push.header_names == sorted(HEADERS - {"idempotency-key"})
    assert set(push.body).isdisjoint(b"\r\n")
    assert json.loads(push.body)["files"][0]["filename"] == f"a{INJECTED}"
