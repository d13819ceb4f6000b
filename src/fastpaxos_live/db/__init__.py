"""The fault-tolerant database's slow half (snapshots, scrubbing) will stand here; per operation it is `db_*` in a core."""
