"""Tokens change under a running service: the cloud's, and those of its own API."""

from pathlib import Path

import pytest

from tests.cloud_updater.given import a_link
from tests.cloud_updater.running import Updater, running_updater, tickets, transferred
from tests.emulator.running import TOKEN, Emulator


async def test_a_new_token_of_the_cloud_is_used_without_a_restart(
    updater_url: str, cloud: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cloud"
    file.write_text("revoked\n")
    monkeypatch.setenv("CLOUDS_TOKEN_FILE", str(file))
    async with running_updater(updater_url, cloud) as updater:
        refused = await state(updater)
        uuid = await transferred(updater, cloud, "R1")
        await updater.fold(a_link("R1"))
        await updater.push()
        before = tickets(cloud, uuid)

        file.write_text("")  # just being written: not a token, and no reason to stop
        await updater.lane.ping()
        file.write_text(f"{TOKEN}\n")
        await updater.change("update lane set pinged_at = pinged_at - interval '1 hour'")
        await updater.lane.ping()
        accepted = await state(updater)
        await updater.push()
        after = tickets(cloud, uuid)

    assert (refused, accepted) == ("unauthorized", None)
    assert (before, after) == ({"R1": None}, {"R1": "T-1"})


async def test_the_tokens_of_the_api_change_without_a_moment_at_which_a_caller_is_refused(
    updater: Updater, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, previous = tmp_path / "new", tmp_path / "previous"
    new.write_text("token")
    previous.write_text("token")
    monkeypatch.setenv("API_TOKEN_FILE", str(new))
    monkeypatch.setenv("API_TOKEN_PREVIOUS_FILE", str(previous))
    asked: list[tuple[int, int]] = []
    async with updater.api() as api:

        async def ask() -> None:
            answers = [
                await api.get("/status", headers={"Authorization": f"Bearer {one}"}) for one in ("token", "newer")
            ]
            asked.append((answers[0].status_code, answers[1].status_code))

        await ask()
        new.write_text("newer")
        await ask()
        previous.write_text("newer")
        await ask()
        new.unlink()
        await ask()

    assert asked == [(200, 401), (200, 200), (401, 200), (401, 200)]


async def state(updater: Updater) -> str | None:
    async with updater.database.transaction() as connection:
        return (await updater.lane.look(connection)).reason
