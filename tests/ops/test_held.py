"""What waits for a person, and what it takes to hold very much of it."""

from ops.held import Held, RejectedCase
from ops.held_decisions import Decided, Decisions


def test_what_a_command_returns_from_its_loop_is_not_written_out_by_it() -> None:
    """asyncio.run makes a repr of it, which for 200,000 recordings takes 55 MB."""
    held = Held([], [RejectedCase("R", "F", "refused")] * 1_000)
    decided = Decisions(items=[Decided("done", "F", "R")] * 1_000)

    assert len(repr(held)) < 100
    assert len(repr(decided)) < 100
