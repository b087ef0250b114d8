"""Imports in steps: a spreadsheet is uploaded, looked at, mapped, tried, and then imported."""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.linker.accept_imports import Upload
from services.linker.keep_uploads import PART_BYTES, KeepUploads
from tests.linker.given import a_recording
from tests.linker.importing import outcomes, rows_of
from tests.linker.running import MAX_BODY, Linker
from tests.linker.spreadsheets import workbook

FILE = "CaseNo,Datei,Kunde\nT-1,R1.wav,José\nT-2,new.wav,\n,R2.wav,x\n"
MAPPING = {"map": ["ticket_id=CaseNo", "recording_name=Datei", "customer_name=Kunde"]}


async def uploaded(linker: Linker, content: str | bytes, filename: str = "export.csv") -> httpx.Response:
    async with linker.api() as api:
        return await api.post(
            "/uploads",
            params={"filename": filename},
            content=content.encode() if isinstance(content, str) else content,
        )


async def kept(linker: Linker, content: str | bytes = FILE, filename: str = "export.csv") -> dict[str, Any]:
    answer = await uploaded(linker, content, filename)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_an_upload_shows_its_columns_and_rows_and_imports_nothing(linker: Linker) -> None:
    shown = await kept(linker)

    assert shown["columns"] == ["CaseNo", "Datei", "Kunde"]
    assert (shown["mapping"], shown["missing"]) == ({}, ["recording_name", "ticket_id"])
    assert shown["rows"] == [
        {"line": 2, "cells": ["T-1", "R1.wav", "José"]},
        {"line": 3, "cells": ["T-2", "new.wav", ""]},
        {"line": 4, "cells": ["", "R2.wav", "x"]},
    ]
    assert shown["size_bytes"] == len(FILE.encode())
    assert await linker.rows("select * from import") == []


async def test_the_whole_way_from_the_upload_to_the_links(linker: Linker) -> None:
    await linker.fold(a_recording("R1"), a_recording("R2"))
    upload_id = (await kept(linker))["upload_id"]

    async with linker.api() as api:
        mapped = (await api.get(f"/uploads/{upload_id}", params=MAPPING)).json()
        tried = (await api.post(f"/uploads/{upload_id}/imports", params={**MAPPING, "dry_run": "true"})).json()
    while await linker.import_lot():
        pass
    report = outcomes(await rows_of(linker, tried["import_id"]))
    untouched = await linker.link("R1")
    async with linker.api() as api:
        counted = (await api.get(f"/imports/{tried['import_id']}")).json()["counts"]
        done = (await api.post(f"/uploads/{upload_id}/imports", params=MAPPING)).json()
    while await linker.import_lot():
        pass

    assert mapped["mapping"] == {"recording_name": "Datei", "ticket_id": "CaseNo", "customer_name": "Kunde"}
    assert mapped["missing"] == []
    assert report == [(2, "matched"), (3, "parked"), (4, "invalid")]
    assert counted == {"matched": 1, "parked": 1, "invalid": 1}
    assert untouched is None
    assert outcomes(await rows_of(linker, done["import_id"])) == report
    assert await linker.link("R1") == (1, "T-1")


async def test_an_import_in_steps_is_the_same_as_one_in_one_go(linker: Linker) -> None:
    csv = "filename,ticket_id\nR1.wav,T-1\n"
    upload_id = (await kept(linker, csv))["upload_id"]
    async with linker.api() as api:
        first = (await api.post(f"/uploads/{upload_id}/imports", params={"linked_by": "ann"})).json()
        while await linker.import_lot():
            pass
        again = (await api.post("/imports", params={"filename": "other.csv"}, content=csv.encode())).json()

    assert again == {"import_id": first["import_id"], "repeated": True}


async def test_a_workbook_is_looked_at_sheet_by_sheet(linker: Linker) -> None:
    book = workbook({"one": [("file", "id"), ("a.wav", 1)], "two": [("x", "y"), ("b", 2)]})
    shown = await kept(linker, book, "t.xlsx")
    async with linker.api() as api:
        other = (await api.get(f"/uploads/{shown['upload_id']}", params={"sheet": "two"})).json()
        none = await api.get(f"/uploads/{shown['upload_id']}", params={"sheet": "three"})

    assert (shown["mapping"], shown["rows"]) == (
        {"recording_name": "file", "ticket_id": "id"},
        [{"line": 2, "cells": ["a.wav", "1"]}],
    )
    assert other["columns"] == ["x", "y"]
    assert (none.status_code, none.json()["errors"][0]["field"]) == (422, "file")


