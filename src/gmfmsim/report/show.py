"""Look without computing: list what is shipped, show one thing, audit the evidence."""

import json
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

from gmfmsim.evidence.audit import audit as audit_tables
from gmfmsim.evidence.audit.finding import Finding
from gmfmsim.evidence.joined import PACKAGE, read_sources
from gmfmsim.evidence.prices import price_scenarios
from gmfmsim.evidence.schema import TABLES, Row, Tables
from gmfmsim.evidence.spread import shipped_tables
from gmfmsim.faults import Fault, InputError, choices, shown
from gmfmsim.files.shelf import find, names
from gmfmsim.files.toml import read_text, read_toml
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.question.grammar import schema
from gmfmsim.report.claims import claims_and_endpoints
from gmfmsim.report.keys import in_lines, keys
from gmfmsim.trial.change_sd import change_sd, spread_in_words
from gmfmsim.trial.presets import read_design, titles
from gmfmsim.trial.protocol import protocol, sources

KINDS = (
    *("experiment", "model", "design", "children", "study", "table", "ratio", "correlation", "prices", "keys"),
    "schema",
)


def shipped() -> dict[str, dict[str, str]]:
    """Return the shipped experiments (name: question), and models, designs and children (name: title)."""
    return {
        "experiments": {n: read_toml(find("experiments", n))["question"] for n in names("experiments")},
        "models": {n: read_model(ModelChoice(name=n)).title for n in names("models")},
        "designs": titles("designs"),
        "children": titles("children"),
    }


def show(
    kind: str, name: str | None = None, *, tables: str | Path | Sequence[str] | None = None
) -> str | dict[str, list]:
    """Return an experiment or children (the file as text), a model or a design in words, a study or review (its rows),
    or a table.

    A model: its mathematics, priors with plots, what they say before the data, the graph, and what each engine can do.
    A design: the paragraph of its protocol, then every figure with its source and how it was checked.
    ratio: of GMFM-66 to GMFM-88 changes, with the samples that tell of it. correlation: of the changes of twins, of
    children of one therapist and of one centre. prices: those that [cost] takes by scenario.
    claims: each figure of the two documents, and each scale and event of the tables, with what uses it or why nothing
    does, see `report.claims`; the bare rows are `table claims`.
    keys: the reference of a section, see `report.keys`. schema: the JSON schema of experiments, or of the files of
    another folder.

    kind is experiment, model, design, children, study, table, ratio, correlation, prices, keys, schema, or the name
    of a table: then `name` narrows it to the rows of a study.
    The tables are the shipped ones unless a folder or flat CSV is given, or several of these ("package" among them).

    Raises InputError if there is no such kind or name, with what there is.
    """
    kinds = (*KINDS, *TABLES)
    if kind not in kinds:
        raise InputError([Fault("show", "kind", f"{shown(kind)} is not known", choices(kind, kinds, len(kinds)))])
    if kind == "keys":
        return "\n".join(in_lines(keys(name or "")))
    if kind == "schema":
        return json.dumps(schema(name or "experiments"), indent=2, ensure_ascii=False)
    if kind in ("experiment", "children"):
        return text_of("experiments" if kind == "experiment" else kind, name or "")
    if kind == "design":
        design = read_design(name or "")
        rows = [(f"{r.name} ({r.unit})" if r.unit else r.name, r) for r in sources(design)]
        lines = [f"{figure}: {r.value}\n    {r.verified}: {r.source}" for figure, r in rows]
        spread = f"SD of {design.month:g}-month change in this trial: {spread_in_words(change_sd(design))}"
        return "\n".join([*textwrap.wrap(protocol(design), 100), "", spread, "", *lines])
    if kind == "model":
        from gmfmsim.model.describe import as_text

        return as_text(describe_model(name or ""))
    if kind in ("ratio", "correlation"):
        from gmfmsim.report import correlation, ratio  # as above

        return (ratio if kind == "ratio" else correlation).in_words(known(kind))
    if kind == "prices":
        return {"prices": [*price_scenarios().values()]}
    evidence = read_sources([tables] if isinstance(tables, str | Path) else tables) if tables else shipped_tables()
    if kind == "claims" and not tables:
        if name:
            _study(evidence, name)
        return claims_and_endpoints(name)
    if kind in TABLES or kind == "table":
        table, study = (name, None) if kind == "table" else (kind, name)
        if table not in evidence.rows:
            raise InputError([Fault("show", "table", f"{shown(table)} is not there", choices(table, evidence.rows))])
        if study:
            _study(evidence, study)
        return {table: _of(evidence, table, study) if study else evidence.rows[table]}
    _study(evidence, name)
    rows = {table: _of(evidence, table, name) for table in evidence.rows}
    return {table: found for table, found in rows.items() if found}


