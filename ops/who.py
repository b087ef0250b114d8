"""Who is asking: the name that the audit record of a link, an import or a resync shows."""

import getpass

from pydantic import TypeAdapter, ValidationError

from ops.exits import WrongInput
from schemas.fields import Text255

NOBODY = "ticketsync"


def asks(given: str | None) -> str:
    """The name given, else the login name; a container may have neither. Raises WrongInput."""
    if given is not None:
        if (name := _usable(given)) is None:
            raise WrongInput("--by has to be a name of 1 to 255 characters, none of them a control character")
        return name
    try:
        return _usable(getpass.getuser()) or NOBODY
    except (OSError, KeyError):
        return NOBODY


def _usable(given: str) -> str | None:
    """Without the blanks around it, which no header can hold."""
    try:
        return TypeAdapter(Text255).validate_python(given.strip(" "))
    except ValidationError:
        return None
