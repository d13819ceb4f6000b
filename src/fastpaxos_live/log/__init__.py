"""Around the fault-tolerant log: its place in files, its replay at start, the peers' handshake. No keys, no sockets."""
