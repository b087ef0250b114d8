"""A record that Kafka has acknowledged and lost, with another at its offset by the time it would have been heard.

The publishing service remembers what it has published and where. If that alone said what came back, the lost fact would
count as heard and never be published again.
"""

import zlib
from collections.abc import Callable, Iterator
from itertools import combinations

import pytest
from aiokafka import TopicPartition

from tests.simulation.broker import PARTITIONS, Broker
from tests.simulation.healing import check_promises, heal
from tests.simulation.processes import SERVICES
from tests.simulation.runs import close
from tests.simulation.seams import modelled
from tests.simulation.themes import Shape
from tests.simulation.world import World

LINKED, TRANSFERRED = "TicketLinked", "RecordingTransferred"
IDS = ("R1", "R2", "R3")
# Of one partition.
LOST, AT_ITS_PLACE = next(
    two for two in combinations(IDS, 2) if len({zlib.crc32(one.encode()) % PARTITIONS for one in two}) == 1
)
PARTITION = zlib.crc32(LOST.encode()) % PARTITIONS
STEPS = 40


@pytest.fixture
def world() -> Iterator[World]:
    with modelled():
        made = World(Shape(replicas=1, honours_keys=True, compares_versions=False, by_name=False, settled=False), 1)
        yield made
        close(made)


def _run(world: World, service: str, *names: str) -> None:
    for _ in range(STEPS):
        for name in names:
            world.run(service, 0, name)


def _come_to_rest(world: World) -> None:
    for _ in range(6):
        for service in SERVICES:
            world.go(service, 0)
        world.advance(1.0)


def _cut_back(broker: Broker, topic: str) -> None:
    """As after a crash of the machine, before anything was written to its disk."""
    broker.lose_last(TopicPartition(topic, PARTITION))


def _make_anew(broker: Broker, topic: str) -> None:
    broker.make(topic)


@pytest.mark.parametrize("lose", [_cut_back, _make_anew])
def test_a_link_that_kafka_has_lost_is_announced_again(world: World, lose: Callable[[Broker, str], None]) -> None:
    for one in IDS:
        world.process(one, 1)
    _come_to_rest(world)
    world.ask(1, LOST, 11, 0.0, by_name=False)
    _run(world, "linker", "read:TicketLinkRequested", "fold:TicketLinkRequested", "announce_links")
    published = [record.key for record in world.broker.logs[TopicPartition(LINKED, PARTITION)]]

    lose(world.broker, LINKED)
    world.ask(2, AT_ITS_PLACE, 22, 0.0, by_name=False)
    _run(world, "linker", "read:TicketLinkRequested", "fold:TicketLinkRequested", "announce_links")
    _run(world, "linker", f"read:{LINKED}", f"fold:{LINKED}")

    assert published == [LOST.encode()]
    heal(world)
    check_promises(world)


@pytest.mark.parametrize("behind", [0, 1])
def test_a_link_that_kafka_has_lost_while_its_topic_was_read_again_is_announced_again(
    world: World, behind: int
) -> None:
    """For the replay its position stood before what was lost, so that the topic did not look too short."""
    for one in IDS:
        world.process(one, 1)
    world.ask(1, LOST, 11, 0.0, by_name=False)
    world.ask(2, AT_ITS_PLACE, 22, 0.0, by_name=False)
    _come_to_rest(world)

    world.replay("linker", LINKED, behind)
    for _ in range(2 - behind):
        world.lose_record(LINKED, PARTITION)

    assert world.still_lost(LINKED)
    heal(world)
    check_promises(world)


def test_a_transfer_that_kafka_has_lost_is_announced_again(world: World) -> None:
    def upload(recording: str) -> None:
        world.process(recording, 1)
        for _ in range(4):
            _run(
                world,
                "transfer",
                "read:RecordingProcessed",
                "fold:RecordingProcessed",
                "gate",
                "ping_cloud",
                "upload_recordings",
            )
            world.advance(2.0)
        _run(world, "transfer", "announce_transfers")

    _come_to_rest(world)
    upload(LOST)
    published = [record.key for record in world.broker.logs[TopicPartition(TRANSFERRED, PARTITION)]]

    _cut_back(world.broker, TRANSFERRED)
    upload(AT_ITS_PLACE)
    _run(world, "transfer", f"read:{TRANSFERRED}", f"fold:{TRANSFERRED}")

    assert published == [LOST.encode()]
    world.ask(1, LOST, 11, 0.0, by_name=False)
    heal(world)
    check_promises(world)
