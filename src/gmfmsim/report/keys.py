"""The reference of keys: what a file may say, section by section, in words made from its schema."""

import textwrap
from collections.abc import Iterator
from typing import Any

from gmfmsim.faults import Fault, InputError, choices, shown
from gmfmsim.files.schema import Schema, forms, merged, tables
from gmfmsim.files.toml import in_line
from gmfmsim.question.grammar import FILES, schema

WIDTH, INDENT = 110, 24
"""Columns of a line, and of the names of keys."""

TYPES = {"string": "text", "number": "number", "integer": "whole number", "boolean": "true or false"}

SEVERAL = {"text": "texts", "number": "numbers", "whole number": "whole numbers", "table": "tables"}

RANGES = {
    "": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "entries": ("minItems", "maxItems"),
    "characters": ("minLength", "maxLength"),
}
"""What limits a number, a list and a text: from, to, above and below."""


def keys(section: str = "") -> dict[str, Any]:
    """Return the keys of a section of an experiment file, its name dotted, or of the files of a folder: models,
    designs, children; without a name those at the top of an experiment. A key that is no table stands for itself.

    section, meaning; kinds: what each value of the key stands for that tells kinds of tables apart; keys: key, type,
    unit, allowed, required, default, meaning, example, of (the kinds that have it, where not all do) and section (where
    the keys of its own tables are). Null is what there is not. Raises InputError where there is no such section.
    """
    folder, _, rest = section.partition(".")
    whole = schema(folder if folder in FILES else "experiments")
    defs, here = whole["$defs"], whole
    path = [part for part in (rest if folder in FILES else section).split(".") if part]
    before = [folder] if folder in FILES else []
    for i, part in enumerate(path):
        members = _inside(here, defs)
        known = merged(members)["properties"] if members else {}
        if part not in known:
            place = ".".join([*before, *path[:i]]) or "an experiment"
            raise InputError([Fault("show keys", place, f"has no key {shown(part)}", choices(part, [*known], 40))])
        above, here = here, known[part]
    if path and not _inside(here, defs):
        rows = [row for row in _rows(above, defs, ".".join([*before, *path[:-1]])) if row["key"] == path[-1]]
        return {"section": section, "meaning": None, "kinds": {}, "keys": rows}
    members, kinds = _inside(here, defs), {}
    for of_key in merged(members)["properties"].values():
        if "enumDescriptions" in of_key:
            kinds = dict(zip(of_key["enum"], of_key["enumDescriptions"], strict=True))
    what = members[0].get("what", members[0].get("description")) if len(members) == 1 else None
    meaning = "\n\n".join(dict.fromkeys(filter(None, (here.get("description"), what)))) or None
    return {"section": section, "meaning": meaning, "kinds": kinds, "keys": _rows(here, defs, section)}


