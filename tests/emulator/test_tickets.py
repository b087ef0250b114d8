"""update-ticket, tickets in uploads, link versions and reading back: what the cloud application is to implement."""

from typing import Any

import pytest

from tests.emulator.running import Emulator, a_file, a_ticket

WHOLE_TICKET = {
    "ticket_id": "TKT-12345",
    "ticket_url": "https://tickets.example.com/12345",
    "customer_name": "John Doe",
    "agent_name": "Agent Smith",
    "call_intent": "Support Request",
    "call_outcome": "Resolved",
    "display_name": "JohnDoe_TKT12345_20250129",
    "linked_at": "2025-01-29T10:30:00Z",
}


def tickets(cloud: Emulator, uuid: str) -> dict[str, Any]:
    return {file["filename"]: (file["ticket_info"] or {}).get("ticket_id") for file in cloud.files(uuid)}


def test_ping_announces_the_capabilities(cloud: Emulator) -> None:
    announced = {"capabilities": ["idempotency-key", "link-version", "read", "ticket-info"]}

    assert cloud.ping().json() == {"status": 200, "message": "success", **announced}


def test_a_ticket_travels_with_an_upload(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file("a.wav", ticket_info=WHOLE_TICKET, link_version=3), a_file("b.wav"))
    cloud.inject(uuid, a_file("c.wav", ticket_info=a_ticket("TKT-C")))

    assert cloud.read(uuid).json() == {
        "data": {
            "uuid": uuid,
            "folder": "Monday",
            "files": [
                {"filename": "a.wav", "size": "2.5 MB", "token": 1234, "ticket_info": WHOLE_TICKET, "link_version": 3},
                {"filename": "b.wav", "size": "2.5 MB", "token": 1234, "ticket_info": None},
                {"filename": "c.wav", "size": "2.5 MB", "token": 1234, "ticket_info": {"ticket_id": "TKT-C"}},
            ],
        }
    }


def test_update_ticket_changes_the_ticket_and_nothing_else(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file("a.wav"), a_file("b.wav"))

    answer = cloud.update_ticket(uuid, a_file("a.wav", size="9 KB", token=9, ticket_info=WHOLE_TICKET))

    assert (answer.status_code, answer.json()) == (200, {"status": 200, "message": "Successfuly!"})
    assert cloud.files(uuid) == [
        {"filename": "a.wav", "size": "2.5 MB", "token": 1234, "ticket_info": WHOLE_TICKET},
        {"filename": "b.wav", "size": "2.5 MB", "token": 1234, "ticket_info": None},
    ]


def test_null_removes_the_ticket(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file("a.wav", ticket_info=a_ticket()))

    cloud.update_ticket(uuid, a_file("a.wav", ticket_info=None))

    assert tickets(cloud, uuid) == {"a.wav": None}


def test_a_new_ticket_replaces_all_fields_of_the_old_one(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file("a.wav", ticket_info=WHOLE_TICKET))

    cloud.update_ticket(uuid, a_file("a.wav", ticket_info=a_ticket("TKT-2")))

    assert cloud.files(uuid)[0]["ticket_info"] == {"ticket_id": "TKT-2"}


def test_both_rows_of_a_file_that_was_uploaded_twice_get_the_ticket(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file("a.wav"), a_file("a.wav"))

    cloud.update_ticket(uuid, a_file("a.wav", ticket_info=a_ticket("TKT-2")))

    assert [file["ticket_info"] for file in cloud.files(uuid)] == [{"ticket_id": "TKT-2"}] * 2


def test_an_unknown_filename_is_refused_and_nothing_is_changed(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file("a.wav"))

    answer = cloud.update_ticket(uuid, a_file("a.wav", ticket_info=a_ticket()), a_file("A.WAV", ticket_info=a_ticket()))

    assert answer.status_code == 422
    assert answer.json()["errors"] == {"files.1.filename": ["The selected files.1.filename is invalid."]}
    assert tickets(cloud, uuid) == {"a.wav": None}


def test_an_unknown_folder_is_answered_as_by_inject(cloud: Emulator) -> None:
    answer = cloud.update_ticket("nobody==", a_file(ticket_info=None))

    assert (answer.status_code, answer.json()["message"]) == (400, "Recording not found")
    assert cloud.read("nobody==").json()["message"] == "Recording not found"


