"""A review's published pooled estimate, and the heterogeneity that its figures imply."""

import math
from dataclasses import dataclass
from typing import Annotated

from gmfmsim.evidence.formulas.conversions import Z975
from gmfmsim.evidence.schema import GMFM66_SCALES, TABLES, Row, Tables
from gmfmsim.faults import Fault, InputError, choices
from gmfmsim.files.toml import Spec, key

UNITS = {"SMD": "standard deviations", "MD": "GMFM-66 points", "WMD": "GMFM-66 points"}


class PooledChoice(Spec):
    """Which row of pooled.csv: its key, as far as needed to name one row."""

    meta_id: Annotated[str, key("review, as pooled.csv names it", example="Eggenberger2019")]
    scale: Annotated[str | None, key("its scale", example="GMFM-66/88")] = None
    month: Annotated[str | None, key("its month, as it stands there", example="6-12")] = None
    measure: Annotated[str | None, key("what was pooled", example="SMD")] = None


@dataclass(frozen=True)
class PooledEstimate:
    """A published random-effects estimate: mean effect, its standard error, tau, and how tau was found."""

    mean: float
    se: float
    tau: float
    tau_derivation: str
    unit: str
    row: Row


def tau_from_i2(i2: float, se: float, k: int) -> float:
    """Return tau implied by I2 (a share, 0 to 1), the standard error of the pooled mean and k studies.

    I2 = tau^2 / (tau^2 + s^2) with s^2 the typical within-study variance (Higgins & Thompson 2002); with k
    studies of about that variance se^2 = (tau^2 + s^2) / k. Hence tau = sqrt(I2 k) se, exact for equal variances.
    """
    return math.sqrt(i2 * k) * se


def pooled_rows(tables: Tables, **cells: object) -> list[Row]:
    """Return the preferred rows of pooled.csv with these cells. Raises InputError if there is no such table."""
    if "pooled" not in tables.rows:
        path = str(tables.folder / "pooled.csv")
        raise InputError([Fault(path, "file", "does not exist", "the table of pooled estimates")])
    return tables.where("pooled", preferred="yes", **cells)


def figures_missing(row: Row) -> list[str]:
    """Return what an estimate lacks of itself and an interval around it."""
    missing = [c for c in ("estimate", "ci_low", "ci_high") if row[c] is None]
    if not missing and not row["ci_low"] < row["estimate"] < row["ci_high"]:
        missing = [f"an interval around its estimate ({row['ci_low']:g}, {row['estimate']:g}, {row['ci_high']:g})"]
    return missing


def pooled_estimate(tables: Tables, choice: PooledChoice, file: str = "experiment") -> PooledEstimate:
    """Return the published estimate that `choice` names, with tau from tau2 if printed, else from I2 and k.

    se = (ci_high - ci_low) / (2 x 1.96), the interval being the usual 95 % normal one.

    Raises InputError if no row or several rows fit, or the row lacks an interval or any measure of heterogeneity.
    """
    where, wanted = "key evidence.pooled", choice.model_dump(exclude_none=True)
    rows = pooled_rows(tables, **wanted)
    if len(rows) != 1:
        keys = [" / ".join(str(r[k]) for k in TABLES["pooled"].key) for r in rows or tables.rows["pooled"]]
        problem = f"{len(rows)} rows fit {' / '.join(wanted.values())}"
        raise InputError([Fault(file, where, problem, "one of: " + choices(" / ".join(wanted.values()), keys, 25))])
    (row,) = rows
    missing = figures_missing(row)
    if row["measure"] not in UNITS:
        missing.append(f"a measure in {', '.join(UNITS)}")
    elif row["measure"] != "SMD" and row["scale"] not in GMFM66_SCALES:
        missing.append("a mean difference on the GMFM-66")
    if row["tau2"] is None and (row["i2_pct"] is None or row["k_studies"] is None):
        missing.append("tau2, or i2_pct with k_studies")
    if row["tau2"] is None and not (row["model"] or "").startswith("random effects"):
        missing.append("a random-effects model (its interval is what tau follows from), or tau2")
    if missing:
        problem, allowed = f"{row['meta_id']} lacks {'; '.join(missing)}", "an estimate with interval and heterogeneity"
        raise InputError([Fault(row["file"], f"row {row['row']}", problem, allowed)])
    se = (row["ci_high"] - row["ci_low"]) / (2 * Z975)
    if row["tau2"] is not None:
        tau, derivation = math.sqrt(row["tau2"]), "printed"
    else:
        tau = tau_from_i2(row["i2_pct"] / 100, se, row["k_studies"])
        derivation = f"from I2 = {row['i2_pct']:g} %, k = {row['k_studies']} and the interval: sqrt(I2 k) se"
    return PooledEstimate(row["estimate"], se, tau, derivation, UNITS[row["measure"]], row)
