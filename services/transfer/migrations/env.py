"""Alembic's entry for transfer's database; `shared.migrations` runs it."""

from alembic import context

from services.transfer.tables import TransferTable
from shared.migrations import run_env

run_env(TransferTable.metadata, context.config)
