#!/bin/bash
# Runs once, when PostgreSQL makes its cluster: a role and a database of its own for each service.
# A role owns its database and can enter no other one. The passwords come from the environment; no command line shows
# them, and psql quotes them.
set -euo pipefail

make_database() {
  name=$1 password=$2 psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\getenv name name
\getenv password password
create role :"name" login password :'password';
create database :"name" owner :"name";
revoke all on database :"name" from public;
SQL
}

make_database linker "$LINKER_DATABASE_PASSWORD"
make_database transfer "$TRANSFER_DATABASE_PASSWORD"
make_database cloud_updater "$CLOUD_UPDATER_DATABASE_PASSWORD"

psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
revoke all on database postgres, template1 from public;
SQL
