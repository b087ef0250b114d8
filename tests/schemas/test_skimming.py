"""Key and order of a fact are had without reading the rest, and never where reading all of it would refuse them."""

import json

import pytest

from schemas.envelope import decode, skim
from schemas.events import CloudTicketUpdated, RecordingTransferred, TicketLinked
from schemas.raw_headers import NO_HEADERS, joined
from schemas.topics import (
    CLOUD_TICKET_UPDATED,
    LINKER_DLQ,
    RECORDING_PROCESSED,
    RECORDING_TRANSFERRED,
    TICKET_LINKED,
    Topic,
)
from schemas.undecodable import Undecodable
from tests.schemas.given import Body, a_body, as_json
from tests.schemas.records import BODY, ENVELOPE, KEY, STRUCTURED, Headers, binary, binary_without


@pytest.mark.parametrize(
    ("topic", "body", "order"),
    [
        (TICKET_LINKED, a_body(TicketLinked, recording_id="R1", link_version=7), (7,)),
        (RECORDING_TRANSFERRED, a_body(RecordingTransferred, recording_id="R1", transfer_version=3), (3,)),
        (
            CLOUD_TICKET_UPDATED,
            a_body(CloudTicketUpdated, recording_id="R1", transfer_version=3, link_version=7),
            (3, 7),
        ),
    ],
)
@pytest.mark.parametrize("headers", [[], "binary"])
def test_key_and_order_are_had_of_a_fact(topic: Topic, body: Body, order: tuple[int, ...], headers: Headers) -> None:
    found = skim(topic, key=b"R1", value=as_json(body), headers=joined(_binary_of(topic) if headers else []))

    assert found is not None
    assert found[:2] == ("R1", order)
    assert found[2] == (body["request_id"] if topic is TICKET_LINKED else "")


def test_what_else_is_wrong_is_not_looked_at() -> None:
    value = as_json(BODY | {"filename": "", "ticket_info": 7})

    assert skim(TICKET_LINKED, key=KEY, value=value, headers=joined(binary())) == (
        KEY.decode(),
        (BODY["link_version"],),
        BODY["request_id"],
    )


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        pytest.param(KEY, as_json(BODY | {"link_version": 0}), binary(), id="no version"),
        pytest.param(KEY, as_json(BODY | {"link_version": True}), binary(), id="a version that is no number"),
        pytest.param(KEY, as_json(BODY | {"link_version": 2**31}), binary(), id="a version that no column takes"),
        pytest.param(KEY, as_json(BODY | {"recording_id": ""}), binary(), id="no id"),
        pytest.param(KEY, as_json(BODY)[:-1], binary(), id="no JSON"),
        pytest.param(b"other", as_json(BODY), binary(), id="the key of another"),
        pytest.param(None, as_json(BODY), binary(), id="no key"),
        pytest.param(KEY, as_json(BODY), binary_without("ce_id"), id="no id of the event"),
        pytest.param(KEY, as_json(BODY), binary(ce_time=b"noon"), id="no time"),
        pytest.param(KEY, as_json(BODY), binary(ce_type=b"ticketsync.ticket-linked.v2"), id="another version"),
        pytest.param(KEY, as_json(BODY), [*binary(), ("ce_id", b"2")], id="two ids"),
        pytest.param(KEY, as_json(BODY), [*binary(), ("CE_ID", b"2")], id="two ids, one in capitals"),
        pytest.param(KEY, as_json(BODY), binary(ce_subject=b"\xff"), id="a subject that is no text"),
    ],
)
def test_nothing_is_had_of_what_cannot_be_read(key: bytes | None, value: bytes, headers: Headers) -> None:
    with pytest.raises(Undecodable):
        decode(TICKET_LINKED, key=key, value=value, headers=joined(headers))

    assert skim(TICKET_LINKED, key=key, value=value, headers=joined(headers)) is None


def test_other_forms_and_topics_are_read_in_full() -> None:
    assert skim(TICKET_LINKED, key=KEY, value=as_json(ENVELOPE), headers=joined(STRUCTURED)) is None
    assert skim(RECORDING_PROCESSED, key=KEY, value=b"{}", headers=NO_HEADERS) is None
    assert skim(LINKER_DLQ, key=KEY, value=b"{}", headers=NO_HEADERS) is None


def test_a_header_that_was_refused_once_is_refused_again() -> None:
    """What is remembered of headers is what was good, and of short ones."""
    wrong = binary(ce_type=b"ticketsync.cloud-ticket-updated.v1")
    long = binary(ce_source=b"/" + b"x" * 10_000)

    for _ in range(2):
        assert skim(TICKET_LINKED, key=KEY, value=as_json(BODY), headers=joined(wrong)) is None
        assert skim(TICKET_LINKED, key=KEY, value=as_json(BODY), headers=joined(binary())) is not None
        assert skim(TICKET_LINKED, key=KEY, value=as_json(BODY), headers=joined(long)) is not None


def _binary_of(topic: Topic) -> Headers:
    words = {"TicketLinked": "ticket-linked", "RecordingTransferred": "recording-transferred"}
    return binary(ce_type=f"ticketsync.{words.get(topic.name, 'cloud-ticket-updated')}.v1".encode())


def test_the_last_of_two_fields_of_one_name_counts_in_both_ways() -> None:
    value = json.dumps(BODY)[:-1].encode() + b',"link_version":9}'

    found = skim(TICKET_LINKED, key=KEY, value=value, headers=NO_HEADERS)

    assert found == (KEY.decode(), (9,), BODY["request_id"])
    assert decode(TICKET_LINKED, key=KEY, value=value, headers=NO_HEADERS).link_version == 9  # type: ignore[union-attr]
