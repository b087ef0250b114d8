"""Alembic's entry; see shared.migrations."""

from alembic import context

from services.linker.tables import LinkerTable
from shared.migrations import run_env

run_env(LinkerTable.metadata, context.config)
