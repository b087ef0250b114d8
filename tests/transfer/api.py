"""transfer's HTTP API, on the real database and behind the real gates."""

import httpx

from services.transfer.api import routes
from shared.gate import Gate
from shared.web import build
from tests.transfer.running import Transfer


class _Service:
    """As much of a service as its routes need."""

    def __init__(self, transfer: Transfer) -> None:
        self.database = transfer.database
        self.gate = transfer.gate


def an_api(transfer: Transfer, *, known: Gate | None = None) -> httpx.AsyncClient:
    """`known`: the gate on what an upload again must know; it is known unless said otherwise."""

    async def ready() -> dict[str, object]:
        return {"ready": True}

    router = routes(_Service(transfer), transfer.lane, known or transfer.gate)  # type: ignore[arg-type]  # see _Service
    app = build(title="test", api_token="token", router=router, readiness=ready, max_request_bytes=10_000)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://transfer",
        headers={"Authorization": "Bearer token"},
    )
