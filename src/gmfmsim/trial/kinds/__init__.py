"""Kinds of design, one a file: what it declares, asks, does to children, estimates and says."""
