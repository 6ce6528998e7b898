"""Lay a declaration over another: alternatives over an experiment."""

from typing import Any


def overlay(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """Return base with override laid over it, table by table; anything else, and a distribution, is replaced whole."""
    merged = dict(base)
    for key, value in override.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict) and "dist" not in value
        merged[key] = overlay(base[key], value) if both else value
    return merged