def known(kind: str) -> dict:
    """Return what is known of the ratio of scales, or of the correlation within units, for machines."""
    from gmfmsim.report import correlation, ratio  # compiled code: loaded only where it is needed

    return ratio.ratio_of_scales() if kind == "ratio" else correlation.within_units()


def describe_model(name: str):
    """Return the ModelDescription of a shipped model, or of the path of a .toml file."""
    from gmfmsim.model.describe import describe  # compiled code: loaded only where it is needed

    return describe(read_model(ModelChoice(name=name)), source=text_of("models", name))


def text_of(kind: str, name: str) -> str:
    """Return a file of the shipped models, experiments, designs or children, or of a path, as text."""
    return read_text(find(kind, name))


def design_json(name: str) -> dict:
    """Return a design for machines: its file, protocol, figures with sources, and whole declaration.

    Raises InputError with every fault.
    """
    design = read_design(name)
    return {
        "design": name,
        "toml": text_of("designs", name),
        "protocol": protocol(design),
        "sources": [row._asdict() for row in sources(design)],
        "sd_of_change": change_sd(design)._asdict(),
        "resolved": design.model_dump(mode="json", exclude_none=True),
    }


def write_model_page(name: str, path: Path) -> None:
    """Write the page of a model, with plots of its priors and of what they say of the curve."""
    from gmfmsim.report.model import write_model_page as write

    spec = read_model(ModelChoice(name=name))
    try:
        write(path, spec, source=text_of("models", name))
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        raise InputError([Fault(str(path), "file", problem, "a file you may write")]) from None


def audit(table: str | Sequence[str] | None = None) -> list[Finding]:
    """Return the findings of the audit: of the shipped tables, of one of them, or of a folder or flat CSV of one's own;
    of several together, "package" for those that are shipped.

    Raises InputError if `table` is neither the name of a table nor evidence that can be read.
    """
    named = [table] if isinstance(table, str) else list(table or [PACKAGE])
    if len(named) == 1 and named[0] in TABLES:
        return [f for f in audit_tables(shipped_tables()) if f.table == named[0]]
    faults = []
    for name in named:
        if name != PACKAGE and not os.path.exists(name):
            allowed = choices(name, TABLES) + ", package, a folder or a flat CSV file"
            faults.append(Fault("audit", "table", f"{shown(name)} does not exist", allowed))
    if faults:
        raise InputError(faults)
    return audit_tables(read_sources(named))


def _study(evidence: Tables, name: str | None) -> None:
    """Raise InputError if studies.csv has no such study or review."""
    known = [r["study_id"] for r in evidence.rows["studies"]]
    if name not in known:
        problem = f"{shown(name)} is not in studies.csv" if name else "is missing"
        raise InputError([Fault("show", "study", problem, choices(name, known))])


def _of(evidence: Tables, table: str, study: str) -> list[Row]:
    """Return the rows of a table about a study: its own, and the pooled estimates that count it."""
    own = TABLES[table].study
    return [
        row for row in evidence.rows[table] if row[own] == study or study in (row.get("study_ids") or "").split(";")
    ]
