"""Why a record is no event of its topic: reasons from a closed list, for machines, and words for people.

The words name fields and rules, never content: they are written to logs and to dead letters' headers, and transcripts
and customers' names must not get there.
"""

from typing import Literal

Reason = Literal[
    "malformed_json",  # not JSON, or not UTF-8
    "schema_invalid",  # JSON that breaks a rule of the event
    "bad_header",  # content-type or a ce_ header that cannot be read
    "bad_envelope",  # a CloudEvent without what every CloudEvent has
    "unknown_type",  # an event that does not belong on this topic
    "unknown_version",  # a major version that this release does not know
    "missing_key",  # no key on a compacted topic
    "key_mismatch",  # a key that would erase another one's fact
    "too_large",
    "unstorable",  # valid, but the database refused it
    "unlinkable",  # valid, but no link can be made of it
]


class Undecodable(Exception):
    """A record that is no event of its topic: `reason` for machines, `error` for people."""

    def __init__(self, reason: Reason, error: str) -> None:
        super().__init__(f"{reason}: {error}")
        self.reason: Reason = reason
        self.error = error
