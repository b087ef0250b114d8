"""One call to the cloud over real HTTP: within its limits, and never taken for a success that it was not."""

import asyncio
import gzip
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from shared.cloud import Cloud, CloudSettings, folder_path, token_reader
from shared.outcome import (
    Done,
    Invalid,
    NoFolder,
    NoRoute,
    NothingDone,
    Outcome,
    RateLimited,
    Refused,
    TooLarge,
    Unauthorized,
    Unknown,
)
from tests.emulator.running import TOKEN, Emulator, a_file

UPDATE = b'{"files":[{"filename":"a.wav","size":"1 KB","token":1,"transcribe":"x","ticket_info":{"ticket_id":"T-1"}}]}'
IN_TWO_HOURS = (datetime.now(UTC) + timedelta(hours=2)).strftime("%a, %d %b %Y %H:%M:%S GMT")

Respond = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def settings(url: str, **more: object) -> CloudSettings:
    return CloudSettings.model_validate({"clouds_url": url, "clouds_token": TOKEN, **more})


@asynccontextmanager
async def calling(url: str, **more: object) -> AsyncIterator[Cloud]:
    own = settings(url, **more)
    cloud = Cloud(own, token=token_reader(own))
    try:
        yield cloud
    finally:
        await cloud.close()


@asynccontextmanager
async def listening(respond: Respond) -> AsyncIterator[str]:
    """A server that does to each connection what the test says; its address."""
    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def answering(
    head: str, body: bytes = b"", *, until: bytes = b"\r\n\r\n", received: bytearray | None = None
) -> Respond:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(until)
        if received is not None:
            received.extend(request)
        writer.write(f"HTTP/1.1 {head}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    return respond


async def push(cloud: Cloud, uuid: str) -> Outcome:
    path = folder_path("/recording/update-ticket", uuid)
    return await cloud.post("update_ticket", path, UPDATE, repeatable=True)


async def test_a_cloud_that_takes_no_connection_has_been_sent_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as waiting:
        for _ in range(3):  # what the server never takes off its queue
            one = waiting.enter_context(socket.socket())
            one.settimeout(0)
            one.connect_ex(server.getsockname())
        async with calling(f"http://127.0.0.1:{server.getsockname()[1]}", cloud_timeout_s=1.0) as cloud:
            outcome = await push(cloud, "folder")

    assert outcome == NothingDone("the cloud cannot be reached (ConnectTimeout)")


async def test_who_waits_in_vain_for_a_connection_has_sent_nothing() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with listening(never) as url, calling(url, cloud_timeout_s=1.0, cloud_workers=1) as cloud:
        # One more than the workers may be open, and nobody answers the first two.
        first, second, third = await asyncio.gather(*(push(cloud, "folder") for _ in range(3)))

    assert isinstance(first, Unknown)
    assert isinstance(second, Unknown)
    assert third == NothingDone("the cloud cannot be reached (PoolTimeout)")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"status": 401}, Unauthorized),
        ({"status": 403}, Unauthorized),
        ({"status": 404}, NoRoute),
        ({"status": 405}, NoRoute),
        ({"status": 400, "body": {"message": "Recording not found"}}, NoFolder),
        ({"status": 400, "body": {"message": "Bad"}}, Refused),
        ({"status": 409}, Unknown),
        ({"status": 413}, TooLarge),
        ({"status": 422}, Invalid),
        ({"status": 422, "body": {"message": "No."}}, Invalid),
        ({"status": 429}, RateLimited),
        ({"status": 500}, NothingDone),
        ({"status": 502}, Unknown),
        ({"status": 503}, NothingDone),
        ({"status": 504}, Unknown),
        ({"status": 302}, Unknown),
        ({"status": 200}, Unknown),  # an HTML page
        ({"kind": "answer_after_effect", "status": 204}, Done),
        ({"kind": "close_before_effect"}, Unknown),
        ({"kind": "close_after_effect"}, Unknown),
        ({"kind": "late_effect", "delay_s": 0.01}, Unknown),
    ],
)
async def test_what_a_push_meets(cloud: Emulator, fault: dict[str, object], kind: type[Outcome]) -> None:
    uuid = cloud.folder(a_file("a.wav"))
    cloud.arm(route="update_ticket", **fault)

    async with calling(cloud.url) as client:
        first = await push(client, uuid)
        second = await push(client, uuid)

    assert type(first) is kind
    assert isinstance(second, Done)


