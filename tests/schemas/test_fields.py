"""What a field may hold, to the last character and the last number."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from schemas.events import (
    CloudTicketUpdated,
    Event,
    RecordingProcessed,
    RecordingTransferred,
    TicketInfo,
    TicketLinked,
    TicketLinkRequested,
    TicketSyncRequested,
)
from tests.schemas.given import a_body, as_json, parse, refuses

TEXTS: list[tuple[type[Event], str, int]] = [
    (RecordingProcessed, "recording_id", 255),
    (RecordingProcessed, "folder_id", 255),
    (RecordingProcessed, "folder_name", 500),
    (RecordingProcessed, "filename", 500),
    (TicketLinked, "recording_id", 255),
    (TicketLinked, "folder_id", 255),
    (TicketLinked, "filename", 500),
    (TicketLinked, "request_id", 255),
    (TicketLinked, "linked_by", 255),
    (TicketLinked, "import_id", 255),
    (TicketLinked, "ticket_info__ticket_id", 100),
    (TicketLinked, "ticket_info__customer_name", 255),
    (TicketLinked, "ticket_info__agent_name", 255),
    (TicketLinked, "ticket_info__call_intent", 100),
    (TicketLinked, "ticket_info__call_outcome", 100),
    (TicketLinked, "ticket_info__display_name", 500),
    (RecordingTransferred, "recording_id", 255),
    (RecordingTransferred, "folder_id", 255),
    (RecordingTransferred, "clouds_uuid", 500),
    (RecordingTransferred, "file__filename", 500),
    (CloudTicketUpdated, "recording_id", 255),
    (CloudTicketUpdated, "clouds_uuid", 500),
    (TicketLinkRequested, "request_id", 255),
    (TicketLinkRequested, "recording_id", 255),
    (TicketLinkRequested, "folder", 500),
    (TicketLinkRequested, "linked_by", 255),
    (TicketLinkRequested, "ticket_info__customer_name", 255),
    (TicketSyncRequested, "request_id", 255),
    (TicketSyncRequested, "requested_by", 255),
]
BLANK_MEANS_NONE = {
    "ticket_info__customer_name",
    "ticket_info__agent_name",
    "ticket_info__call_intent",
    "ticket_info__call_outcome",
    "ticket_info__display_name",
}
NUMBERS: list[tuple[type[Event], str, int, int]] = [
    (RecordingProcessed, "size_bytes", 0, 2**63 - 1),
    (RecordingProcessed, "token", 0, 2**63 - 1),
    (RecordingProcessed, "revision", 1, 2**31 - 1),
    (TicketLinked, "link_version", 1, 2**31 - 1),
    (RecordingTransferred, "transfer_version", 1, 2**31 - 1),
    (RecordingTransferred, "link_version", 0, 2**31 - 1),
    (RecordingTransferred, "file__token", 0, 2**63 - 1),
    (CloudTicketUpdated, "transfer_version", 1, 2**31 - 1),
    (CloudTicketUpdated, "link_version", 1, 2**31 - 1),
]


@pytest.mark.parametrize(("event", "field", "limit"), TEXTS)
def test_text_is_taken_up_to_its_limit_and_never_cut(event: type[Event], field: str, limit: int) -> None:
    parse(event, **{field: "😀" * limit})

    assert refuses(event, field=field, value="a" * (limit + 1))
    assert refuses(event, field=field, value="nul \x00 inside")
    assert refuses(event, field=field, value=7)


@pytest.mark.parametrize(
    ("event", "field"), [(event, field) for event, field, _ in TEXTS if field not in BLANK_MEANS_NONE]
)
def test_text_is_not_empty(event: type[Event], field: str) -> None:
    assert refuses(event, field=field, value="")


@pytest.mark.parametrize(("event", "field", "least", "most"), NUMBERS)
def test_numbers_fit_their_columns(event: type[Event], field: str, least: int, most: int) -> None:
    parse(event, **{field: least})
    parse(event, **{field: most})

    for wrong in (least - 1, most + 1, 1.5, True, "1", None):
        assert refuses(event, field=field, value=wrong)


@pytest.mark.parametrize("field", ["recording_id", "transcript", "folder_name"])
def test_a_lone_surrogate_is_refused_in_json_and_in_python(field: str) -> None:
    body = a_body(RecordingProcessed, **{field: "half \ud800 a character"})

    with pytest.raises(ValidationError):
        RecordingProcessed.model_validate_json(as_json(body))
    with pytest.raises(ValidationError):
        RecordingProcessed.model_validate(body)


@pytest.mark.parametrize("control", ["\n", "\t", "\x1f", "\x7f", "\x85"])
def test_a_ticket_has_no_control_characters_but_a_transcript_may(control: str) -> None:
    for field in ("ticket_id", "customer_name", "agent_name", "call_intent", "call_outcome", "display_name"):
        assert refuses(TicketLinked, field=f"ticket_info__{field}", value=f"a{control}b")

    assert parse(RecordingProcessed, transcript=f"a{control}b").transcript == f"a{control}b"


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2025-01-29T10:30:00Z", datetime(2025, 1, 29, 10, 30, tzinfo=UTC)),
        ("2025-01-29T10:30:00.123456789Z", datetime(2025, 1, 29, 10, 30, 0, 123456, tzinfo=UTC)),
        ("2025-01-29T23:30:00-02:00", datetime(2025, 1, 30, 1, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_kept_in_utc(text: str, utc: datetime) -> None:
    processed_at = parse(RecordingProcessed, processed_at=text).processed_at

    assert processed_at == utc
    assert processed_at.tzinfo is UTC


def test_a_time_given_in_python_is_brought_to_utc_too() -> None:
    noon_in_tokyo = datetime(2025, 1, 29, 12, tzinfo=timezone(timedelta(hours=9)))

    info = TicketInfo(ticket_id="T", linked_at=noon_in_tokyo)

    assert info.model_dump_json() == '{"ticket_id":"T","linked_at":"2025-01-29T03:00:00Z"}'


@pytest.mark.parametrize(
    "wrong",
    [
        "2025-01-29T10:30:00",
        "2025-01-29",
        "1738146600",
        1738146600,
        "yesterday",
        "",
        None,
        "0001-01-01T00:00:00+10:00",
        "9999-12-31T23:59:59-10:00",
    ],
)
def test_a_time_without_offset_or_as_a_number_is_refused(wrong: object) -> None:
    assert refuses(RecordingProcessed, field="processed_at", value=wrong)


@pytest.mark.parametrize(
    "url",
    [
        "https://tickets.example.com/12345",
        "http://tickets",
        "HTTPS://Tickets.Example.com:8443/a?b=c&d=%20#e",
        "http://[2001:db8::1]:80/x",
        "https://münchen.example/Störung?to=a@b.example",
        "https://t.example?x=1",
        "https://t.example/" + "x" * 2030,
    ],
)
def test_a_ticket_url_is_kept_as_it_was_given(url: str) -> None:
    assert parse(TicketLinked, ticket_info__ticket_url=url).ticket_info.ticket_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http:x",
        "http:/x",
        "http:///x",
        "//tickets.example.com/1",
        "tickets.example.com/1",
        "ftp://tickets.example.com",
        "javascript:alert(1)//http://x",
        "https://user:password@tickets.example.com/",
        "https://user@tickets.example.com/",
        "https://good.example\\@evil.example/",
        "https://:443/",
        "https://t.example:port/",
        "https://t.example:/",
        "https://t.example/a b",
        " https://t.example/",
        "https://t.example/\n",
        "https://t.example/\x00",
        "https://t.example/\u2028",
        "https://[::1",
        "https://t.example/" + "x" * 2031,
    ],
)
def test_what_is_no_plain_web_address_is_refused_as_ticket_url(url: str) -> None:
    assert refuses(TicketLinked, field="ticket_info__ticket_url", value=url)
