"""How a service's answers become messages and exit codes."""

import json
import socket
from pathlib import Path

import pytest

from ops.answers import Anything
from ops.exits import Exit, Finding, Misconfigured, Unreachable
from ops.lookup import about_recording
from ops.main import main
from ops.service_api import Refused, ServiceApi
from ops.whole_file import whole_file
from tests.ops.answering import Reply, answering


async def ask(url: str, *, time_limit_s: float = 5.0) -> dict[str, object]:
    async with ServiceApi("linker", url, "the token") as linker:
        return (await linker.call("GET", "/status", Anything, {"folder": None}, time_limit_s=time_limit_s)).root


async def test_an_answer_is_returned_and_the_token_was_shown() -> None:
    with answering(Reply(body=b'{"recordings": 3}')) as server:
        assert await ask(server.url) == {"recordings": 3}

    assert server.seen == [("GET", "/status", "Bearer the token")]


@pytest.mark.parametrize(
    ("status", "code"), [(404, Exit.FINDING), (409, Exit.FINDING), (422, Exit.USAGE), (413, Exit.USAGE)]
)
async def test_a_refusal_is_told_in_the_services_own_words(status: int, code: Exit) -> None:
    body = b'{"title": "No", "detail": "ticket_id: too long", "candidates": ["a", "b"]}'
    with answering(Reply(status, body)) as server, pytest.raises(Refused) as stop:
        await ask(server.url)

    assert stop.value.message == "linker: ticket_id: too long"
    assert stop.value.code == code
    assert stop.value.problem["candidates"] == ["a", "b"]


async def test_a_token_that_is_not_known_is_a_matter_of_configuration() -> None:
    with answering(Reply(401)) as server, pytest.raises(Misconfigured, match="API_TOKEN") as stop:
        await ask(server.url)

    assert "API_TOKEN_FILE" in stop.value.todo


async def test_an_id_that_is_not_known_is_told_with_the_command_that_finds_it_by_its_filename() -> None:
    with answering(Reply(404)) as server, pytest.raises(Finding) as stop:
        async with ServiceApi("linker", server.url, "the token") as linker:
            await about_recording(linker, "a b.wav", Anything)

    assert stop.value.message == "linker knows no recording a b.wav"
    assert stop.value.todo.endswith("ticketsync explain -- 'a b.wav'")


def test_a_replay_that_has_just_begun_is_not_taken_for_one_that_is_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = b'{"topic": "TicketLinked", "records": 0, "partitions": []}'
    counts = b'"to_read": 9, "read": 0, "newer": 0, "unchanged": 0, "bad": 0, "empty": 0'
    monkeypatch.setenv("API_TOKEN", "the token")
    for left, code, said in ((9, 1, "not over yet: 9 offsets are left"), (0, 0, "nothing of TicketLinked to read")):
        replays = b'{"items": [{"topic": "TicketLinked", "left": %d, %b}]}' % (left, counts)
        with answering(Reply(body=plan), Reply(body=replays)) as server:
            monkeypatch.setenv("LINKER_URL", server.url)
            assert main(["replay", "linker", "TicketLinked", "--from-start", "--yes"]) == code
        told = capsys.readouterr()
        assert said in told.out + told.err


@pytest.mark.parametrize("status", [503, 429])
async def test_a_service_that_says_not_now_is_waited_for(status: int) -> None:
    with answering(Reply(status, headers={"Retry-After": "0"}), Reply(body=b'{"ready": 1}')) as server:
        assert await ask(server.url) == {"ready": 1}


async def test_a_service_that_does_not_catch_up_in_time_is_told_with_its_reason() -> None:
    reply = Reply(503, b'{"detail": "reads its own facts back"}', {"Retry-After": "0"})
    with answering(reply) as server, pytest.raises(Unreachable, match="reads its own facts back"):
        await ask(server.url, time_limit_s=0.3)


async def test_a_call_ends_at_its_time_limit() -> None:
    with (
        answering(Reply(wait_s=0.5)) as server,
        pytest.raises(Unreachable, match=r"linker at http.* did not answer within 0.1 s"),
    ):
        await ask(server.url, time_limit_s=0.1)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
