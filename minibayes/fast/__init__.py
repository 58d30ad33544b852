"""The same network, run: stages, routes, sweeps, the one pool, the flat update. Each piece is the twin of something plain."""
