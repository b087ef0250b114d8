"""What an operator's word about a request of unknown outcome means: for the request, its recordings and its folder.

In: the word, and what is known of the request. Out: what the cloud's answer would have meant (answers.py), or that the
word does not fit. Pure.
"""

from dataclasses import dataclass
from typing import Literal, assert_never

from schemas.fields import CloudsUuid, RecordingId
from services.transfer.answers import GIVEN_UP_BEGINS, Narrow, Release, Transferred
from services.transfer.lots import MAX_FILES

GIVEN_UP = GIVEN_UP_BEGINS + "an operator gave up on its upload, of which the outcome is unknown"
GIVEN_UP_MISSING = GIVEN_UP_BEGINS + "an operator gave up on its upload into a folder that the cloud has lost"
Answer = Literal["exists_as", "send_again", "give_up"]


@dataclass(frozen=True)
class Unfit:
    """The answer does not fit the request that it is about."""

    why: str


def decide_answer(
    answer: Answer,
    *,
    sent_to: CloudsUuid | None,
    exists_as: CloudsUuid | None,
    recording_ids: tuple[RecordingId, ...],
) -> Transferred | Narrow | Release | Unfit:
    """What follows from an operator's word about a request of unknown outcome; `sent_to`: the folder of an inject."""
    match answer:
        case "exists_as":
            clouds_uuid = sent_to or exists_as
            if clouds_uuid is None:
                return Unfit("clouds_uuid is needed: a new folder was to be made, only the cloud knows its uuid")
            if exists_as not in {None, clouds_uuid}:
                return Unfit("clouds_uuid differs from the folder that the files were sent to")
            return Transferred(clouds_uuid, MAX_FILES)
        case "send_again":
            return Release("an operator said: send again", 0)
        case "give_up":
            return Narrow("an operator gave up", dict.fromkeys(recording_ids, GIVEN_UP), MAX_FILES, newer_too=True)
        case never:
            assert_never(never)