@pytest.mark.parametrize(
    ("headers", "body", "wait_s"),
    [
        ({"Retry-After": "7"}, None, 7),
        ({"Retry-After": IN_TWO_HOURS}, None, 900),
        ({"Retry-After": "Wed, 29 Jan 2025 10:30:00 GMT"}, None, 0),
        ({"Retry-After": "99999999999"}, None, 900),
        ({"Retry-After": "soon"}, {"retry_after": 20}, 20),
        ({}, {"retry_after": 20}, 20),
        ({"Retry-After": "soon"}, None, None),
    ],
)
async def test_how_long_to_wait(cloud: Emulator, headers: dict[str, str], body: object, wait_s: float | None) -> None:
    cloud.arm(route="update_ticket", status=429, headers=headers, body=body or {"message": "later"})

    async with calling(cloud.url) as client:
        outcome = await push(client, "any")

    assert isinstance(outcome, RateLimited)
    assert outcome.retry_after_s == wait_s


async def test_a_uuid_stays_one_segment_of_the_path(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file("a.wav"))
    assert "=" in uuid

    async with calling(cloud.url) as client:
        assert isinstance(await push(client, uuid), Done)
        for hostile in ("../..", "..", "a/b", "?x=1", "#", "%2e%2e", "a b", "é", "."):
            assert isinstance(await push(client, hostile), NoFolder | NoRoute)

    by_route = cloud.control("GET", "requests/count")["by_route"]
    assert by_route["update_ticket"] + by_route.get("unknown", 0) == 10
    assert set(by_route) <= {"create", "update_ticket", "unknown"}


async def test_a_cloud_that_is_not_there_has_done_nothing() -> None:
    async with calling("http://127.0.0.1:9") as client:
        assert isinstance(await push(client, "any"), NothingDone)


async def test_a_name_that_nobody_knows_is_nothing_done() -> None:
    async with calling("http://cloud.invalid", cloud_allow_http=True) as client:
        assert isinstance(await push(client, "any"), NothingDone)


async def test_the_time_limit_is_for_the_whole_call_however_busily_it_drips(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file("a.wav"))
    cloud.arm(route="update_ticket", kind="slow_drip", delay_s=30)
    begun = time.monotonic()

    async with calling(cloud.url, cloud_timeout_s=0.5) as client:
        outcome = await push(client, uuid)

    assert outcome == Unknown("no answer within 0.5 s")
    assert time.monotonic() - begun < 5


async def test_an_answer_without_end_is_cut_off() -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"400\r\n" + b" " * 1024 + b"\r\n")
            try:
                await writer.drain()
            except ConnectionError:
                return

    async with listening(respond) as url, calling(url, cloud_max_answer_bytes=10_000) as client:
        assert await push(client, "any") == Unknown("the answer is larger than 10000 bytes")


async def test_a_small_answer_that_unpacks_without_end_is_cut_off() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    respond = answering("200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip", bomb)

    async with listening(respond) as url, calling(url) as client:
        assert isinstance(await push(client, "any"), Unknown)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b"{", b"\xff\xfe", b'"\\ud800"', b"1" * 5_000, b"NaN"]
)
@pytest.mark.parametrize("head", ["200 OK", "422 Unprocessable", "429 Slow"])
async def test_no_body_makes_it_fail(head: str, body: bytes) -> None:
    async with listening(answering(head, body)) as url, calling(url) as client:
        assert isinstance(await push(client, "any"), Unknown | Done | Invalid | RateLimited)


@pytest.mark.parametrize("body", [b"", b"  ", b"null", b"[]", b"true", b'"ok"', b"{}"])
async def test_an_empty_answer_and_any_json_without_error_is_a_success(body: bytes) -> None:
    async with listening(answering("200 OK", body)) as url, calling(url) as client:
        assert isinstance(await push(client, "any"), Done)


async def test_garbage_instead_of_http_is_an_unknown_outcome() -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        writer.close()

    async with listening(respond) as url, calling(url) as client:
        assert isinstance(await push(client, "any"), Unknown)


