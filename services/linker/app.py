"""Wires linker: what it reads, what it does about it, and its HTTP port."""

import uvloop
from fastapi import APIRouter

from schemas.topics import (
    CLOUD_TICKET_UPDATED,
    LINKER_DLQ,
    RECORDING_PROCESSED,
    RECORDING_TRANSFERRED,
    TICKET_LINK_REQUESTED,
    TICKET_LINKED,
)
from services.linker import (
    announce_links,
    api,
    api_imports,
    api_parked,
    api_recordings,
    api_uploads,
    apply_imports,
    keep_uploads,
    watch_parked,
    watch_states,
)
from services.linker.accept_imports import AcceptImports
from services.linker.apply_imports import ApplyImports
from services.linker.keep_uploads import KeepUploads
from services.linker.match_parked import MatchParked
from services.linker.on_cloud_ticket_updated import fold_cloud_ticket_updated
from services.linker.on_recording_processed import fold_recording_processed
from services.linker.on_recording_transferred import fold_recording_transferred
from services.linker.on_ticket_link_requested import fold_ticket_link_requested
from services.linker.on_ticket_linked import fold_ticket_linked, new_own_links
from services.linker.settings import LinkerSettings
from services.linker.watch_parked import WatchParked
from services.linker.watch_states import WatchStates
from shared import log, migrations
from shared.announce import Announcer
from shared.announce_dead_letters import dead_letter_announcer
from shared.database import Database
from shared.kafka import KafkaSettings
from shared.memory import hand_back_large_blocks
from shared.routes import common
from shared.service import Service
from shared.settings import load
from shared.watch import WATCH_EVERY_S, WatchDeadLetters
from shared.web import build

NAME = "linker"


def main(*, host: str, port: int, migrate: bool) -> int:
    """Run until told to stop. Raises ConfigurationError if the configuration or the database is not as it must be."""
    settings, kafka = load(LinkerSettings), load(KafkaSettings)
    database_url = settings.linker_database_url.get_secret_value()
    log.configure(NAME, settings.log_level)
    hand_back_large_blocks()
    if migrate:
        migrations.upgrade(NAME, database_url)
    migrations.require_current(NAME, database_url)
    uvloop.run(serve(settings, kafka, host=host, port=port))
    return 0


async def serve(settings: LinkerSettings, kafka: KafkaSettings, *, host: str, port: int) -> None:
    """Build the service and run it."""
    database = Database(settings.linker_database_url.get_secret_value(), pool_size=settings.database_pool_size)
    service = Service(
        NAME, settings, kafka, database, own_topics=(TICKET_LINKED,), forget_heard=announce_links.forget_heard
    )

    service.fold(RECORDING_PROCESSED, fold_recording_processed)
    service.fold(RECORDING_TRANSFERRED, fold_recording_transferred)
    service.fold(CLOUD_TICKET_UPDATED, fold_cloud_ticket_updated)
    heard = service.fold(TICKET_LINKED, fold_ticket_linked, news=new_own_links)
    service.producer.heeds[TICKET_LINKED.name] = heard.published
    service.fold(TICKET_LINK_REQUESTED, fold_ticket_link_requested, needs_gate=True)

    service.loop("match_parked", MatchParked(database, service.gate).step)
    service.loop("apply_imports", ApplyImports(settings, database, service.gate).step, workers=apply_imports.WORKERS)
    announcer = Announcer(
        "announce_links",
        database,
        service.gate,
        service.producer,
        announce_links.unheard,
        announce_links.facts,
        settings.announce_again_s,
    )
    service.loop("announce_links", announcer.step)
    heard.after = announcer.at_rest  # others wait for links, and nobody for us to hear that they are announced
    dead_letters = dead_letter_announcer(LINKER_DLQ, database, service.producer)
    service.loop("announce_dead_letters", dead_letters.step, gated=False)

    looks = {
        "forget_uploads": (KeepUploads(settings, database).step, keep_uploads.LOOK_EVERY_S),
        "watch_parked": (WatchParked(settings, database).step, watch_parked.WATCH_EVERY_S),
        "watch_states": (WatchStates(database).step, watch_states.WATCH_EVERY_S),
        "watch_dead_letters": (WatchDeadLetters(database).step, WATCH_EVERY_S),
    }
    for name, (step, every_s) in looks.items():
        service.loop(name, step, gated=False, beat_s=every_s)

    app = build(
        title="ticketsync linker",
        api_token=settings.api_token.get_secret_value(),
        router=routes(service, settings),
        readiness=service.readiness,
        max_request_bytes=settings.api_max_request_bytes,
        previous_api_token=settings.api_token_previous,
        requests_per_minute=settings.api_requests_per_minute,
    )
    await service.run(app, host=host, port=port)


def routes(service: Service, settings: LinkerSettings) -> APIRouter:
    """All routes of linker's API."""
    own = api.routes(service, settings)
    own.include_router(api_recordings.routes(service))
    own.include_router(api_parked.routes(service, settings))
    door = AcceptImports(settings, service.database, service.gate)
    own.include_router(api_imports.routes(service, door))
    own.include_router(api_uploads.routes(service, KeepUploads(settings, service.database), door))
    own.include_router(common(service))
    return own
