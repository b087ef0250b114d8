"""Libraries may be handed whatever there is; what they say of it in the log holds nobody's secret."""

import json
import subprocess
import sys

CANARY = "canary words of the call"
LIBRARIES = (
    "httpx", "httpcore.http11", "aiokafka.consumer.fetcher", "asyncpg", "sqlalchemy.engine", "sqlalchemy.pool",
    "faststream", "uvicorn.error", "uvicorn.access", "asyncio", "alembic.runtime.migration", "fastapi", "anyio",
    "opentelemetry.context", "pydantic_settings", "concurrent.futures", "one that nobody knows yet", "__main__",
)  # fmt: skip
PROGRAM = f"""
import asyncio, gc, logging, structlog
from shared import log

log.configure("test", "DEBUG")

async def fails():
    raise ValueError("{CANARY}")

async def forgets():
    asyncio.create_task(fails())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()

asyncio.run(forgets())
structlog.get_logger("shared.lane").debug("own words")
for name in {LIBRARIES!r}:
    logging.getLogger(name).debug("headers: %s", "{CANARY}")
    logging.getLogger(name).info("body: %s", "{CANARY}")
    logging.getLogger(name).warning("%s is not there: %r", "{CANARY}", ValueError("{CANARY}"))
    logging.getLogger(name).warning("%(what)s failed", dict(what="{CANARY}"))
    logging.getLogger(name).error("failed\\n%s", "{CANARY}")
    try:
        raise KeyError("{CANARY}")
    except KeyError:
        logging.getLogger(name).exception("failed")
"""


def test_what_a_library_says_of_what_it_was_handed_stays_out_of_the_log() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=True)

    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert "Task exception was never retrieved" in {line["event"] for line in lines}
    assert len([line for line in lines if line["event"] == "failed"]) == 2 * len(LIBRARIES)
    assert len([line for line in lines if line["event"] == "%s is not there: %r"]) == len(LIBRARIES)
    assert [line["event"] for line in lines if line["level"] != "warning"] == ["own words"]
    assert CANARY not in ended.stdout + ended.stderr
