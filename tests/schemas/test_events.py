"""What makes an event: which fields belong together, what may be missing, and that it never changes."""

import re

import pytest
from pydantic import ValidationError

from schemas.events import (
    Event,
    RecordingProcessed,
    TicketDetails,
    TicketLinked,
    TicketLinkRequested,
    TicketSyncRequested,
)
from tests.schemas.given import a_body, accepts, as_json, parse, without


def test_an_empty_optional_field_of_a_ticket_is_no_value() -> None:
    empty = TicketDetails(
        ticket_id="T", ticket_url="", customer_name="", agent_name="", call_intent="", call_outcome=""
    )

    assert empty == TicketDetails(ticket_id="T")


def test_what_has_no_value_is_left_out_but_an_unlink_says_null() -> None:
    unlinked = parse(TicketLinked, ticket_info=None, linked_by=None, import_id=None)

    assert unlinked.model_dump().keys() == without(a_body(TicketLinked), "linked_by", "import_id").keys()
    assert '"ticket_info":null' in unlinked.model_dump_json()


@pytest.mark.parametrize(
    ("event", "field"),
    [(TicketLinked, "ticket_info"), (TicketLinkRequested, "ticket_info"), (RecordingProcessed, "token")],
)
def test_a_missing_field_is_not_taken_for_null(event: type[Event], field: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(field)):
        event.model_validate_json(as_json(without(a_body(event), field)))


@pytest.mark.parametrize("event", [RecordingProcessed, TicketLinked, TicketLinkRequested])
def test_a_field_that_nobody_knows_is_ignored(event: type[Event]) -> None:
    assert parse(event, added_next_year={"deep": [1]}) == parse(event)


def test_an_event_never_changes() -> None:
    event = parse(TicketLinked)

    with pytest.raises(ValidationError, match="frozen"):
        event.link_version = 2


def test_defaults_are_those_of_the_design() -> None:
    body = without(a_body(RecordingProcessed), "requires_ticket", "revision", "recorded_at")

    processed = RecordingProcessed.model_validate_json(as_json(body))

    assert (processed.requires_ticket, processed.revision, processed.recorded_at) == (True, 1, None)
    assert TicketLinkRequested.model_validate_json(as_json(without(a_body(TicketLinkRequested), "park"))).park


@pytest.mark.parametrize(
    ("names", "fine"),
    [
        ({"recording_id": "r"}, True),
        ({"filename": "a.wav"}, True),
        ({"filename": "a.wav", "folder": "f", "recording_id": None}, True),
        ({"recording_id": "r", "filename": "a.wav"}, False),
        ({"folder": "f"}, False),
        ({}, False),
    ],
)
def test_a_link_request_names_its_recording_in_one_way(names: dict[str, str | None], fine: bool) -> None:  # noqa: FBT001
    body = without(a_body(TicketLinkRequested), "recording_id") | names

    assert accepts(TicketLinkRequested, body) == fine


@pytest.mark.parametrize(
    ("selection", "fine"),
    [
        ({"all": True}, True),
        ({"folder_id": "f"}, True),
        ({"recording_ids": ["r"]}, True),
        ({"recording_ids": ["r"], "all": False, "folder_id": None}, True),
        ({"recording_ids": []}, False),
        ({"recording_ids": ["r"] * 10_001}, False),
        ({"all": False}, False),
        ({"all": True, "folder_id": "f"}, False),
        ({}, False),
    ],
)
def test_a_resync_selects_in_one_way(selection: dict[str, object], fine: bool) -> None:  # noqa: FBT001
    body = without(a_body(TicketSyncRequested), "recording_ids") | selection

    assert accepts(TicketSyncRequested, body) == fine
