"""What a seed's run is about: which moves are likely, in which kind of world.

Some rules are missed only if two or three things go wrong within a few moves and nothing mends it afterwards: the same
chance for every move would come there once in thousands of runs. So most runs are about anything, and the others about
one kind of trouble, with few moves that would hide what came of it.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from services.cloud_updater.decisions import MAX_FILES
from tests.simulation.cloud import FAULTS
from tests.simulation.processes import SERVICES

_WEIGHTS: Mapping[str, float] = {
    "run": 70, "go": 24, "crash": 6, "nap": 3, "advance": 12, "jump": 1, "commit_fails": 2, "back_up": 1,
    "set_back": 1, "lose": 0.5, "rebalance": 2, "compact": 1, "make_anew": 0.5, "arm": 8, "let_through": 3,
    "lose_record": 1, "publish_fails": 1.5,
    "lose_folder": 0.4, "wipe_tickets": 0.4, "process": 8, "ask": 14, "resync": 1.5, "poison": 0.7, "say_again": 3,
    "replay": 1, "lose_keys": 0.3, "outage": 0.7,
}  # fmt: skip
_CALM: Mapping[str, float] = {"go": 3, "advance": 1}
# What is pushed or published again for another reason hides that a rule was missed.
_HIDING = (
    "jump",
    "back_up",
    "set_back",
    "lose",
    "make_anew",
    "lose_record",
    "lose_folder",
    "resync",
    "wipe_tickets",
    "replay",
    "outage",
)
_PLAIN: Mapping[str, float] = {**dict.fromkeys(_HIDING, 0.0), "process": 1, "say_again": 0.5, "commit_fails": 0.5}


class Shape(NamedTuple):
    """What is the same through a run. `by_name`: some requests name a filename; then linker's database is not lost,
    because what was chosen for them stands only there. `settled`: all is uploaded and linked before the first fault.
    `files_a_request`: how many of a folder a push holds at most; with few, a folder of some owes several."""

    replicas: int
    honours_keys: bool
    compares_versions: bool
    by_name: bool
    settled: bool
    files_a_request: int = MAX_FILES


@dataclass(frozen=True)
class Theme:
    """`share`: how likely it is. `troubled`: whose processes crash and sleep. `stop_at`: where a process that goes on
    stands still, None if nowhere. `crash_at`: where one dies, None if where its tasks stand. Of the shape, what is None
    comes by chance. In the last `calm_moves` only what stands in `calm` is likely: nothing new is said, and little or
    nothing goes wrong."""

    name: str
    share: float
    weights: Mapping[str, float] = field(default_factory=dict)
    troubled: tuple[str, ...] = SERVICES
    stop_at: tuple[str | None, ...] = (None,)
    crash_at: tuple[str | None, ...] = (None, None, None, "published")
    faults: tuple[str, ...] = FAULTS
    advance_s: tuple[float, ...] = (0.1, 0.5, 1.0, 1.0, 5.0, 31.0, 50.0, 70.0)
    nap_s: tuple[float, ...] = (10.0, 20.0, 50.0, 120.0)
    replicas: int | None = None
    honours_keys: bool | None = None
    compares_versions: bool | None = None
    settled: bool | None = None
    calm_moves: int = 0
    calm: Mapping[str, float] = field(default_factory=lambda: _CALM)

    def chosen(self, chance: random.Random, *, left: int) -> str:
        """The kind of the next move; `left`: how many there will be with it."""
        weights = self.calm if left <= self.calm_moves else {**_WEIGHTS, **self.weights}
        return chance.choices(tuple(weights), tuple(weights.values()))[0]


ANYTHING = Theme("anything", share=0.3)
# What was sent takes effect after what was sent later, and nobody would send anything more.
LATE_PUSHES = Theme(
    "late pushes",
    share=0.1,
    weights={**_PLAIN, "run": 5, "go": 70, "crash": 28, "nap": 0, "arm": 5, "let_through": 1, "advance": 24},
    calm_moves=30,
    troubled=("cloud_updater",),
    stop_at=(None, None, None, "answered"),
    crash_at=("answered",),
    faults=("late_effect",),
    advance_s=(0.1, 0.5, 1.0, 1.0, 2.0),
    compares_versions=False,
    settled=True,
)
# What one transaction said is not yet done when the process is gone.
DEATHS = Theme(
    "deaths between two steps",
    share=0.1,
    weights={**_PLAIN, "run": 5, "go": 60, "crash": 20, "nap": 0, "arm": 0, "poison": 2},
    troubled=(*SERVICES, "cloud_updater"),
    crash_at=("polled", "claimed", "answered", "recorded", "gathered", "gathered", "gathered", "published"),
    calm_moves=30,
    calm={**_CALM, "crash": 1},
    settled=True,
)
# Everything is to be pushed again while a worker that slept has something under way.
WIPED = Theme(
    "the receiver wiped",
    share=0.1,
    weights={**_PLAIN, "run": 10, "go": 70, "crash": 0, "nap": 40, "arm": 0, "wipe_tickets": 3},
    calm_moves=30,
    troubled=("cloud_updater",),
    stop_at=(None, "sending", "answered", "answered"),
    advance_s=(0.1, 0.5, 1.0, 1.0, 2.0),
    nap_s=(20.0,),
    settled=True,
)
# A worker stands still between its last look at the lease and the sending, and sends when others have sent newer.
SLEEPERS = Theme(
    "sleepers",
    share=0.1,
    weights={**_PLAIN, "run": 10, "go": 70, "crash": 0, "nap": 20, "arm": 2, "advance": 24, "commit_fails": 6},
    calm_moves=30,
    troubled=("cloud_updater", "cloud_updater", "transfer"),
    stop_at=(None, "sending", "sending"),
    faults=("lost_answer",),
    advance_s=(0.1, 1.0, 2.0, 31.0, 70.0),
    nap_s=(50.0, 120.0, 200.0),
    replicas=2,
    compares_versions=False,
    settled=True,
)
# What is sent is not heard back, while the folders come into being.
UNCERTAIN_UPLOADS = Theme(
    "uncertain uploads",
    share=0.1,
    weights={**_PLAIN, "go": 50, "crash": 12, "nap": 0, "arm": 20, "process": 12, "lose_keys": 6, "outage": 1},
    troubled=("transfer",),
    crash_at=("answered", "claimed", None),
    faults=("lost_answer", "late_effect", "lost_effect"),
    settled=False,
)
# The cloud does nothing for a while, and there are no keys under which an upload could go again.
OUTAGES = Theme(
    "outages",
    share=0.05,
    weights={**_PLAIN, "run": 5, "go": 60, "crash": 1, "nap": 0, "arm": 0, "advance": 40, "outage": 4, "process": 6},
    advance_s=(1.0, 2.0, 5.0),
    honours_keys=False,
    settled=False,
)
# What was done is known to the topics alone.
LOST_DATABASES = Theme(
    "databases lost",
    share=0.1,
    weights={"lose": 4, "set_back": 4, "back_up": 3, "make_anew": 0, "replay": 0, "arm": 2, "ask": 24},
    settled=True,
)
# Kafka has acknowledged what a service said, and has lost it before that was read back.
LOST_RECORDS = Theme(
    "records lost",
    share=0.1,
    weights={**_PLAIN, "run": 20, "go": 40, "crash": 1, "nap": 0, "arm": 0, "lose_record": 12, "publish_fails": 4},
    stop_at=(None, "published", "published"),
    advance_s=(0.1, 0.5, 1.0),
    calm_moves=70,
)
THEMES = (ANYTHING, LATE_PUSHES, DEATHS, WIPED, SLEEPERS, UNCERTAIN_UPLOADS, OUTAGES, LOST_DATABASES, LOST_RECORDS)


def theme_of(chance: random.Random) -> Theme:
    """What a seed's run is about."""
    return chance.choices(THEMES, [one.share for one in THEMES])[0]


def shape_of(chance: random.Random, theme: Theme) -> Shape:
    """What a seed's world is like."""
    by_chance = Shape(
        replicas=chance.choice((1, 2)),
        honours_keys=chance.random() < 0.7,
        compares_versions=chance.random() < 0.4,
        by_name=chance.random() < 0.4,
        settled=chance.random() < 0.6,
    )
    given = {name: getattr(theme, name) for name in ("replicas", "honours_keys", "compares_versions", "settled")}
    return by_chance._replace(**{name: value for name, value in given.items() if value is not None})
