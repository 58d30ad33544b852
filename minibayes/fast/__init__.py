"""The same network, run: stages, routes, sweeps, the one pool, the flat update: each the twin of something plain."""
