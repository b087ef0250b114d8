"""The import command while its linker does not answer."""

import pytest

from ops.exits import Unreachable
from ops.import_links import finished
from ops.service_api import ServiceApi
from tests.ops.answering import Reply, answering


async def test_whoever_loses_sight_of_an_import_is_told_where_its_receipt_is() -> None:
    with answering(Reply(status=500)) as server:
        async with ServiceApi("linker", server.url, "token") as linker:
            with pytest.raises(Unreachable) as lost:
                await finished(linker, "I-7", patience_s=0)

    assert lost.value.todo == "The import goes on by itself; the linker shows it under /imports/I-7."
