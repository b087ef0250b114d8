"""Who is asking: the name that the audit record of a link, an import or a resync shows."""

import getpass


def asks(given: str | None) -> str:
    """The name given, else the login name; a container may have neither."""
    if given:
        return given
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "ticketsync"
