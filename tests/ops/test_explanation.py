"""Why a recording is or is not in sync: every state and every reason, from what the services say."""

import itertools
import shlex
from dataclasses import replace
from typing import Any

import pytest

from ops.explanation import DEAD_TOLD, About, story, why
from ops.explanation_unseen import parked_story, why_unseen
from ops.main import main

PLACE = {"topic": "TicketLinked", "partition": 3, "offset": 17}
PROCESSED = {"topic": "RecordingProcessed", "partition": 3, "offset": 17}
TRANSFERRED = {"transfer_version": 1, "at": "2025-01-29T10:01:00Z", "place": None}


def linker(state: str, *, versions: int = 1, transferred: bool = True, ticket: str | None = "T-1") -> dict[str, Any]:
    info = None if ticket is None else {"ticket_id": ticket}
    return {
        "recording_id": "rec 1",
        "folder_id": "F1",
        "filename": "a.wav",
        "state": state,
        "clouds_uuid": "uuid-1" if transferred else None,
        "transfer_version": int(transferred),
        "link_version": versions,
        "ticket_info": info if versions else None,
        "facts": {
            "processed": {
                "revision": 1,
                "at": "2025-01-29T10:00:00Z",
                "place": {**PLACE, "topic": "RecordingProcessed"},
            },
            "transferred": {"transfer_version": 1, "at": "2025-01-29T10:01:00Z", "place": None}
            if transferred
            else None,
            "known": None,
        },
        "history": [
            {
                "link_version": number,
                "ticket_info": info,
                "source": "api",
                "request_id": f"q-{number}",
                "linked_by": "ann",
                "import_id": None,
                "linked_at": f"2025-01-29T10:0{number}:30Z",
            }
            for number in range(versions, 0, -1)
        ],
    }


def transfer(phase: str = "transferred", *, reason: str | None = None) -> dict[str, Any]:
    blocked = {"reason": reason, "message": "said the cloud", "next_try_at": None} if reason else None
    return {"phase": phase, "sent_link_version": 0, "blocked": blocked}


def cloud_updater(version: int = 1, *, owed: bool = False, reason: str | None = None) -> dict[str, Any]:
    blocked = {"reason": reason, "message": "said the cloud", "next_try_at": None} if reason else None
    return {
        "transfer_version": 1,
        "link_version": version,
        "owed": owed,
        "blocked": blocked,
        "linked": PLACE,
        "resyncs": ["r-1"],
    }


def test_the_command_for_a_recording_whose_id_begins_with_a_dash_takes_it_for_no_option() -> None:
    about = linker("waiting_for_ticket", versions=0) | {"recording_id": "-rec"}

    assert why(About(about, transfer(), None, None)).command == "ticketsync link --ticket TICKET -- -rec"


@pytest.mark.parametrize(
    ("about", "line", "command"),
    [
        (About(linker("in_sync"), transfer(), cloud_updater(), None), "In sync", None),
        (About(linker("no_ticket_needed", versions=0), transfer(), None, None), "needs none", None),
        (
            About(linker("waiting_for_ticket", versions=0), transfer(), None, None),
            "nobody has linked one",
            "ticketsync link --ticket TICKET 'rec 1'",
        ),
        (
            About(linker("waiting_for_ticket", ticket=None), transfer(), None, None),
            "it was unlinked",
            "ticketsync link",
        ),
        (
            About(linker("not_transferred", transferred=False), None, None, None),
            "transfer has not read",
            "ticketsync lag",
        ),
        (
            About(linker("not_transferred", transferred=False), transfer("waiting"), None, None),
            "about to begin",
            "ticketsync status --wait settled",
        ),
        (
            About(linker("not_transferred", transferred=False), transfer("uploading"), None, None),
            "under way",
            "ticketsync status --wait settled",
        ),
        (
            About(linker("not_transferred", transferred=False), transfer("rejected", reason="rejected"), None, None),
            "said the cloud",
            "ticketsync transfer retry --recording 'rec 1'",
        ),
        (
            About(linker("not_transferred", transferred=False), transfer("waiting", reason="retrying"), None, None),
            "said the cloud",
            "ticketsync doctor",
        ),
        (About(linker("pending"), transfer(), None, None), "RecordingTransferred", "ticketsync lag"),
        (About(linker("pending", versions=2), transfer(), cloud_updater(1), None), "TicketLinked", "ticketsync lag"),
        (
            About(linker("pending"), transfer(), cloud_updater(owed=True), None),
            "about to be made",
            "ticketsync status --wait settled",
        ),
        (
            About(linker("pending"), transfer(), cloud_updater(reason="rejected"), None),
            "refuses it: said the cloud",
            "ticketsync resync --recording 'rec 1'",
        ),
        (About(linker("pending"), transfer(), cloud_updater(reason="missing_in_cloud"), None), "lost its folder", "F1"),
        (About(linker("pending"), transfer(), cloud_updater(), None), "CloudTicketUpdated", "ticketsync lag"),
    ],
    ids=str,
)
def test_one_line_says_why_and_one_command_mends_it(about: About, line: str, command: str | None) -> None:
    reason = why(about)

    assert line in reason.line
    assert (reason.command is None) == (command is None)
    assert command is None or command in (reason.command or "")


