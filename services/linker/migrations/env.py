"""Alembic's entry; see shared.migrations."""

from alembic import context

from services.linker.tables_imports import Import
from shared.migrations import run_env

# Whoever imports this module has the tables of both files.
run_env(Import.metadata, context.config)
