"""What each kind of file may say, as one JSON schema made from the specs that read it."""

from functools import cache
from typing import Annotated, Any, Union

from pydantic import Field

from gmfmsim.evidence.rerun import KINDS as CHECKS
from gmfmsim.faults import Fault, InputError, choices, shown
from gmfmsim.files.schema import REF, Schema, forms, loosened, merged, schemas, tables
from gmfmsim.model.declare import ModelSpec
from gmfmsim.question.claim import ClaimSection
from gmfmsim.question.past import PastSection
from gmfmsim.question.plan import Plan
from gmfmsim.question.plans import MOST_ALTERNATIVES
from gmfmsim.question.question import Header
from gmfmsim.question.rerun import RerunSection
from gmfmsim.question.safety import SafetySection
from gmfmsim.question.who import WhoSection
from gmfmsim.trial.analyses import AnyAnalysis
from gmfmsim.trial.designs import AnyDesign
from gmfmsim.trial.presets import AnyChildren
from gmfmsim.trial.short import Short

FILES = ("experiments", "models", "designs", "children")
"""The kinds of files, by the folders that hold the shipped ones."""

DESIGN = "written_design"
"""What the definition is called of a design as files write it: over one that they name, and in the short form."""

_AnyCheck = Annotated[Union[tuple(spec for spec, _ in CHECKS.values())], Field(discriminator="kind")]  # noqa: UP007
_KINDS = {
    "header": Header,
    "plan": Plan,
    "past": PastSection,
    "rerun": RerunSection,
    "claim": ClaimSection,
    "safety": SafetySection,
    "who": WhoSection,
    "check": _AnyCheck,
    "model": ModelSpec,
    "design": AnyDesign,
    "short": Short,
    "children": AnyChildren,
    "analysis": AnyAnalysis,
}


@cache
def schema(kind: str = "experiments") -> Schema:
    """Return the JSON schema of a kind of files: every key with its meaning, unit, default, limits and an example.

    A trial, its analysis and its children may leave out what the design or children that they name say: the schema
    requires nothing of them. Faults between keys, and of names, only `check` tells. Not to be changed: one for all who
    ask. Raises InputError for another kind.
    """
    if kind not in FILES:
        raise InputError([Fault("show", "schema", f"{shown(kind)} is no kind of file", choices(kind, FILES))])
    found, defs = schemas(_KINDS)
    children = _children(found, defs)
    trial = _trial(found, defs, children)
    if kind == "experiments":
        whole = _experiment(found, defs, trial)
    else:
        whole = {"models": forms(found["model"], defs)[0], "designs": trial, "children": children}[kind]
    defs |= {DESIGN: trial}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"gmfmsim: a file of {kind}"}
    return head | whole | {"$defs": _reached(whole, defs)}


def _children(found: dict[str, Schema], defs: dict[str, Schema]) -> Schema:
    """Return the table that declares children, over those that it names."""
    children = merged(tables(found["children"], defs))
    named = {"type": "string", "description": "whose keys hold where none is said: a shipped one, or a .toml file"}
    named |= {"examples": ["preschool"]}
    return children | {"properties": {"population": named} | children["properties"]}


def _trial(found: dict[str, Schema], defs: dict[str, Schema], children: Schema) -> Schema:
    """Return the table that declares a design, over the one that it names, with the keys of the short form."""
    trial = merged(tables(found["design"], defs))
    keys, (short,) = trial["properties"], tables(found["short"], defs)
    who = {"anyOf": [{"type": "string"}, children], "examples": ["preschool"]}
    who |= {"description": keys["children"]["description"]}
    return trial | {"properties": {"design": keys["design"]} | short["properties"] | keys | {"children": who}}


def _experiment(found: dict[str, Schema], defs: dict[str, Schema], trial: Schema) -> Schema:
    """Return the table of an experiment: a plan with its alternatives, trials of the past, a review, a claim, adverse
    events, or who gains most."""
    kinds = ("header", "plan", "past", "rerun", "claim", "safety", "who")
    header, plan, past, rerun, claim, safety, who = (tables(found[name], defs)[0] for name in kinds)
    trial, analysis = trial | {"description": plan["properties"]["trial"]["description"]}, _analysis(found, defs, trial)
    past["properties"]["designs"]["items"] = {"anyOf": [{"type": "string"}, {"$ref": REF + DESIGN}]}
    rerun["properties"]["checks"]["items"] = found["check"]
    of_claim, written = claim["properties"], {"anyOf": [{"type": "string"}, {"$ref": REF + DESIGN}]}
    of_claim["designs"]["items"] = written
    of_claim["controlled"] = of_claim["controlled"] | written
    own = plan["properties"] | {"trial": trial, "analysis": analysis}
    over = {name: loosened(of_key, defs) for name, of_key in own.items()}
    several = {
        "type": "array",
        "maxItems": MOST_ALTERNATIVES,
        "description": "plans beside the first: what each says is laid over the experiment, table by table",
        "items": {"type": "object", "additionalProperties": False, "properties": over},
    }
    past |= {"description": "trials of the past, planned again as they were run"}
    rerun |= {"description": "a review, computed again from the figures of its trials"}
    claim |= {"description": "the claim that a share of children improve, and what it is worth"}
    safety |= {"description": "adverse events by dose, beside the gain that [evidence] and [model] say"}
    who |= {"description": "effects and trials by age and GMFCS level, and the test of subgroups"}
    more = {"alternatives": several, "past": past, "rerun": rerun, "claim": claim, "safety": safety, "who": who}
    keys = header["properties"] | own | more
    return {"type": "object", "additionalProperties": False, "properties": keys, "required": ["question"]}


def _analysis(found: dict[str, Schema], defs: dict[str, Schema], trial: Schema) -> Schema:
    """Return the table that says the one analysis of a trial in short, and its alpha."""
    analysis = merged(tables(found["analysis"], defs))
    said = "the short way to say the one analysis of the trial, and alpha"
    return analysis | {
        "description": said,
        "properties": analysis["properties"] | {"alpha": trial["properties"]["alpha"]},
    }


def _reached(whole: Schema, defs: dict[str, Schema]) -> dict[str, Schema]:
    """Return the definitions that a schema refers to, and those that these refer to."""
    reached: dict[str, Schema] = {}
    new = _named(whole)
    while new:
        reached |= {name: defs[name] for name in new}
        new = set().union(*(_named(defs[name]) for name in new)) - reached.keys()
    return dict(sorted(reached.items()))


def _named(schema: Any) -> set[str]:
    """Return the definitions that a schema names itself."""
    if isinstance(schema, list):
        return set().union(*map(_named, schema))
    if not isinstance(schema, dict):
        return set()
    own = {schema["$ref"].removeprefix(REF)} if isinstance(schema.get("$ref"), str) else set()
    return own.union(*map(_named, schema.values()))
