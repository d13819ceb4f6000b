"""The fault-tolerant database's slow half (snapshots, scrubbing) will stand here; operations are `db_*` in a core."""
