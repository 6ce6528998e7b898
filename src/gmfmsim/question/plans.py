"""One plan, or several side by side: an experiment with alternatives to what it says."""

from dataclasses import dataclass
from typing import Any

from gmfmsim.faults import MOST_SOUGHT, Fault, shown
from gmfmsim.question.evidence import OF_CONTRASTS, Sources
from gmfmsim.question.plan import Prepared, prepare

MOST_ALTERNATIVES = 50
"""Alternatives of an experiment."""


@dataclass(frozen=True)
class Plans:
    """Plans that are answered one beside the other. The first gives the answer."""

    plans: tuple[Prepared, ...]

    @property
    def config(self) -> dict:
        """What the experiment file says beside name and question, every default written out."""
        first, *others = (p.config for p in self.plans)
        return first | ({"alternatives": others} if others else {})

    @property
    def identity(self) -> list[dict]:
        """What the key of a result counts."""
        return [p.identity for p in self.plans]


def read_plans(raw: dict, sources: Sources) -> tuple[Plans, list[Fault]]:
    """Read the plan of an experiment and its alternatives: `raw` is the file without name and question."""
    file = sources.path.name
    alternatives, base = raw.get("alternatives", []), {k: v for k, v in raw.items() if k != "alternatives"}
    prepared, faults = prepare(base, sources)
    plans, inherited = [prepared], {(f.where, f.problem) for f in faults}
    if not isinstance(alternatives, list) or len(alternatives) > MOST_ALTERNATIVES:
        allowed = f"tables [[alternatives]], at most {MOST_ALTERNATIVES}"
        faults.append(Fault(file, "key alternatives", f"{shown(alternatives)} is not allowed", allowed))
        alternatives = []
    for i, override in enumerate(alternatives):
        if len(faults) > MOST_SOUGHT:
            break  # each alternative costs as much as the experiment
        if not isinstance(override, dict):
            faults.append(Fault(file, f"key alternatives.{i}", f"{shown(override)} is not allowed", "a table of keys"))
            continue
        labelled = {"label": f"alternative {i + 1}"} | override
        prepared, found = prepare(laid_over(base, labelled), sources)
        own = [f for f in found if (f.where, f.problem) not in inherited]
        faults += [f.inside(f"alternatives.{i}") if f.file == file else f for f in own]
        plans.append(prepared)
    if not faults:
        labels = [(p.slug, p.plan.label) for p in plans]
        twice = [label for i, (slug, label) in enumerate(labels) if slug in {s for s, _ in labels[:i]}]
        different = "a different label for each plan"
        faults = [Fault(file, "key label", f"{shown(t)} names several plans", different) for t in twice]
    return Plans(tuple(plans)), faults


def laid_over(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """Return a plan with an override laid over it, without what the override replaces."""
    return overlay(_without_replaced(base, override), override)


def overlay(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """Return base with override laid over it, table by table; anything else, and a distribution, is replaced whole."""
    merged = dict(base)
    for key, value in override.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict) and "dist" not in value
        merged[key] = overlay(base[key], value) if both else value
    return merged


def _without_replaced(base: dict, override: dict) -> dict:
    """Return base without what an override replaces: the design, one model by several, contrasts by an estimate, and
    the source of a planning value with the value."""
    trial, wanted = base.get("trial"), override.get("trial")
    if isinstance(trial, dict) and isinstance(wanted, dict):
        another = "kind" in wanted or wanted.get("design") not in (None, trial.get("design"))  # with a kind it is whole
        base = {k: v for k, v in base.items() if not another or k not in ("trial", "analysis")}
    model, other = base.get("model"), override.get("model")
    if isinstance(model, dict) and isinstance(other, dict) and ("name" in other) != ("average" in other):
        replaced = {"average", "weights"} if "name" in other else {"name"}
        base = base | {"model": {k: v for k, v in model.items() if k not in replaced}}
    search, sought = base.get("search"), override.get("search")
    if isinstance(search, dict) and isinstance(sought, dict) and "planning_value" in sought:
        base = base | {"search": {k: v for k, v in search.items() if k != "planning_value_source"}}
    kept, evidence = base.get("evidence"), override.get("evidence")
    if not isinstance(kept, dict) or not isinstance(evidence, dict) or ("pooled" in evidence) == ("select" in evidence):
        return base
    to_published = "pooled" in evidence
    gone = OF_CONTRASTS if to_published else {"pooled"}
    base = base | {"evidence": {k: v for k, v in kept.items() if k not in gone}}
    return {k: v for k, v in base.items() if k != "model" or not to_published}
