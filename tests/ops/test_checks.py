"""What the doctor makes of what the services say of themselves."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.answers.about import About
from ops.answers.status import Readiness
from ops.checks import Check, gravest, of_kafka, of_readiness, of_service, of_topic_sizes, of_versions
from ops.exits import Exit

NOON = datetime(2025, 1, 29, 12, tzinfo=UTC)
POSTGRESQL = {
    "version": "17.2 (Debian)",
    "size_bytes": 5_000_000,
    "ahead_s": 0.0,
    "tables": "0001",
    "tables_wanted": "0001",
}
EVERYTHING = ["idempotency-key", "link-version", "read", "ticket-info"]


def about(
    *, now: datetime = NOON, database: dict[str, Any] | None = None, cloud: dict[str, Any] | None = None
) -> About:
    ping = {"answers": True, "outcome": "Done", "message": None, "ahead_s": -0.4, "capabilities": EVERYTHING}
    return About.model_validate(
        {
            "version": "0.1.0",
            "python": "3.11.7",
            "now": now,
            "database": {**POSTGRESQL, **(database or {})},
            "cloud": {**ping, **(cloud or {})},
        }
    )


def wrong(one: About) -> dict[str, Check]:
    checks = of_service("cloud_updater", one, before=NOON - timedelta(seconds=1), after=NOON + timedelta(seconds=1))
    return {check.name: check for check in checks if not check.ok}


def test_a_service_in_order_has_no_finding() -> None:
    assert wrong(about()) == {}


@pytest.mark.parametrize(
    ("one", "name", "said"),
    [
        (about(now=NOON + timedelta(seconds=70)), "cloud-updater clock", "service 69 s ahead"),
        (about(database={"ahead_s": -8.0}), "cloud-updater clock", "database 8 s behind"),
        (about(cloud={"ahead_s": 3600.0}), "cloud-updater clock", "cloud 3600 s ahead"),
        (about(database={"version": "14.9"}), "cloud-updater database", "PostgreSQL 14.9"),
        (about(database={"tables": "0002"}), "cloud-updater database", "runs wants 0001"),
        (about(database={"tables": None}), "cloud-updater database", "no tables; the release of cloud-updater"),
        (
            about(cloud={"answers": False, "outcome": "Unauthorized", "message": "401: unathorized"}),
            "cloud-updater token",
            "401: unathorized",
        ),
        (about(cloud={"capabilities": ["read"]}), "cloud-updater cloud", "lacks ticket-info"),
    ],
    ids=str,
)
def test_each_thing_that_is_wrong_is_named_with_what_to_do(one: About, name: str, said: str) -> None:
    found = wrong(one)

    assert set(found) == {name}
    assert said in found[name].found
    assert found[name].todo
    assert found[name].code == Exit.FINDING


def test_a_database_that_does_not_answer_its_service_is_an_unreachable_server() -> None:
    silent = about().model_copy(update={"database": None, "database_error": "ConnectionRefusedError", "cloud": None})

    found = wrong(silent)

    assert set(found) == {"cloud-updater database"}
    assert "does not answer cloud-updater (ConnectionRefusedError)" in found["cloud-updater database"].found
    assert found["cloud-updater database"].code == Exit.UNREACHABLE


def test_a_capability_that_is_only_missed_is_told_and_is_no_finding() -> None:
    checks = of_service("transfer", about(cloud={"capabilities": ["ticket-info"]}), before=NOON, after=NOON)

    [told] = [check for check in checks if check.name == "transfer cloud"]
    assert told.ok
    assert "read (`ticketsync verify` attests and does not observe)" in told.found


def test_different_releases_are_a_finding() -> None:
    assert of_versions({"linker": about()}, own="0.1.0").ok
    assert not of_versions({"linker": about()}, own="0.2.0").ok


def test_sizes_are_told_the_largest_first() -> None:
    told = of_topic_sizes({"a": 10, "b": 3_000_000, "c": 2048, "d": 0}).found

    assert told == "2.9 MB with all copies; the largest: b 2.9 MB, c 2.0 KB, a 10 B"


def test_the_gravest_decides_how_the_command_ends() -> None:
    ok, finding = Check("a", ok=True, found=""), Check("b", ok=False, found="", code=Exit.FINDING)
    away = Check("c", ok=False, found="", code=Exit.UNREACHABLE)

    assert gravest([ok]) == Exit.OK
    assert gravest([ok, finding, away]) == Exit.UNREACHABLE


@pytest.mark.parametrize(
    ("level", "release"), [(7, "3.3"), (17, "3.7"), (25, "4.0"), (30, "4.3"), (31, "a release after 4.3")]
)
def test_kafkas_release_is_told_by_its_feature_level(level: int, release: str) -> None:
    [version, clock] = of_kafka(level, NOON, before=NOON, after=NOON)

    assert version.found == f"metadata.version {level}, that of {release}"
    assert version.ok
    assert clock.ok


def test_a_clock_of_kafka_that_is_off_is_a_finding() -> None:
    [_, clock] = of_kafka(30, NOON - timedelta(seconds=9), before=NOON, after=NOON + timedelta(seconds=1))

    assert not clock.ok
    assert clock.found == "Kafka 9 s behind"
    assert clock.todo


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"ready": True}, "ready"),
        ({"database": {"answers": False, "answered_s": 12.0}}, "not ready: its database has not answered for 12 s"),
        ({"gate": "closed"}, "not ready: reads its own facts back"),
    ],
)
def test_why_a_service_is_not_ready_is_found(said: dict[str, object], found: str) -> None:
    check = of_readiness("linker", Readiness.model_validate({"ready": False, "gate": "open", **said}))

    assert (check.found, check.ok) == (found, found == "ready")
