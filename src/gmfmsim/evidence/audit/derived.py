"""The derived columns of the tables, computed again from the figures that papers print."""

import math
import re
from collections.abc import Iterator
from operator import itemgetter

from gmfmsim.evidence.audit.finding import Finding, weight
from gmfmsim.evidence.formulas import conversions
from gmfmsim.evidence.formulas.conversions import Z975
from gmfmsim.evidence.formulas.effect_sizes import hedges_g, hedges_g_se, mean_difference
from gmfmsim.evidence.formulas.printed import EPS, half_unit
from gmfmsim.evidence.schema import Row, Tables

STORED = 2e-4
"""Tolerance of a figure stored with four decimals and computed from others stored so."""

CONTRAST_COLUMNS = (
    *("estimate", "se", "ci_low", "ci_high", "md100", "md100_se"),
    *("hedges_g", "hedges_g_se", "control_se100"),
)
OUTCOME_COLUMNS = ("mean", "sd", "se")
IMPUTED = re.compile(r"SD (\d+(?:\.\d+)?) imputed")


type Figures = dict[str, tuple[float, float]]
"""What one way leads to: value and tolerance by column."""


def recompute(tables: Tables) -> list[dict]:
    """Compute every derived figure of contrasts.csv and outcomes.csv again, with what it was computed from.

    Contrasts, in points of the scale and (md100) of 0-100, with the means, SDs and n of the arms' preferred outcomes:
      two arms       md = m_a - m_b, se^2 = sd_a^2/n_a + sd_b^2/n_b, md -+ 1.96 se, Hedges g
      interval       a printed, often adjusted estimate: se from its own 95 % interval, normal or t; g = J md / sd with
                     the SD that se implies, or that of the arms' outcomes on another GMFM scale
      imputed SD     one SD for both arms, named in the notes: se = sd sqrt(1/n_a + 1/n_b), g = J md / sd
      printed        md100 is the printed estimate times 100/scale_max, md100_se goes with se
    Outcomes: sd = se sqrt(n); se from a printed interval (t quantile); mean and sd from median and range.
    Each row gives row, study, table, column, stored, recomputed, tolerance, way: the first way that agrees, else the
    first. recomputed is None where the tables hold no figures to start from.
    """
    found = []
    for row in tables.where("contrasts"):
        ways = {name: WAYS[name](row, tables) for name in _ways(row, tables)}
        found += (one for column in CONTRAST_COLUMNS for one in _compared("contrasts", row, column, ways))
    for row in tables.where("outcomes"):
        ways = _outcome_ways(row)
        found += (one for column in OUTCOME_COLUMNS for one in _compared("outcomes", row, column, ways))
    return found


def derived_columns(tables: Tables) -> Iterator[Finding]:
    """Find derived figures that do not follow, rounding as stored allowed, from what they were computed from."""
    wrong: dict[tuple, list[dict]] = {}
    for r in recompute(tables):
        slack = max(r["tolerance"], half_unit(r["stored"]) + EPS)
        if r["recomputed"] is not None and abs(r["stored"] - r["recomputed"]) > slack:
            wrong.setdefault((r["study"], r["table"], r["row"]), []).append(r)
    for (study, table, line), figures in wrong.items():
        yield Finding(
            *("derived_columns", "error", study, table, (line,)),
            ", ".join(f"{f['column']} {f['stored']:g}" for f in figures),
            ", ".join(f"{f['column']} {f['recomputed']:.4g} by {f['way']}" for f in figures),
            "; ".join(
                f"{f['column']}: the row would have {weight(f['stored'], f['recomputed'])}"
                if f["column"].endswith("se") and f["recomputed"] > 0
                else f"{f['column']}: a change of {f['recomputed'] - f['stored']:+.4g}"
                for f in figures
            ),
        )


def scale_max(row: Row, tables: Tables) -> float | None:
    """Return the maximum of a row's scale as outcomes.csv gives it: in the same study, else wherever it stands."""
    rows = [r for r in tables.where("outcomes") if r["scale"] == row["scale"] and r["scale_max"]]
    own = {r["scale_max"] for r in rows if r["study_id"] == row["study_id"]}
    found = own or {r["scale_max"] for r in rows}
    return found.pop() if len(found) == 1 else None


