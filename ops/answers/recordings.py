"""Folders and recordings, as linker knows them."""

from ops.answers import Answer, PageOf, State


class Folder(Answer):
    """A folder with the number of its recordings, and of those that the cloud has."""

    folder_id: str
    folder_name: str | None
    recordings: int
    transferred: int


class Folders(PageOf[Folder]):
    """Folders that fit a question, a page of them."""


class Recording(Answer):
    """What a command needs to know of one recording."""

    recording_id: str
    folder_id: str
    folder_name: str | None
    filename: str
    state: State


class Recordings(PageOf[Recording]):
    """Recordings that fit a question, a page of them."""


class RecordingIds(PageOf[tuple[str, str]]):
    """A page of recordings as (folder_id, recording_id)."""
