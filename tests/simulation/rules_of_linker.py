"""The rules of linker's SQL: recordings, links and requests that wait."""

from collections.abc import Sequence

from tests.simulation.situations import Rule
from tests.simulation.situations_of_linker import (
    another_waits_by_now,
    links_to_announce,
    named_recordings,
    older_facts_of_a_recording,
    older_link,
    recordings_that_wait_for_a_match,
    request_comes_again,
    request_for_two_recordings,
)

RULES: Sequence[Rule] = (
    Rule(
        "older revision shown",
        "linker takes whichever RecordingProcessed comes last",
        "linker",
        older_facts_of_a_recording,
        [
            (">= (u.revision, u.processed_at, u.content_hash)", "is null"),
            ("< (excluded.revision, excluded.processed_at, excluded.content_hash)", "is not null"),
        ],
    ),
    Rule(
        "older transfer shown",
        "linker takes whichever RecordingTransferred comes last",
        "linker",
        older_facts_of_a_recording,
        [
            ("and r.transfer_version >= u.transfer_version", "and false"),
            ("where recording.transfer_version < excluded.transfer_version", ""),
        ],
    ),
    Rule(
        "older acknowledgement shown",
        "linker takes whichever CloudTicketUpdated comes last",
        "linker",
        older_facts_of_a_recording,
        [
            (">= (u.t, u.l)", "is null"),
            ("< (excluded.known_transfer_version, excluded.known_link_version)", "is not null"),
        ],
    ),
    Rule(
        "label before id",
        "a folder of that label is meant although there is one of that id",
        "linker",
        named_recordings,
        [("where folder_id = g.folder order by recording_id limit 1) is null", "where false limit 1) is null")],
    ),
    Rule(
        "found under both names",
        "a recording whose name has no extension is found twice, and so is none that can be chosen",
        "linker",
        named_recordings,
        [("and r.stem_key = u.name_key and r.name_key <> u.name_key", "and r.stem_key = u.name_key")],
    ),
    Rule(
        "older version of a link stored",
        "a link that was read back or made replaces a newer one",
        "linker",
        older_link,
        [("where link.link_version < excluded.link_version", "")],
    ),
    Rule(
        "version of a link lowered",
        "the version of a link follows whatever was read back",
        "linker",
        older_link,
        [
            (
                "where link.recording_id = u.recording_id and link.link_version < u.link_version",
                "where link.recording_id = u.recording_id",
            )
        ],
    ),
    Rule(
        "link of another request taken for it",
        "one version for two links is not noticed",
        "linker",
        older_link,
        [("using (recording_id, link_version, request_id)", "using (recording_id, link_version)")],
    ),
    Rule(
        "version 0 announced",
        "an unlink of what was never linked is announced",
        "linker",
        links_to_announce,
        [("select * from stored where link_version > 0", "select * from stored")],
    ),
    Rule(
        "older version heard",
        "a link counts as heard once any version of it was",
        "linker",
        links_to_announce,
        [
            (
                "where link_version <= u.version))",
                "where true))",
            )
        ],
    ),
    Rule(
        "late version not corrected",
        "an old link behind the newest on the topic stays the last word",
        "linker",
        links_to_announce,
        [("l.link_version = u.link_version as heard", "true as heard")],
    ),
    Rule(
        "parked again",
        "a request that has had its turn waits again when it comes again",
        "linker",
        request_comes_again,
        [("where parked_link.requested_at < excluded.requested_at", "")],
    ),
    Rule(
        "choice forgotten",
        "a request that comes again chooses its recording anew",
        "linker",
        request_comes_again,
        [("(a.state = 'applied' and a.applied_to is not null)", "false")],
    ),
    Rule(
        "asked anew and settled",
        "a request that was asked for anew counts as done with the one before it",
        "linker",
        another_waits_by_now,
        [("and p.requested_at = u.requested_at\n                    and p.state = 'parked'", "and p.state = 'parked'")],
    ),
    Rule(
        "settled twice",
        "what was withdrawn counts as applied",
        "linker",
        another_waits_by_now,
        [
            (
                "and p.requested_at = u.requested_at\n                    and p.state = 'parked'",
                "and p.requested_at = u.requested_at",
            )
        ],
    ),
    Rule(
        "asked anew and looked through",
        "nobody looks for the recording of a request that was asked for anew",
        "linker",
        another_waits_by_now,
        [
            (
                "p.target = u.target and p.requested_at = u.requested_at\n            ",
                "p.target = u.target\n            ",
            )
        ],
    ),
    Rule(
        "both of one id settled",
        "the link of one recording settles the request for another",
        "linker",
        request_for_two_recordings,
        [("join l using (request_id, recording_id)", "join l using (request_id)")],
    ),
    Rule(
        "name of any folder settled",
        "a link in another folder settles the request for a name",
        "linker",
        request_for_two_recordings,
        [("(p.folder is null or p.folder = l.folder_id", "(true or p.folder = l.folder_id")],
    ),
    Rule(
        "parked link of another folder applied",
        "what waits for a folder's id goes to a folder of that label",
        "linker",
        recordings_that_wait_for_a_match,
        [("where other.folder_id = named.folder_name", "where false")],
    ),
    Rule(
        "applied parked link applied again",
        "a request that has had its turn goes to a recording that arrives",
        "linker",
        recordings_that_wait_for_a_match,
        [("and p.state = 'parked'", "")],
    ),
)
