"""What the services' audit records say was done: a closed list, so that whoever looks for one is told of a wrong word.

Past participles, each of one kind of subject; which service writes it is its own affair.
"""

from typing import Literal

Audited = Literal[
    "dead_letter_discarded",
    "dead_letter_redriven",
    "folder_answered",
    "folder_given_up",
    "folder_uploaded_again",
    "import_accepted",
    "lane_paused",
    "lane_resumed",
    "link_parked",
    "linked",
    "parked_link_withdrawn",
    "parked_links_dropped",
    "recordings_adopted",
    "recordings_retried",
    "resync_cancelled",
    "resync_paused",
    "resync_resumed",
    "resync_taken_up",
    "topic_replayed",
    "unlinked",
]
