"""Kafka as the commands use it: whatever keeps it from answering becomes one clear message.

aiokafka reports a broken connection by logging beside the exception; here only the exception speaks, so that stderr
holds one message and not three.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from aiokafka.errors import KafkaError

from ops.exits import Misconfigured, Unreachable
from shared.kafka import KafkaSettings, client_options
from shared.producer import Producer
from shared.topics import TopicsError

IS_IT_RUNNING = "Is it running, and is the address right? `ticketsync doctor` looks at all servers."


@contextmanager
def kafka_answers(settings: KafkaSettings) -> Iterator[None]:
    """Around any use of Kafka. Raises Unreachable or Misconfigured in place of Kafka's errors."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        client_options(settings)
    except OSError as error:
        raise Misconfigured(f"a file that a KAFKA_SSL_ setting names cannot be used: {error}") from None
    where = f"Kafka at {settings.kafka_bootstrap_servers}"
    try:
        yield
    except (KafkaError, TimeoutError) as error:
        raise Unreachable(f"{where} does not answer ({error or type(error).__name__})", todo=IS_IT_RUNNING) from None
    except TopicsError as error:
        raise Unreachable(f"{where} refuses: {error}") from None


@asynccontextmanager
async def producer(settings: KafkaSettings) -> AsyncIterator[Producer]:
    """A producer, idempotent and acknowledged by all replicas; closed at the end. Raises as `kafka_answers` does."""
    with kafka_answers(settings):
        opened = Producer(settings, client_id="ticketsync")
        try:
            yield opened
        finally:
            await opened.close()
