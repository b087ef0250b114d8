"""What a service tells of where it runs, while a part of that is away."""

import asyncpg
from sqlalchemy.exc import DBAPIError

from shared.about import about
from shared.database import Database, in_short


async def test_a_database_that_does_not_answer_is_told_and_hides_nothing_else() -> None:
    told = await about("linker", Database("postgresql+asyncpg://nobody:hidden@127.0.0.1:1/none"), None)

    assert (told.service, told.database) == ("linker", None)
    assert told.database_error == "ConnectionRefusedError"


async def test_why_a_database_does_not_answer_is_told_in_its_own_words(database_url: str) -> None:
    told = await about("linker", Database(f"{database_url}_that_is_not_there"), None)

    assert "_that_is_not_there" in (told.database_error or "")
    assert "does not exist" in (told.database_error or "")


async def test_a_database_without_tables_is_told_and_no_defect(database_url: str) -> None:
    database = Database(database_url)
    told = await about("linker", database, None)
    await database.close()

    assert told.database
    assert (told.database.tables, told.database.tables_wanted) == (None, "0001")


def test_of_what_postgresql_says_only_its_first_line_is_told() -> None:
    said = asyncpg.TooManyConnectionsError("sorry, too many clients already")
    said.detail = "of John Doe"
    wrapped = Exception("the same, wrapped")
    wrapped.__cause__ = said

    assert "John Doe" in str(said)
    assert in_short(DBAPIError("select 1", {}, wrapped)) == in_short(said) == "sorry, too many clients already"
