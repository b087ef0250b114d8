"""Logging: one JSON object a line on standard output, the same for this code and for every library.

info = done, warning = will be tried again or was skipped, error = needs someone. Transcripts, customers, tokens and
bodies are never handed to a logger; libraries that print them at DEBUG are kept at WARNING whatever the level.
"""

import logging
import sys

import structlog

_TALKATIVE = (
    "httpx",
    "httpcore",
    "aiokafka",
    "asyncpg",
    "sqlalchemy",
    "faststream",
    "uvicorn",
    "kafka",
    "alembic",
    "asyncio",
)


def configure(service: str, level: str) -> None:
    """Write JSON lines of `level` and above, each naming the service."""
    shared = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
