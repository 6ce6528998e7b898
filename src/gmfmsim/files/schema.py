"""JSON schemas of specs, as editors and the reference of keys take them: TOML has no null, and tables may be laid over
others."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

Schema = dict[str, Any]

REF = "#/$defs/"
TIED = ("description", "unit", "examples", "default")
"""What is said of a key as a whole, whichever of its forms is taken."""


def schemas(kinds: Mapping[str, Any]) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Return the schemas of types by name, and the definitions that these refer to: without null and without titles."""
    adapters = [(name, "validation", TypeAdapter(kind)) for name, kind in kinds.items()]
    found, whole = TypeAdapter.json_schemas(adapters)  # type: ignore[arg-type]
    defs = {name: _tidy(schema) for name, schema in whole.get("$defs", {}).items()}
    named = {name: _in_place(schema, defs) for name, schema in defs.items() if "properties" in schema}
    return {str(name): _in_place(_tidy(schema), defs) for (name, _), schema in found.items()}, named


def _in_place(schema: Any, defs: Mapping[str, Schema]) -> Any:
    """Return a schema with definitions that are no tables in the place of their names."""
    if isinstance(schema, list):
        return [_in_place(one, defs) for one in schema]
    if not isinstance(schema, dict):
        return schema
    name = str(schema.get("$ref", "")).removeprefix(REF)
    if name in defs and "properties" not in defs[name]:
        return _in_place(defs[name] | {k: v for k, v in schema.items() if k != "$ref"}, defs)
    return {k: _in_place(v, defs) for k, v in schema.items()}


def _tidy(schema: Any) -> Any:
    """Return a schema without null, which TOML does not have, and without what says the same again."""
    if isinstance(schema, list):
        return [_tidy(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    out = {k: _tidy(v) for k, v in schema.items() if k not in ("title", "discriminator", "properties", *TIED)}
    out |= {k: schema[k] for k in TIED if schema.get(k) is not None}
    if "properties" in schema:
        out["properties"] = {key: _tidy(of_key) for key, of_key in schema["properties"].items()}
    for union in ("anyOf", "oneOf"):
        forms = [form for form in out.get(union, ()) if form != {"type": "null"}]
        if len(forms) == 1:
            del out[union]
            out = forms[0] | out
        elif forms:
            out[union] = forms
    return out


def forms(schema: Schema, defs: Mapping[str, Schema]) -> list[Schema]:
    """Return the forms that a value may have, one of several where there are, references followed."""
    if "$ref" in schema:
        own = {k: v for k, v in schema.items() if k != "$ref"}
        return [form | own | _what(form) for form in forms(defs[schema["$ref"].removeprefix(REF)], defs)]
    several = schema.get("anyOf") or schema.get("oneOf")
    return [form for one in several for form in forms(one, defs)] if several else [schema]


def _what(table: Schema) -> Schema:
    """Return what a table is by itself, whatever the key means whose value it is."""
    return {"what": table["description"]} if "description" in table else {}


def tables(schema: Schema, defs: Mapping[str, Schema]) -> list[Schema]:
    """Return the forms of a value that are tables with keys."""
    return [form for form in forms(schema, defs) if "properties" in form]


def merged(members: list[Schema]) -> Schema:
    """Return one table with the keys of several, none of them required.

    The key that tells the members apart has all their values. A key, or a form of it, that only some of them have says
    which: `of`.
    """
    if len(members) == 1:
        return {k: v for k, v in members[0].items() if k != "required"}
    kind = tag(members)
    found: dict[str, Schema] = {}
    for key in dict.fromkeys(key for member in members for key in member["properties"]):
        ways: list[tuple[Schema, list[Any]]] = []
        for member in members:
            if (way := member["properties"].get(key)) is not None:
                alike = next((of for other, of in ways if other == way), None)
                if alike is None:
                    ways.append((way, alike := []))
                alike += tags(member, kind) if kind else []
        if key == kind:
            values = [value for _, of in ways for value in of]
            found[key] = {"enum": values, "description": "which of these, that the other keys are of"}
            found[key] |= {"enumDescriptions": [_first(member) for member in members for _ in tags(member, key)]}
        elif len(ways) == 1 and all(key in member["properties"] for member in members):
            found[key] = ways[0][0]
        else:
            said = [way | ({"of": of} if of else {}) for way, of in ways]
            found[key] = said[0] if len(said) == 1 else {"anyOf": said}
    return {"type": "object", "additionalProperties": False, "properties": found}


def _first(table: Schema) -> str:
    """Return the first paragraph of what a table is."""
    return " ".join(str(table.get("what") or table.get("description") or "").split("\n\n")[0].split())


def tag(members: list[Schema]) -> str | None:
    """Return the key whose values tell tables apart."""
    shared = [key for key in members[0]["properties"] if all(tags(member, key) for member in members)]
    return next(iter(shared), None) if len(members) > 1 else None


def tags(member: Schema, key: str) -> list[Any]:
    """Return the values that a key of a table may have, where these are a few."""
    of_key = member["properties"].get(key, {})
    return [of_key["const"]] if "const" in of_key else of_key.get("enum", [])


def loosened(schema: Schema, defs: Mapping[str, Schema]) -> Schema:
    """Return the schema of a table that is laid over another, table by table: no key is required."""
    if "$ref" in schema:
        own = {k: v for k, v in schema.items() if k != "$ref"}
        return loosened(defs[schema["$ref"].removeprefix(REF)] | own, defs)
    if "properties" not in schema:
        return schema
    inner = {key: loosened(of_key, defs) for key, of_key in schema["properties"].items()}
    return {k: v for k, v in schema.items() if k != "required"} | {"properties": inner}