async def test_a_redirect_is_not_followed(cloud: Emulator) -> None:
    elsewhere = f"{cloud.url}/api/external/v1/ping"
    async with listening(answering(f"307 Temporary\r\nlocation: {elsewhere}")) as url, calling(url) as client:
        assert isinstance(await push(client, "any"), Unknown)

    assert cloud.control("GET", "requests/count")["total"] == 0


async def test_proxies_of_the_environment_are_not_used(cloud: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    uuid = cloud.folder(a_file("a.wav"))

    async with calling(cloud.url) as client:
        assert isinstance(await push(client, uuid), Done)


async def test_what_is_sent_says_who_and_what() -> None:
    received = bytearray()
    respond = answering("200 OK", b"{}", until=b"\r\n\r\n{}", received=received)

    async with listening(respond) as url, calling(url + "/a place") as client:
        await client.post("create", "/recording", b"{}", repeatable=False, idempotency_key="K1")

    head, _, body = received.decode().lower().partition("\r\n\r\n")
    first, *headers = head.split("\r\n")
    assert first == "post /a%20place/api/external/v1/recording http/1.1"
    assert sorted(headers) == [
        "accept-encoding: gzip, deflate",
        "accept: application/json",
        f"authorization: bearer {TOKEN}",
        "content-length: 2",
        "content-type: application/json",
        f"host: {url.removeprefix('http://')}",
        "idempotency-key: k1",
        "user-agent: ticketsync",
    ]
    assert body == "{}"


async def test_what_is_read_is_asked_for_without_a_body() -> None:
    received = bytearray()

    async with listening(answering("200 OK", b"{}", received=received)) as url, calling(url) as client:
        await client.read("read_folder", "/recording/uuid")

    first, *headers = received.decode().lower().strip().split("\r\n")
    assert first == "get /api/external/v1/recording/uuid http/1.1"
    assert sorted(headers) == [
        "accept-encoding: gzip, deflate",
        "accept: application/json",
        f"authorization: bearer {TOKEN}",
        f"host: {url.removeprefix('http://')}",
        "user-agent: ticketsync",
    ]


async def test_a_token_in_a_file_changes_without_a_restart(
    cloud: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("wrong\n")
    monkeypatch.setenv("CLOUDS_TOKEN_FILE", str(file))
    uuid = cloud.folder(a_file("a.wav"))

    async with calling(cloud.url) as client:
        before = await push(client, uuid)
        file.write_text(f"{TOKEN}\n")
        after = await push(client, uuid)
        file.write_text("")  # as while it is being written
        meanwhile = await push(client, uuid)

    assert isinstance(before, Unauthorized)
    assert (type(after), type(meanwhile)) == (Done, Done)


@pytest.mark.parametrize(
    "wrong",
    [
        {"clouds_url": "ftp://cloud.example.com"},
        {"clouds_url": "cloud.example.com"},
        {"clouds_url": "https://"},
        {"clouds_url": "https://user:password@cloud.example.com"},
        {"clouds_url": "https://cloud.example.com?token=x"},
        {"clouds_url": "https://cloud.example.com:99999"},
        {"clouds_url": "https://\u2177.example.com"},  # no letter that a name of a server may have
        {"clouds_url": "http://cloud.example.com"},
        {"clouds_token": ""},
        {"clouds_token": "two words"},
        {"clouds_token": "line\nbreak"},
        {"clouds_token": "é"},
        {"cloud_timeout_s": 0},
        {"cloud_timeout_s": 41},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CloudSettings.model_validate({"clouds_url": "https://cloud.example.com", "clouds_token": "t", **wrong})


def test_settings_that_work() -> None:
    with_prefix = settings("https://cloud.example.com/api/external/v1/", cloud_requests_per_minute=100)
    in_the_house = settings("http://cloud.lan:8080/base", cloud_allow_http=True)

    assert with_prefix.clouds_url == "https://cloud.example.com"
    assert in_the_house.clouds_url == "http://cloud.lan:8080/base"
    assert with_prefix.clouds_token == SecretStr(TOKEN)
    assert TOKEN not in repr(with_prefix)
