"""The same network, run: stages, routes, sweeps, the one pool, the flat update. Each has a plain twin."""
