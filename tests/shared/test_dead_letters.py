"""A dead letter is the record as it was, with its place and a reason from a closed list, and is counted once."""

import base64
from typing import get_args

from schemas.undecodable import Reason
from shared.metrics import FOLDED
from shared.producer import Outgoing
from tests.shared.folding import publish, running_process, topic_ends, until, until_read
from tests.shared.things import Things, a_record

BYTES = b'\xff\x00{"not": "json"'
HEADERS = [("ce_id", b"\xfe"), ("x-other", b"kept"), ("x-other", b"twice")]


def counted(things: Things, result: str) -> float:
    return float(FOLDED.labels(things.topic.name, result)._value.get())


async def test_the_bytes_and_the_place_are_kept(things: Things, kafka_bootstrap_servers: str) -> None:
    await publish(kafka_bootstrap_servers, [a_record(things.topic, "R1")])
    before = await topic_ends(kafka_bootstrap_servers, things.topic.name)
    await publish(kafka_bootstrap_servers, [Outgoing(things.topic.name, b"\xfd key", BYTES, HEADERS)])
    after = await topic_ends(kafka_bootstrap_servers, things.topic.name)
    [place] = [one for one in after if after[one] > before[one]]

    async with running_process(things, kafka_bootstrap_servers):
        await until(things.dead_letters)

    [row] = await things.rows('select topic, partition, "offset", key, value, headers::text, reason from dead_letter')
    assert (row["topic"], row["partition"], row["offset"]) == (things.topic.name, place.partition, before[place])
    assert (row["key"], row["value"]) == (b"\xfd key", BYTES)
    assert [base64.b64encode(value).decode() in row["headers"] for _, value in HEADERS] == [True] * 3
    assert row["reason"] == "bad_header"
    assert row["reason"] in get_args(Reason)


async def test_it_is_counted_once_however_often_it_is_read(things: Things, kafka_bootstrap_servers: str) -> None:
    broken = [a_record(things.topic, f"B{n}")._replace(value=b"{") for n in range(5)]
    await publish(kafka_bootstrap_servers, [a_record(things.topic, "R1"), *broken])

    async with running_process(things, kafka_bootstrap_servers):
        await until_read(things, kafka_bootstrap_servers)
        await things.change("update position set next_offset = 0")

        async def read_again() -> bool:
            return await things.times_applied() == {2}

        await until(read_again)
        await until_read(things, kafka_bootstrap_servers)

    assert len(await things.dead_letters()) == 5
    assert counted(things, "bad") == 5
