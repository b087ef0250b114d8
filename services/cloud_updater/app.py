"""Wires cloud_updater: what it reads, what it does about it, and its HTTP port."""

from functools import partial

import uvloop
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.topics import (
    CLOUD_TICKET_UPDATED,
    CLOUD_UPDATER_DLQ,
    RECORDING_TRANSFERRED,
    TICKET_LINKED,
    TICKET_SYNC_REQUESTED,
)
from services.cloud_updater import announce_updates, seen
from services.cloud_updater.api import routes
from services.cloud_updater.expand_resyncs import ExpandResyncs
from services.cloud_updater.ledgers import Quiet
from services.cloud_updater.on_cloud_ticket_updated import fold_cloud_ticket_updated, new_acknowledgements
from services.cloud_updater.on_recording_transferred import fold_recording_transferred, new_transfers
from services.cloud_updater.on_ticket_linked import fold_ticket_linked, new_links
from services.cloud_updater.on_ticket_sync_requested import fold_ticket_sync_requested
from services.cloud_updater.push_again import PushAgain
from services.cloud_updater.push_tickets import PushTickets
from services.cloud_updater.pushes import FREE_LEASES, Pushes
from services.cloud_updater.settings import CloudUpdaterSettings
from shared import log, migrations
from shared.announce_dead_letters import dead_letter_announcer
from shared.announce_once import OnceAnnouncer
from shared.cloud import Cloud, CloudSettings, token_reader
from shared.database import Database
from shared.kafka import KafkaSettings
from shared.lane import Lane
from shared.routes import common
from shared.service import Service
from shared.settings import ConfigurationError, load
from shared.watch import WATCH_EVERY_S, WatchDeadLetters, WatchPending
from shared.web import build

NAME = "cloud_updater"


def main(*, host: str, port: int, migrate: bool) -> int:
    """Run until told to stop. Raises ConfigurationError if the configuration or the database is not as it must be."""
    settings, cloud_settings, kafka = load(CloudUpdaterSettings), load(CloudSettings), load(KafkaSettings)
    if settings.lease_s <= cloud_settings.cloud_timeout_s:
        raise ConfigurationError("LEASE_S must be longer than CLOUD_TIMEOUT_S: a request must end while it is leased")
    database_url = settings.cloud_updater_database_url.get_secret_value()
    log.configure(NAME, settings.log_level)
    if migrate:
        migrations.upgrade(NAME, database_url)
    migrations.require_current(NAME, database_url)
    uvloop.run(serve(settings, cloud_settings, kafka, host=host, port=port))
    return 0


async def serve(
    settings: CloudUpdaterSettings, cloud_settings: CloudSettings, kafka: KafkaSettings, *, host: str, port: int
) -> None:
    """Build the service and run it."""
    database = Database(settings.cloud_updater_database_url.get_secret_value(), pool_size=settings.database_pool_size)
    service = Service(
        NAME,
        settings,
        kafka,
        database,
        own_topics=(CLOUD_TICKET_UPDATED,),
        forget_heard=announce_updates.forget_announced,
        free_leases=(FREE_LEASES,),
    )
    cloud = Cloud(cloud_settings, token=token_reader(cloud_settings))

    async def retry_now(connection: AsyncConnection) -> None:
        await Pushes(connection).retry_now()

    lane = Lane(
        database,
        cloud,
        retry_now,
        wake=partial(service.wake, "push_tickets"),
        ping_every_s=cloud_settings.cloud_ping_every_s,
        requests_per_minute=cloud_settings.cloud_requests_per_minute,
        route="ticket-info",
    )
    service.lane = lane

    quiet = Quiet(settings.push_quiet_s, settings.push_quiet_max_s)
    service.fold(TICKET_LINKED, partial(fold_ticket_linked, quiet=quiet), news=new_links)
    service.fold(RECORDING_TRANSFERRED, partial(fold_recording_transferred, quiet=quiet), news=new_transfers)
    heard = service.fold(CLOUD_TICKET_UPDATED, fold_cloud_ticket_updated, news=new_acknowledgements)
    # What is announced stands in rows and cursors already.
    service.producer.heeds[CLOUD_TICKET_UPDATED.name] = heard.published
    service.fold(TICKET_SYNC_REQUESTED, fold_ticket_sync_requested)

    pushing = PushTickets(settings, cloud_settings.cloud_timeout_s, database, service.gate, cloud, lane)
    service.loop("push_tickets", pushing.step, workers=cloud_settings.cloud_workers)
    service.loop("push_again", PushAgain(database, service.gate, settings.second_push_after_s).step)
    ends = service.ends_of((RECORDING_TRANSFERRED, TICKET_LINKED))
    service.loop("expand_resyncs", ExpandResyncs(database, service.gate, ends).step)
    service.loop(
        "announce_updates",
        OnceAnnouncer(
            "announce_updates", database, service.producer, announce_updates.next_lot, gate=service.gate
        ).step,
    )
    service.loop(
        "announce_dead_letters", dead_letter_announcer(CLOUD_UPDATER_DLQ, database, service.producer).step, gated=False
    )
    service.loop("ping_cloud", lane.ping, gated=False)
    service.loop("watch_pending", WatchPending(database, lane, seen.pending).step, gated=False, beat_s=WATCH_EVERY_S)
    service.loop("watch_dead_letters", WatchDeadLetters(database).step, gated=False, beat_s=WATCH_EVERY_S)

    own = routes(service, lane)
    own.include_router(common(service))
    app = build(
        title="ticketsync cloud_updater",
        api_token=settings.api_token.get_secret_value(),
        router=own,
        readiness=service.readiness,
        max_request_bytes=settings.api_max_request_bytes,
        previous_api_token=settings.api_token_previous,
        requests_per_minute=settings.api_requests_per_minute,
    )
    try:
        await service.run(app, host=host, port=port)
    finally:
        await cloud.close()
