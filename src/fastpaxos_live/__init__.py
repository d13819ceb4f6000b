"""A fast, durable, replicated key-value store: the system of "Paxos Made Live", behind the Redis protocol."""

__version__ = "0.1.0"
