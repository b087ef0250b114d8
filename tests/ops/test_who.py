"""In whose name a command asks."""

import pytest

from ops.exits import WrongInput
from ops.who import asks


def test_blanks_around_a_name_which_no_header_can_hold_are_left_out() -> None:
    assert asks(" ann of sales ") == "ann of sales"


@pytest.mark.parametrize("name", ["", "  ", "ann\n", "a" * 256, "ann\udcff"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(WrongInput, match="--by"):
        asks(name)


def test_a_login_name_that_cannot_be_sent_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann\n")

    assert asks(None) == "ticketsync"
