"""The cloud as it is deployed today, fact by fact."""

import httpx
import pytest

from local.emulator.calls import PREFIX
from tests.emulator.running import TOKEN, Emulator, a_file, a_ticket

NOTHING_GIVEN = {"folder": "The folder field is required.", "files": "The files field is required."}
NO_INTEGER = {"files.0.token": "The files.0.token field must be an integer."}


def test_ping_says_success_and_no_capabilities(deployed: Emulator) -> None:
    answer = deployed.ping()

    assert (answer.status_code, answer.json()) == (200, {"status": 200, "message": "success"})


@pytest.mark.parametrize("authorization", [None, "", "Bearer wrong", f"Basic {TOKEN}", TOKEN])
@pytest.mark.parametrize(("method", "path"), [("POST", "/ping"), ("POST", "/recording"), ("DELETE", "/recording/x")])
def test_a_bad_or_missing_token_is_unathorized(
    deployed: Emulator, authorization: str | None, method: str, path: str
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}

    answer = httpx.request(method, deployed.api + path, headers=headers, trust_env=False)

    assert (answer.status_code, answer.json()) == (401, {"status": "unathorized"})


def test_a_created_folder_has_an_opaque_uuid_that_needs_percent_encoding(deployed: Emulator) -> None:
    answer = deployed.create(a_file("a.wav"))

    uuid = answer.json()["data"]["uuid"]
    assert answer.status_code == 200
    assert answer.json() == {"status": 200, "message": "Successfuly!", "data": {"uuid": uuid}}
    assert uuid.endswith("=")


def test_two_folders_of_one_name_are_two_folders(deployed: Emulator) -> None:
    first, second = deployed.folder(a_file("a.wav")), deployed.folder(a_file("b.wav"))

    assert first != second
    assert [file["filename"] for file in deployed.files(first)] == ["a.wav"]


def test_is_ba_integration_appends_to_the_folder_of_that_name(deployed: Emulator) -> None:
    first = deployed.folder(a_file("a.wav"), name="Tuesday")

    body = {"folder": "Tuesday", "files": [a_file("b.wav")], "is_ba_integration": True}
    answer = deployed.http.post(f"{PREFIX}/recording", json=body)

    assert answer.json()["data"]["uuid"] == first
    assert [file["filename"] for file in deployed.files(first)] == ["a.wav", "b.wav"]


def test_is_ba_integration_makes_the_folder_if_there_is_none(deployed: Emulator) -> None:
    body = {"folder": "Wednesday", "files": [a_file("b.wav")], "is_ba_integration": True}

    uuid = deployed.http.post(f"{PREFIX}/recording", json=body).json()["data"]["uuid"]

    assert [file["filename"] for file in deployed.files(uuid)] == ["b.wav"]


def test_inject_always_inserts(deployed: Emulator) -> None:
    uuid = deployed.folder(a_file("a.wav"))

    answer = deployed.inject(uuid, a_file("b.wav"))
    deployed.inject(uuid, a_file("b.wav"))

    assert (answer.status_code, answer.json()) == (200, {"status": 200, "message": "Successfuly!"})
    assert [file["filename"] for file in deployed.files(uuid)] == ["a.wav", "b.wav", "b.wav"]


def test_inject_into_an_unknown_folder_finds_no_recording(deployed: Emulator) -> None:
    answer = deployed.inject("nobody=", a_file())

    assert answer.status_code == 400
    assert answer.json() == {"status": 400, "error": "Bad Request", "message": "Recording not found"}


