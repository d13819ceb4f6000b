"""Around the fault-tolerant log: where it lies in files, its replay at start, the peers' handshake. No keys, no sockets."""
