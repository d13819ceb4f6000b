"""The protocol: the state machines of one replica, and their words. `smc` compiles them."""
