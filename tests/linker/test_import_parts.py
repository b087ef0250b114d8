"""The rows of an import as they are stored: in parts that give back what was put in."""

import json
from datetime import UTC, datetime

from schemas.events import TicketDetails
from services.linker.decisions import KnownRecording, ticket_info
from services.linker.first_links import linked_at
from services.linker.import_parts import Decided, decided_rows, lots_of, outcomes_of, part_of, rows_of, split
from services.linker.read_row import Asked, Invalid

TICKET = {"ticket_id": "CASE#456", "customer_name": "José García"}
NAMED = Asked(2, None, "测试.wav", None, TICKET)
IN_FOLDER = Asked(3, None, "b.wav", "F2", TICKET)
BY_ID = Asked(4, "R1", None, "F2", TICKET)
BAD = Invalid(7, "ticket_id", "is empty")


def known(recording_id: str) -> KnownRecording:
    return KnownRecording(recording_id, "F1", "Monday", "a.wav", datetime(2025, 1, 29, 10, 30, tzinfo=UTC))


def test_rows_come_back_as_they_were_and_in_the_folder_of_the_import() -> None:
    lots = lots_of(iter([NAMED, IN_FOLDER, BY_ID, BAD]), folder="F1", size=3)
    first, second = (part_of(lot, {3: known("R3")}) for lot in lots)

    assert rows_of(first.content) == [
        NAMED._replace(folder="F1"),
        IN_FOLDER._replace(means="R3"),
        BY_ID._replace(folder=None),
    ]
    assert rows_of(second.content) == [BAD]
    assert [(part.last_line, part.rows) for part in (first, second)] == [(4, 3), (7, 1)]


def test_a_part_of_which_nothing_can_be_linked_is_decided_when_it_is_read() -> None:
    with_rows, without = part_of([NAMED], {}), part_of([BAD], {})

    assert with_rows.outcomes is None
    assert without.outcomes is not None
    assert (without.outcomes.counts, without.outcomes.need_a_look) == ('{"invalid": 1}', 1)
    assert list(decided_rows(without.content, without.outcomes.content)) == [
        (BAD, Decided(7, "invalid", None, {"field": "ticket_id", "message": "is empty"}))
    ]


def test_two_rows_name_the_same_if_their_names_are_the_same_in_nfc() -> None:
    composed, apart = "\u00e9.wav", "e\u0301.wav"
    rows = [
        Asked(2, None, composed, None, TICKET),
        Asked(3, None, apart, "F1", TICKET),
        Asked(4, None, composed, "F2", TICKET),
        Asked(5, "\u00e9.wav", None, None, TICKET),
    ]

    (lot,) = lots_of(iter(rows), folder="F1", size=10)
    part = part_of(lot, {})

    assert part.keys[2] == part.keys[3]
    assert len({part.keys[line] for line in (3, 4, 5)}) == 3


def test_two_rows_name_the_same_if_they_mean_the_same_recording() -> None:
    part = part_of([NAMED, IN_FOLDER, BY_ID], {2: known("R1"), 3: known("R2")})

    assert part.keys[2] == part.keys[4] != part.keys[3]


def test_what_is_not_to_be_linked_is_decided_beside_what_is() -> None:
    rows, decided = split([NAMED, IN_FOLDER, BAD], {"2": 9})

    assert rows == [IN_FOLDER]
    assert decided == [
        Decided(2, "duplicate", None, {"replaced_by_line": 9}),
        Decided(7, "invalid", None, {"field": "ticket_id", "message": "is empty"}),
    ]


def test_a_line_that_is_left_for_a_first_link_is_a_duplicate_all_the_same() -> None:
    rows, decided = split([NAMED, IN_FOLDER, BY_ID], {"2": 9}, leave=[2, 3])

    assert rows == [BY_ID]
    assert decided == [Decided(2, "duplicate", None, {"replaced_by_line": 9})]


def test_a_row_of_which_nothing_is_told_became_the_first_link_of_what_it_means() -> None:
    part = part_of([NAMED, IN_FOLDER], {2: known("R1")})
    outcomes = outcomes_of([Decided(3, "parked", None, {})], first_links=1)

    assert [one for _, one in decided_rows(part.content, outcomes.content)] == [
        Decided(2, "matched", "R1", {"link_version": 1}),
        Decided(3, "parked", None, {}),
    ]
    assert (json.loads(outcomes.counts), outcomes.need_a_look) == ({"matched": 1, "parked": 1}, 0)


def test_the_ticket_of_a_first_link_is_the_one_that_a_decision_would_have_made() -> None:
    now = datetime(2026, 11, 27, 8, 30, 15, 999_999, tzinfo=UTC)
    ticket = {"ticket_id": 'CASE"456', "customer_name": "José García", "agent_name": "", "call_intent": "测试\\"}
    first = part_of([Asked(2, None, "a.wav", None, ticket)], {2: known("R1")}).first

    decided = ticket_info(TicketDetails(**ticket), known("R1"), now=now)

    assert first.tickets[0] + linked_at(now) == decided.model_dump_json()
