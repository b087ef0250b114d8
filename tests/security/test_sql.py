"""Every value reaches SQL as a bound parameter: what is put together in a statement is the module's own text.

ruff's S608 finds an f-string that looks like SQL; each that it is told to leave alone is looked at here. A statement
may be made of literals and of constants in capitals. The few that are made of more are named, and why that is safe.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TAKE_SQL = {
    "text", "execute", "executemany", "exec_driver_sql", "scalar", "scalars", "stream", "stream_scalars", "prepare",
    "cursor", "fetch", "fetchval", "fetchrow", "fetchmany", "copy_from_query", "with_arrays",
}  # fmt: skip
STATEMENT = {"statement", "text", "query", "command", None}  # None: `**given`, which may name it
# file, function → what the statement is made of besides.
LOOKED_AT = {
    # One of the two statements above it, each a literal with constants in it.
    ("services/linker/store_matching.py", "_pairs", "found"),
    ("services/linker/store_candidates.py", "_find", "select"),
    # Its own callers are looked at.
    ("shared/arrays.py", "with_arrays", "sql"),
    # Pieces of this module's constants, chosen by which conditions were given and never by their values.
    ("services/linker/seen_parked.py", "parked", "' and '.join([*walked, *conditions])"),
    ("services/linker/seen_parked.py", "parked", "' and '.join(walked)"),
    ("services/linker/seen_recordings.py", "_walk", "walk.end"),
    ("services/linker/seen_recordings.py", "ids", "walk.page"),
    ("services/linker/seen_recordings.py", "_step", "walk.page"),
    # Constants of each service's own modules, handed over by its app.py.
    ("shared/service.py", "_free_leases", "statement"),
    # Letters, digits and _ only, which it looks at first: these statements take no parameters.
    ("local/postgres.py", "ensure_databases", "name"),
    ("local/postgres.py", "ensure_databases", "password"),
}


def modules() -> list[Path]:
    found = [path for room in ("services", "shared", "ops", "local") for path in sorted((ROOT / room).rglob("*.py"))]
    return [path for path in found if "versions" not in path.parts]


def made_of_more(source: str) -> Iterator[tuple[str, str]]:
    """(function, expression) of what a statement is made of that is neither a literal nor a constant in capitals."""
    tree = ast.parse(source)
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and _name(call.func) in TAKE_SQL:
                named = [one.value for one in call.keywords if one.arg in STATEMENT]
                for statement in (*call.args[:1], *named):
                    yield from ((function.name, ast.unparse(one)) for one in _foreign(statement))


def _foreign(statement: ast.expr) -> Iterator[ast.expr]:
    match statement:
        case ast.Constant():
            pass
        case ast.Name(id=name) | ast.Attribute(attr=name) if name.lstrip("_").isupper():
            pass
        case ast.JoinedStr(values=values):
            for one in values:
                yield from _foreign(one.value if isinstance(one, ast.FormattedValue) else one)
        case ast.IfExp(body=body, orelse=other):
            yield from (*_foreign(body), *_foreign(other))
        case ast.Call(func=function, args=[inner, *_]) if _name(function) in {"text", "with_arrays"}:
            yield from _foreign(inner)
        case ast.Call(func=ast.Attribute(value=ast.Name() as pattern, attr="format"), args=filled, keywords=named):
            for one in (pattern, *filled, *(one.value for one in named)):
                yield from _foreign(one)
        case _:
            yield statement


def _name(function: ast.expr) -> str:
    match function:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def test_every_statement_is_the_programs_own_text() -> None:
    found = {
        (str(path.relative_to(ROOT)), function, expression)
        for path in modules()
        for function, expression in made_of_more(path.read_text())
    }

    assert found == LOOKED_AT


@pytest.mark.parametrize(
    "statement",
    [
        "f'select * from t where id = {given}'",
        "'select * from t where id = ' + given",
        "'select * from t where id = %s' % given",
        "'select * from t where id = {}'.format(given)",
        "_OWN.format(given)",
        "_OWN.format(name=given)",
        "with_arrays(f'select {one.given}')",
        "text(f'select {one.given}')",
        "given",
        "statement=given",
        "**given",
    ],
)
def test_a_value_in_a_statement_would_be_found(statement: str) -> None:
    assert list(made_of_more(f"def look(given):\n    connection.execute({statement})"))
    assert not list(made_of_more("def look(given):\n    connection.execute(text(f'select {_OWN}'), {'id': given})"))
