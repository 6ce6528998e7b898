"""Standard deviations that do not fit the field, that fit it as standard errors, or that no paper prints."""

import math
from collections import defaultdict
from collections.abc import Iterator

from gmfmsim.evidence.audit.derived import arms_of, groups
from gmfmsim.evidence.audit.finding import Finding, lines, listed, weight
from gmfmsim.evidence.conversions import Z975, Z995, t_test_p
from gmfmsim.evidence.effect_sizes import cohen_d, hedges_g, log_sd
from gmfmsim.evidence.read import Row, Tables, at_month
from gmfmsim.evidence.spread import (
    VISITS,
    SpreadField,
    StudySpread,
    is_change_sd,
    judging_field,
    out_of_line,
    sd100,
    spread_field,
    study_spreads,
    window,
)

LARGEST_G = 2.0
"""A standardised difference beyond this is taken as a sign of a wrong spread; reviews of the field pool 0.6 to 1.3."""


def spread_is_se(tables: Tables) -> Iterator[Finding]:
    """Find SDs that are too small for the field and fit as standard errors; and say what is known to be one."""
    for study, found in _standard_errors(tables).items():
        far = max(found, key=lambda f: abs(_z(*f)))
        rows = [r for _, spread in found for r in spread.rows]
        effects = []
        for a, b in _pairs(tables, study, rows):
            printed, read = (hedges_g(*groups(*arms)).estimate for arms in ((a, b), (_as_se(a), _as_se(b))))
            p = t_test_p(a["mean"] - b["mean"], math.hypot(a["sd"], b["sd"]), a["n"] + b["n"] - 2)
            effects.append(f"{at_month(a['month'])}: g {printed:.2f} becomes {read:.2f}, with p {p:.2g}")
        field, spread = far
        yield Finding(
            "spread_is_se",
            "doubt",
            study,
            "outcomes",
            lines(rows),
            f"{_sds(rows)} on 0-100; at {at_month(spread.rows[0]['month'])} the other {field.k_studies} studies have "
            f"{_range(field)}, so this one lies at z {_z(*far):.1f}",
            "standard errors: times sqrt(n) they are SDs of "
            f"{listed(f'{sd100(_as_se(r)):.3g}' for r in rows)}, inside that range",
            "; ".join(effects) or "no contrast of these arms stands in the tables",
        )
    yield from _known_standard_errors(tables)


def sd_out_of_line(tables: Tables) -> Iterator[Finding]:
    """Find SDs outside the 99 % range of the field without their study, whatever may explain them."""
    out, by_window = out_of_line(tables), [study_spreads(tables, visit) for visit in VISITS]
    for row in filter(is_change_sd, tables.rows.get("outcomes", [])):
        field = judging_field(by_window[window(row["month"])], row["month"], row["study_id"], out)
        sd, spread = sd100(row), log_sd(sd100(row), row["n"])
        z = field.z(spread.estimate, spread.variance) if field else 0
        if abs(z) > Z995:
            yield Finding(
                "sd_out_of_line",
                "doubt",
                row["study_id"],
                "outcomes",
                lines([row]),
                f"SD {sd:.3g} of {row['arm_id']} at {at_month(row['month'])} on 0-100, z {z:.1f}",
                f"as the other {field.k_studies} studies: {_range(field)}",
                f"at their median the standard error of this arm's mean is {field.median / math.sqrt(row['n']):.2g} "
                f"instead of {sd / math.sqrt(row['n']):.2g}",
            )


