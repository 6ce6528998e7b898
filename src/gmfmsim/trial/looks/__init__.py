"""Looks at a trial before its end: where their bounds lie, and how often a trial stops at them."""