@pytest.mark.parametrize(
    ("about", "service", "topic"),
    [
        (About(linker("not_transferred", transferred=False), None, None, None), "transfer", "RecordingProcessed"),
        (About(linker("pending"), transfer(), None, None), "cloud-updater", "RecordingTransferred"),
        (About(linker("pending", versions=2), transfer(), cloud_updater(1), None), "cloud-updater", "TicketLinked"),
        (About(linker("pending"), transfer(), cloud_updater(), None), "linker", "CloudTicketUpdated"),
    ],
    ids=["upload", "place", "link", "acknowledgement"],
)
def test_a_fact_that_could_not_be_applied_is_named_with_the_command_that_redrives_it(
    about: About, service: str, topic: str
) -> None:
    failed = {"failed_at": "2025-01-29T10:09:00Z", "reason": "unstorable", "error": "no"}
    dead = (service, {"topic": topic, "partition": 3, "offset": 17, **failed})
    elsewhere = ("another", dead[1])

    reason = why(replace(about, dead=[dead, elsewhere]))

    assert f"{service} could not apply its {topic}: unstorable" in reason.line
    assert reason.command == f"ticketsync dlq redrive --service {service} --topic {topic} --at 3:17"
    assert "not read" in why(replace(about, dead=[elsewhere])).line
    [told] = [one for one in story(replace(about, dead=[dead])) if "could not apply" in one.what]
    assert (told.where, told.at) == (f"{topic} 3:17", "2025-01-29T10:09:00Z")


def dead_letter(offset: int, failed_at: str, *, topic: str = "RecordingProcessed") -> dict[str, Any]:
    at = {"topic": topic, "partition": 3, "offset": offset}
    return {**at, "failed_at": failed_at, "reason": "malformed_json", "error": "no"}


def test_of_many_facts_that_could_not_be_applied_the_newest_are_told_and_the_newest_is_redriven() -> None:
    about = About(linker("not_transferred", transferred=False), None, None, None)
    newest = dead_letter(7, "2025-01-29T11:30:00Z")
    older = [dead_letter(100 + number, f"2025-01-29T10:{number % 60:02}:00Z") for number in range(3 * DEAD_TOLD)]
    dead = [("transfer", one) for one in (older[0], newest, dead_letter(99, "2025-01-29T11:00:00Z"), *older[1:])]

    told = [one for one in story(replace(about, dead=dead)) if "could not apply" in one.what]

    assert (len(told), told[-1].where) == (DEAD_TOLD, "RecordingProcessed 3:7")
    assert (why(replace(about, dead=dead)).command or "").endswith("--at 3:7")


def test_of_what_no_recording_is_known_that_fact_is_redriven_which_makes_it_known_wherever_it_could_not_be() -> None:
    older, newer = (dead_letter(offset, f"2025-01-29T10:00:0{offset}Z") for offset in (1, 2))
    later = dead_letter(9, "2025-01-29T12:00:00Z", topic="TicketLinked")
    dead = [("linker", newer), ("linker", older), ("transfer", newer), ("transfer", later)]

    reason = why_unseen(dead)

    assert "linker and transfer could not apply its RecordingProcessed: malformed_json" in reason.line
    assert reason.command == "ticketsync dlq redrive --topic RecordingProcessed --at 3:2"
    assert (why_unseen(dead[-1:]).command or "").endswith("--topic TicketLinked --at 3:9")


@pytest.mark.parametrize(
    ("about", "line"),
    [
        (About(linker("in_sync"), None, None, None, silent=("transfer", "cloud-updater")), "In sync"),
        (
            About(linker("not_transferred", transferred=False), None, None, None, silent=("transfer",)),
            "why, transfer knows, which does not answer",
        ),
        (About(linker("pending"), transfer(), None, None, silent=("cloud-updater",)), "why, cloud-updater knows"),
    ],
    ids=str,
)
def test_a_service_that_does_not_answer_is_not_said_to_have_heard_of_nothing(about: About, line: str) -> None:
    reason = why(about)

    assert line in reason.line
    assert reason.command in {None, "ticketsync doctor"}


