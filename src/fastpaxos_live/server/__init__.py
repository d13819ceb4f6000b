"""The edge: sockets, files, clocks and threads; configuration; the requests that Python answers."""
