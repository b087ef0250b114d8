"""Wires transfer: what it reads, what it does about it, and its HTTP port."""

from functools import partial

import uvloop
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.topics import RECORDING_PROCESSED, RECORDING_TRANSFERRED, TICKET_LINKED, TRANSFER_DLQ
from services.transfer import announce_transfers, seen
from services.transfer.api import routes
from services.transfer.conclusions import Conclusions
from services.transfer.freeze_requests import IDEMPOTENCY_KEY
from services.transfer.on_recording_processed import fold_recording_processed
from services.transfer.on_recording_transferred import fold_recording_transferred, new_own_transfers
from services.transfer.on_ticket_linked import fold_ticket_linked
from services.transfer.settings import TransferSettings
from services.transfer.upload_recordings import UploadRecordings
from services.transfer.uploads import FREE_LEASES
from shared import log, migrations
from shared.announce import Announcer
from shared.announce_dead_letters import dead_letter_announcer
from shared.cloud import Cloud, CloudSettings, token_reader
from shared.database import Database
from shared.kafka import KafkaSettings
from shared.lane import Lane
from shared.memory import hand_back_large_blocks
from shared.routes import common
from shared.service import Service
from shared.settings import ConfigurationError, load
from shared.watch import WATCH_EVERY_S, WatchDeadLetters, WatchPending
from shared.web import build

NAME = "transfer"


def main(*, host: str, port: int, migrate: bool) -> int:
    """Run until told to stop. Raises ConfigurationError if the configuration or the database is not as it must be."""
    settings, cloud_settings, kafka = load(TransferSettings), load(CloudSettings), load(KafkaSettings)
    if settings.lease_s <= cloud_settings.cloud_timeout_s:
        raise ConfigurationError("LEASE_S must be longer than CLOUD_TIMEOUT_S: a request must end while it is leased")
    database_url = settings.transfer_database_url.get_secret_value()
    log.configure(NAME, settings.log_level)
    hand_back_large_blocks()
    if migrate:
        migrations.upgrade(NAME, database_url)
    migrations.require_current(NAME, database_url)
    uvloop.run(serve(settings, cloud_settings, kafka, host=host, port=port))
    return 0


async def serve(
    settings: TransferSettings, cloud_settings: CloudSettings, kafka: KafkaSettings, *, host: str, port: int
) -> None:
    """Build the service and run it."""
    database = Database(settings.transfer_database_url.get_secret_value(), pool_size=settings.database_pool_size)
    service = Service(
        NAME,
        settings,
        kafka,
        database,
        own_topics=(RECORDING_TRANSFERRED,),
        forget_heard=announce_transfers.forget_heard,
        free_leases=(FREE_LEASES,),
    )
    cloud = Cloud(cloud_settings, token=token_reader(cloud_settings))

    async def retry_now(connection: AsyncConnection) -> None:
        await Conclusions(connection).retry_now()

    lane = Lane(
        database,
        cloud,
        retry_now,
        wake=partial(service.wake, "upload_recordings"),
        ping_every_s=cloud_settings.cloud_ping_every_s,
        requests_per_minute=cloud_settings.cloud_requests_per_minute,
        repeatable_with=IDEMPOTENCY_KEY,
    )
    service.lane = lane

    service.fold(RECORDING_PROCESSED, partial(fold_recording_processed, waits=settings.waits))
    service.fold(TICKET_LINKED, partial(fold_ticket_linked, waits=settings.waits))
    heard = service.fold(RECORDING_TRANSFERRED, fold_recording_transferred, news=new_own_transfers)
    service.producer.heeds[RECORDING_TRANSFERRED.name] = heard.published

    uploading = UploadRecordings(settings, cloud_settings.cloud_timeout_s, database, service.gate, cloud, lane)
    service.loop("upload_recordings", uploading.step, workers=cloud_settings.cloud_workers)
    service.loop(
        "announce_transfers",
        Announcer(
            "announce_transfers",
            database,
            service.gate,
            service.producer,
            announce_transfers.unheard,
            announce_transfers.facts,
            settings.announce_again_s,
        ).step,
    )
    service.loop(
        "announce_dead_letters", dead_letter_announcer(TRANSFER_DLQ, database, service.producer).step, gated=False
    )
    service.loop("ping_cloud", lane.ping, gated=False)
    service.loop("watch_pending", WatchPending(database, lane, seen.pending).step, gated=False, beat_s=WATCH_EVERY_S)
    service.loop("watch_dead_letters", WatchDeadLetters(database).step, gated=False, beat_s=WATCH_EVERY_S)

    # A folder that is uploaded again must be known in full: its recordings, and the tickets that travel with them.
    known = service.gate_on((RECORDING_PROCESSED, TICKET_LINKED))
    own = routes(service, lane, known)
    own.include_router(common(service))
    app = build(
        title="ticketsync transfer",
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
