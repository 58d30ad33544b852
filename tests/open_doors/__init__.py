"""Layers, noises, likelihoods and priors of one's own, each in one file that uses public names only."""
