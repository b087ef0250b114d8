"""A producer that keeps what it is given, for tests of what is to be announced and not of Kafka."""

from collections.abc import Sequence

from shared.kafka import plain
from shared.producer import Outgoing, Producer


class Kept(Producer):
    """Has whatever is published, in its order."""

    def __init__(self) -> None:
        super().__init__(plain("nowhere"), client_id="test")
        self.records: list[Outgoing] = []

    async def publish(self, records: Sequence[Outgoing]) -> None:
        self.records += records
