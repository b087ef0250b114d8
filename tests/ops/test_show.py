"""What is printed: for people within 100 columns, for scripts as JSON alone."""

import json

import pytest

from ops import show


def test_foreign_text_cannot_steer_the_terminal_or_be_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    show.table(("name",), [("\x1b[2Jevil [bold]name[/bold]",)])

    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "[bold]name[/bold]" in printed


def test_a_table_of_long_names_stays_within_100_columns_and_cuts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show.table(("recording", "why"), [("r" * 255, "w" * 90)])

    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert sum(line.count("r") for line in lines[1:]) == 255


def test_an_id_stays_on_one_line_and_nothing_beside_it_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    import_id = "6f802ab4-6ca4-43d0-ae23-0a5b3a00fd15"
    row = (
        "2026-11-27 04:59:08",
        import_id,
        "a long name of a spreadsheet.xlsx",
        "somebody",
        "2,000 of 9,000",
        "Z" * 40,
    )

    show.table(("accepted", "import", "file", "by", "rows", "outcomes"), [row], ids=("import",))

    shown = capsys.readouterr().out
    assert import_id in shown
    assert all(len(line) <= 100 for line in shown.splitlines())
    assert shown.count("Z") == 40


def test_a_title_is_not_folded_at_the_width_of_what_stands_under_it(capsys: pytest.CaptureFixture[str]) -> None:
    show.pairs({"read": 0}, title="RecordingProcessed is read")

    assert capsys.readouterr().out.splitlines()[0] == "RecordingProcessed is read"


def test_json_is_alone_on_stdout_and_keeps_letters_readable(capsys: pytest.CaptureFixture[str]) -> None:
    show.note("for people")
    show.as_json({"name": "Nguyễn"})

    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"name": "Nguyễn"}
    assert captured.err == "for people\n"


def test_no_colour_and_no_movement_reach_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with show.progress() as bar:
        bar.advance(bar.add_task("rows", total=2))
    show.error("went wrong", "do this")

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "\x1b" not in captured.err
    assert captured.err.endswith("ticketsync: went wrong\ndo this\n")
