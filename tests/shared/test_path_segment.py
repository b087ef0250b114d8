"""An id stays one segment of a path, whatever it holds, all the way to the server."""

import httpx
import pytest

from shared.path_segment import path_segment


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("..", b"%2E%2E"),
        (".", b"%2E"),
        ("a/b?c#d", b"a%2Fb%3Fc%23d"),
        ("%2F", b"%252F"),
        ("a b", b"a%20b"),
        ("é", b"%C3%A9"),
    ],
)
def test_a_name_is_one_segment_whatever_it_holds(name: str, sent: bytes) -> None:
    path = httpx.URL(f"http://service/recordings/{path_segment(name)}").raw_path

    assert path == b"/recordings/" + sent
