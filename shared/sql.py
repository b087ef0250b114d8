"""Statements as text, taken apart once.

SQLAlchemy looks for the parameters of a text whenever it is made, which for a long one takes as long as to run it. What
`text` returns is never changed, so all who say the same share it.
"""

from functools import lru_cache

import sqlalchemy

text = lru_cache(maxsize=1_000)(sqlalchemy.text)

# For a transaction, before it asks for rows in the order of an index, up to a limit. A bitmap forgets that order: where
# all that there is seems to be some rows, to read and sort them looks cheaper, and of 68,000 that took 40 ms for 500.
FOLLOW_INDEX = text("set local enable_bitmapscan = off")
