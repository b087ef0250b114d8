"""What happened to a push is a line of the log: who is concerned, what the cloud said, and when it goes on."""

from structlog.testing import capture_logs

from tests.cloud_updater.given import a_link
from tests.cloud_updater.running import Updater, transferred
from tests.emulator.running import Emulator


async def test_each_ticket_that_the_cloud_refuses_is_an_error_line_with_its_own_reason(
    updater: Updater, cloud: Emulator
) -> None:
    uuid = await transferred(updater, cloud, "R0", "R1", "R2")
    errors = {"files.0.token": ["The token is odd."], "files.2.size": ["too big"]}
    cloud.arm(route="update_ticket", status=422, body={"message": "Invalid.", "errors": errors})
    await updater.fold(*(a_link(f"R{number}") for number in range(3)))

    with capture_logs() as lines:
        await updater.push()

    refused = [line for line in lines if line["event"] == "ticket refused by the cloud"]
    assert [(line["log_level"], line["clouds_uuid"], line["recording_id"], line["message"]) for line in refused] == [
        ("error", uuid, "R0", "token: The token is odd."),
        ("error", uuid, "R2", "size: too big"),
    ]
    assert {(line["link_version"], line["attempt"]) for line in refused} == {(1, 1)}


async def test_what_is_tried_again_is_a_warning_that_says_when(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1")
    cloud.arm(route="update_ticket", status=503, headers={"Retry-After": "7"}, body={"message": "later"})
    await updater.fold(a_link("R1"))

    with capture_logs() as lines:
        await updater.push()

    [line] = [line for line in lines if line["event"] == "tickets not pushed"]
    assert (line["log_level"], line["clouds_uuid"], line["files"], line["attempt"]) == ("warning", uuid, 1, 1)
    assert line["message"] == "503: later"
    assert 7 <= line["next_in_s"] <= 7.7
