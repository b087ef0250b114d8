"""Ids as parts of a URL's path. They come from strangers and may hold anything: a slash, a percent sign, two dots.

In: an id. Out: one segment of a path, which no client and no server takes for several, or for the folder above.
"""

from urllib.parse import quote


def path_segment(name: str) -> str:
    """Percent-encoded, dots as well: httpx would leave out `.` and `..`."""
    return quote(name, safe="").replace(".", "%2E")
