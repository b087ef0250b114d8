"""Arrays that are given to PostgreSQL as text are read as what they were."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.arrays import joined, json_lines, with_arrays
from shared.database import Database, is_refused

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")) | st.sampled_from(
    ['"', "\\", "NULL", "null", "{}", ",", '","', " a ", "", "\\u0041", "'", "a\nb"]
)
TIME = st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001  # hypothesis wants it so
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    made = Database(database_url)
    yield made
    await made.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    some_texts=st.lists(TEXT | st.none()),
    whole=st.lists(TEXT),
    some_numbers=st.lists(st.integers(-(2**63), 2**63 - 1) | st.none()),
    some_flags=st.lists(st.booleans()),
    some_moments=st.lists(TIME | st.none()),
    some_bytes=st.lists(st.binary(max_size=40) | st.none()),
    some_uuids=st.lists(st.uuids()),
)
async def test_what_goes_in_comes_out(
    database: Database,
    some_texts: list[str | None],
    whole: list[str],
    some_numbers: list[int | None],
    some_flags: list[bool],
    some_moments: list[datetime | None],
    some_bytes: list[bytes | None],
    some_uuids: list[UUID],
) -> None:
    given_arrays = [some_texts, whole, some_numbers, some_flags, some_moments, some_bytes, some_uuids]
    kinds = ["text", "text", "bigint", "boolean", "timestamptz", "bytea", "uuid"]
    select = ", ".join(f"cast(:a{place} as {kind}[])" for place, kind in enumerate(kinds))

    async with database.transaction() as connection:
        row = await connection.execute(
            with_arrays(f"select {select}"), {f"a{place}": array for place, array in enumerate(given_arrays)}
        )

    assert list(row.one()) == given_arrays


@pytest.mark.parametrize("values", [["a\0b"], ["\0,\0"], ["\0-\0", None], ["\0"]])
async def test_a_text_with_a_nul_is_refused_by_the_database(database: Database, values: list[str | None]) -> None:
    with pytest.raises(DBAPIError) as raised:
        async with database.transaction() as connection:
            await connection.execute(with_arrays("select cast(:array as text[])"), {"array": values})

    assert is_refused(raised.value)


def test_a_parameter_that_is_an_array_in_one_place_only_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="parameter ids"):
        with_arrays("select 1 where 'a' = any(:ids) or 'b' = any(cast(:ids as text[]))")


@pytest.mark.parametrize("values", [[], [b""], [b"a", b"", "ä😀".encode(), b"\x00\\"]])
async def test_values_one_behind_the_other_are_found_again(database: Database, values: list[bytes]) -> None:
    one_behind_the_other = joined(values)

    async with database.transaction() as connection:
        found = await connection.scalars(
            with_arrays("""
                select substring(cast(:content as bytea) from begins for length)
                from unnest(cast(:begins as int[]), cast(:lengths as int[])) with ordinality
                    as u (begins, length, place)
                order by place
            """),
            one_behind_the_other._asdict(),
        )
        assert list(found) == values


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(TEXT.map(lambda text: to_json({"name": text}))))
async def test_json_line_by_line_is_found_again(database: Database, values: list[bytes]) -> None:
    async with database.transaction() as connection:
        found = await connection.scalars(
            text("select * from unnest(string_to_array(:lines, chr(10)))"), {"lines": json_lines(values)}
        )

    assert [one.encode() for one in found] == values


def test_what_is_more_than_a_line_would_be_taken_apart_wrongly() -> None:
    with pytest.raises(ValueError, match="more than a line"):
        json_lines([b'{"name":1}', b'{\n"name":2}'])
