"""A fact as the record that announces it: CloudEvents in binary mode, with an id and a trace that never change.

The same fact published twice is byte for byte the same. All facts about one recording share a trace id, made from the
recording's id, so a tracing tool shows a recording's whole way through the services without any state here.
"""

import hashlib
import zlib
from datetime import datetime
from functools import cache, lru_cache

from schemas.envelope import constant_headers, rfc3339
from schemas.events import Event
from schemas.topics import Topic
from shared.own_records import Skimmed
from shared.producer import Outgoing

# SQL: a column that is a timestamptz, as events write it.
WRITTEN = """replace(to_char({column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000Z', 'Z')"""


def as_record(
    topic: Topic, event: Event, *, key: str, version: str, source: str, time: datetime, says: Skimmed | None = None
) -> Outgoing:
    """The record of `event` under `key`; `version` is the fact's own order, `source` the service's name."""
    value = event.as_json()
    return facts_of(topic, source).record(value, key=key, version=version, time=rfc3339(time), says=says)


class Facts:
    """Makes the records of a topic's event; what they have in common is made once."""

    def __init__(self, topic: Topic, source: str) -> None:
        if topic.event is None:
            raise ValueError(f"{topic.name} holds any bytes, not events")
        self._alike = constant_headers(topic.event, f"ticketsync/{source}")
        self._topic = topic.name

    def record(self, value: bytes, *, key: str, version: str, time: bytes, says: Skimmed | None = None) -> Outgoing:
        """Of a fact as JSON, which was valid when it was stored. `time` as events write it."""
        name = key.encode()
        trace = hashlib.sha256(name).hexdigest()
        # W3C Trace Context.
        traceparent = f"00-{trace[:32]}-{_span(f'{self._topic}:{version}')}{trace[32:40]}-01"
        headers = [
            *self._alike,
            ("ce_id", f"{key}:{version}".encode()),
            ("ce_time", time),
            ("ce_subject", name),
            # W3C's own header, without ce_: it belongs to the transport and not to the event.
            ("traceparent", traceparent.encode()),
        ]
        return Outgoing(self._topic, name, value, headers, says)


facts_of = cache(Facts)


@lru_cache(maxsize=1_000)
def _span(fact: str) -> str:
    """Half of a span's id, which only has to differ from others of its trace: a checksum does, a hash is dearer."""
    return f"{zlib.crc32(fact.encode()):08x}"
