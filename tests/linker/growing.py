"""Tables as they are after years: so many rows, all of recordings and requests that nobody asks for in the test."""

from tests.linker.running import Linker

# Every filename is that of many folders, as of a recorder that counts from 1 each day.
_RECORDINGS = """
    insert into recording (recording_id, processed_folder_id, processed_folder_name, processed_filename,
        requires_ticket, processed_at, revision, content_hash, processed_place, transferred_folder_id,
        transferred_filename, transfer_version, clouds_uuid, transferred_at, known_transfer_version, known_link_version)
    select 'old-' || n, folder, 'Label of ' || folder, filename, true, now(), 1, '', 1, folder, filename, 1, folder,
        now(), 1, 1
    from generate_series(1, cast(:rows as int)) n,
        lateral (select 'old-' || n / 5 as folder, 'call-' || n % 5 || '.wav' as filename) named
"""
_LINKS = """
    insert into link (recording_id, link_version, ticket, ticket_id, folder_id, filename, source, request_id,
        requested_at, occurred_at, last_request_id, last_requested_at)
    select recording_id, 2, '{"ticket_id":"T"}', 'T', folder_id, filename, 'event', 'second-' || recording_id, now(),
        now(), 'second-' || recording_id, now()
    from recording where recording_id like 'old-%'
"""
_HISTORY = """
    insert into link_history (recording_id, link_version, ticket, source, request_id, requested_at, occurred_at)
    select recording_id, 1, ticket, source, 'first-' || recording_id, requested_at, occurred_at
    from link where recording_id like 'old-%'
"""
_PARKED = """
    insert into parked_link (request_id, target, folder, filename, name_key, has_extension, ticket, keeps, source,
        requested_at, on_existing, parked_at, state)
    select 'waits-' || n, md5(state || n), 'unknown-' || n / 5, filename, filename, true, '{"ticket_id":"T"}', '[]',
        'event', now(), 'overwrite', now(), cast(:state as text)
    from generate_series(1, cast(:rows as int)) n, lateral (select 'call-' || n % 5 || '.wav' as filename) named,
        (select cast(:state as text) as state) of_state
"""
_REQUESTS = """
    insert into api_request select 'old-' || n, 'target', now() from generate_series(1, cast(:rows as int)) n
"""
_IMPORTS = """
    insert into import (import_id, filename, sha256, fingerprint, park, on_existing, dry_run, accepted_at, rows_total,
        rows_done, finished_at)
    select 'old-' || n, 'old.csv', '', 'old-' || n, true, 'overwrite', false, now(), 1, 1, now()
    from generate_series(1, cast(:rows as int)) n
"""
_PARTS = """
    insert into import_part (import_id, last_line, rows, content, outcomes, counts, need_a_look)
    select import_id, 2, 1, '[[]]', '[]', '{}', 0 from import where import_id like 'old-%'
"""


async def add_recordings(linker: Linker, named: str, **parameters: object) -> None:
    """Recordings that were processed, and no more; `named`: selects recording_id, folder_id, its label and filename."""
    await linker.change(
        f"""
        insert into recording (recording_id, processed_folder_id, processed_folder_name, processed_filename,
            requires_ticket, revision, content_hash, transfer_version, known_transfer_version, known_link_version)
        select named.*, true, 1, '', 0, 0, 0 from ({named}) named
        """,
        **parameters,
    )


async def grow(linker: Linker, *, rows: int) -> None:
    """So many rows more in each table that grows for ever, and half as many requests again that wait."""
    await linker.change(_RECORDINGS, rows=rows)
    for sql in (_LINKS, _HISTORY):
        await linker.change(sql)
    await park(linker, rows=rows // 2, state="parked")
    await park(linker, rows=rows, state="applied")
    for sql in (_REQUESTS, _IMPORTS):
        await linker.change(sql, rows=rows)
    await linker.change(_PARTS)


async def park(linker: Linker, *, rows: int, state: str) -> None:
    """So many requests in this state, for five filenames in as many folders as that takes."""
    await linker.change(_PARKED, rows=rows, state=state)


async def wait_to_be_heard(linker: Linker, *, rows: int, folder: str, import_id: str | None) -> None:
    """So many links that are to be announced, in folders of 100 whose ids begin with this."""
    await linker.change(
        """
        insert into unheard_link select folder || '-' || n, folder || '-' || n / 100, 1, cast(:import_id as text)
        from generate_series(1, cast(:rows as int)) n, (select cast(:folder as text) as folder) named
        """,
        rows=rows,
        folder=folder,
        import_id=import_id,
    )


async def begin_import(linker: Linker, import_id: str, *, parts: int) -> None:
    """An import of which no part is decided."""
    await linker.change(
        """
        insert into import (import_id, filename, sha256, fingerprint, park, on_existing, dry_run, accepted_at,
            rows_total, rows_done)
        values (:import_id, 'new.csv', '', '', true, 'overwrite', false, now(), :parts, 0)
        """,
        import_id=import_id,
        parts=parts,
    )
    await linker.change(
        """
        insert into import_part (import_id, last_line, rows, content)
        select :import_id, n, 1, '[[]]' from generate_series(1, cast(:parts as int)) n
        """,
        import_id=import_id,
        parts=parts,
    )
