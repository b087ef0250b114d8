"""The cloud's token goes to the cloud alone, over TLS, and into nothing that is kept, shown or logged."""

import json
from dataclasses import asdict
from datetime import UTC, datetime

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from shared.cloud import Cloud, CloudSettings, token_reader
from shared.echo import without_echo
from shared.outcome import Answer, Invalid, NothingDone, Outcome, Refused, Unauthorized, Unknown, classify
from tests.security.wire import Received, answer, listening

NOON = datetime(2025, 1, 29, 12, tzinfo=UTC)
TOKEN = "canary-token-of-the-cloud"
CUSTOMER = "Canary O'Customer"
TRANSCRIPT = "canary words of the call, " * 40
BODY = json.dumps({"files": [{"transcribe": TRANSCRIPT, "ticket_info": {"customer_name": CUSTOMER}}]}).encode()


async def outcome_at(url: str, *, reading: bool = False) -> Outcome:
    settings = CloudSettings(clouds_url=url, clouds_token=SecretStr(TOKEN))
    cloud = Cloud(settings, token=token_reader(settings))
    try:
        if reading:
            return await cloud.read("show", "/recording/uuid-1")
        return await cloud.post("create", "/recording", BODY, repeatable=False)
    finally:
        await cloud.close()


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_the_token_is_never_sent_to_where_a_redirect_leads(status: str) -> None:
    async with listening(lambda _: answer("200 OK")) as elsewhere:

        def redirect(_: Received) -> bytes:
            return answer(status, b"", f"location: {elsewhere.url}/api/external/v1/recording")

        async with listening(redirect) as cloud:
            outcomes = [await outcome_at(cloud.url, reading=reading) for reading in (False, True)]

    assert all(isinstance(one, Unknown) for one in outcomes)
    assert [TOKEN.encode() in one.head for one in cloud.received] == [True, True]
    assert elsewhere.received == []


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "404 No", "422 No", "429 Slow", "500 No", "503 Not now"])
async def test_a_cloud_that_quotes_what_it_got_brings_it_no_further(status: str) -> None:
    quotes = f"Not with {TOKEN}: {CUSTOMER} said '{TRANSCRIPT[:100]}'"
    body = json.dumps({"message": quotes, "errors": {"files.0.transcribe": [quotes]}}).encode()

    async with listening(lambda _: answer(status, body)) as cloud:
        outcome = await outcome_at(cloud.url)

    kept = repr(outcome)
    assert "Not with [...]: [...] said '[...]'" in kept
    assert "anary" not in kept


async def test_a_cloud_that_quotes_the_token_when_it_is_read_brings_it_no_further() -> None:
    body = json.dumps({"message": f"Not with {TOKEN}."}).encode()

    async with listening(lambda _: answer("403 No", body)) as cloud:
        outcome = await outcome_at(cloud.url, reading=True)

    assert outcome == Unauthorized("403: Not with [...].")


def test_an_echo_is_taken_out_whole_or_cut_off_and_nothing_else_is() -> None:
    body = json.dumps({"files": [{"filename": "sent", "size": "2 B", "transcribe": "a longer\ntext of the call"}]})

    outcome = without_echo(
        Invalid("sent: a longer text of t", {0: "size: 2 B is a lot; a longer way, presented"}),
        body=body.encode(),
        token="token",
    )

    assert outcome == Invalid("[...]: [...]", {0: "size: 2 B is a lot; a longer way, pre[...]ed"})


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("no: My card is 4111.  Ask for Anna", "no: [...]"),
        ("no: My\u00a0card\u00a0is 4111. Ask", "no: [...]"),
        ("no: MY CARD IS 4111. ask", "no: [...]"),
        ("no: O&#039;Brien &amp; Sons", "no: [...]"),
        ("x" * 292 + " My card is", "x" * 292 + " [...]"),
        ("no word of this: card is 4111. Ask for Anna! please", "no word of this:[...]! please"),
        ("no: card IS\t4111. ask for ann", "no:[...]"),
        ("is 4111. Ask fo, in 1 s", "is 4111. Ask fo, in 1 s"),
        (r'no: {"agent_name":"\u0418\u0432\u0430\u043d\u043e\u0432\ud83d\ude00 \/ QA"}', '{"agent_name":"[...]"}'),
        ("no: agent=%D0%98%D0%B2%D0%B0%D0%BD%D0%BE%D0%B2%F0%9F%98%80%20/%20QA", "no: agent=[...]"),
        ("no: 100%25 &amp;amp; more", "no: [...]"),
        ("x" * 292 + r" \u0418\u0432\u0430\u043d", "x" * 292),
        (r"C:\users is no \udc00 folder", "C:\\\\users is no ? folder"),
    ],
)
def test_an_echo_is_found_in_whatever_case_blanks_and_escapes_it_comes(said: str, kept: str) -> None:
    ticket = {"customer_name": "O'Brien & Sons", "agent_name": "Иванов😀 / QA", "call_intent": "100%25 &amp; more"}
    file = {"transcribe": "My card is 4111.  Ask\u00a0for Anna", "ticket_info": ticket}
    body = json.dumps({"files": [file]}).encode()
    refusal = Answer(400, httpx.Headers(), {"message": said}, empty=False)

    outcome = without_echo(classify(refusal, repeatable=True, now=NOON), body=body, token="token")

    assert kept in repr(outcome)


