"""Look without computing: check an experiment, list what is shipped, show one thing."""

from gmfmsim.evidence.columns import TABLES
from gmfmsim.evidence.read import read_tables
from gmfmsim.experiment import read_experiment
from gmfmsim.faults import Fault, InputError, choices
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.shipped import find, names
from gmfmsim.spec import read_toml

KINDS = ("experiment", "model", "study", "table")


def check(name: str) -> dict:
    """Validate an experiment with its tables and models, compute nothing, and say what a run would do.

    Raises InputError with every fault.
    """
    experiment = read_experiment(name)
    return {
        "experiment": experiment.name,
        "key": experiment.key,
        "question": experiment.question,
        "plans": [
            {
                "label": p.plan.label,
                "evidence": p.source,
                "contrasts": [] if p.contrasts is None else p.contrasts["contrast"].values.tolist(),
                "model": p.plan.model.name if p.plan.model else "none",
                "target": p.plan.search.target.model_dump(),
                "dose_outside_evidence": p.dose_outside_evidence,
                "month_outside_evidence": p.month_outside_evidence,
            }
            for p in experiment.plans
        ],
        "config": experiment.config,
    }


def list() -> dict[str, dict[str, str]]:
    """Return the shipped experiments (name: question) and models (name: title)."""
    return {
        "experiments": {n: read_toml(find("experiments", n))["question"] for n in names("experiments")},
        "models": {n: read_model(ModelChoice(name=n)).title for n in names("models")},
    }


def show(kind: str, name: str) -> str | dict:
    """Return one experiment or model (its file as text), one study (its rows in every table), or one table.

    Raises InputError if there is no such kind or name.
    """
    if kind not in KINDS:
        raise InputError([Fault("show", "kind", f"{kind!r} is not known", choices(kind, KINDS))])
    if kind in ("experiment", "model"):
        return find(f"{kind}s", name).read_text(encoding="utf-8")
    tables = read_tables()
    if kind == "table":
        if name not in tables.rows:
            raise InputError([Fault("show", "table", f"{name!r} is not a table", choices(name, tables.rows))])
        return {name: tables.rows[name]}
    rows = {t: tables.where(t, **{TABLES[t].study: name}) for t in tables.rows}
    if not rows["studies"]:
        known = [r["study_id"] for r in tables.rows["studies"]]
        raise InputError([Fault("show", "study", f"{name!r} is not in studies.csv", choices(name, known))])
    return {t: found for t, found in rows.items() if found}
