"""What if an unpublished trial were counted: a supposed result beside the reported ones."""

import math
from typing import Annotated

import numpy as np
import xarray as xr
from pydantic import Field
from scipy.linalg import block_diag

from gmfmsim.evidence.contrasts import bare
from gmfmsim.evidence.covariates import small_study, study_covariates
from gmfmsim.evidence.flat.tables import study_row
from gmfmsim.evidence.formulas.conversions import difference_se_from_sd
from gmfmsim.evidence.formulas.dose import Dose
from gmfmsim.evidence.read import PACKAGE_TABLES
from gmfmsim.evidence.schema import Tables
from gmfmsim.evidence.sheets.names import difference, seen
from gmfmsim.faults import Fault, InputError, choices, shown
from gmfmsim.files.toml import Spec


class Supposed(Spec):
    """A supposed result of a trial without results: its effect in GMFM-66 points and what its error would be.

    se = sd sqrt(1 / n_active + 1 / n_control), where sd is the between-child SD of the change; log_sd is the standard
    deviation of log sd, where that is not known.
    """

    study: str
    effect: Annotated[float, Field(ge=-100, le=100)]
    n_active: Annotated[int, Field(ge=2, le=100_000)]
    n_control: Annotated[int, Field(ge=2, le=100_000)]
    sd: Annotated[float, Field(ge=1e-3, le=1e3)]
    log_sd: Annotated[float, Field(ge=0, le=2)] = 0.0
    month: Annotated[float, Field(gt=0, le=120)] = 12
    dose: Dose | None = None
    cell_class: str = "not known"
    route: str = "not known"


def with_supposed(data: xr.Dataset, tables: Tables, supposed: list[Supposed], file: str = "experiment") -> xr.Dataset:
    """Return the contrasts with one more for each supposed result, marked by `supposed` (contrast).

    A user's own tables need not have the study: then nothing is known of it but what is supposed.

    Raises InputError for a study that the shipped tables do not have, one whose reported results are selected already,
    and a name that only looks like that of a study.
    """
    known = tables.studies
    looks = {seen(study): study for study in known}
    present = set(data["study"].values.tolist())
    faults = []
    for i, one in enumerate(supposed):
        where, twin = f"key evidence.what_if.{i}.study", looks.get(seen(one.study))
        if one.study in present:
            problem = f"{one.study} has a result already"
            faults.append(Fault(file, where, problem, "a study whose results are not selected, once"))
        elif one.study not in known and tables.folder == PACKAGE_TABLES:
            problem = f"{shown(one.study)} is not in studies.csv"
            faults.append(Fault(file, where, problem, choices(one.study, known)))
        elif one.study not in known and twin is not None:
            problem = f"{shown(one.study)} looks like a study of the tables and differs in "
            faults.append(Fault(file, where, problem + difference(one.study, twin), f"{twin}, or another name"))
        present.add(one.study)
    if faults:
        raise InputError(faults)
    parts = [data.assign(supposed=("contrast", np.zeros(data.sizes["contrast"], bool)))]
    parts += [_contrast(one, known.get(one.study) or study_row(one.study), data) for one in supposed]
    figures = [part.drop_vars("covariance") for part in parts]
    joined = xr.concat(figures, "contrast", coords="minimal", compat="override")
    blocks = block_diag(*(part["covariance"].values for part in parts))
    return joined.assign(covariance=(("contrast", "contrast_"), blocks))


def _contrast(one: Supposed, study: dict, data: xr.Dataset) -> xr.Dataset:
    """Return a supposed result as a Dataset(contrast) with the variables of data.

    Its design, country and the children's age and level are those of its row in studies.csv, as far as it has them.
    """
    se = float(difference_se_from_sd(one.sd, one.n_active, one.n_control))
    dose = math.nan if one.dose is None else one.dose
    made = bare(np.array([one.effect]), np.array([[se**2]]), [one.study], np.array([dose]), np.ones(1, bool))
    values = {
        "log_se_sd": one.log_sd,
        "month": one.month,
        "cell_class": one.cell_class,
        "route": one.route,
        "n_active": float(one.n_active),
        "n_control": float(one.n_control),
        "small_study": float(small_study(one.n_active, one.n_control)),
        **study_covariates(study),
        "control_se": one.sd / math.sqrt(one.n_control),
        "scale": "GMFM-66",
        "measure": "supposed",
        "row": 0,
        "supposed": True,
        "citation": study["citation"],
        "notes": "Not a result: what the answer would be if this trial had found it.",
        "source_url": study["source_url"] or "",
        "source_location": study["source_location"] or "Not in the tables",
        "verified": "supposed",
    }
    for name in data.data_vars:
        if name not in made or name in values:
            blank = "" if data[name].dtype.kind in "UO" else math.nan
            made[name] = ("contrast", [values.get(name, blank)])
    made["supposed"] = ("contrast", [True])
    return made.assign_coords(contrast=[f"{one.study} if it found {one.effect:g}"])
