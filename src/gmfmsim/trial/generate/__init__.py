"""Simulated children: one block of trials at a time, as arrays."""