def missing_spread(tables: Tables) -> Iterator[Finding]:
    """Say which contrasts rest on an SD that no paper prints, and what other SDs of the field would make of them."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in tables.rows["contrasts"]:
        if "imputed" in row["measure"] and None not in (row["md100"], row["md100_se"], row["n_a"], row["n_b"]):
            found[row["study_id"]].append(row)
    for study, rows in found.items():
        printed, effects = [], []
        for row in rows:
            field, size = spread_field(tables, row["month"], study), math.sqrt(1 / row["n_a"] + 1 / row["n_b"])
            low, high = field.interval()
            where = f"{row['arm_a']} v {row['arm_b']}, {at_month(row['month'])}"
            printed.append(f"{where}: standard error {row['md100_se']:.3g}, an SD of {row['md100_se'] / size:.3g}")
            effects.append(
                f"{where}: {field.median * size:.2g} at the field's median SD of {field.median:.3g}, "
                f"{low * size:.2g} to {high * size:.2g} over its 95 % range"
            )
        yield Finding(
            "missing_spread",
            "note",
            study,
            "contrasts",
            lines(rows),
            "; ".join(printed),
            "SDs of the trial's own children: none is printed, or none that can be used",
            "standard errors would be " + "; ".join(effects),
        )


def _standard_errors(tables: Tables) -> dict[str, list[tuple[SpreadField, StudySpread]]]:
    """Return, by study, the SDs that fit the field as standard errors and not as SDs.

    A study is taken as a whole: papers print one kind of spread. It is named where its SD is below the 95 % range of
    the other studies at one month at least, below their median at the others too, and inside the range times sqrt(n).
    """
    out, judged = out_of_line(tables), defaultdict(list)
    for visit in VISITS:
        spreads = study_spreads(tables, visit)
        for spread in spreads:
            field = judging_field(spreads, visit, spread.study, out)
            if field and all(r["sd_source"] == "reported" for r in spread.rows):
                judged[spread.study].append((field, spread))
    return {
        study: found
        for study, found in judged.items()
        if min(_z(*f) for f in found) < -Z975 and all(_z(*f) < 0 and abs(_z_as_se(*f)) < Z975 for f in found)
    }


def _known_standard_errors(tables: Tables) -> Iterator[Finding]:
    """Say where spreads are printed as standard errors, and would give an impossible effect if read as SDs."""
    found: dict[str, list[tuple]] = defaultdict(list)
    for row in tables.rows["contrasts"]:
        arms = arms_of(row, tables) if row["scale"].startswith("GMFM") and row["measure"].startswith("MD") else None
        if arms and all(a["sd_source"] == "from_se" and a["se"] for a in arms):
            as_sd = cohen_d(*groups(*arms, spread="se")).estimate
            if abs(as_sd) > LARGEST_G:
                found[row["study_id"]].append((abs(as_sd), row, arms))
    for study, contrasts in found.items():
        _, row, (a, b) = max(contrasts, key=lambda c: (c[0], c[1]["month"]))
        as_sd, as_se = groups(a, b, spread="se"), groups(a, b)
        difference, df = a["mean"] - b["mean"], a["n"] + b["n"] - 2
        se, small = math.hypot(a["se"], b["se"]), math.hypot(a["se"] / math.sqrt(a["n"]), b["se"] / math.sqrt(b["n"]))
        p_se, p_sd = t_test_p(difference, se, df), t_test_p(difference, small, df)
        tests = f"the t test gives p {p_se:.2g}, and {p_sd:.1g} as SDs"
        printed_p = f"p {row['p']:g} is printed, {tests}" if row["p"] is not None else tests
        yield Finding(
            "spread_is_se",
            "note",
            study,
            "outcomes",
            lines(r for _, _, arms in contrasts for r in arms),
            f"standard errors, {a['se']:g} and {b['se']:g} at {at_month(row['month'])}, {row['scale']}",
            "standard errors, as the tables take them: read as SDs they would give a standardised difference of "
            f"{cohen_d(*as_sd).estimate:.2f} (g {hedges_g(*as_sd).estimate:.2f}), not "
            f"{cohen_d(*as_se).estimate:.2f} (g {hedges_g(*as_se).estimate:.2f}); {printed_p}",
            f"who reads them as SDs gives the contrast {weight(se, small)}",
        )


def _as_se(row: Row) -> Row:
    """Return a row of outcomes.csv with its SD read as a standard error."""
    return row | {"sd": row["sd"] * math.sqrt(row["n"])}


def _z(field: SpreadField, spread: StudySpread) -> float:
    return field.z(spread.log_sd, spread.variance)


def _z_as_se(field: SpreadField, spread: StudySpread) -> float:
    """Return z of the study's SD if every SD is a standard error: the log SD grows by the mean of log sqrt(n)."""
    weights = [r["n"] - 1 for r in spread.rows]
    growth = sum(w * math.log(r["n"]) / 2 for w, r in zip(weights, spread.rows, strict=True)) / sum(weights)
    return field.z(spread.log_sd + growth, spread.variance)


def _pairs(tables: Tables, study: str, rows: list[Row]) -> list[tuple[Row, Row]]:
    """Return the pairs of rows that a contrast of the study compares, each once, by month."""
    here = {r["row"] for r in rows}
    pairs = {}
    for contrast in tables.where("contrasts", study_id=study):
        arms = arms_of(contrast, tables)
        if arms and {a["row"] for a in arms} <= here:
            pairs[arms[0]["month"], arms[0]["scale"], arms[0]["arm_id"], arms[1]["arm_id"]] = arms
    return [pairs[key] for key in sorted(pairs)]


def _sds(rows: list[Row]) -> str:
    return "SD " + listed(f"{sd100(r):.3g} ({r['arm_id']}, {at_month(r['month'])})" for r in rows)


def _range(field: SpreadField) -> str:
    low, high = field.interval()
    return f"a median SD of {field.median:.3g} (95 % from {low:.2g} to {high:.2g}, if log-normal)"
