"""TOML files to frozen values: every fault of a file at once, in words."""

import tomllib
from pathlib import Path
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Tag, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

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
    "string_pattern_mismatch": "letters, digits, _ and -, the first a letter or digit",
}


def parse[T](cls: type[T], data: object, file: str) -> tuple[T | None, list[Fault]]:
    """Validate `data` as a `cls`, a spec or a union of specs with a tag; return the value or None, and every fault."""
    try:
        return TypeAdapter(cls).validate_python(data), []
    except ValidationError as error:
        return None, [_fault(cls, e, data, file) for e in error.errors(include_url=False)]


def _fault(cls: type, error: dict, data: object, file: str) -> Fault:
    """Translate one of pydantic's errors; `where` is the key as written in the file."""
    loc, specs = _descend(cls, error["loc"])
    keys, node = [], data
    for part in loc:
        if (isinstance(node, dict) and part in node) or (isinstance(node, list) and isinstance(part, int)):
            keys.append(str(part))
            node = node[part]
        elif error["type"] == "missing" and part == loc[-1]:
            keys.append(str(part))
    where = "key " + ".".join(keys)
    if error["type"] == "extra_forbidden":
        known = sorted({name for spec in specs for name in spec.model_fields})
        return Fault(file, where, "unknown key", choices(loc[-1], known))
    if error["type"] == "missing":
        return Fault(file, where, "is missing", "this key is required")
    if error["type"].startswith("union_tag"):
        return _fault_of_tag(error["ctx"], keys, file)
    allowed = _WORDS.get(error["type"]) or error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    if not keys:
        return Fault(file, "sections", "do not fit together", allowed)
    return Fault(file, where, f"{shown(error['input'])} is not allowed", allowed)


def _fault_of_tag(context: dict, keys: list[str], file: str) -> Fault:
    """Return the fault of a key that says of which kind a table is."""
    key = context["discriminator"].strip("'")
    where = "key " + ".".join(keys or [key])
    if "tag" not in context:
        return Fault(file, where, f"no key {key}", f"a table with a key {key}")
    tags = context["expected_tags"].split(", ")
    return Fault(file, where, f"{shown(context['tag'])} is not allowed", choices(repr(context["tag"]), tags, len(tags)))


def _descend(kind: object, loc: tuple, tag: str | None = None) -> tuple[list, list[type[BaseModel]]]:
    """Return what the file itself says of `loc`, the tags of unions left out, and the specs that its last key is of.

    tag: the key by which a union tells its members apart, where `kind` is one.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        found = [m.discriminator for m in inner[1:] if isinstance(m, FieldInfo) and m.discriminator]
        return _descend(inner[0], loc, found[0] if found else tag)
    if origin in (Union, UnionType):
        members = [m for m in inner if m is not type(None)]
        named = [m for m in members if loc and loc[0] in _tags(m, tag)]
        members, loc = (named, loc[1:]) if named else (members, loc)
        ways = [_descend(member, loc) for member in members]
        return (ways[0][0] if ways else list(loc)), [spec for _, specs in ways for spec in specs]
    if not loc:
        return [], []
    key, *rest = loc
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(key)
        if field is None or not rest:
            return list(loc), [kind]
        keys, specs = _descend(field.annotation, tuple(rest), field.discriminator)
        return [key, *keys], specs
    keys, specs = _descend(inner[-1], tuple(rest)) if inner else (rest, [])
    return [key, *keys], specs


def _tags(member: object, key: str | None) -> tuple:
    """Return what pydantic calls a member of a union: its Tag, or the values that its `key` may have."""
    given = tuple(m.tag for m in get_args(member)[1:] if isinstance(m, Tag))
    field = getattr(member, "model_fields", {}).get(key)
    return given or (get_args(field.annotation) if field else ())
