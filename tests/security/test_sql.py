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
MODULE = "<module>"
# file, function → what the statement is made of besides.
LOOKED_AT = {
    # One of the two statements above it, each a literal with constants in it.
    ("services/linker/store_matching.py", "_pairs", "found"),
    # Constants of this module, and literals that are said here.
    (
        "services/linker/store_candidates.py",
        MODULE,
        "meant_by_name('r.recording_id', each='order by r.folder_id limit 2')",
    ),
    ("services/linker/store_candidates.py", "_by_name", "meant_by_name('r.*', each='order by r.folder_id limit 10')"),
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
    """(function, expression) of what a statement is made of that is neither a literal nor a constant in capitals.

    A constant is a name of the module, made of nothing else itself: capitals do not make one of what a function binds.
    """
    tree = ast.parse(source)
    for function, local, call in _calls(tree, MODULE, frozenset()):
        named = [one.value for one in call.keywords if one.arg in STATEMENT]
        for statement in (*call.args[:1], *named):
            yield from ((function, ast.unparse(one)) for one in _foreign(statement, local))
    for one in _outside_functions(tree):
        if isinstance(one, ast.expr) and _is_text(one):
            yield from ((MODULE, ast.unparse(part)) for part in _foreign(one, frozenset()))


def _calls(node: ast.AST, function: str, local: frozenset[str]) -> Iterator[tuple[str, frozenset[str], ast.Call]]:
    """Every call that takes SQL: the function it stands in, the names that this and those around it bind, the call."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            name = function if isinstance(child, ast.Lambda) else child.name
            yield from _calls(child, name, local | _bound(child))
            continue
        if isinstance(child, ast.Call) and _name(child.func) in TAKE_SQL:
            yield function, local, child
        yield from _calls(child, function, local)


def _bound(function: ast.AST) -> set[str]:
    bound = {one.arg for one in ast.walk(function) if isinstance(one, ast.arg)}
    bound |= {one.id for one in ast.walk(function) if isinstance(one, ast.Name) and not isinstance(one.ctx, ast.Load)}
    return bound | {(one.asname or one.name) for one in ast.walk(function) if isinstance(one, ast.alias)}


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _outside_functions(child)


def _is_text(value: ast.expr) -> bool:
    """Whether it is put together to a text, whatever for."""
    match value:
        case ast.JoinedStr() | ast.Call(func=ast.Attribute(attr="format" | "join")):
            return True
        case ast.BinOp(left=left, right=right):
            return any(
                _is_text(one) or (isinstance(one, ast.Constant) and isinstance(one.value, str)) for one in (left, right)
            )
    return False


def _foreign(statement: ast.expr, local: frozenset[str]) -> Iterator[ast.expr]:
    match statement:
        case _ if _is_constant(statement, local):
            pass
        case ast.JoinedStr(values=values):
            for one in values:
                yield from _foreign(one.value if isinstance(one, ast.FormattedValue) else one, local)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from (*_foreign(left, local), *_foreign(right, local))
        case ast.IfExp(body=body, orelse=other):
            yield from (*_foreign(body, local), *_foreign(other, local))
        case ast.Call(func=function, args=[inner, *_]) if _name(function) in {"text", "with_arrays"}:
            yield from _foreign(inner, local)
        case ast.Call(func=ast.Attribute(value=pattern, attr="format"), args=filled, keywords=named):
            for one in (pattern, *filled, *(one.value for one in named)):
                yield from _foreign(one, local)
        case _:
            yield statement


def _is_constant(statement: ast.expr, local: frozenset[str]) -> bool:
    match statement:
        case ast.Constant():
            return True
        case ast.Name(id=name):
            return name.lstrip("_").isupper() and name not in local
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return name.lstrip("_").isupper() and owner not in local - {"self"}
    return False


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


@pytest.mark.parametrize(
    "program",
    [
        "def look(given):\n    SQL = f'select {given}'\n    connection.execute(SQL)",
        "def look(SQL):\n    connection.execute(text(SQL))",
        "def look(given):\n    for SQL in given:\n        connection.execute(SQL)",
        "def look(given):\n    connection.execute(given.SQL)",
        "def look(given):\n    def inner(): connection.execute(SQL)\n    SQL = given",
        "look = lambda SQL: connection.execute(SQL)",
        "connection.execute(f'select {given}')",
        "connection.execute(given)",
        "class Store:\n    _OWN = text('select ' + given)",
        "SQL = f'select {given}'",
        "SQL = 'select ' + given",
        "SQL = 'select %s' % given",
        "SQL = 'select {}'.format(given)",
        "SQL = ' '.join(given)",
        "SQL: str = ('select', f'{given}')",
    ],
)
def test_capitals_and_the_outside_of_functions_hide_nothing(program: str) -> None:
    assert list(made_of_more(program))


def test_constants_may_be_made_of_constants() -> None:
    program = "_OWN = f'select {_OTHER}' + module.MORE\nclass Store:\n    look = text(_OWN)"

    assert not list(made_of_more(program))
