"""Gives Celery its jobs: one for each line of standard input, a JSON array of the arguments of push_link.

Answers each line of `--one-by-one` with the moment at which the queue had taken it.
"""

import json
import sys
import time

from celery_app import app, push_link

with app.producer_pool.acquire(block=True) as producer:
    for line in sys.stdin:
        push_link.apply_async(json.loads(line), producer=producer)
        if "--one-by-one" in sys.argv:
            print(time.time(), flush=True)
