"""Compiled loops of the analyses: loaded only where trials are computed."""
