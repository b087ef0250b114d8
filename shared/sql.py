"""Statements as text, taken apart once.

SQLAlchemy looks for the parameters of a text whenever it is made, which for a long one takes as long as to run it. What
`text` returns is never changed, so all who say the same share it.
"""

from functools import lru_cache

import sqlalchemy

text = lru_cache(maxsize=1_000)(sqlalchemy.text)
