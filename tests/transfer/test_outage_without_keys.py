"""A cloud that honours no idempotency keys goes down: few folders wait for a person afterwards, and the others go."""

import pytest

from shared.lane_rules import FAILURES_TO_OPEN
from tests.emulator.running import Emulator
from tests.transfer.given import a_recording
from tests.transfer.running import Transfer, files_in_cloud, running_transfer

FOLDERS = 12
HELD = "select folder_id from folder where held = 'outcome_unknown'"


@pytest.mark.parametrize(
    ("routes", "held"), [(("create", "ping"), FAILURES_TO_OPEN), (("create",), FAILURES_TO_OPEN + 3)]
)
async def test_an_outage_leaves_few_folders_in_doubt(
    transfer_url: str, deployed: Emulator, routes: tuple[str, ...], held: int
) -> None:
    """None more while pings fail as well; else one for each ping, and these are ever further apart."""
    async with running_transfer(transfer_url, deployed) as transfer:
        for route in routes:
            deployed.arm(route=route, kind="answer", status=500, times=None)
        await transfer.fold(*(a_recording(f"R{number}", folder_id=f"F{number}") for number in range(FOLDERS)))

        await transfer.upload()
        for _ in range(3):
            await _an_hour_passes(transfer)
        in_doubt = len(await transfer.rows(HELD))
        deployed.control("DELETE", "faults")
        await _an_hour_passes(transfer)
        await transfer.upload_until_settled()

        assert in_doubt == held
        assert len(await transfer.rows(HELD)) == held
        assert len(files_in_cloud(deployed)) == FOLDERS - held


async def _an_hour_passes(transfer: Transfer) -> None:
    """For the lane and for whatever waits for its next try."""
    await transfer.change("""
        update lane set probe_at = probe_at - interval '1 hour', pinged_at = pinged_at - interval '1 hour'
    """)
    await transfer.lane.ping()
    await transfer.waits_are_over()
    await transfer.upload()
