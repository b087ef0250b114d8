"""Whatever is sent and in whatever order: bodies never surprise the cloud, and the log is the whole truth."""

import json
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from local.emulator import bodies
from local.emulator.bodies import InvalidBodyError
from local.emulator.calls import Answer, Call, Route
from local.emulator.cloud import Cloud, folder_content
from local.emulator.journal import Journal
from local.emulator.settings import CAPABILITIES
from local.emulator.store import Store
from tests.emulator.running import a_file

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["folder", "files", "filename", "size", "token", "transcribe", "ticket_info", "ticket_url"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)
tickets = st.none() | st.fixed_dictionaries(
    {"ticket_id": st.sampled_from(["A", "B"])}, optional={"customer_name": st.just("Zoë")}
)
files = st.builds(
    a_file,
    st.sampled_from(["a", "b", "c"]),
    ticket_info=tickets,
    link_version=st.integers(0, 3),
    transcribe=st.text("xyz", min_size=1, max_size=3),
)
Step = tuple[Route, int, list[Any], str | None]
# route, which of the folders made so far, files, which key
steps = st.tuples(
    st.sampled_from(["create", "inject", "update_ticket", "delete"]),
    st.integers(0, 3),
    st.lists(files, min_size=1, max_size=3),
    st.sampled_from([None, "k1", "k2"]),
)


@given(st.binary() | anything.map(lambda value: json.dumps(value).encode()))
def test_a_body_is_parsed_or_refused_with_named_fields(body: bytes) -> None:
    shapes: list[TypeAdapter[Any]] = [bodies.CREATE, bodies.INJECT, bodies.UPDATE, bodies.DEPLOYED_CREATE]

    for errors in (errors_of(shape, body) for shape in shapes):
        assert all(field and messages for field, messages in errors.items())


@settings(deadline=None)
@given(st.lists(steps, max_size=12))
def test_the_cloud_rebuilt_from_its_log_is_the_same_cloud(
    steps: list[tuple[Route, int, list[Any], str | None]],
) -> None:
    with TemporaryDirectory() as folder:
        cloud = a_cloud(Path(folder))
        made = ["unknown"]
        for route, which, named, key in steps:
            answer = act(cloud, route, made[which % len(made)], named, key)
            if route == "create" and answer.status == 200:
                made.append(json.loads(answer.body)["data"]["uuid"])
        journal = cloud.store.journal
        assert journal is not None
        lived = (contents(cloud), journal.page(after=0, limit=100))
        journal.close()

        again = a_cloud(Path(folder))

        assert again.store.journal is not None
        assert (contents(again), again.store.journal.page(after=0, limit=100)) == lived
        again.store.journal.close()


@settings(deadline=None)
@given(st.permutations([1, 2, 3, 4]))
def test_the_highest_link_version_wins_in_whatever_order_they_arrive(order: list[int]) -> None:
    cloud = a_cloud(None)
    uuid = json.loads(act(cloud, "create", "", [a_file()], None).body)["data"]["uuid"]

    for version in order:
        ticket = {"ticket_id": str(version)}
        act(cloud, "update_ticket", uuid, [a_file(ticket_info=ticket, link_version=version)], None)

    (row,) = cloud.store.folders[uuid].files()
    assert (row.ticket_info, row.link_version) == ({"ticket_id": "4"}, 4)


def errors_of(shape: TypeAdapter[Any], body: bytes) -> dict[str, list[str]]:
    try:
        bodies.parse(shape, body)
    except InvalidBodyError as error:
        return error.errors
    return {}


def a_cloud(data_dir: Path | None) -> Cloud:
    journal = Journal(data_dir) if data_dir else None
    return Cloud(Store(journal, key_life=timedelta(days=1)), frozenset(CAPABILITIES))


def act(cloud: Cloud, route: Route, uuid: str, named: list[Any], key: str | None) -> Answer:
    if route in ("create", "inject"):  # null is for update-ticket only
        named = [{name: value for name, value in file.items() if value is not None} for file in named]
    body = json.dumps({"folder": "F", "files": named}).encode()
    call = Call(path=f"/{route}/{uuid}", route=route, uuid=uuid, body=body, idempotency_key=key, wants_json=True)
    refusal = cloud.begin(call)
    if refusal is not None:
        return refusal
    answer = cloud.perform(call)
    cloud.end(call)
    return answer


def contents(cloud: Cloud) -> list[dict[str, object]]:
    return [folder_content(folder) for folder in cloud.store.folders.values()]
