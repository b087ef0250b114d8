"""Every class of faults, by name, with what makes it happen and counts how often it was seen.

`SHORT` is the form that every test run goes through, on one site: what stands in one line happens at the same time.
"""

from collections.abc import Awaitable, Callable, Mapping

from local.supervisor import EX_CONFIG
from ops.exits import Exit
from shared.service import EXIT_BUG
from tests.faults import faults_cloud as cloud
from tests.faults import faults_data as data
from tests.faults import faults_keyless as keyless
from tests.faults import faults_processes as processes
from tests.faults import faults_servers as servers
from tests.faults import faults_topics as topics
from tests.faults.process import EXIT_CRASHED
from tests.faults.run import Run
from tests.simulation.points import Point

Fault = Callable[[Run], Awaitable[int]]
ALL = ("linker", "transfer", "cloud_updater")
NEEDS_A_DISK = "the database's disk is full"

CLASSES: Mapping[str, Fault] = {
    "crash at polled": processes.crash_at(Point.POLLED, *ALL),
    "crash at folded": processes.crash_at(Point.FOLDED, *ALL),
    "crash at claimed, transfer": processes.crash_at(Point.CLAIMED, "transfer"),
    "crash at claimed, cloud_updater": processes.crash_at(Point.CLAIMED, "cloud_updater"),
    "crash at sending": processes.crash_at(Point.SENDING, "transfer", "cloud_updater"),
    "crash at answered, transfer": processes.crash_at(Point.ANSWERED, "transfer"),
    "crash at answered, cloud_updater": processes.crash_at(Point.ANSWERED, "cloud_updater"),
    "crash at recorded": processes.crash_at(Point.RECORDED, "transfer", "cloud_updater"),
    "crash at gathered": processes.crash_at(Point.GATHERED, *ALL),
    "crash at published": processes.crash_at(Point.PUBLISHED, *ALL),
    "crash at marked": processes.crash_at(Point.MARKED, "cloud_updater"),
    "killed": processes.killed,
    "told to stop in the middle": processes.told_to_stop,
    "stopped until the group has another owner": processes.two_owners,
    "slept through its lease before sending": processes.slept_before_sending,
    "slept through its lease with the answer": processes.slept_with_the_answer,
    "an announcer woke up late": processes.late_announcer,
    "an effect came late": cloud.late_effects,
    "the cloud failed": cloud.cloud_fails,
    "the cloud out for a while": cloud.cloud_away,
    "a cloud without idempotency keys": keyless.without_keys,
    **{
        one: data.needless(one)
        for one in ("said again", "an older request after a newer one", "an older revision after a newer one")
    },
    "more partitions": topics.repartitioned("RecordingProcessed", "TicketLinked"),
    "Kafka stopped": servers.kafka_stopped,
    "Kafka killed": servers.kafka_killed,
    "Kafka out of reach for 30 s": servers.kafka_out(30),
    "connections to PostgreSQL cut": servers.backends_terminated,
    "PostgreSQL restarted": servers.postgres_restarted,
    NEEDS_A_DISK: servers.disk_full,
    "a publish delivered, its answer lost": servers.answer_lost,
    "a publish acknowledged and lost": servers.acknowledged_and_lost,
    "a database's clock jumped": servers.clock_jumps,
    **{f"{one}'s database set back": data.set_back(one) for one in ALL},
    **{f"{one}'s database lost": data.lost(one) for one in ALL},
    **{f"{one}'s database set back at work": data.set_back_at_work(one) for one in ALL},
    **{f"{one}'s database lost at work": data.lost_at_work(one) for one in ALL},
    "positions moved back": data.positions_back,
    "the cloud's tickets wiped": data.tickets_wiped,
    "a folder lost in the cloud": data.folder_lost,
    **{f"{topic} made anew": topics.made_anew(topic) for topic in (*data.OWN.values(), *topics.OF_OTHERS)},
    **{f"{topic} made anew at work": topics.made_anew_at_work(topic) for topic in topics.ASKED_FOR},
}
# How processes of services may end while a class of faults is going on; under any other they must not end at all.
_CRASHES, _TOLD, _AWAY = f"exit {EXIT_CRASHED}", "exit 0", f"exit {Exit.UNREACHABLE:d}"
ENDS: Mapping[str, tuple[str, ...]] = {
    **{name: (_CRASHES,) for name in CLASSES if name.startswith("crash at ")},
    "killed": (processes.KILLED,),
    "told to stop in the middle": (_TOLD,),
    # One that was just starting, after a crash before, cannot begin without PostgreSQL.
    "PostgreSQL restarted": (_AWAY,),
    "connections to PostgreSQL cut": (_AWAY,),
    "a database's clock jumped": (_AWAY,),
    NEEDS_A_DISK: (_AWAY,),
    **{f"{one}'s database set back{how}": (_AWAY,) for one in ALL for how in ("", " at work")},
    # Without its tables a service ends; one copy makes them at its start, and the other may come before it.
    **{
        f"{one}'s database lost{how}": (f"exit {EXIT_BUG}", f"exit {EX_CONFIG}", _AWAY)
        for one in ALL
        for how in ("", " at work")
    },
}
SHORT: tuple[tuple[str, ...], ...] = (
    (
        "more partitions", "crash at answered, transfer", "crash at claimed, cloud_updater", "crash at folded",
        "a publish acknowledged and lost", "an effect came late", "said again",
    ),
    (
        "stopped until the group has another owner", "a publish delivered, its answer lost",
        "connections to PostgreSQL cut", "an older request after a newer one", "a cloud without idempotency keys",
    ),
    ("Kafka killed", "PostgreSQL restarted", "killed", "the cloud failed"),
    ("transfer's database set back",),
)  # fmt: skip
# People and other services at work meanwhile: what is to be seen in the short form needs fewer of them.
WORKERS, WORKERS_SHORT = 6, 3