def in_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield what `keys` found as lines for a terminal."""
    if found["meaning"]:
        yield from (*found["meaning"].splitlines(), "")
    for row in found["keys"]:
        what = [row["type"], row["unit"], row["allowed"], "required" if row["required"] else ""]
        what += [f"default {in_line(row['default'])}"] if row["default"] not in (None, "") else []
        head = f"  {row['key']:{INDENT - 3}} {'; '.join(filter(None, what))}"
        yield from textwrap.wrap(head, WIDTH, subsequent_indent=INDENT * " ")
        said = [row["meaning"], f"only of {', '.join(row['of'])}" if row["of"] else ""]
        said += [f"its keys: gmfmsim show keys {row['section']}"] if row["section"] else []
        yield from textwrap.wrap("; ".join(filter(None, said)), WIDTH, **dict.fromkeys(_INDENTS, INDENT * " "))
        if row["example"] not in (None, row["default"]):
            yield f"{INDENT * ' '}example: {row['key']} = {in_line(row['example'])}"
    if found["kinds"]:
        yield ""
    for value, meaning in found["kinds"].items():
        yield from textwrap.wrap(f"  {value:{INDENT - 3}} {meaning}", WIDTH, subsequent_indent=INDENT * " ")
    if not found["section"]:
        yield from ("", "other files: gmfmsim show keys models, designs, children; for editors: gmfmsim show schema")


_INDENTS = ("initial_indent", "subsequent_indent")


def _inside(here: Schema, defs: dict[str, Schema]) -> list[Schema]:
    """Return the tables that a value is, or is a list of, or holds by name."""
    found = tables(here, defs)
    for form in forms(here, defs):
        for inner in ("items", "additionalProperties"):
            found += _inside(form[inner], defs) if isinstance(form.get(inner), dict) else []
    return found


def _rows(here: Schema, defs: dict[str, Schema], section: str) -> list[dict[str, Any]]:
    """Return the rows of the keys of a section."""
    members, rows = _inside(here, defs), []
    for key, of_key in merged(members)["properties"].items():
        having = [member for member in members if key in member["properties"]]
        required = all(key in member.get("required", ()) for member in having)
        ways = of_key.get("anyOf", ())
        for way in ways if any("of" in way for way in ways) else [of_key]:
            rows.append(_row(key, way, defs, required) | {"section": _section(section, key, way, defs)})
    return rows


def _row(key: str, of_key: Schema, defs: dict[str, Schema], required: bool) -> dict[str, Any]:
    """Return what is said of a key."""
    ways = forms(of_key, defs)
    said = [of_key, *(form for form in ways if "properties" not in form)]
    default = next((one["default"] for one in said if "default" in one), None)
    values = [value for form in ways for value in _values(form)]
    examples = [one["examples"][0] for one in said if "examples" in one]
    candidates = [*examples, *([] if default in (None, [], {}, "") else [default]), *values]
    return {
        "key": key,
        "type": _type(of_key, defs),
        "unit": next((one["unit"] for one in said if "unit" in one), None),
        "allowed": _allowed(of_key, defs) or None,
        "required": required,
        "default": None if isinstance(default, dict) else default,
        "meaning": next((one["description"] for one in said if "description" in one), None),
        "example": next((one for one in candidates if not _is_table(one, of_key, defs)), None),
        "of": of_key.get("of"),
    }


def _values(form: Schema) -> list[Any]:
    """Return the values that are allowed, where these are a few."""
    return form.get("enum", [form["const"]] if "const" in form else [])


def _is_table(value: Any, of_key: Schema, defs: dict[str, Schema]) -> bool:
    """Return whether a value is a table with keys of its own, which its section shows."""
    return isinstance(value, dict) and bool(_inside(of_key, defs))


def _section(section: str, key: str, of_key: Schema, defs: dict[str, Schema]) -> str | None:
    """Return the name of the section where the keys of a key's own tables are; None where it has none."""
    return ".".join(filter(None, (section, key))) if _inside(of_key, defs) else None


def _type(of_key: Schema, defs: dict[str, Schema]) -> str:
    """Return the type of a value in words."""
    found = []
    for form in forms(of_key, defs):
        if form.get("type") == "array":
            inner = _type(form.get("items", {}), defs)
            found.append(f"list of {SEVERAL.get(inner, inner)}")
        elif "properties" in form:
            found.append("table")
        elif isinstance(form.get("additionalProperties"), dict):
            inner = _type(form["additionalProperties"], defs)
            found.append(f"table of {SEVERAL.get(inner, inner)} by name")
        else:
            found.append(TYPES.get(form.get("type", "string"), "text"))
    return " or ".join(dict.fromkeys(found))


def _allowed(of_key: Schema, defs: dict[str, Schema]) -> str:
    """Return what limits a value, in words."""
    found = []
    for form in forms(of_key, defs):
        said = [", ".join(map(in_line, _values(form)))] if _values(form) else []
        said += [f"{_range(form, *ends)} {of}".strip() for of, ends in RANGES.items() if {*ends} & form.keys()]
        said += [f"as {form['pattern']}"] if "pattern" in form else []
        for inner in ("items", "additionalProperties"):
            each = _allowed(form[inner], defs) if isinstance(form.get(inner), dict) and not _inside(form, defs) else ""
            said += [f"each {each}"] if each else []
        found += [", ".join(said)] if said else []
    return " or ".join(dict.fromkeys(found))


def _range(form: Schema, *ends: str) -> str:
    """Return a range in words: 1 to 20, above 0, at most 5."""
    least, most, above, below = (form.get(end) for end in (*ends, "", "")[:4])
    if None not in (least, most):
        return f"{least:,.15g} to {most:,.15g}"
    words = {"at least": least, "above": above, "at most": most, "below": below}
    return ", ".join(f"{word} {end:,.15g}" for word, end in words.items() if end is not None)