def test_a_part_from_the_middle_of_a_transcript_goes_no_further_either() -> None:
    said = "My account number is 4111 1111 and my mother was born Canary. " * 5_000
    quotes = f"The transcribe field is invalid near '{said[31_007:31_090]}' and near '{said[5:60]}'"
    file = {"filename": "a.wav", "transcribe": f"Good morning. {said}"}

    outcome = without_echo(Unauthorized(f"403: {quotes}"), body=json.dumps({"files": [file]}).encode(), token="token")

    assert outcome == Unauthorized("403: The transcribe field is invalid near '[...]' and near '[...]'")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Incorrect value for Müller in row 3", "Incorrect value for [...] in row 3"),
        ("'Canary' was not found, nor Brien's", "'[...]' was not found, nor [...]'s"),
        ("JaneCanary_ is too long", "[...]_ is too long"),
        (
            "The customer may not be canary, Mullerton or Canaryd",
            "The customer may not be canary, Mullerton or Canaryd",
        ),
        ("x" * 295 + " Cana", "x" * 295 + " [...]"),
        ("the field of the call, in small letters", "the field of the call, in small letters"),
        ("Call Support", "Call Support"),
    ],
)
def test_a_word_of_a_name_goes_no_further_and_ordinary_words_stay(said: str, kept: str) -> None:
    ticket = {
        "customer_name": "Jane Canary",
        "agent_name": "O'Brien-Müller of the field",
        "call_intent": "Support Call",
    }
    ticket["display_name"] = "JaneCanary_TKT1_20250129"
    body = json.dumps({"files": [{"filename": "a.wav", "ticket_info": ticket}]}).encode()

    outcome = without_echo(Refused(said), body=body, token="token")

    assert outcome == Refused(kept)


async def test_no_cookie_of_the_cloud_is_kept() -> None:
    async with listening(lambda _: answer("200 OK", b"{}", "set-cookie: session=abc; path=/")) as cloud:
        settings = CloudSettings(clouds_url=cloud.url, clouds_token=SecretStr(TOKEN))
        client = Cloud(settings, token=token_reader(settings))
        for _ in range(2):
            await client.post("ping", "/ping", b"{}", repeatable=True)
        await client.close()

    assert [b"cookie" in one.head.lower() for one in cloud.received] == [False, False]


def test_what_an_outcome_says_besides_stays() -> None:
    waits = without_echo(NothingDone("503: token", 7.0), body=b"{}", token="token")

    assert asdict(waits) == {"message": "503: [...]", "retry_after_s": 7.0}
    assert without_echo(Unauthorized("401: No"), body=b"[]", token="token") == Unauthorized("401: No")


@pytest.mark.parametrize(
    "url",
    [
        "http://cloud.example.com",
        "http://10.0.0.1",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@cloud.example.com",
        "http://[::ffff:10.0.0.1]",
    ],
)
def test_a_token_goes_unencrypted_to_this_machine_alone(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        CloudSettings(clouds_url=url, clouds_token=SecretStr(TOKEN))

    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("url", ["http://localhost:8090", "http://127.0.0.2:8090", "http://[::1]:8090"])
def test_this_machine_needs_no_encryption(url: str) -> None:
    assert CloudSettings(clouds_url=url, clouds_token=SecretStr(TOKEN)).clouds_url == url


def test_another_machine_without_encryption_has_to_be_asked_for_by_name() -> None:
    settings = CloudSettings(
        clouds_url="http://cloud.example.com", clouds_token=SecretStr(TOKEN), cloud_allow_http=True
    )

    assert settings.clouds_url == "http://cloud.example.com"
