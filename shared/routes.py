"""The routes and answers that the services' APIs share."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from shared import positions
from shared.lane import LaneState
from shared.service import Service


class PositionAnswer(BaseModel):
    """The next offset of one partition that the service has not folded."""

    topic: str
    partition: int
    next_offset: int


class PositionsAnswer(BaseModel):
    """How far a service has folded each topic, and whether it may act on it yet."""

    service: str
    gate: str
    positions: list[PositionAnswer]


def common(service: Service) -> APIRouter:
    """To be included in the service's own router."""
    router = APIRouter(tags=["operations"])

    @router.get("/positions")
    async def read_positions() -> PositionsAnswer:
        """How far this service has folded each partition, by its own database."""
        async with service.database.transaction() as connection:
            rows = await positions.read(connection, [fold.topic.name for fold in service.folds])
        return PositionsAnswer(
            service=service.name,
            gate="open" if service.gate.is_open else "closed",
            positions=[
                PositionAnswer(topic=one.topic, partition=one.partition, next_offset=next_offset)
                for one, next_offset in sorted(rows.items())
            ],
        )

    return router


class LaneAnswer(BaseModel):
    """Whether requests may be sent to the cloud; if not, why, and when the next one is tried all the same."""

    open: bool
    reason: str | None
    message: str | None
    probe_at: datetime | None
    capabilities: list[str]


def lane_answer(state: LaneState) -> LaneAnswer:
    """The lane for an API's answer."""
    return LaneAnswer(
        open=state.reason is None,
        reason=state.reason,
        message=state.message,
        probe_at=state.probe_at,
        capabilities=sorted(state.capabilities),
    )
