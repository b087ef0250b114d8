"""The rules of transfer's SQL: what is to be uploaded, what was sent, what is in the cloud."""

from collections.abc import Sequence

from tests.simulation.situations import Rule
from tests.simulation.situations_of_transfer import (
    folders_that_are_due,
    names_in_the_cloud,
    older_revision,
    older_ticket,
    older_transfer,
    outcome_after_the_end,
    ready_to_go,
    recording_of_before,
    refused_after_news,
    request_done_in_part,
    transfer_of_before,
)

RULES: Sequence[Rule] = (
    Rule(
        "older revision stored",
        "transfer takes whichever revision comes last",
        "transfer",
        older_revision,
        [("where (excluded.revision, excluded", "where true or (excluded.revision, excluded")],
    ),
    Rule(
        "transferred and waiting",
        "a recording that is in the cloud already waits for its upload",
        "transfer",
        recording_of_before,
        [("not exists (select from transfer t where t.recording_id = u.recording_id)", "true")],
    ),
    Rule(
        "rejected for good",
        "a rejected recording is not tried again with its next revision",
        "transfer",
        recording_of_before,
        [("waiting = recording.waiting or recording.rejected is not null", "waiting = recording.waiting")],
    ),
    Rule(
        "given up taken back",
        "a recording that an operator has given up is tried again with its next revision",
        "transfer",
        recording_of_before,
        [
            ("and not starts_with(recording.rejected,", "and true or starts_with(recording.rejected,"),
            ("case when starts_with(", "case when false and starts_with("),
        ],
    ),
    Rule(
        "older ticket stored",
        "transfer takes whichever link comes last",
        "transfer",
        older_ticket,
        [("where excluded.link_version > ticket.link_version", "")],
    ),
    Rule(
        "older transfer stored",
        "transfer takes whichever of its own facts comes last",
        "transfer",
        older_transfer,
        [("where excluded.transfer_version > transfer.transfer_version", "")],
    ),
    Rule(
        "transfer not heard",
        "a transfer of which the topic says an older one last is not announced again",
        "transfer",
        older_transfer,
        [("where heard_version <> transfer_version", "where heard_version = 0")],
    ),
    Rule(
        "upload again taken back",
        "the transfer of before, read back, ends the wait of a folder that is to be uploaded again",
        "transfer",
        transfer_of_before,
        [("and recording.wanted_version <= u.transfer_version", "")],
    ),
    Rule(
        "request closed in part",
        "an open request counts as done once one of its recordings is transferred",
        "transfer",
        request_done_in_part,
        [("coalesce(t.transfer_version, 0) < f.transfer_version", "false")],
    ),
    Rule(
        "folder taken from its worker",
        "a folder that somebody uploads is claimed by the next who comes",
        "transfer",
        folders_that_are_due,
        [("greatest(due_at, retry_at, lease_until)", "greatest(due_at, retry_at)")],
    ),
    Rule(
        "next try at once",
        "a folder that failed does not wait for its next try",
        "transfer",
        folders_that_are_due,
        [("greatest(due_at, retry_at, lease_until)", "greatest(due_at, lease_until)")],
    ),
    Rule(
        "held folder claimed",
        "a folder that waits for an operator's word is looked at all the same",
        "transfer",
        folders_that_are_due,
        [("due_at is not null and held is null", "due_at is not null")],
    ),
    Rule(
        "lost folder asked about",
        "a folder that the cloud has lost is held for a word about a request",
        "transfer",
        outcome_after_the_end,
        [("and held = 'outcome_unknown'", "and held is not null")],
    ),
    Rule(
        "look put off",
        "a later look at a folder takes the place of an earlier one",
        "transfer",
        folders_that_are_due,
        [("least(folder.due_at, excluded.due_at)", "excluded.due_at")],
    ),
    Rule(
        "no grace for a ticket",
        "a recording that requires a ticket is uploaded without waiting for it",
        "transfer",
        ready_to_go,
        [("(not r.requires_ticket or r.folded_at", "(true or r.folded_at")],
    ),
    Rule(
        "unlink taken for a ticket",
        "a recording whose newest link is an unlink does not wait for its ticket",
        "transfer",
        ready_to_go,
        [("and k.ticket_info is not null", "")],
    ),
    Rule(
        "recording frozen twice",
        "what is in an open request may go with another",
        "transfer",
        ready_to_go,
        [("and not exists (select from frozen_file f where f.recording_id = r.recording_id)", "")],
    ),
    Rule(
        "rejected recording uploaded",
        "what will not be uploaded as it is goes all the same",
        "transfer",
        ready_to_go,
        [("r.waiting and coalesce(", "coalesce(")],
    ),
    Rule(
        "newer revision refused",
        "what the cloud said of one revision counts for the next, which is never tried",
        "transfer",
        refused_after_news,
        [("and recording.content_hash = coalesce(u.content_hash, recording.content_hash)", "")],
    ),
    Rule(
        "newer link refused",
        "what the cloud said of an upload with one link counts for the next link, which is never tried",
        "transfer",
        refused_after_news,
        [("and coalesce(k.link_version, 0) = coalesce(u.link_version, k.link_version, 0)", "")],
    ),
    Rule(
        "name given twice",
        "a second recording of a name goes into the folder",
        "transfer",
        names_in_the_cloud,
        [("and md5(filename) = any(", "and false and md5(filename) = any(")],
    ),
    Rule(
        "closed request recorded",
        "an outcome counts for a request that was closed otherwise",
        "transfer",
        outcome_after_the_end,
        [
            (
                "select exists (select from upload_request where id =",
                "select true or exists (select from upload_request where id =",
            )
        ],
    ),
)
