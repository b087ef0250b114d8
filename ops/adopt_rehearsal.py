"""What a dry run of `adopt` remembers of a file, so that its lines are judged as the real run judges them.

transfer judges a lot at a time and forgets a dry one, but in the real run every lot finds what those before it did.
Invariant: only what contradicts an earlier lot is judged here; all else, within the lot as well, is transfer's word,
once it has been asked without the lines that are contradicted.
Of a line short digests are kept, some 400 bytes in all, however long its names are; of a folder, its names.
"""

from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b

from ops.answers.adopted import AdoptedRecording
from schemas.adopted import Adopted

ELSEWHERE = "an earlier line of this file says that it is in another folder, under another uuid or filename"
FOLDER_ELSEWHERE = "an earlier line of this file says that folder {} is in the cloud as {}"
UUID_TAKEN = "an earlier line of this file says that this clouds_uuid is folder {}"
FILENAME_TAKEN = "an earlier line of this file says that {} of this folder is another recording"


Ask = Callable[[Sequence[Adopted]], Awaitable[Sequence[AdoptedRecording]]]


class Rehearsal:
    """What was taken over so far, as if it had been."""

    def __init__(self) -> None:
        # A recording → its folder, and its name there; a name of a folder → whose it is.
        self._places: dict[bytes, tuple[bytes, bytes]] = {}
        self._owners: dict[bytes, bytes] = {}
        self._uuids: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    async def judge(self, lot: Sequence[Adopted], ask: Ask) -> list[AdoptedRecording]:
        """What becomes of each line; `ask` tells what transfer says of some, which knows nothing of earlier lots.

        Where it would have taken a line that one of those contradicts, what it says of those behind that line does not
        hold: they are asked about again.
        """
        became: list[AdoptedRecording] = []
        while len(became) < len(lot):
            rest = lot[len(became) :]
            judged = [self._judge(said) for said in rest]
            asked = [said for said, known in zip(rest, judged, strict=True) if known is None]
            answers = iter(await ask(asked))
            for said, known in zip(rest, judged, strict=True):
                answer = known or next(answers)
                became.append(known or self._take(said, answer))
                if answer.outcome == "adopted" and became[-1].outcome == "conflict":
                    break
        return became

    def _judge(self, said: Adopted) -> AdoptedRecording | None:
        """What becomes of a line by those that were taken before; None: they say nothing against it."""
        return self._judge_recording(said) or self._judge_folder(said) or self._judge_name(said)

    def _take(self, said: Adopted, became: AdoptedRecording) -> AdoptedRecording:
        """Remember what transfer says of a line that `_judge` had nothing against. Returns what becomes of it.

        Its answer has the filename, which may be known by the RecordingProcessed alone; if nobody knows more of it than
        an earlier lot, that one is meant.
        """
        if became.reason == "incomplete" and _short(said.recording_id) in self._places:
            return AdoptedRecording(recording_id=said.recording_id, outcome="already")
        if became.outcome == "conflict" or became.filename is None:
            return became
        whole = said.model_copy(update={"filename": became.filename})
        known = self._judge_recording(whole) or self._judge_name(whole)
        if known is None and became.outcome == "adopted":
            recording, name = _short(said.recording_id), _short(said.folder_id, became.filename)
            self._places[recording] = (_short(said.folder_id, said.clouds_uuid), name)
            self._owners[name] = recording
            self._uuids[said.folder_id] = said.clouds_uuid
            self._folders[said.clouds_uuid] = said.folder_id
        return known or became

    def _judge_recording(self, said: Adopted) -> AdoptedRecording | None:
        place = self._places.get(_short(said.recording_id))
        if place is None:
            return None
        folder, name = place
        if folder != _short(said.folder_id, said.clouds_uuid):
            return _conflict(said, "already_elsewhere", ELSEWHERE)
        if said.filename is None:
            return None
        if name != _short(said.folder_id, said.filename):
            return _conflict(said, "already_elsewhere", ELSEWHERE)
        return AdoptedRecording(recording_id=said.recording_id, outcome="already")

    def _judge_folder(self, said: Adopted) -> AdoptedRecording | None:
        clouds_uuid = self._uuids.get(said.folder_id, said.clouds_uuid)
        if clouds_uuid != said.clouds_uuid:
            return _conflict(said, "folder_elsewhere", FOLDER_ELSEWHERE.format(said.folder_id, clouds_uuid))
        folder_id = self._folders.get(said.clouds_uuid, said.folder_id)
        if folder_id != said.folder_id:
            return _conflict(said, "uuid_taken", UUID_TAKEN.format(folder_id))
        return None

    def _judge_name(self, said: Adopted) -> AdoptedRecording | None:
        owner = None if said.filename is None else self._owners.get(_short(said.folder_id, said.filename))
        if owner in {None, _short(said.recording_id)}:
            return None
        return _conflict(said, "filename_taken", FILENAME_TAKEN.format(said.filename))


def _conflict(said: Adopted, reason: str, message: str) -> AdoptedRecording:
    return AdoptedRecording(recording_id=said.recording_id, outcome="conflict", reason=reason, message=message)


def _short(*names: str) -> bytes:
    """No name holds a NUL."""
    return blake2b("\0".join(names).encode(), digest_size=16).digest()
