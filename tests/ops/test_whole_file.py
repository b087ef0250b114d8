"""Files that commands write: whole or not at all, where the links lead to, and for nobody else's eyes."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from ops.exits import WrongInput
from ops.whole_file import whole_file


def write(target: Path, text: str = "of today") -> None:
    with whole_file(target) as file:
        file.write(text.encode())


def write_half(target: Path) -> None:
    with whole_file(target) as file:
        file.write(b"half")
        raise KeyboardInterrupt


def mode(file: Path) -> int:
    return stat.S_IMODE(file.lstat().st_mode)


def test_a_link_goes_on_leading_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    file, link = tmp_path / "there" / "r.csv", tmp_path / "r.csv"
    link.symlink_to(Path("there", "r.csv"))

    for text in ("nothing was there", "of today"):
        write(link, text)

        assert (link.is_symlink(), file.read_text()) == (True, text)
    assert list(file.parent.iterdir()) == [file]


def test_what_is_no_file_is_written_into_and_stays(tmp_path: Path) -> None:
    null, fifo, read = tmp_path / "null", tmp_path / "fifo", list[str]()
    null.symlink_to("/dev/null")
    os.mkfifo(fifo)
    reader = Thread(target=lambda: read.append(fifo.read_text()))
    reader.start()

    write(fifo)
    write(null)
    reader.join()

    assert (null.readlink(), fifo.is_fifo(), read) == (Path("/dev/null"), True, ["of today"])


def test_a_file_that_a_link_of_the_system_leads_to_is_not_replaced(tmp_path: Path) -> None:
    file, link = tmp_path / "out.log", tmp_path / "out"
    with file.open("w") as opened:
        link.symlink_to(f"/proc/self/fd/{opened.fileno()}")
        opened.write("said before, ")
        opened.flush()

        write(link)

        assert os.path.samestat(file.stat(), os.fstat(opened.fileno()))
    assert (link.is_symlink(), file.read_text()) == (True, "said before, of today")


def test_what_goes_to_stdout_as_well_is_not_written_over(tmp_path: Path) -> None:
    file, link = tmp_path / "out.log", tmp_path / "out"
    link.symlink_to("/proc/self/fd/1")
    program = (
        "import pathlib, sys, ops.whole_file\n"
        "with ops.whole_file.whole_file(pathlib.Path(sys.argv[1])) as file: file.write(b'the report, ')\n"
        "print('the table')"
    )
    with file.open("w") as out:
        subprocess.run([sys.executable, "-c", program, link], stdout=out, check=True)

    assert file.read_text() == "the report, the table\n"


def test_the_part_is_nobody_elses_file_and_goes_if_the_writing_fails(tmp_path: Path) -> None:
    file, of_somebody = tmp_path / "a.csv", tmp_path / "a.csv.part"
    file.write_text("of yesterday")
    of_somebody.write_text("mine")

    with pytest.raises(KeyboardInterrupt):
        write_half(file)

    assert (file.read_text(), of_somebody.read_text()) == ("of yesterday", "mine")
    write(file)
    assert (file.read_text(), of_somebody.read_text()) == ("of today", "mine")
    assert set(tmp_path.iterdir()) == {file, of_somebody}


def test_a_new_file_is_its_writers_alone_and_one_that_is_replaced_keeps_owner_and_mode(tmp_path: Path) -> None:
    new, old = tmp_path / "new.csv", tmp_path / "old.csv"
    old.write_text("of yesterday")
    # Only root may give a file away.
    owner, group = (os.geteuid() or 12_345, os.getegid() or 12_346)
    os.chown(old, owner, group)
    old.chmod(0o664)

    write(new)
    write(old)

    assert (mode(new), mode(old)) == (0o600, 0o664)
    assert (old.stat().st_uid, old.stat().st_gid, old.read_text()) == (owner, group, "of today")


def test_what_cannot_be_written_is_said_before_anything_is_done(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)

    for target in (tmp_path, tmp_path / "no" / "r.csv", loop, Path("/proc/self/status/r.csv")):
        with pytest.raises(WrongInput, match="cannot be written"), whole_file(target):
            pytest.fail("it was opened")
