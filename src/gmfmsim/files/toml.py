"""TOML files to frozen values: every fault of a file at once, in words."""

import json
import re
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gmfmsim.faults import MOST_TOLD, Fault, InputError, choices, has_control_character, shortened, shown

DEEPEST = 20
"""Levels of tables within tables that a file may have; the grammar needs five."""

MOST_BYTES = 1_000_000
"""Bytes of a file; the largest shipped one has 24,000."""

MOST_PARTS = 20_000
"""Lines and commas of a file: what bounds the time that parsing takes; the largest shipped one has a thousand."""

MOST_ENTRIES = 200
"""Entries of a list or table. What the grammar limits further says so; nothing in it needs more."""

LARGEST = 2**63
"""Whole numbers below it, and from minus it up, are those that TOML has."""

_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+"""
_DEEP_KEY = re.compile(rf"(?:^|[\[{{,])[ \t]*+(?:{_PART}\.[ \t]*+){{{DEEPEST}}}{_PART}", re.MULTILINE)
"""A dotted key of more levels than a file may have: tomllib would need time and memory in their square."""


class Spec(BaseModel):
    """A frozen value read from TOML. Unknown keys and wrong types are faults, nothing is guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def key(meaning: str, unit: str = "", *, example: Any = None, **field: Any) -> Any:
    """Return what a key of a file is: what it means, its unit, an example where it has no default, and what is allowed
    (the arguments of a pydantic Field)."""
    said: dict[str, Any] = {"description": meaning}
    said |= {"json_schema_extra": {"unit": unit}} if unit else {}
    said |= {} if example is None else {"examples": [example]}
    return Field(**said, **field)


def said(field: FieldInfo) -> tuple[str, str]:
    """Return what a key means, and its unit, as `key` says them of the whole of it."""
    more = field.json_schema_extra
    return field.description or "", str(more["unit"]) if isinstance(more, dict) else ""


