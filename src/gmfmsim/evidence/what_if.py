"""What if an unpublished trial were counted: a supposed result beside the reported ones."""

from __future__ import annotations

import math
from typing import Annotated

from gmfmsim.compute.labels import xr
from gmfmsim.evidence.covariates import small_study, study_covariates
from gmfmsim.evidence.flat.tables import study_row
from gmfmsim.evidence.formulas.conversions import difference_se_from_sd
from gmfmsim.evidence.formulas.dose import Dose
from gmfmsim.evidence.one_more import one_more
from gmfmsim.evidence.read import PACKAGE_TABLES
from gmfmsim.evidence.schema import Tables
from gmfmsim.evidence.sheets.names import difference, seen
from gmfmsim.faults import Fault, InputError, choices, shown
from gmfmsim.files.toml import Spec, key


class Supposed(Spec):
    """A supposed result of a trial without results: its effect and what its error would be.

    se = sd sqrt(1 / n_active + 1 / n_control).
    """

    study: Annotated[str, key("study without results in the tables", example="RegNCT01929434")]
    effect: Annotated[float, key("what it is supposed to have found", "GMFM-66 points", example=0.0, ge=-100, le=100)]
    n_active: Annotated[int, key("children with cells", "children", example=100, ge=2, le=100_000)]
    n_control: Annotated[int, key("children without", "children", example=100, ge=2, le=100_000)]
    sd: Annotated[float, key("SD of the change between children", "GMFM-66 points", example=5.5, ge=1e-3, le=1e3)]
    log_sd: Annotated[float, key("SD of the logarithm of sd, where that is not known", ge=0, le=2)] = 0.0
    month: Annotated[float, key("of the result", "months", gt=0, le=120)] = 12
    dose: Annotated[Dose | None, key("of the arm with cells, over all infusions", example="5e7 cells/kg")] = None
    cell_class: Annotated[str, key("class of the cells")] = "not known"
    route: Annotated[str, key("how they were given")] = "not known"


def with_supposed(data: xr.Dataset, tables: Tables, supposed: list[Supposed], file: str = "experiment") -> xr.Dataset:
    """Return the contrasts with one more for each supposed result, marked by `supposed` (contrast).

    A user's own tables need not have the study: then nothing is known of it but what is supposed.

    Raises InputError for a study that the shipped tables do not have, one whose reported results are selected already,
    and a name that only looks like that of a study.
    """
    known = tables.studies
    looks = {seen(study): study for study in known}
    present = set(data["study"].values.tolist())
    pooled = {row["study_id"]: row["meta_id"] for row in tables.where("held") if row["meta_id"] in present}
    faults = []
    for i, one in enumerate(supposed):
        where, twin = f"key evidence.what_if.{i}.study", looks.get(seen(one.study))
        if one.study in present:
            problem = f"{one.study} has a result already"
            faults.append(Fault(file, where, problem, "a study whose results are not selected, once"))
        elif one.study in pooled:
            problem = f"{pooled[one.study]}, which is evidence here, holds the children of {one.study} (held.csv)"
            faults.append(Fault(file, where, problem, "a study that the pool does not hold"))
        elif one.study not in known and tables.folder == PACKAGE_TABLES and not tables.parts:
            problem = f"{shown(one.study)} is not in studies.csv"
            faults.append(Fault(file, where, problem, choices(one.study, known)))
        elif one.study not in known and twin is not None:
            problem = f"{shown(one.study)} looks like a study of the tables and differs in "
            faults.append(Fault(file, where, problem + difference(one.study, twin), f"{twin}, or another name"))
        present.add(one.study)
    if faults:
        raise InputError(faults)
    for one in supposed:
        data = _beside(data, one, known.get(one.study) or study_row(one.study))
    return data


def _beside(data: xr.Dataset, one: Supposed, study: dict) -> xr.Dataset:
    """Return the contrasts with a supposed result.

    Its design, country and the children's age and level are those of its row in studies.csv, as far as it has them.
    """
    values = {
        "study": one.study,
        "log_se_sd": one.log_sd,
        "dose": math.nan if one.dose is None else one.dose,
        "month": one.month,
        "cell_class": one.cell_class,
        "route": one.route,
        "n_active": float(one.n_active),
        "n_control": float(one.n_control),
        "epo": 0.0,
        "small_study": float(small_study(one.n_active, one.n_control)),
        **study_covariates(study),
        "control_se": one.sd / math.sqrt(one.n_control),
        "scale": "GMFM-66",
        "measure": "supposed",
        "row": 0,
        "file": "",
        "supposed": True,
        "citation": study["citation"],
        "notes": "Not a result: what the answer would be if this trial had found it.",
        "source_url": study["source_url"] or "",
        "source_location": study["source_location"] or "Not in the tables",
        "verified": "supposed",
    }
    if "pooled_trials" in data:  # beside a pool of several: this is one
        values["pooled_trials"] = 1.0
    se = float(difference_se_from_sd(one.sd, one.n_active, one.n_control))
    return one_more(data, one.effect, se, f"{one.study} if it found {one.effect:g}", values)
