"""`python -m minibayes bench`: speed on this machine as ratios, against its own sgemm peak and, if it is installed, PyTorch."""
