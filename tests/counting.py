"""What a service makes PostgreSQL do, in counts that no machine changes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
from sqlalchemy import text

from shared.database import Database
from tests.sent import sent_to


@dataclass
class Counted:
    """What happened in a block: statements sent, row versions written, by table rows read in passing over all of it and
    rows looked up by an index, and bytes of WAL (PostgreSQL 18 and later).

    Entries that are passed over within an index, without a look at their rows, do not count.
    """

    statements: int = 0
    written: int = 0
    passed_over: dict[str, int] = field(default_factory=dict)
    looked_up: dict[str, int] = field(default_factory=dict)
    wal_bytes: int | None = None

    def looked_at(self, table: str) -> int:
        """Rows of it, whether they were looked up or passed over."""
        return self.passed_over[table] + self.looked_up[table]


@asynccontextmanager
async def counting(database: Database) -> AsyncIterator[Counted]:
    """Counts when the block ends."""
    counted = Counted()

    before = await _totals(database)
    with sent_to(database) as sent:
        yield counted
    counted.statements = sum("pg_stat" not in statement.text for statement in sent)
    after = await _totals(database)
    counted.written = after.written - before.written
    counted.passed_over = {table: rows - before.passed_over[table] for table, rows in after.passed_over.items()}
    counted.looked_up = {table: rows - before.looked_up[table] for table, rows in after.looked_up.items()}
    if after.wal_bytes is not None and before.wal_bytes is not None:
        counted.wal_bytes = after.wal_bytes - before.wal_bytes


async def _totals(database: Database) -> Counted:
    """So far, but for statements.

    Pages that are written whole do not count, as each is for the first time after a checkpoint: another database's end
    makes one.
    """
    pool = database._engine.sync_engine.pool
    idle = [await database._engine.connect() for _ in range(pool.checkedin())]  # type: ignore[attr-defined]
    for connection in idle:
        await connection.exec_driver_sql("select pg_stat_force_next_flush()")
        await connection.close()
    async with database.transaction() as connection:
        found = await connection.execute(
            text("""
                select relname, n_tup_ins + n_tup_upd + n_tup_del as written, seq_tup_read,
                    coalesce(idx_tup_fetch, 0) as found from pg_stat_user_tables
            """)
        )
    rows = found.all()
    return Counted(
        written=sum(row.written for row in rows),
        passed_over={row.relname: row.seq_tup_read for row in rows},
        looked_up={row.relname: row.found for row in rows},
        wal_bytes=await _wal_bytes(database),
    )


async def _wal_bytes(database: Database) -> int | None:
    try:
        async with database.transaction() as connection:
            written = await connection.scalar(
                text("""
                    select sum(w.wal_bytes - w.wal_fpi * 8192)::bigint
                    from pg_stat_activity a, pg_stat_get_backend_wal(a.pid) w
                    where a.datname = current_database() and a.backend_type = 'client backend'
                """)
            )
    except Exception as error:
        if not isinstance(error.__cause__ and error.__cause__.__cause__, asyncpg.UndefinedFunctionError):
            raise
        return None
    return int(written or 0)
