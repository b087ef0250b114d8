"""A fact as the record that announces it: CloudEvents in binary mode, with an id and a trace that never change.

The same fact published twice is byte for byte the same. All facts about one recording share a trace id, made from the
recording's id, so a tracing tool shows a recording's whole way through the services without any state here.
"""

import hashlib
import zlib
from datetime import datetime

from schemas.envelope import encode
from schemas.events import Event
from schemas.topics import Topic
from shared.own_records import Skimmed
from shared.producer import Outgoing


def as_record(
    topic: Topic,
    event: Event | tuple[type[Event], bytes],
    *,
    key: str,
    version: str,
    source: str,
    time: datetime,
    says: Skimmed | None = None,
) -> Outgoing:
    """The record of `event` under `key`; `version` is the fact's own order, `source` the service's name."""
    event_id = f"{key}:{version}"
    encoded = encode(
        event,
        source=f"ticketsync/{source}",
        event_id=event_id,
        time=time,
        subject=key,
        traceparent=_traceparent(key, f"{topic.name}:{version}"),
    )
    return Outgoing(topic.name, key.encode(), encoded.value, encoded.headers, says)


def _traceparent(key: str, fact: str) -> str:
    """W3C Trace Context. A span's id only has to differ from others of its trace: a checksum does, a hash is dearer."""
    trace = hashlib.sha256(key.encode()).hexdigest()
    return f"00-{trace[:32]}-{zlib.crc32(fact.encode()):08x}{trace[32:40]}-01"
