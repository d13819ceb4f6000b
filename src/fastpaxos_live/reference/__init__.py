"""The reference core: plain Python, written to be read; file by file what `core/` is in C."""
