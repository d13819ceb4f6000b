"""The simulator: a whole cell of production replicas in one process, decided by one seed, in virtual time."""
