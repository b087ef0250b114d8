"""Says whether a changed JSON Schema still is the same major version.

In: the schema that was released, and the new one. Out: every change that is not allowed, by path. The rule is strict in
both directions, because both directions happen: facts written years ago stay in compacted topics and must stay
readable, and readers of the last release, ours and others', still run while new facts arrive. So only an added
optional field and other words in titles and descriptions are compatible; anything else is a new major version.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

# Words for people. $defs are compared where a $ref leads to them.
_NOT_COMPARED = {"$schema", "$id", "$defs", "title", "description", "examples"}
_BY_NAME = {"properties", "required"}


def incompatible_changes(old: Schema, new: Schema) -> list[str]:
    """What makes `new` another major version than `old`, such as "token: type was integer, is string"; [] if nothing.

    Both are whole JSON Schemas as pydantic writes them: references lead into their own $defs, and never in circles.
    """
    return list(_changes(old, new, old_root=old, new_root=new, path=""))


def _changes(old: Schema, new: Schema, *, old_root: Schema, new_root: Schema, path: str) -> Iterator[str]:
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    for keyword in sorted((old.keys() | new.keys()) - _NOT_COMPARED - _BY_NAME):
        before: Any = old.get(keyword)
        after: Any = new.get(keyword)
        where = _under(path, keyword)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _changes(before, after, old_root=old_root, new_root=new_root, path=where)
        elif _are_branches(before, after):
            for number, (one, other) in enumerate(zip(before, after, strict=True)):
                yield from _changes(one, other, old_root=old_root, new_root=new_root, path=f"{where}.{number}")
        elif before != after or (keyword in old) != (keyword in new):
            yield f"{path or 'event'}: {keyword} was {_shown(keyword, old)}, is {_shown(keyword, new)}"

    yield from _required_changes(old, new, path)
    for name, before in old.get("properties", {}).items():
        after = new.get("properties", {}).get(name)
        if after is None:
            yield f"{_under(path, name)}: removed"
        else:
            yield from _changes(before, after, old_root=old_root, new_root=new_root, path=_under(path, name))


def _required_changes(old: Schema, new: Schema, path: str) -> Iterator[str]:
    before, after = set(old.get("required", [])), set(new.get("required", []))
    for name in sorted(after - before):
        yield f"{_under(path, name)}: newly required"
    for name in sorted(before - after):
        yield f"{_under(path, name)}: no longer required"


def _resolved(schema: Schema, root: Schema) -> Schema:
    """The schema itself, or what its reference leads to, with the words beside the reference."""
    if "$ref" not in schema:
        return schema
    name = schema["$ref"].removeprefix("#/$defs/")
    beside = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
    return {**root["$defs"][name], **beside}


def _are_branches(before: Any, after: Any) -> bool:  # noqa: ANN401 - any JSON
    """Two lists of schemas, as anyOf and oneOf have them, that can be compared one by one."""
    if not (isinstance(before, list) and isinstance(after, list) and len(before) == len(after)):
        return False
    return all(isinstance(branch, dict) for branch in before + after)


def _under(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(keyword: str, schema: Schema) -> str:
    return str(schema[keyword]) if keyword in schema else "absent"