def arms_of(row: Row, tables: Tables, same_scale: bool = True) -> tuple[Row, Row] | None:
    """Return the preferred outcomes with mean, SD and n of a contrast's two arms at its month, or None.

    With same_scale false: on any one other GMFM scale.
    """
    kind = "final" if row["measure"].endswith("final") else "change"
    found: dict[str, dict[str, Row]] = {}
    place = itemgetter("study_id", "month", "kind")
    wanted = place(row | {"kind": kind})
    for r in tables.where("outcomes", preferred="yes"):
        # as tuples: a month that is not known, one NaN in all rows, is that of the contrast
        if place(r) == wanted and None not in (r["mean"], r["sd"], r["n"]) and r["n"] > 1:
            found.setdefault(r["scale"], {})[r["arm_id"]] = r
    scales = [row["scale"]] if same_scale else sorted(s for s in found if s.startswith("GMFM") and s != row["scale"])
    for scale in scales:
        arms = found.get(scale, {})
        if row["arm_a"] in arms and row["arm_b"] in arms:
            return arms[row["arm_a"]], arms[row["arm_b"]]
    return None


def groups(a: Row, b: Row, spread: str = "sd") -> tuple[float, ...]:
    """Return mean, spread and n of two arms, as the effect sizes take them."""
    return a["mean"], a[spread], a["n"], b["mean"], b[spread], b["n"]


def _ways(row: Row, tables: Tables) -> tuple[str, ...]:
    """Return the ways by which the figures of a contrast may have come about."""
    if not row["measure"].startswith("MD"):
        return ()
    if row["measure"] == "MD_imputed_sd":
        return ("imputed SD",)
    return ("two arms",) if row["verified"] == "derived" and arms_of(row, tables) else tuple(WAYS)


def _two_arms(row: Row, tables: Tables) -> Figures:
    arms, top = arms_of(row, tables), scale_max(row, tables)
    if not arms:
        return {}
    md, g = mean_difference(*groups(*arms)), hedges_g(*groups(*arms)).estimate
    se = math.sqrt(md.variance)
    figures = {"estimate": md.estimate, "se": se}
    figures |= {"hedges_g": g, "hedges_g_se": hedges_g_se(g, arms[0]["n"], arms[1]["n"])}
    if row["verified"] == "derived":
        figures |= {"ci_low": md.estimate - Z975 * se, "ci_high": md.estimate + Z975 * se}
    if top:
        figures |= {"md100": md.estimate * 100 / top, "md100_se": se * 100 / top}
        figures |= {"control_se100": conversions.se_from_sd(arms[1]["sd"], arms[1]["n"]) * 100 / top}
    return {column: (x, STORED * (3 if column.startswith("ci") else 1)) for column, x in figures.items()}


def _interval(row: Row, tables: Tables) -> Figures:
    """A printed estimate with its own interval: the standard error that agrees, from the normal or the t quantile."""
    if None in (row["ci_low"], row["ci_high"]) or row["ci_low"] >= row["ci_high"]:
        return {}
    low, high, top = row["ci_low"], row["ci_high"], scale_max(row, tables)
    n = row["n_a"] + row["n_b"] if row["n_a"] and row["n_b"] else 0
    options = [float(conversions.se_from_ci(low, high, df=df)) for df in (None, *([n - 2] if n > 3 else []))]
    se = min(options, key=lambda x: abs(x - (row["se"] or options[0])))
    known = row["se"] or se
    figures = {"se": (se, half_unit(low, high) / Z975 + 3 * STORED)}
    if row["se"]:
        figures["ci_high"] = (low + (high - low) * row["se"] / se, 2 * half_unit(low, high) + 4 * STORED)
    if top:
        figures |= {"md100": (row["estimate"] * 100 / top, STORED), "md100_se": (known * 100 / top, STORED)}
    own, other = arms_of(row, tables), arms_of(row, tables, same_scale=False)
    arms = own or other
    if arms and n > 3 and min(row["n_a"], row["n_b"]) > 1:
        if own:
            sd = float(conversions.sd_from_difference_se(known, row["n_a"], row["n_b"]))
            slack = abs(row["estimate"]) / sd * STORED / known
        else:
            sd, slack = float(conversions.pooled_sd(*([a[c] for a in arms] for c in ("sd", "n")))), 0.0
        figures |= _standardised(row, sd, slack)
    if arms and arms[1]["scale_max"]:
        figures["control_se100"] = (100 / arms[1]["scale_max"] * arms[1]["sd"] / math.sqrt(arms[1]["n"]), STORED)
    return figures


