"""How many recordings are in which state is counted for whoever watches over the service without asking it."""

from prometheus_client import REGISTRY

from services.linker.seen import STATES
from services.linker.watch_states import WatchStates
from tests.linker.running import Linker
from tests.linker.test_looking import five_recordings


async def test_each_state_and_the_age_of_the_oldest_link_that_is_pending_are_gauges(linker: Linker) -> None:
    await five_recordings(linker)

    await WatchStates(linker.database).step()

    counted = {one: REGISTRY.get_sample_value("ticketsync_recordings", {"state": one}) for one in STATES}
    assert counted == {
        "in_sync": 1, "pending": 1, "waiting_for_ticket": 1, "no_ticket_needed": 1, "not_transferred": 1,
    }  # fmt: skip
    pending_s = REGISTRY.get_sample_value("ticketsync_oldest_pending_seconds")
    assert pending_s is not None
    assert pending_s > 0
