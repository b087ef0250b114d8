"""Who is asking: the name that the audit record of a link, an import or a resync shows."""

import getpass

from pydantic import TypeAdapter, ValidationError

from ops.exits import WrongInput
from schemas.fields import Text255


def asks(given: str | None) -> str:
    """The name given, else the login name; a container may have neither. Raises WrongInput."""
    if given is not None:
        return _usable(given)
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "ticketsync"


def _usable(given: str) -> str:
    try:
        return TypeAdapter(Text255).validate_python(given)
    except ValidationError:
        raise WrongInput("--by has to be a name of 1 to 255 characters, none of them a control character") from None