async def test_a_preview_is_short_whatever_the_file_is(linker: Linker) -> None:
    rows = "".join(f"{'ü' * 300},{number}\n" for number in range(20))
    shown = await kept(linker, f"file,id\n{rows}"[: MAX_BODY // 2])

    assert len(shown["rows"]) == 10
    assert shown["rows"][0]["cells"] == ["ü" * 199 + "…", "0"]


@pytest.mark.parametrize(
    ("content", "filename", "words"),
    [
        ("", "t.csv", "empty"),
        ("a,b\n", "t.xlsx", "content is text"),
        (b"PK\x03\x04 and so on", "t.xlsx", "damaged"),
        ('a,b\n"x', "t.csv", "quotation mark"),
    ],
)
async def test_what_cannot_be_read_is_not_kept(linker: Linker, content: str | bytes, filename: str, words: str) -> None:
    answer = await uploaded(linker, content, filename)

    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert await linker.rows("select * from upload") == []


async def test_a_mapping_to_a_column_that_is_not_there_or_that_is_not_enough_says_so(linker: Linker) -> None:
    upload_id = (await kept(linker))["upload_id"]
    async with linker.api() as api:
        wrong = await api.get(f"/uploads/{upload_id}", params={"map": "ticket_id=Nummer"})
        too_little = await api.post(f"/uploads/{upload_id}/imports", params={"map": "ticket_id=CaseNo"})

    assert (wrong.status_code, too_little.status_code) == (422, 422)
    assert "no column 'Nummer'" in wrong.json()["detail"]
    assert "recording_name" in too_little.json()["detail"]


async def test_an_upload_over_the_limit_is_refused_while_it_arrives(linker: Linker) -> None:
    assert (await uploaded(linker, b"a" * (MAX_BODY + 1))).status_code == 413


async def test_a_large_file_comes_back_in_one_piece(linker: Linker, tmp_path: Path) -> None:
    content = bytes(range(256)) * (PART_BYTES // 100)
    (tmp_path / "file").write_bytes(content)
    keeper = KeepUploads(linker.settings, linker.database)
    kept = await keeper.keep(Upload(tmp_path / "file", hashlib.sha256(content).hexdigest()), filename="x")

    async with keeper.file(kept.upload_id) as found:
        assert found is not None
        assert found[1].path.read_bytes() == content
    assert await linker.rows("select count(*) n from upload_part") == [{"n": 3}]


async def test_only_so_many_are_kept_and_only_so_long(linker: Linker) -> None:
    few = Linker(
        linker.settings.model_copy(update={"uploads_max": 2, "upload_keep_s": 60.0}), linker.database, linker.gate
    )
    first, second, third = [await kept(few) for _ in range(3)]
    expires_at = datetime.fromisoformat(third["expires_at"])

    assert await there(few, first, second, third) == [404, 200, 200]
    [row] = await few.rows("select uploaded_at from upload where upload_id = :id", id=third["upload_id"])
    assert (expires_at - row["uploaded_at"]).total_seconds() == 60

    await few.rows(
        "update upload set uploaded_at = now() - interval '61 s' where upload_id = :id returning 1 as one",
        id=second["upload_id"],
    )
    assert await there(few, second, third) == [404, 200]
    await KeepUploads(few.settings, few.database).step()
    assert await few.rows("select count(*) n from upload") == [{"n": 1}]
    assert await few.rows("select count(*) n from upload_part") == [{"n": 1}]


async def there(linker: Linker, *uploads: dict[str, Any]) -> list[int]:
    async with linker.api() as api:
        return [(await api.get(f"/uploads/{one['upload_id']}")).status_code for one in uploads]


async def test_an_upload_may_be_forgotten_before_its_time(linker: Linker) -> None:
    upload = await kept(linker)
    async with linker.api() as api:
        gone = await api.delete(f"/uploads/{upload['upload_id']}")
        again = await api.delete(f"/uploads/{upload['upload_id']}")
        imported = await api.post(f"/uploads/{upload['upload_id']}/imports", params=MAPPING)

    assert (gone.status_code, gone.content) == (204, b"")
    assert (again.status_code, imported.status_code) == (404, 404)
    assert await linker.rows("select * from upload_part") == []
