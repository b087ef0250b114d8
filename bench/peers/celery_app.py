"""The peer with a queue of jobs: Celery on Redis, one job per link, one request per job.

Run by `.bench/venv/bin/celery -A celery_app worker`. A worker keeps its connection to the cloud; a job is acknowledged
when it is done, as one must that may not lose a link.
"""

import json
import os
from typing import Any

import requests
from celery import Celery

app = Celery("bench", broker=os.environ["BENCH_REDIS_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)
_session = requests.Session()
_session.trust_env = False


@app.task(name="push_link")
def push_link(folder_id: str, filename: str, ticket_info: dict[str, Any]) -> None:
    """Tell the cloud the ticket of one recording."""
    answer = _session.post(
        f"{os.environ['BENCH_RECEIVER_URL']}/api/external/v1/recording/update-ticket/{folder_id}",
        data=json.dumps({"files": [{"filename": filename, "ticket_info": ticket_info}]}, separators=(",", ":")),
        headers={"Authorization": "Bearer bench", "Content-Type": "application/json"},
        timeout=30,
    )
    answer.raise_for_status()