def test_delete_succeeds_also_for_an_unknown_folder(deployed: Emulator) -> None:
    uuid = deployed.folder(a_file())

    answers = [deployed.delete(uuid), deployed.delete(uuid), deployed.delete("nobody")]

    assert [(it.status_code, it.json()) for it in answers] == [(200, {"status": 200, "message": "Successfuly!"})] * 3
    assert deployed.inject(uuid, a_file()).status_code == 400
    assert deployed.kinds() == ["create", "delete"]


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, NOTHING_GIVEN),
        ([], NOTHING_GIVEN),
        ({"folder": "", "files": []}, NOTHING_GIVEN),
        ({"folder": 7, "files": [a_file()]}, {"folder": "The folder field must be a string."}),
        ({"folder": "F", "files": {"0": a_file()}}, {"files": "The files field must be an array."}),
        ({"folder": "F", "files": ["a.wav"]}, {"files.0": "The files.0 field must be an array."}),
        (
            {"folder": "F", "files": [{}]},
            {
                "files.0.filename": "The files.0.filename field is required.",
                "files.0.size": "The files.0.size field is required.",
                "files.0.token": "The files.0.token field is required.",
                "files.0.transcribe": "The files.0.transcribe field is required.",
            },
        ),
        (
            {"folder": "F", "files": [a_file(), a_file(token="12", size=3, transcribe="")]},
            {
                "files.1.size": "The files.1.size field must be a string.",
                "files.1.token": "The files.1.token field must be an integer.",
                "files.1.transcribe": "The files.1.transcribe field is required.",
            },
        ),
        ({"folder": "F", "files": [a_file(token=1.5)]}, NO_INTEGER),
        ({"folder": "F", "files": [a_file(token=True)]}, NO_INTEGER),
        ({"folder": "F", "files": [a_file(size=None)]}, {"files.0.size": "The files.0.size field is required."}),
    ],
)
def test_an_invalid_body_is_told_field_by_field(deployed: Emulator, body: object, errors: dict[str, str]) -> None:
    answer = deployed.http.post(f"{PREFIX}/recording", json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"] == {field: [message] for field, message in errors.items()}
    assert deployed.effects() == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"folder": "F"}, "The files field is required."),
        ({}, "The folder field is required. (and 1 more error)"),
        ({"folder": "F", "files": [{}]}, "The files.0.filename field is required. (and 3 more errors)"),
    ],
)
def test_the_message_sums_the_errors_up(deployed: Emulator, body: object, message: str) -> None:
    assert deployed.http.post(f"{PREFIX}/recording", json=body).json()["message"] == message


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe{}", b'{"folder":"\\ud800","files":[]}', b"[" * 100_000])
def test_an_unreadable_body_counts_as_an_empty_one(deployed: Emulator, body: bytes) -> None:
    answer = deployed.http.post(f"{PREFIX}/recording", content=body)

    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {"folder", "files"}


@pytest.mark.parametrize("accept", ["*/*", "text/html", "text/html, application/json", ""])
def test_without_the_accept_header_an_invalid_body_leads_to_the_start_page(deployed: Emulator, accept: str) -> None:
    answer = deployed.http.post(f"{PREFIX}/recording", json={}, headers={"accept": accept})
    followed = deployed.http.post(f"{PREFIX}/recording", json={}, headers={"accept": accept}, follow_redirects=True)

    assert (answer.status_code, answer.headers["location"]) == (302, "/")
    assert (followed.status_code, followed.headers["content-type"]) == (200, "text/html; charset=UTF-8")
    assert deployed.effects() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/recordings"),
        ("POST", "/recording/"),
        ("GET", "/ping"),
        ("GET", "/recording/abc="),
        ("POST", "/recording/update-ticket/abc="),
        ("POST", "/recording/inject/"),
    ],
)
def test_an_unknown_route_is_named(deployed: Emulator, method: str, path: str) -> None:
    answer = deployed.http.request(method, PREFIX + path)

    message = f"The route api/external/v1{path} could not be found."
    assert (answer.status_code, answer.json()) == (404, {"message": message})


def test_outside_the_prefix_there_is_nothing(deployed: Emulator) -> None:
    assert deployed.http.get("/api/external/v2/ping").json() == {
        "message": "The route api/external/v2/ping could not be found."
    }


def test_tickets_and_keys_mean_nothing_to_the_deployed_cloud(deployed: Emulator) -> None:
    file = a_file(ticket_info={"ticket_id": 7}, link_version="x", unknown=None)

    answers = [deployed.create(file, key="k"), deployed.create(file, key="k")]

    assert [answer.status_code for answer in answers] == [200, 200]
    uuid = answers[0].json()["data"]["uuid"]
    assert uuid != answers[1].json()["data"]["uuid"]
    assert deployed.files(uuid) == [{"filename": "a.wav", "size": "2.5 MB", "token": 1234, "ticket_info": None}]


def test_an_invalid_upload_of_a_ticketless_cloud_ignores_the_ticket(deployed: Emulator) -> None:
    uuid = deployed.folder(a_file())

    assert deployed.inject(uuid, a_file("b.wav", ticket_info=a_ticket("x" * 101))).status_code == 200
