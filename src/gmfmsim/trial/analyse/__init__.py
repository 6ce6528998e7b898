"""Analyses of simulated trials, as a protocol would name them."""