def test_what_a_person_has_paused_a_person_lets_go_on() -> None:
    said = cloud_updater(reason="retrying")
    said["blocked"]["message"] = "paused: ann at 2025-01-29 12:00Z: maintenance"

    reason = why(About(linker("pending"), transfer(), said, None))

    assert "paused: ann" in reason.line
    assert reason.command == "ticketsync resume cloud-updater"


@pytest.mark.parametrize(("kind", "uuid"), [("create", " -- CLOUDS_UUID"), ("inject", "")])
def test_only_an_upload_that_makes_a_folder_is_answered_with_its_uuid(kind: str, uuid: str) -> None:
    folder = {"open_request": {"request_id": "q-1", "kind": kind, "frozen_at": "2025-01-29T10:00:00Z", "attempts": 1}}
    said = transfer("uploading", reason="outcome_unknown")

    reason = why(About(linker("not_transferred", transferred=False), said, None, folder))

    assert reason.command == f"ticketsync transfer exists-as --folder F1{uuid}"


@pytest.mark.parametrize(
    ("unprocessed", "said", "command"),
    [
        (0, "lost its folder uuid-1.", "ticketsync transfer retry --folder F1"),
        (1, "there is one recording of it, adopted, without", "ticketsync publish recording-processed FILE"),
        (3, "there are 3 recordings of it, adopted, without", "ticketsync publish recording-processed FILE"),
    ],
)
def test_a_lost_folder_is_made_anew_only_once_what_was_adopted_into_it_is_published(
    unprocessed: int, said: str, command: str
) -> None:
    folder = {"open_request": None, "unprocessed": unprocessed}

    reason = why(About(linker("pending"), transfer(), cloud_updater(reason="missing_in_cloud"), folder))

    assert said in reason.line
    assert reason.command == command
    assert not unprocessed or "publish that first, then ticketsync transfer retry --folder F1" in reason.line


@pytest.mark.parametrize("reason", ["retrying", "rejected", "outcome_unknown", "missing_in_cloud"])
def test_the_command_that_mends_it_is_one_that_there_is(reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    before_upload = About(linker("not_transferred", transferred=False), transfer("waiting", reason=reason), None, None)
    after_upload = About(linker("pending"), transfer(), cloud_updater(reason=reason), None)

    for about in (before_upload, after_upload):
        words = shlex.split(why(about).command or "")
        options = [word for word in words if word.startswith("--") and word != "--"]
        command = list(itertools.takewhile(lambda word: not word.startswith("-"), words[1:]))
        assert main([*command, "--help"]) == 0
        assert all(option in capsys.readouterr().out for option in options)


def test_the_story_is_in_order_with_the_places_of_the_facts() -> None:
    about = About(linker("pending", versions=2), transfer(), cloud_updater(2, reason="retrying"), None)

    told = [(one.at, one.what.split(",")[0], one.where) for one in story(about)]

    assert told == [
        ("2025-01-29T10:00:00Z", "processed", "RecordingProcessed 3:17"),
        ("2025-01-29T10:01:00Z", "transferred to uuid-1 (transfer 1)", None),
        ("2025-01-29T10:01:30Z", "link 1: linked to T-1 by ann", None),
        ("2025-01-29T10:02:30Z", "link 2: linked to T-1 by ann", "TicketLinked 3:17"),
        (None, "push retrying: said the cloud", None),
        (None, "resync r-1 is not carried out yet", None),
    ]


def test_an_upload_that_is_open_is_told_with_its_attempts() -> None:
    request = {"request_id": "u-1", "kind": "create", "attempts": 3, "frozen_at": "2025-01-29T10:00:30Z"}
    about = About(linker("not_transferred", transferred=False), transfer("uploading"), None, {"open_request": request})

    assert "upload request u-1 (create), sent 3 times, is open" in [one.what for one in story(about)]


def test_a_link_that_waits_for_its_recording_is_told() -> None:
    parked = {
        "parked_at": "x",
        "ticket_id": "T",
        "recording_id": None,
        "filename": "a.wav",
        "folder": "F",
        "state": "expired",
    }

    assert [one.what for one in parked_story([parked])] == [
        "ticket T for a.wav in folder F waits for its recording (expired)"
    ]
