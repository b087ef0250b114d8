"""What `ticketsync doctor` makes of what the services say of themselves. Pure: answers in, checks out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ops import show
from ops.addresses import Service
from ops.answers.about import About, CloudPing
from ops.answers.status import Readiness
from ops.exits import Exit
from ops.overview import goes_on

# Beyond this a time that decides an order, such as requested_at, is worth a look.
CLOCK_LIMIT_S = 5.0
POSTGRESQL_MIN = 15
# The newest metadata.version of each release, by `kafka-storage.sh version-mapping`.
KAFKA_RELEASES = {
    7: "3.3",
    8: "3.4",
    11: "3.5",
    14: "3.6",
    19: "3.7",
    20: "3.8",
    21: "3.9",
    25: "4.0",
    27: "4.1",
    29: "4.2",
    30: "4.3",
}
SET_BY_NTP = "Set the clock by NTP: times decide which request is the newest."
CAPABILITIES = {
    "ticket-info": "tickets cannot be shown at all",
    "idempotency-key": "an upload whose outcome is unknown waits for a person",
    "link-version": "a ticket is pushed a second time after an unknown outcome",
    "read": "`ticketsync verify` attests and does not observe",
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `todo` is empty if all is well."""

    name: str
    ok: bool
    found: str
    todo: str = ""
    code: Exit = Exit.OK


def finding(name: str, found: str, todo: str) -> Check:
    """Something that needs a look."""
    return Check(name, ok=False, found=found, todo=todo, code=Exit.FINDING)


def of_service(service: Service, about: About, *, before: datetime, after: datetime) -> list[Check]:
    """Database, clocks and cloud of one service; it was asked between these times."""
    name = service.replace("_", "-")
    checks = [_database(name, about), _clocks(name, about, before=before, after=after)]
    if about.cloud:
        checks += [_token(name, about.cloud), _capabilities(name, about.cloud)]
    return checks


def of_versions(abouts: Mapping[Service, About], *, own: str) -> Check:
    """Whether all run the same release, this command included."""
    told = {service.replace("_", "-"): one.version for service, one in abouts.items()} | {"this command": own}
    pythons = ", ".join(sorted({one.python for one in abouts.values()}))
    if len(set(told.values())) == 1:
        return Check("versions", ok=True, found=f"ticketsync {own}; Python {pythons}")
    found = ", ".join(f"{where}: {version}" for where, version in told.items())
    return finding("versions", found, "Bring all to the same release; old and new may run side by side meanwhile.")


def of_kafka(level: int, now: datetime, *, before: datetime, after: datetime) -> list[Check]:
    """Kafka's release by its metadata.version, and its clock; it was asked between these times."""
    release = next((release for newest, release in KAFKA_RELEASES.items() if level <= newest), None)
    found = f"metadata.version {level}, that of " + (release or f"a release after {[*KAFKA_RELEASES.values()][-1]}")
    checks = [Check("kafka version", ok=True, found=found)]
    by = _ahead(now, before=before, after=after)
    if abs(by) > CLOCK_LIMIT_S:
        return [*checks, finding("kafka clock", _off("Kafka", by), SET_BY_NTP)]
    return [*checks, Check("kafka clock", ok=True, found=f"right within {CLOCK_LIMIT_S:g} s")]


def of_topic_sizes(sizes: Mapping[str, int]) -> Check:
    """What the topics take on the brokers' disks."""
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    found = f"{show.size(sum(sizes.values()))} with all copies; the largest: " + ", ".join(
        f"{name} {show.size(sizes[name])}" for name in largest
    )
    return Check("kafka disk", ok=True, found=found)


def of_readiness(name: str, state: Readiness) -> Check:
    """Whether a service does its work, by its own word."""
    if state.database and not state.database.answers:
        found = f"not ready: its database has not answered for {show.duration(state.database.answered_s)}"
        return finding(name, found, "It goes on by itself once the database answers.")
    if state.stopped:
        todo = "Mend the publisher, or put the records aside; see DEAD_LETTER_LIMIT_PERCENT in docs/settings.md."
        return finding(name, "; ".join(state.stopped), todo)
    if state.lane and not state.lane.open:
        found = f"the way to the cloud is stopped: {state.lane.reason}"
        return finding(name, found, goes_on(name, state.lane.reason))
    if not state.ready:
        found = "reads its own facts back" if state.gate == "closed" else "does not fold its topics"
        return finding(name, f"not ready: {found}", f"If it stays so, look into the log of {name}.")
    return Check(name, ok=True, found="ready")


