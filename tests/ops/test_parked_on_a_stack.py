"""`ticketsync parked` on a whole stack of real processes."""

import pytest

from tests.ops.on_a_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


def test_links_that_wait_are_listed_and_dropped(stack: Stack) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        stack("link", name, "--folder", "not yet", "--ticket", f"T-{name}")

    listed = stack("parked", "list", "--folder", "not yet", "--json").json["items"]
    explained = stack("explain", listed[0]["filename"], "--folder", "not yet", "--json")
    elsewhere = stack("explain", listed[0]["filename"], "--folder", "another", "--json")
    limited = stack("parked", "list", "--folder", "not yet", "--limit", 2, "--json").json
    few = limited["items"]
    for_people = stack("parked", "list")

    assert [(one["filename"], one["ticket_id"], one["state"]) for one in listed] == [
        ("a.wav", "T-a.wav", "waiting"),
        ("b.wav", "T-b.wav", "waiting"),
        ("c.wav", "T-c.wav", "waiting"),
    ]
    assert few == [{**one, "age_s": few[place]["age_s"]} for place, one in enumerate(listed[:2])]
    assert limited["more"]
    assert (explained.code, [one["what"].split()[1] for one in explained.json["events"]]) == (0, ["T-a.wav"])
    assert (elsewhere.code, elsewhere.out) == (1, "")
    assert "T-a.wav" in for_people.out

    unsaid = stack("parked", "drop")
    unasked = stack("parked", "drop", "--ticket", "T-a.wav")
    one = stack("parked", "drop", "--ticket", "T-a.wav", "--yes", "--json")
    none = stack("parked", "drop", "--expired", "--json")
    not_there = stack("parked", "drop", "--ticket", "T-a.wav", "--json")
    rest = stack("parked", "drop", "--folder", "not yet", "--older-than", 0, "--yes", "--json")

    assert (unsaid.code, unasked.code) == (2, 2)
    assert "--yes" in unasked.err
    assert one.json == {"dropped": 1, "gone": 0, "ended_early": None}
    assert (none.code, none.json) == (0, {"dropped": 0, "gone": 0, "ended_early": None})
    assert (not_there.code, not_there.json, "parked list" in not_there.err) == (1, none.json, True)
    assert rest.json == {"dropped": 2, "gone": 0, "ended_early": None}
    assert stack("parked", "list", "--json").json == {"items": [], "more": False}
