"""Lay a declaration over another: alternatives over an experiment."""


def overlay(base: dict, override: dict) -> dict:
    """Return base with override laid over it, table by table; anything else, and a distribution, is replaced whole."""
    merged = dict(base)
    for key, value in override.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict) and "dist" not in value
        merged[key] = overlay(base[key], value) if both else value
    return merged