def in_line(value: object) -> str:
    """Return a value as TOML writes it in a line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {in_line(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(in_line, value)) + "]"
    return json.dumps(value, ensure_ascii=False, default=str)


def read_text(path: Path, allowed: str = "a readable file") -> str:
    """Return the text of a file of at most MOST_BYTES.

    Raises InputError if the file is missing, unreadable, too large or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError([Fault(str(path), "file", "is too large", f"at most {MOST_BYTES:,} bytes")])
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise InputError([Fault(str(path), "file", "does not exist", allowed)]) from None
    except OSError as error:
        raise InputError([Fault(str(path), "file", error.strerror or "unreadable", "a readable file")]) from None
    except UnicodeDecodeError as error:
        raise InputError([Fault(str(path), f"byte {error.start}", "is not UTF-8", "UTF-8 text")]) from None


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises InputError if the file is missing, unreadable, not UTF-8 or not TOML, or holds more than a question needs.
    """
    text, file = read_text(path, "the path of a TOML file"), str(path)
    parts = text.count("\n") + text.count(",")
    if parts > MOST_PARTS:
        raise InputError([Fault(file, "file", f"{parts:,} lines and commas", f"at most {MOST_PARTS:,}")])
    if _DEEP_KEY.search(text):
        raise InputError([Fault(file, "file", "tables nested too deep", f"at most {DEEPEST} levels")])
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: tomllib's own, and integers of thousands of digits
        raise InputError([Fault(file, "file", f"is not TOML: {error}", "TOML 1.0")]) from None
    if faults := _faults_of_values(data, file):
        raise InputError(faults)
    return data


def _faults_of_values(data: dict[str, Any], file: str) -> list[Fault]:
    """Return what no file may hold, whatever its grammar: too deep, too many side by side, too large, not printable."""
    faults: list[Fault] = []
    level: list[tuple[tuple[object, ...], object]] = [((), data)]
    for _ in range(DEEPEST + 1):
        below: list[tuple[tuple[object, ...], object]] = []
        for keys, node in level:
            if isinstance(node, dict | list) and len(node) > MOST_ENTRIES:
                where = key_of(keys) if keys else "file"
                faults.append(Fault(file, where, f"{len(node):,} entries", f"at most {MOST_ENTRIES} side by side"))
            elif isinstance(node, dict | list):
                items = node.items() if isinstance(node, dict) else enumerate(node)
                below += [((*keys, key), value) for key, value in items]
            elif isinstance(node, int) and not -LARGEST <= node < LARGEST:
                faults.append(Fault(file, key_of(keys), "a whole number beyond 64 bits", "-2^63 to 2^63 - 1"))
            for text in (*keys[-1:], node):
                if isinstance(text, str) and has_control_character(text):
                    problem = f"{shown(text)} holds a control character"
                    faults.append(Fault(file, "file", problem, "text without control characters"))
        level = below
    if level:
        faults.append(Fault(file, "file", "tables nested too deep", f"at most {DEEPEST} levels"))
    return faults


def key_of(keys: Iterable[object]) -> str:
    """Say where in a file a key stands, each part of it shortened."""
    return "key " + ".".join(shortened(str(key), 60) for key in keys)


_WORDS = {
    "model_type": "a table of keys and values",
    "dict_type": "a table of keys and values",
    "model_attributes_type": "a table of keys and values",
    "string_pattern_mismatch": "letters, digits, _ and -, the first a letter or digit",
}


MEANT = {
    **dict.fromkeys(("sd", "SD", "sd_of_change", "change_sd", "standard_deviation"), "sd_change"),
    **dict.fromkeys(("correlation", "rho", "r", "baseline_cor"), "baseline_correlation"),
    **dict.fromkeys(("drop_out", "attrition", "loss", "losses"), "dropout"),
    **dict.fromkeys(("allocation", "allocation_ratio"), "ratio"),
    **dict.fromkeys(("endpoint", "follow_up", "months"), "month"),
}
"""Keys that people write for others."""


def parse[T](cls: type[T], data: object, file: str) -> tuple[T | None, list[Fault]]:
    """Validate `data` as a `cls`, a spec or a union of specs with a tag; return the value or None, and every fault.

    Only the first are put into words as well as can be: the others will be counted.
    """
    try:
        value: T = _adapter(cls).validate_python(data)  # type: ignore[arg-type]  # mypy does not know that classes hash
        return value, []
    except ValidationError as error:
        found = error.errors(include_url=False)
        faults = [_fault(cls, e, data, file) for e in found[:MOST_TOLD]]
        return None, faults + [Fault(file, key_of(e["loc"]), "is not allowed", e["msg"]) for e in found[MOST_TOLD:]]


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    """Return what validates a class or a union: of a union it is dear to make."""
    return TypeAdapter(cls)


def _fault(cls: type, error: ErrorDetails, data: Any, file: str) -> Fault:
    """Translate one of pydantic's errors; `where` is the key as written in the file."""
    loc, specs = _descend(cls, error["loc"])
    keys, node = [], data
    for part in loc:
        if (isinstance(node, dict) and part in node) or (isinstance(node, list) and isinstance(part, int)):
            keys.append(str(part))
            node = node[part]
        elif error["type"] == "missing" and part == loc[-1]:
            keys.append(str(part))
    where = key_of(keys)
    if error["type"] == "extra_forbidden":
        known = sorted({name for spec in specs for name in (*spec.model_fields, *getattr(spec, "SHORT", ()))})
        meant = [MEANT[loc[-1]]] if MEANT.get(loc[-1]) in known else []
        said = f"meant: {meant[0]}; of {', '.join(known)}" if meant else choices(loc[-1], known, len(known))
        return Fault(file, where, "unknown key", said)
    if error["type"] == "missing":
        return Fault(file, where, "is missing", "this key is required")
    if error["type"].startswith("union_tag"):
        return _fault_of_tag(error["ctx"], keys, file)
    allowed = _WORDS.get(error["type"]) or error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    if not keys:
        return Fault(file, "sections", "do not fit together", allowed)
    return Fault(file, where, f"{shown(error['input'])} is not allowed", allowed)


def _fault_of_tag(context: dict[str, Any], keys: list[str], file: str) -> Fault:
    """Return the fault of a key that says of which kind a table is."""
    key = context["discriminator"].strip("'")
    where = key_of(keys or [key])
    if "tag" not in context:
        return Fault(file, where, f"no key {key}", f"a table with a key {key}")
    tags = context["expected_tags"].split(", ")
    return Fault(file, where, f"{shown(context['tag'])} is not allowed", choices(repr(context["tag"]), tags, len(tags)))


def _descend(
    kind: object, loc: tuple[Any, ...], tag: str | Discriminator | None = None
) -> tuple[list[Any], list[type[BaseModel]]]:
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


def _tags(member: object, key: str | Discriminator | None) -> tuple[Any, ...]:
    """Return what pydantic calls a member of a union: its Tag, or the values that its `key` may have."""
    given = tuple(m.tag for m in get_args(member)[1:] if isinstance(m, Tag))
    field = getattr(member, "model_fields", {}).get(key)
    return given or (get_args(field.annotation) if field else ())
