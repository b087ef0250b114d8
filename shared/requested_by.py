"""Who asks for something through a service's HTTP API: the header X-Requested-By, the same on every writing route.

The token says which system calls, this says for whom, so that the audit record has a name. It is a name and no proof.
A header carries bytes; they are read as UTF-8, so a name may be written as it is.
"""

from typing import Annotated

from fastapi import Header
from pydantic import BeforeValidator

from schemas.fields import Text255
from shared.callers import REQUESTED_BY


def _utf8(given: object) -> object:
    """Servers hand on each byte of a header as one character."""
    if not isinstance(given, str):
        return given
    try:
        return given.encode("latin-1").decode()
    except UnicodeError:
        raise ValueError("a name is text in UTF-8") from None


RequestedBy = Annotated[
    Annotated[Text255, BeforeValidator(_utf8)] | None,
    Header(alias=REQUESTED_BY, description="who asks, for the audit record; UTF-8, 255 characters at most"),
]
