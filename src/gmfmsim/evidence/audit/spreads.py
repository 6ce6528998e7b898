"""Standard deviations that do not fit the field, that fit it as standard errors, or that no paper prints."""

import math
from collections import defaultdict
from collections.abc import Iterator
from operator import itemgetter
from typing import NamedTuple

from gmfmsim.evidence.audit.derived import arms_of, groups
from gmfmsim.evidence.audit.finding import Finding, lines, listed, weight
from gmfmsim.evidence.formulas.conversions import Z975, Z995, t_test_p
from gmfmsim.evidence.formulas.effect_sizes import cohen_d, hedges_g, log_sd
from gmfmsim.evidence.schema import Row, Tables, at_month, grouped
from gmfmsim.evidence.spread import (
    VISITS,
    SpreadField,
    StudySpread,
    is_change_sd,
    judging_fields,
    out_of_line,
    sd100,
    spread_field,
    study_spreads,
    window,
)

MOST_SHOWN = 8
"""Contrasts that one finding shows."""

LARGEST_G = 2.0
"""A standardised difference beyond this is taken as a sign of a wrong spread; reviews of the field pool 0.6 to 1.3."""


class Judged(NamedTuple):
    """A study's SD about one month, and the field that judges it."""

    field: SpreadField
    spread: StudySpread

    @property
    def z(self) -> float:
        """How far the log SD lies from the field's median, in standard deviations."""
        return self.field.z(self.spread.log_sd, self.spread.variance)

    @property
    def z_as_se(self) -> float:
        """The same if every SD is a standard error: the log SD grows by the mean of log sqrt(n)."""
        weights = [r["n"] - 1 for r in self.spread.rows]
        growth = sum(w * math.log(r["n"]) / 2 for w, r in zip(weights, self.spread.rows, strict=True)) / sum(weights)
        return self.field.z(self.spread.log_sd + growth, self.spread.variance)


def spread_is_se(tables: Tables) -> Iterator[Finding]:
    """Find SDs that are too small for the field and fit as standard errors; and say what is known to be one.

    Of one study, or of the studies of a file that share the mistake.
    """
    printing = len({r["study_id"] for r in tables.where("outcomes") if is_change_sd(r)})
    for studies, found in _standard_errors(tables).items():
        rows = [r for _, spread in found for r in spread.rows]
        several = f"{len(studies)} of {printing}" if len(studies) < printing else f"all {printing}"
        printed, expected = _of_file(found, rows, several) if len(studies) > 1 else _of_study(found, rows)
        effect = _as_read(tables, studies, rows) or "no contrast of these arms stands in the tables"
        yield Finding("spread_is_se", "doubt", listed(studies), "outcomes", lines(rows), printed, expected, effect)
    yield from _known_standard_errors(tables)


def _of_study(found: list[Judged], rows: list[Row]) -> tuple[str, str]:
    """Say of one study what it prints and what that would have to be."""
    field, spread = far = max(found, key=lambda f: abs(f.z))
    where, read = at_month(spread.rows[0]["month"]), listed(f"{sd100(_as_se(r)):.3g}" for r in rows)
    sds = listed(f"{sd100(r):.3g} ({r['arm_id']}, {at_month(r['month'])})" for r in rows)
    return (
        f"SD {sds} on 0-100; at {where} {_others(field)} have {_range(field)}, so this one lies at z {far.z:.1f}",
        f"standard errors: times sqrt(n) they are SDs of {read}, inside that range",
    )


def _of_file(found: list[Judged], rows: list[Row], several: str) -> tuple[str, str]:
    """Say the same of several studies of a file together."""
    field, spread = max(found, key=lambda f: abs(f.z))
    (low, high), read = ([f([sd100(r) for r in some]) for f in (min, max)] for some in (rows, [*map(_as_se, rows)]))
    return (
        f"SDs of {low:.3g} to {high:.3g} on 0-100 in {several} studies that print one; at "
        f"{at_month(spread.rows[0]['month'])} {_others(field)} have {_range(field)}; these lie at z "
        f"{sum(f.z for f in found) / len(found):.1f} on average",
        f"standard errors, in all of these: times sqrt(n) they are SDs of {read[0]:.3g} to {read[1]:.3g}, inside "
        "that range",
    )


