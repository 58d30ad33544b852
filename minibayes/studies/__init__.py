"""The poster's results, one file per figure or claim; each runs as `python -m minibayes NAME`."""
