"""What a service tells of where it runs, while a part of that is away."""

from shared.about import about
from shared.database import Database


async def test_a_database_that_does_not_answer_is_told_and_hides_nothing_else() -> None:
    told = await about("linker", Database("postgresql+asyncpg://nobody:hidden@127.0.0.1:1/none"), None)

    assert (told.service, told.database) == ("linker", None)
    assert told.database_error
    assert "hidden" not in told.model_dump_json()
