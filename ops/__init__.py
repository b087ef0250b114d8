"""The `ticketsync` command: what operators and scripts use. One file per command; `ops.main` lists them all."""
