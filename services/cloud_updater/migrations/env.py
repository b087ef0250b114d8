"""Alembic's entry; see shared.migrations."""

from alembic import context

from services.cloud_updater.tables import CloudUpdaterTable
from shared.migrations import run_env

run_env(CloudUpdaterTable.metadata, context.config)