@pytest.mark.parametrize(
    ("ticket", "field", "rule"),
    [
        (a_ticket("x" * 101), "ticket_id", "must not be greater than 100 characters."),
        (a_ticket(""), "ticket_id", "is required."),
        (a_ticket(customer_name="x" * 256), "customer_name", "must not be greater than 255 characters."),
        (a_ticket(agent_name="x" * 256), "agent_name", "must not be greater than 255 characters."),
        (a_ticket(agent_name=None), "agent_name", "must have a value."),
        (a_ticket(call_intent="x" * 101), "call_intent", "must not be greater than 100 characters."),
        (a_ticket(call_outcome="x" * 101), "call_outcome", "must not be greater than 100 characters."),
        (a_ticket(call_outcome=5), "call_outcome", "must be a string."),
        (a_ticket(display_name="x" * 501), "display_name", "must not be greater than 500 characters."),
        (a_ticket(linked_at="2025-01-29T10:30:00+00:00"), "linked_at", "format is invalid."),
        (a_ticket(linked_at="2025-13-29T10:30:00Z"), "linked_at", "format is invalid."),
        (a_ticket(ticket_url="ftp://x/1"), "ticket_url", "must be a valid URL."),
        (a_ticket(ticket_url="http:x"), "ticket_url", "must be a valid URL."),
        (a_ticket(ticket_url="//x/1"), "ticket_url", "must be a valid URL."),
        (a_ticket(ticket_url="https://"), "ticket_url", "must be a valid URL."),
        (a_ticket(ticket_url="https://u:p@x/1"), "ticket_url", "must be a valid URL."),
        (a_ticket(ticket_url="https://x/\u0001"), "ticket_url", "must be a valid URL."),
        (a_ticket(ticket_url="https://x/" + "y" * 2039), "ticket_url", "must not be greater than 2048 characters."),
    ],
)
def test_a_ticket_that_breaks_a_rule_is_refused_with_the_fields_name(
    cloud: Emulator, ticket: dict[str, Any], field: str, rule: str
) -> None:
    uuid = cloud.folder(a_file("a.wav"), a_file("b.wav"))

    answers = [
        cloud.update_ticket(uuid, a_file("a.wav", ticket_info=None), a_file("b.wav", ticket_info=ticket)),
        cloud.create(a_file("a.wav"), a_file("b.wav", ticket_info=ticket)),
    ]

    path = f"files.1.ticket_info.{field}"
    errors = {path: [f"The {path.replace('_', ' ')} field {rule}"]}
    assert [(answer.status_code, answer.json()["errors"]) for answer in answers] == [(422, errors)] * 2


@pytest.mark.parametrize("url", ["http://x", "HTTPS://x.example:8443/a?b=ü#c", "https://[::1]/1", "https://x/@y"])
def test_an_absolute_web_address_is_accepted_as_it_is(cloud: Emulator, url: str) -> None:
    uuid = cloud.folder(a_file("a.wav", ticket_info=a_ticket(ticket_url=url)))

    assert cloud.files(uuid)[0]["ticket_info"]["ticket_url"] == url


def test_an_update_must_state_a_ticket_or_null(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file("a.wav"))

    answer = cloud.update_ticket(uuid, a_file("a.wav"))

    assert answer.json()["errors"] == {"files.0.ticket_info": ["The files.0.ticket info field must be present."]}


def test_a_lower_link_version_is_ignored(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file("a.wav", ticket_info=a_ticket("TKT-5"), link_version=5), a_file("b.wav"))

    late = cloud.update_ticket(
        uuid,
        a_file("a.wav", ticket_info=a_ticket("TKT-4"), link_version=4),
        a_file("b.wav", ticket_info=a_ticket("TKT-1"), link_version=1),
    )

    assert late.status_code == 200
    assert tickets(cloud, uuid) == {"a.wav": "TKT-5", "b.wav": "TKT-1"}
    assert [file["ignored"] for file in cloud.effects()[-1]["files"]] == [True, False]


def test_an_unlink_is_remembered_with_its_version(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file("a.wav", ticket_info=a_ticket("TKT-1"), link_version=1))

    cloud.update_ticket(uuid, a_file("a.wav", ticket_info=None, link_version=2))
    cloud.update_ticket(uuid, a_file("a.wav", ticket_info=a_ticket("TKT-1"), link_version=1))

    assert tickets(cloud, uuid) == {"a.wav": None}
    assert cloud.files(uuid)[0]["link_version"] == 2


def test_the_newest_of_one_request_wins_whatever_its_place(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file("a.wav"))

    cloud.update_ticket(
        uuid,
        a_file("a.wav", ticket_info=a_ticket("TKT-2"), link_version=2),
        a_file("a.wav", ticket_info=a_ticket("TKT-1"), link_version=1),
    )

    assert tickets(cloud, uuid) == {"a.wav": "TKT-2"}


def test_without_the_capability_the_last_request_wins_whatever_its_version(cloud: Emulator) -> None:
    cloud.control("PUT", "capabilities", {"capabilities": ["ticket-info"]})
    uuid = cloud.folder(a_file("a.wav", ticket_info=a_ticket("TKT-5"), link_version=5))

    cloud.update_ticket(uuid, a_file("a.wav", ticket_info=a_ticket("TKT-4"), link_version=4))

    assert tickets(cloud, uuid) == {"a.wav": "TKT-4"}


@pytest.mark.parametrize(("missing", "route"), [("read", "GET"), ("ticket-info", "POST")])
def test_a_capability_that_is_switched_off_takes_its_route_with_it(cloud: Emulator, missing: str, route: str) -> None:
    uuid = cloud.folder(a_file("a.wav"))
    left = sorted({"ticket-info", "idempotency-key", "link-version", "read"} - {missing})

    cloud.control("PUT", "capabilities", {"capabilities": left})

    assert cloud.ping().json()["capabilities"] == left
    answer = cloud.read(uuid) if route == "GET" else cloud.update_ticket(uuid, a_file("a.wav", ticket_info=None))
    assert answer.status_code == 404