def _as_read(tables: Tables, studies: tuple[str, ...], rows: list[Row]) -> str:
    """Say what standardised differences become where SDs are read as standard errors."""
    effects = []
    for study in studies:
        for a, b in _pairs(tables, study, [r for r in rows if r["study_id"] == study]):
            printed, read = (hedges_g(*groups(*arms)).estimate for arms in ((a, b), (_as_se(a), _as_se(b))))
            p = t_test_p(a["mean"] - b["mean"], math.hypot(a["sd"], b["sd"]), a["n"] + b["n"] - 2)
            where = f"{study}, " if len(studies) > 1 else ""
            effects.append(f"{where}{at_month(a['month'])}: g {printed:.2f} becomes {read:.2f}, with p {p:.2g}")
    more = len(effects) - MOST_SHOWN
    return "; ".join(effects[:MOST_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def sd_out_of_line(tables: Tables) -> Iterator[Finding]:
    """Find SDs outside the 99 % range of a field without their study, whatever may explain them.

    Not row by row what is told of a whole file: that it holds standard errors.
    """
    out, by_window = out_of_line(tables), [study_spreads(tables, visit) for visit in VISITS]
    told = {s for studies in _standard_errors(tables) if len(studies) > 1 for s in studies}
    for row in filter(is_change_sd, tables.where("outcomes")):
        if row["study_id"] in told:
            continue
        sd, spread = sd100(row), log_sd(sd100(row), row["n"])
        fields = judging_fields(by_window[window(row["month"])], row["month"], row["study_id"], out)
        judged = [(field.z(spread.estimate, spread.variance), field) for field in fields]
        z, field = max(judged, key=lambda found: abs(found[0]), default=(0, None))
        if abs(z) > Z995:
            yield Finding(
                *("sd_out_of_line", "doubt", row["study_id"], "outcomes", lines([row])),
                f"SD {sd:.3g} of {row['arm_id']} at {at_month(row['month'])} on 0-100, z {z:.1f}",
                f"as {_others(field)}: {_range(field)}",
                f"at their median the standard error of this arm's mean is {field.median / math.sqrt(row['n']):.2g} "
                f"instead of {sd / math.sqrt(row['n']):.2g}",
            )


def missing_spread(tables: Tables) -> Iterator[Finding]:
    """Say which contrasts rest on an SD that no paper prints, and what other SDs of the field would make of them."""
    figures, name = itemgetter("md100", "md100_se", "n_a", "n_b"), itemgetter("study_id")
    imputed = (r for r in tables.rows["contrasts"] if "imputed" in r["measure"] and None not in figures(r))
    for study, rows in grouped(imputed, name).items():
        printed, effects = [], []
        for row in rows:
            field, size = spread_field(tables, row["month"], study), math.sqrt(1 / row["n_a"] + 1 / row["n_b"])
            low, high = field.interval()
            where = f"{row['arm_a']} v {row['arm_b']}, {at_month(row['month'])}"
            printed.append(f"{where}: standard error {row['md100_se']:.3g}, an SD of {row['md100_se'] / size:.3g}")
            effects.append(
                f"{where}: {field.median * size:.2g} at the field's median SD of {field.median:.3g}"
                f"{' (shipped evidence)' if field.borrowed else ''}, "
                f"{low * size:.2g} to {high * size:.2g} over its 95 % range"
            )
        yield Finding(
            *("missing_spread", "note", study, "contrasts", lines(rows)),
            "; ".join(printed),
            "SDs of the trial's own children: none is printed, or none that can be used",
            "standard errors would be " + "; ".join(effects),
        )


def _standard_errors(tables: Tables) -> dict[tuple[str, ...], list[Judged]]:
    """Return, by study, the SDs that fit a field as standard errors and not as SDs.

    A study is taken as a whole: papers print one kind of spread. It is named where its SD is below the 95 % range of
    the other studies at one month at least, below their median at the others too, and inside the range times sqrt(n).
    A mistake that studies of a user's file share is no exception there, so that the shipped evidence judges them
    together (`_shared`).
    """
    out = out_of_line(tables)
    nearest: dict[str, list[Judged]] = defaultdict(list)
    shipped: dict[str, list[Judged]] = defaultdict(list)
    for visit in VISITS:
        spreads = study_spreads(tables, visit)
        for spread in spreads:
            if all(r["sd_source"] == "reported" for r in spread.rows):
                fields = list(judging_fields(spreads, visit, spread.study, out))
                nearest[spread.study] += [Judged(field, spread) for field in fields[:1]]
                shipped[spread.study] += [Judged(field, spread) for field in fields if field.borrowed]
    shared = _shared({study: found for study, found in shipped.items() if found})
    named = {tuple(shared): [f for found in shared.values() for f in found]} if shared else {}
    return named | {(s,): found for s, found in nearest.items() if s not in shared and _is_se(found)}


def _shared(shipped: dict[str, list[Judged]]) -> dict[str, list[Judged]]:
    """Return the studies of a file, two at least, that fit the shipped evidence as standard errors and not as SDs.

    All of them where that is so on average, since one hand typed the file; else those of which it is so one by one.
    """
    every = [f for found in shipped.values() for f in found]
    if every and _fits_as_se(every) and sum(f.z for f in every) < -Z975 * len(every):
        found = shipped
    else:
        found = {study: own for study, own in shipped.items() if _is_se(own)}
    return found if len(found) > 1 else {}


def _is_se(found: list[Judged]) -> bool:
    """Return whether a study's SDs fit as standard errors, one of them below the 95 % range of SDs."""
    return bool(found) and _fits_as_se(found) and min(f.z for f in found) < -Z975


def _fits_as_se(found: list[Judged]) -> bool:
    """Return whether SDs are below their field's median throughout, and inside its 95 % range as standard errors."""
    return all(f.z < 0 and abs(f.z_as_se) < Z975 for f in found)


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
            *("spread_is_se", "note", study, "outcomes", lines(r for _, _, arms in contrasts for r in arms)),
            f"standard errors, {a['se']:g} and {b['se']:g} at {at_month(row['month'])}, {row['scale']}",
            "standard errors, as the tables take them: read as SDs they would give a standardised difference of "
            f"{cohen_d(*as_sd).estimate:.2f} (g {hedges_g(*as_sd).estimate:.2f}), not "
            f"{cohen_d(*as_se).estimate:.2f} (g {hedges_g(*as_se).estimate:.2f}); {printed_p}",
            f"who reads them as SDs gives the contrast {weight(se, small)}",
        )


def _as_se(row: Row) -> Row:
    """Return a row of outcomes.csv with its SD read as a standard error."""
    return row | {"sd": row["sd"] * math.sqrt(row["n"])}


def _pairs(tables: Tables, study: str, rows: list[Row]) -> list[tuple[Row, Row]]:
    """Return the pairs of rows that a contrast of the study compares, each once, by month."""
    here = {r["row"] for r in rows}
    pairs = {}
    for contrast in tables.where("contrasts", study_id=study):
        arms = arms_of(contrast, tables)
        if arms and {a["row"] for a in arms} <= here:
            pairs[arms[0]["month"], arms[0]["scale"], arms[0]["arm_id"], arms[1]["arm_id"]] = arms
    return [pairs[key] for key in sorted(pairs)]


def _others(field: SpreadField) -> str:
    """Say whose SDs a study is held against."""
    k = field.k_studies
    return f"the {k} studies of the shipped evidence" if field.borrowed else f"the other {k} studies"


def _range(field: SpreadField) -> str:
    low, high = field.interval()
    return f"a median SD of {field.median:.3g} (95 % from {low:.2g} to {high:.2g}, if log-normal)"
