"""`python -m minibayes bench`: speed as ratios, against this machine's own sgemm peak and PyTorch, if any."""
