"""The rows of an import as they are stored: in parts that give back what was put in."""

import json

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from services.linker.first_links import first_links
from services.linker.import_parts import Decided, decided_rows, lots_of, outcomes_of, part_of, rows_of, split
from services.linker.read_row import TICKET_FIELDS, Asked, Invalid, Row

TICKET = {"ticket_id": "CASE#456", "customer_name": "José García"}
NAMED = Asked(2, None, "测试.wav", None, TICKET)
IN_FOLDER = Asked(3, None, "b.wav", "F2", TICKET)
BY_ID = Asked(4, "R1", None, "F2", TICKET)
BAD = Invalid(7, "ticket_id", "is empty")


def test_rows_come_back_as_they_were_and_in_the_folder_of_the_import() -> None:
    lots = lots_of(iter([NAMED, IN_FOLDER, BY_ID, BAD]), folder="F1", size=3)
    first, second = map(part_of, lots)

    assert rows_of(first.content, {3: "R3"}) == [
        NAMED._replace(folder="F1"),
        IN_FOLDER._replace(means="R3"),
        BY_ID._replace(folder=None),
    ]
    assert rows_of(second.content, {}) == [BAD]
    assert [(part.last_line, part.rows) for part in (first, second)] == [(4, 3), (7, 1)]


def test_rows_come_back_in_the_order_of_their_lines() -> None:
    rows: list[Row] = [NAMED, BAD._replace(line=3), BY_ID]

    assert rows_of(part_of(rows).content, {}) == rows


@example([dict.fromkeys(TICKET_FIELDS, '"},{')])
@example([dict.fromkeys(TICKET_FIELDS, "a") | {"call_outcome": '"},{'}] * 2)
@example([dict.fromkeys(TICKET_FIELDS, "a") | {"call_outcome": "},{"}] * 2)
@given(st.lists(st.dictionaries(st.sampled_from(TICKET_FIELDS), st.text('"},{:\\aé '), min_size=6), min_size=1))
def test_each_row_has_its_own_ticket_whatever_its_cells_hold(tickets: list[dict[str, str]]) -> None:
    rows = [Asked(line, None, "a.wav", None, ticket | {"ticket_id": "T-1"}) for line, ticket in enumerate(tickets)]
    written = to_json([row.ticket for row in rows]).decode()

    made = [from_json(f"{ticket}}}") for ticket in first_links(rows, written).tickets]

    assert made == [{field: cell for field, cell in row.ticket.items() if cell} for row in rows]


def test_a_part_of_which_nothing_can_be_linked_is_decided_when_it_is_read() -> None:
    with_rows, without = part_of([NAMED]), part_of([BAD])

    assert with_rows.outcomes is None
    assert without.outcomes is not None
    assert (without.outcomes.counts, without.outcomes.need_a_look) == ('{"invalid": 1}', 1)
    assert list(decided_rows(without.content, {}, without.outcomes.content)) == [
        (BAD, Decided(7, "invalid", None, {"field": "ticket_id", "message": "is empty"}))
    ]


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
    part = part_of([NAMED, IN_FOLDER])
    outcomes = outcomes_of([Decided(3, "parked", None, {})], first_links=1)

    assert [one for _, one in decided_rows(part.content, {2: "R1"}, outcomes.content)] == [
        Decided(2, "matched", "R1", {"link_version": 1}),
        Decided(3, "parked", None, {}),
    ]
    assert (json.loads(outcomes.counts), outcomes.need_a_look) == ({"matched": 1, "parked": 1}, 0)
