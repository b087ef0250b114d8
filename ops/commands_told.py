"""Writes parts of commands that are told to a person, for the shell that they will be typed into."""

import shlex


def argument(value: str) -> str:
    """The last argument of a command, after its options: behind -- if it would be taken for one of them."""
    return f"-- {shlex.quote(value)}" if value.startswith("-") else shlex.quote(value)
