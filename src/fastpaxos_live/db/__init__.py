"""The fault-tolerant database's slow half (snapshots, scrubbing) will stand here; its operations are a core's `db_*`."""
