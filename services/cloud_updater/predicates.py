"""What a ledger `l` says of a recording `r`, as the SQL that all of this service's queries share.

A seq is beyond the cursor until the cloud has answered, between the announced cursor and the cursor until
CloudTicketUpdated is on its topic, and behind both when nothing is to be done. What the announced cursor says is
written into `known_*` only when a recording takes a new seq, so a push writes no row of a recording.
"""

# The newest link is newer than what the row itself knows the cloud to show.
BEHIND = "(r.transfer_version, r.link_version) > (r.known_transfer_version, r.known_link_version)"

# To be pushed. A recording that was never linked has no ticket row and owes nothing. Nor does one of which the cloud
# has a newer link than is known here, such as one that travelled with its upload: no request undoes that.
_SENDABLE = """
    r.link_version > 0 and (r.known_transfer_version, r.known_link_version) <= (r.transfer_version, r.link_version)
"""
_WAITS = f"(r.seq > l.cursor and r.rejected is null and (r.forced or r.seq <= l.forced_until or {BEHIND}))"
OWED = f"r.clouds_uuid = l.clouds_uuid and {_SENDABLE} and {_WAITS}"

# To be pushed once a resync has come by: what is owed already, what the cloud refused and, if it is forced, all else.
# A cast, as the parameter stands alone in no other place that would tell its type.
OWED_AFTER_RESYNC = f"""
    ({_SENDABLE} and (cast(:force as boolean) or (r.rejected is not null and {BEHIND}) or {_WAITS}))
"""

# The cloud shows the newest link, by what the cursor `up_to` says and the row does not know yet.
_SHOWN_UP_TO = f"(r.seq <= {{up_to}} and r.rejected is null and r.link_version > 0 and {BEHIND})"
_ANNOUNCED = _SHOWN_UP_TO.format(up_to="l.announced_cursor")
TO_ANNOUNCE = f"""
    r.clouds_uuid = l.clouds_uuid and r.seq > l.announced_cursor and {_SHOWN_UP_TO.format(up_to="u.cursor")}
"""

# The newest acknowledgement that is on the topic, known to the row or not.
ACKNOWLEDGED_TRANSFER = f"case when {_ANNOUNCED} then r.transfer_version else r.known_transfer_version end"
ACKNOWLEDGED_LINK = f"case when {_ANNOUNCED} then r.link_version else r.known_link_version end"

# Forced and not pushed yet, so that a new seq keeps it.
STILL_FORCED = "coalesce((r.forced or r.seq <= l.forced_until) and r.seq > l.cursor, false)"
