"""Where the product is cut for a simulation: SQL, clocks and metrics. Everything else that runs is the product's own.

Each class of a service that holds SQL gets the methods of its model, each module that asks for the time gets the
virtual one, for as long as the block runs. This is the whole list: a statement that was forgotten ends a run with
`no model for` and its text.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import structlog

from services.cloud_updater import (
    claims,
    expand_resyncs,
    ledgers,
    push_tickets,
    pushes,
    resync_requests,
    resyncs,
    seen_resyncs,
)
from services.cloud_updater import store as updater
from services.cloud_updater.decisions import MAX_FILES
from services.linker import (
    match_parked,
    on_ticket_link_requested,
    store_candidates,
    store_catalogue,
    store_choices,
    store_links,
    store_matching,
    store_parked,
)
from services.transfer import conclusions, lost_folders, requests, transfers, upload_recordings, uploads
from services.transfer import store as transfer
from shared import announce, dead_letters, fold, gate, insist, lane_row, lease, positions, replays
from tests.simulation import (
    lane_store,
    linker_store,
    parked_store,
    plumbing_store,
    resync_store,
    transfer_store,
    updater_outcomes,
    updater_store,
)
from tests.simulation.clock import VIRTUAL_ASYNCIO, VIRTUAL_TIME, VirtualDatetime

MODELS: tuple[tuple[type, type], ...] = (
    (updater.Store, updater_store.StoreModel),
    (ledgers.Ledgers, updater_store.LedgersModel),
    (claims.Claims, updater_store.ClaimsModel),
    (pushes.Pushes, updater_outcomes.PushesModel),
    (resyncs.Resyncs, updater_outcomes.ResyncsModel),
    (resync_requests.ResyncRequests, resync_store.ResyncRequestsModel),
    (seen_resyncs.ResyncsSeen, resync_store.ResyncsSeenModel),
    (transfer.Store, transfer_store.StoreModel),
    (transfers.Transfers, transfer_store.TransfersModel),
    (uploads.Uploads, transfer_store.UploadsModel),
    (requests.Requests, transfer_store.RequestsModel),
    (conclusions.Conclusions, transfer_store.ConclusionsModel),
    (lost_folders.LostFolders, transfer_store.LostFoldersModel),
    (store_catalogue.Catalogue, linker_store.CatalogueModel),
    (store_candidates.Candidates, linker_store.CandidatesModel),
    (store_links.Links, linker_store.LinksModel),
    (store_parked.Parked, parked_store.ParkedModel),
    (store_choices.Choices, parked_store.ChoicesModel),
    (store_matching.Matching, parked_store.MatchingModel),
)
FUNCTIONS: tuple[tuple[Any, str, Any], ...] = (
    (positions, "read", plumbing_store.read),
    (positions, "begin", plumbing_store.begin),
    (positions, "move", plumbing_store.move),
    (positions, "put", plumbing_store.put),
    (replays, "running", plumbing_store.running),
    (replays, "count", plumbing_store.count),
    (lease, "take", plumbing_store.take),
    (lease, "give_back", plumbing_store.give_back),
    (dead_letters, "keep", plumbing_store.keep),
    (dead_letters, "unpublished", plumbing_store.unpublished),
    (dead_letters, "mark_published", plumbing_store.mark_published),
    (dead_letters, "forget_published", plumbing_store.forget_published),
    *(
        (lane_row, name, vars(lane_store)[name])
        for name, statement in vars(lane_row).items()
        if isinstance(statement, FunctionType) and statement.__module__ == lane_row.__name__
    ),
    (announce, "time", VIRTUAL_TIME),
    (expand_resyncs, "time", VIRTUAL_TIME),
    (gate, "time", VIRTUAL_TIME),
    (fold, "time", VIRTUAL_TIME),
    (insist, "time", VIRTUAL_TIME),
    (insist, "asyncio", VIRTUAL_ASYNCIO),
    (push_tickets, "time", VIRTUAL_TIME),
    (upload_recordings, "time", VIRTUAL_TIME),
    (match_parked, "datetime", VirtualDatetime),
    (on_ticket_link_requested, "datetime", VirtualDatetime),
)
SILENT = structlog.make_filtering_bound_logger(logging.CRITICAL)(None, [], {})  # type: ignore[call-arg]  # as every logger takes them


@contextmanager
def replaced(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """While the block runs, each (owner, name) is the given one."""
    before = [(owner, name, vars(owner)[name]) for owner, name, _ in changes]
    for owner, name, new in changes:
        setattr(owner, name, new)
    try:
        yield
    finally:
        for owner, name, old in reversed(before):
            setattr(owner, name, old)


@contextmanager
def modelled(*, files_a_request: int = MAX_FILES) -> Iterator[None]:
    """While the block runs, the product runs over models, in virtual time, and says nothing."""
    limits = [(model, "MAX_FILES", files_a_request) for model in (updater_store, updater_outcomes)]
    methods = [
        (real, name, method)
        for real, model in MODELS
        for name, method in vars(model).items()
        if isinstance(method, FunctionType) and name in vars(real)
    ]
    helpers = [
        (real, name, method)
        for real, model in MODELS
        for name, method in vars(model).items()
        if isinstance(method, FunctionType) and name not in vars(real)
    ]
    for real, name, method in helpers:
        setattr(real, name, method)
    try:
        with replaced(*methods, *FUNCTIONS, *limits, *_loggers()):
            yield
    finally:
        for real, name, _ in helpers:
            delattr(real, name)


def _loggers() -> list[tuple[Any, str, Any]]:
    """Of every module of the product. Whatever else runs in this process may have configured them, and for good."""
    lazy = type(structlog.get_logger())
    modules = [module for name, module in sys.modules.items() if name.startswith(("services.", "shared."))]
    return [(module, "log", SILENT) for module in modules if isinstance(vars(module).get("log"), lazy)]
