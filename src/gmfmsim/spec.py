"""TOML files to frozen values: every fault of a file at once, in words."""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gmfmsim.faults import Fault, InputError, choices, has_control_character, shown

DEEPEST = 20
"""Levels of tables within tables that a file may have; the grammar needs five."""


class Spec(BaseModel):
    """A frozen value read from TOML. Unknown keys and wrong types are faults, nothing is guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def read_toml(path: Path) -> dict:
    """Read a TOML file.

    Raises InputError if the file is missing, unreadable, not UTF-8 or not TOML.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError([Fault(str(path), "file", "does not exist", "the path of a TOML file")]) from None
    except OSError as error:
        raise InputError([Fault(str(path), "file", error.strerror or "unreadable", "a readable file")]) from None
    except UnicodeDecodeError as error:
        raise InputError([Fault(str(path), f"byte {error.start}", "is not UTF-8", "UTF-8 text")]) from None
    except (ValueError, RecursionError) as error:  # ValueError: tomllib's own, and integers of thousands of digits
        raise InputError([Fault(str(path), "file", f"is not TOML: {error}", "TOML 1.0")]) from None
    level, depth, texts = [data], 0, []
    while level and depth <= DEEPEST:
        children = [v for part in level for v in (part.values() if isinstance(part, dict) else part)]
        keys = [key for part in level if isinstance(part, dict) for key in part]
        texts += [text for text in [*children, *keys] if isinstance(text, str)]
        level, depth = [v for v in children if isinstance(v, dict | list)], depth + 1
    if level:
        raise InputError([Fault(str(path), "file", "tables nested too deep", f"at most {DEEPEST} levels")])
    faults = [
        Fault(str(path), "file", f"{shown(text)} holds a control character", "text without control characters")
        for text in texts
        if has_control_character(text)
    ]
    if faults:
        raise InputError(faults)
    return data


_WORDS = {
    "model_type": "a table of keys and values",
    "dict_type": "a table of keys and values",
    "model_attributes_type": "a table of keys and values",
    "union_tag_not_found": "a table with a key dist",
    "string_pattern_mismatch": "letters, digits, _ and -, the first a letter or digit",
}


def parse[T: BaseModel](cls: type[T], data: object, file: str) -> tuple[T | None, list[Fault]]:
    """Validate `data` as a `cls`; return the value or None, and every fault found."""
    try:
        return cls.model_validate(data), []
    except ValidationError as error:
        return None, [_fault(cls, e, data, file) for e in error.errors(include_url=False)]


def _fault(cls: type[BaseModel], error: dict, data: object, file: str) -> Fault:
    """Translate one of pydantic's errors; `where` is the key as written in the file."""
    keys, node = [], data
    for part in error["loc"]:
        if (isinstance(node, dict) and part in node) or (isinstance(node, list) and isinstance(part, int)):
            keys.append(str(part))
            node = node[part]
        elif error["type"] == "missing" and part == error["loc"][-1]:
            keys.append(str(part))
    where = "key " + ".".join(keys)
    if error["type"] == "extra_forbidden":
        return Fault(file, where, "unknown key", choices(error["loc"][-1], _keys_at(cls, error["loc"][:-1])))
    if error["type"] == "missing":
        return Fault(file, where, "is missing", "this key is required")
    allowed = _WORDS.get(error["type"]) or error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    if not keys:
        return Fault(file, "sections", "do not fit together", allowed)
    return Fault(file, where, f"{shown(error['input'])} is not allowed", allowed)


def _keys_at(cls: type[BaseModel], loc: tuple) -> list[str]:
    """Return the keys that the spec at `loc` allows (descending through unions by their tag)."""
    candidates = [cls]
    for part in loc:
        below = []
        for candidate in candidates:
            field = candidate.model_fields.get(part) if isinstance(part, str) else None
            below += _specs_in(field.annotation) if field else []
        tagged = [c for c in candidates if "dist" in c.model_fields and part in str(c.model_fields["dist"].annotation)]
        candidates = below or tagged or candidates
    return sorted({name for c in candidates for name in c.model_fields})


def _specs_in(annotation: object) -> list[type[BaseModel]]:
    """Return every spec class mentioned in a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [spec for part in getattr(annotation, "__args__", ()) for spec in _specs_in(part)]