async def test_another_server_at_the_address_is_noticed(body: bytes) -> None:
    with answering(Reply(body=body)) as server, pytest.raises(Unreachable, match="is LINKER_URL right"):
        await ask(server.url)


async def test_a_redirect_is_not_followed() -> None:
    with answering(Reply(302, headers={"Location": "/"})) as server, pytest.raises(Unreachable, match="HTTP 302"):
        await ask(server.url)

    assert len(server.seen) == 1


async def test_a_server_that_is_not_there_is_named_with_the_next_step() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    with pytest.raises(Unreachable, match=f"linker at http://127.0.0.1:{port} cannot be reached") as stop:
        await ask(f"http://127.0.0.1:{port}")

    assert "doctor" in stop.value.todo


def test_an_ambiguous_name_is_told_with_commands_that_can_be_typed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitting = [{"recording_id": one, "folder_id": "F", "filename": "a.wav"} for one in ("-r", "r 2")]
    body = json.dumps({"detail": "a.wav fits two", "candidates": fitting}).encode()
    monkeypatch.setenv("API_TOKEN", "x")
    with answering(Reply(404), Reply(409, body)) as server:
        monkeypatch.setenv("LINKER_URL", server.url)
        assert main(["link", "a.wav", "--ticket", "T{1}"]) == 1
        told = capsys.readouterr().err

    assert "ticketsync link --ticket 'T{1}' -- -r   # a.wav in F" in told
    assert "ticketsync link --ticket 'T{1}' 'r 2'   # a.wav in F" in told


async def save(url: str, file: Path) -> None:
    with whole_file(file) as into:
        async with ServiceApi("linker", url, "the token") as linker:
            await linker.save("/report", into, time_limit_s=5)


async def test_a_file_is_written_once_all_of_it_has_come(tmp_path: Path) -> None:
    file = tmp_path / "r.csv"
    file.write_text("of yesterday")
    with answering(Reply(body=b"line,outcome\n", missing_bytes=9)) as server, pytest.raises(Unreachable):
        await save(server.url, file)
    assert file.read_text() == "of yesterday"

    with answering(Reply(body=b"line,outcome\n")) as server:
        await save(server.url, file)
    assert file.read_text() == "line,outcome\n"


@pytest.mark.parametrize(("status", "stop"), [(401, Misconfigured), (404, Refused), (500, Unreachable)])
async def test_a_file_that_is_refused_is_told_as_every_other_answer(
    status: int, stop: type[Exception], tmp_path: Path
) -> None:
    file = tmp_path / "r.csv"
    file.write_text("of yesterday")
    with answering(Reply(status, b'{"detail": "no such import"}')) as server, pytest.raises(stop):
        await save(server.url, file)

    assert file.read_text() == "of yesterday"


def test_a_report_that_cannot_be_written_is_wrong_use(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"import_id": "I", "filename": "a.csv", "dry_run": False, "accepted_at": "2025-01-29T10:30:00Z"}
    done = {**known, "finished_at": None, "status": "done", "rows_total": 0, "rows_done": 0, "counts": {}}
    monkeypatch.setenv("API_TOKEN", "x")
    with answering(Reply(body=json.dumps(done).encode()), Reply(body=b'{"items": []}')) as server:
        monkeypatch.setenv("LINKER_URL", server.url)
        assert main(["imports", "show", "I", "--report", "/no/such/dir/r.csv"]) == 2

    assert "/no/such/dir/r.csv cannot be written" in capsys.readouterr().err


async def test_the_headers_of_a_request_that_is_none_are_not_shown() -> None:
    with answering(Reply()) as server, pytest.raises(Unreachable) as stop:
        async with ServiceApi("linker", server.url, "secret\n") as linker:
            await linker.get("/status", Anything)

    assert "secret" not in str(stop.value)


@pytest.mark.parametrize("url", ["linker:8081", "linker", "ftp://linker", ""])
async def test_an_address_that_is_none_is_a_matter_of_configuration(url: str) -> None:
    with pytest.raises(Misconfigured, match="LINKER_URL"):
        await ask(url)


@pytest.mark.parametrize("url", ["http://", "http://["])
async def test_an_address_without_a_host_is_unreachable_and_never_a_crash(url: str) -> None:
    with pytest.raises(Unreachable):
        await ask(url)
