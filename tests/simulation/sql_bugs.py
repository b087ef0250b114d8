"""Deliberate bugs in SQL: each takes one rule out of the stores' statements, on their way to PostgreSQL.

The simulation cannot see them, for it runs over models; the contract between models and SQL must. Each rule has a
situation in which it alone decides (situations.py), and that is what must notice that it is gone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.simulation import rules_of_linker, rules_of_plumbing, rules_of_transfer, rules_of_updater
from tests.simulation.situations import Rule, differs

RULES: Sequence[Rule] = (
    *rules_of_plumbing.RULES,
    *rules_of_linker.RULES,
    *rules_of_transfer.RULES,
    *rules_of_updater.RULES,
)


async def noticed(rule: Rule, engine: AsyncEngine) -> str | None:
    """The answer that differs without it, in words; None if none does, or if nothing was taken out."""
    with _taken_out(rule, engine) as changed:
        answer = await differs(rule.situation, rule.service, engine)
    return answer if changed == {stands for stands, _ in rule.cuts} else None


@contextmanager
def _taken_out(rule: Rule, engine: AsyncEngine) -> Iterator[set[str]]:
    changed: set[str] = set()

    def change(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: Any) -> tuple[str, Any]:  # noqa: ANN401
        for stands, instead in rule.cuts:
            if stands in statement:
                changed.add(stands)
                statement = statement.replace(stands, instead)
        return statement, parameters

    event.listen(engine.sync_engine, "before_cursor_execute", change, retval=True)
    try:
        yield changed
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", change)