def _database(name: str, about: About) -> Check:
    part, database = f"{name} database", about.database
    if database is None:
        todo = f"Is PostgreSQL running, at the address that {name} was started with? What waits goes on by itself."
        return Check(
            part,
            ok=False,
            found=f"does not answer {name} ({about.database_error})",
            todo=todo,
            code=Exit.UNREACHABLE,
        )
    tables = f"tables of revision {database.tables}" if database.tables else "no tables"
    found = f"PostgreSQL {database.version}, {show.size(database.size_bytes)}, {tables}"
    major = re.match(r"\d+", database.version)
    if major and int(major[0]) < POSTGRESQL_MIN:
        return finding(part, found, f"Upgrade to PostgreSQL {POSTGRESQL_MIN} or later.")
    if database.tables != database.tables_wanted:
        found += f"; the release of {name} that runs wants {database.tables_wanted}"
        return finding(part, found, f"ticketsync migrate {name}, or start {name} in the release of the tables.")
    return Check(part, ok=True, found=found)


def _clocks(name: str, about: About, *, before: datetime, after: datetime) -> Check:
    """The service against this machine, then the database and the cloud against the service."""
    ahead = {
        "service": _ahead(about.now, before=before, after=after),
        "database": about.database.ahead_s if about.database else None,
        # A Date header has whole seconds: it is up to one behind.
        "cloud": about.cloud.ahead_s if about.cloud else None,
    }
    wrong = {who: by for who, by in ahead.items() if by is not None and abs(by) > CLOCK_LIMIT_S}
    if wrong:
        return finding(f"{name} clock", ", ".join(_off(who, by) for who, by in wrong.items()), SET_BY_NTP)
    looked_at = ", ".join(who for who, by in ahead.items() if by is not None)
    return Check(f"{name} clock", ok=True, found=f"right within {CLOCK_LIMIT_S:g} s: {looked_at}")


def _ahead(told: datetime, *, before: datetime, after: datetime) -> float:
    """By how many seconds a clock is ahead at least, that was read between these times of ours; negative: behind."""
    return max((told - after).total_seconds(), 0.0) + min((told - before).total_seconds(), 0.0)


def _off(who: str, by_s: float) -> str:
    return f"{who} {abs(by_s):.0f} s {'ahead' if by_s > 0 else 'behind'}"


def _token(name: str, cloud: CloudPing) -> Check:
    if cloud.answers:
        return Check(f"{name} token", ok=True, found="the cloud accepts it")
    todo = {
        "Unauthorized": "Put a good token into CLOUDS_TOKEN (or the file of CLOUDS_TOKEN_FILE).",
        "NoRoute": "Is CLOUDS_URL the base address of the cloud application?",
    }.get(cloud.outcome, "Is the cloud there, and CLOUDS_URL right? What waits goes on by itself.")
    return finding(f"{name} token", f"ping: {cloud.message}", todo)


def _capabilities(name: str, cloud: CloudPing) -> Check:
    has = ", ".join(cloud.capabilities) or "none"
    lacks = [f"{one} ({means})" for one, means in CAPABILITIES.items() if one not in cloud.capabilities]
    found = f"has {has}" + (f"; lacks {', '.join(lacks)}" if lacks else "")
    if "ticket-info" not in cloud.capabilities:
        return finding(f"{name} cloud", found, "The cloud application has to offer it; see docs/cloud.md.")
    return Check(f"{name} cloud", ok=True, found=found)


def gravest(checks: Sequence[Check]) -> Exit:
    """The exit code: a missing setting, else an unreachable server, else anything else that needs a look."""
    order = (Exit.CONFIGURATION, Exit.UNREACHABLE, Exit.USAGE, Exit.FINDING)
    return next((code for code in order if any(one.code == code for one in checks)), Exit.OK)