def _imputed(row: Row, tables: Tables) -> Figures:
    """The SD stands rounded in the notes: half a unit of it is the tolerance of all that follows."""
    named, top = IMPUTED.search(row["notes"] or ""), scale_max(row, tables)
    if not named or not top or min(row["n_a"] or 0, row["n_b"] or 0) < 2:
        return {}
    sd, unit = float(named[1]), 100 / top
    slack = 0.5 * 10.0 ** -len(named[1].partition(".")[2]) / sd
    se = float(conversions.difference_se_from_sd(sd, row["n_a"], row["n_b"]))
    figures = {c: (x, slack * x + STORED) for c, x in (("se", se), ("md100_se", se * unit))}
    figures["control_se100"] = (unit * sd / math.sqrt(row["n_b"]), slack * unit * sd / math.sqrt(row["n_b"]) + STORED)
    wanted = {k: row[k] for k in ("study_id", "scale", "month")} | {"kind": "change", "preferred": "yes"}
    arms = (tables.where("outcomes", arm_id=row[arm], **wanted) for arm in ("arm_a", "arm_b"))
    means = [[r["mean"] for r in rows if r["mean"] is not None] for rows in arms]
    if all(means):
        md = means[0][0] - means[1][0]
        figures |= {"estimate": (md, STORED), "md100": (md * unit, STORED)}
    figures |= _standardised(row, sd, slack * abs(row["estimate"]) / sd)
    for column, sign in (("ci_low", -1), ("ci_high", 1)):
        figures[column] = (row["estimate"] + sign * Z975 * se, Z975 * slack * se + STORED)
    return figures


def _printed(row: Row, tables: Tables) -> Figures:
    """Without the arms or an interval: md100 goes with the estimate as printed, md100_se with se."""
    top, figures = scale_max(row, tables), {}
    if top:
        figures["md100"] = (row["estimate"] * 100 / top, STORED)
    if row["se"] and row["md100"] is not None and row["estimate"]:
        figures["md100_se"] = (row["se"] * row["md100"] / row["estimate"], STORED)
    return figures


WAYS = {"two arms": _two_arms, "interval": _interval, "imputed SD": _imputed, "printed": _printed}
"""Every way to the figures of a contrast; see `recompute`."""


def _standardised(row: Row, sd: float, slack: float) -> Figures:
    """Return g = J estimate / sd and its standard error, for two arms with one SD."""
    g = hedges_g(row["estimate"], sd, row["n_a"], 0, sd, row["n_b"]).estimate
    se = float(hedges_g_se(g, row["n_a"], row["n_b"]))
    return {"hedges_g": (g, slack + STORED), "hedges_g_se": (se, slack * abs(g) * se + STORED)}


def _outcome_ways(row: Row) -> dict[str, Figures]:
    """Return what each way to the figures of an arm leads to."""
    n, ways = row["n"] or 0, {}
    if n < 2:
        return ways
    low, high = row["ci_low"], row["ci_high"]
    if None not in (low, high) and low < high:
        se = float(conversions.se_from_ci(low, high, df=n - 1))
        slack = se * 2 * half_unit(low, high) / (high - low) + STORED
        ways["interval"] = {"se": (se, slack), "sd": (se * math.sqrt(n), slack * math.sqrt(n))}
    known = None not in (row["min"], row["median"], row["max"])
    if row["sd_source"] == "from_range" and known and row["min"] <= row["median"] <= row["max"] > row["min"]:
        mean, sd = conversions.mean_sd_from_range(row["min"], row["median"], row["max"], n)
        ways["median and range"] = {"mean": (mean, STORED), "sd": (sd, STORED)}
    if row["se"] and row["sd"]:
        slack = half_unit(row["se"]) * math.sqrt(n) + half_unit(row["sd"]) + STORED
        ways["se sqrt(n)"] = {"sd": (conversions.sd_from_se(row["se"], n), slack)}
        slack = half_unit(row["sd"]) / math.sqrt(n) + half_unit(row["se"]) + STORED
        ways["sd / sqrt(n)"] = {"se": (row["sd"] / math.sqrt(n), slack)}
    return ways


def _compared(table: str, row: Row, column: str, ways: dict[str, Figures]) -> Iterator[dict]:
    options = [(name, *figures[column]) for name, figures in ways.items() if column in figures]
    wanted = table == "contrasts" and column == "md100"  # every one of these is answered for
    if row[column] is not None and (options or wanted):
        agreeing = [o for o in options if abs(row[column] - o[1]) <= o[2]]
        # of a contrast one way has to lead to the figure; what an arm prints has to agree in every way
        best = agreeing if table == "contrasts" else [o for o in options if o not in agreeing]
        way, value, tolerance = (best or options or [("no figures to start from", None, 0.0)])[0]
        yield {"row": row["row"], "study": row["study_id"], "table": table, "column": column} | {
            "stored": row[column],
            "recomputed": None if value is None else float(value),
            "tolerance": tolerance,
            "way": way,
        }
