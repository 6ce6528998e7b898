"""What a suspect figure may mean: its readings, each with a prior weight, and what they make of an effect.

Readings are declared in readings.csv and computed here from the raw rows. Where a standard deviation or a correlation
was not printed, the standard error has a distribution: log se ~ Normal(log of its median, log_se_sd).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Literal, NamedTuple

import numpy as np

from gmfmsim.compute.labels import xr
from gmfmsim.evidence.contrasts import contrast_covariance, is_covariance, one_reading
from gmfmsim.evidence.formulas.conversions import Z975, difference_se_from_sd, sd_of_change, se_from_sd
from gmfmsim.evidence.schema import Row, Tables, grouped
from gmfmsim.evidence.sheets.told import at_rows
from gmfmsim.evidence.spread import shipped_tables, spread_field
from gmfmsim.faults import Fault, InputError, choices

ReadingChoice = Literal["as_tabled", "average"] | dict[str, str]
"""as_tabled: the columns md100 and md100_se as they stand. average: all readings of all studies, by weight.
A table (study = reading) fixes the readings of the studies it names; those of the others are averaged over."""

MOST_COMBINATIONS = 256
KEY = itemgetter("study_id", "scale", "month")

CORRELATION_Z = (float(np.arctanh(0.9)), 0.4)
"""Mean and SD of the Fisher z of the correlation between two visits where none is printed: 95 % from 0.6 to 0.98.
The baseline and change SDs of Min 2013 imply 0.97 to 0.98 at 6 months; later visits correlate less."""

READING_WORDS = {
    "as_tabled": "as in the tables",
    "as_printed": "as printed",
    "spread_is_se": "printed spread is a standard error",
    "spread_is_sd": "printed spread is an SD",
    "imputed_sd": "SD not known, as in other trials",
    "sd_in_range": "SD in the range of another source",
    "sd_from_d": "SD from the printed d",
    "centre_of_interval": "centre of the printed interval",
    "change_score": "change instead of final score",
}
"""What each reading says, in words."""


class Reading(NamedTuple):
    """One reading of one contrast: effect, se and the control arm's share of it, on a 0-100 scale.

    log_se_sd is the standard deviation of log se; 0 where the standard error is known. borrowed: the SD is that of the
    shipped evidence, for want of trials in the user's own.
    """

    effect: float
    se: float
    control_se: float
    log_se_sd: float = 0.0
    borrowed: bool = False


def read_contrasts(data: xr.Dataset, tables: Tables, choice: ReadingChoice, file: str = "experiment") -> xr.Dataset:
    """Return the contrasts under their readings: effect, se, log_se_sd and covariance gain the dim `reading`.

    `reading` runs over the combinations of the studies' readings, the most probable first; `weight` (reading) is the
    product of prior weights. A reading is of a paper: it holds at all selected months of its study. `suspect` runs
    over the studies with readings: `reading_of` (reading, suspect) names theirs. Where none has, or with the choice
    "as_tabled", there is one combination, of weight 1. attrs["field_of_sds"] is the SHA-256 of the
    shipped tables where a user's were too few to say how SDs are distributed, and these were asked.

    Raises InputError for studies and readings that readings.csv does not have, for months of a study that differ in
    their readings, for figures that a reading needs and the tables lack, for standard errors that no reading gives,
    for figures that cannot be right, and for more than 256 combinations.
    """
    if choice == "as_tabled" and np.isnan(data["se"].values).any():
        blank = data.isel(contrast=np.isnan(data["se"].values))
        of_file = zip(blank["file"].values.tolist(), blank["row"].values.tolist(), strict=True)
        rows_of = grouped(of_file, itemgetter(0))
        named = "; ".join(f"{at_rows([row for _, row in places])} of {name}" for name, places in rows_of.items())
        problem = f"{named}: no md100_se as tabled"
        raise InputError([Fault(file, "key evidence.readings", problem, '"average": their readings give it')])
    rows = {(row["file"], row["row"]): row for row in tables.rows["contrasts"]}
    places = zip(data["file"].values.tolist(), data["row"].values.tolist(), strict=True)
    contrasts = [rows.get(place) for place in places]  # None: a hypothetical one
    options = {} if choice == "as_tabled" else _options(contrasts, tables, choice, file)
    if not options:
        return one_reading(data)
    weights = _weights(options)
    count = math.prod(map(len, weights.values()))
    if count > MOST_COMBINATIONS:
        allowed = f"at most {MOST_COMBINATIONS}: name the reading of some studies"
        raise InputError([Fault(file, "key evidence.readings", f"{count} combinations of readings", allowed)])
    combinations = list(itertools.product(*(own.items() for own in weights.values())))
    weight = _products([[w for _, w in combination] for combination in combinations])
    order = np.argsort(-weight, kind="stable")
    read = _read(contrasts, options, tables)
    names = [dict(zip(weights, (reading for reading, _ in combinations[i]), strict=True)) for i in order]
    tabled = [Reading(*figures) for figures in zip(*(data[v].values for v in Reading._fields[:4]), strict=True)]
    figures = np.array(
        [
            [read.get((i, row and chosen.get(row["study_id"])), tabled[i]) for i, row in enumerate(contrasts)]
            for chosen in names
        ]
    )
    effect, se, control_se, log_se_sd, borrowed = np.moveaxis(figures, -1, 0)
    covariance = contrast_covariance(data, se, control_se)
    for matrix, chosen in zip(covariance, names, strict=True):
        if not is_covariance(matrix):
            held = ", ".join(f"{study} {reading}" for study, reading in chosen.items())
            problem = f"the covariance under {held} is not positive definite"
            raise InputError([Fault("readings.csv", "column reading", problem, "readings that can hold together")])
    if borrowed.any():
        data = data.assign_attrs(field_of_sds=shipped_tables().sha256)
    return data.assign(
        effect=(("reading", "contrast"), effect),
        se=(("reading", "contrast"), se),
        log_se_sd=(("reading", "contrast"), log_se_sd),
        covariance=(("reading", "contrast", "contrast_"), covariance),
        weight=("reading", weight[order] / weight.sum()),
        reading_of=(("reading", "suspect"), [list(chosen.values()) for chosen in names]),
    ).assign_coords(suspect=list(weights))


def _products(weights: list[list[float]]) -> np.ndarray:
    """Return the product of each row of weights (C, S), all of them times one power of two.

    That is exact, and keeps the largest between 1/2 and 1: however small weights are, they can be divided by their
    sum. None comes out as 0, of which a likelihood cannot take the logarithm.
    """

    def rescaled(values: np.ndarray) -> np.ndarray:
        return np.ldexp(values, -np.frexp(values.max())[1])

    product = np.ones(len(weights))
    for column in np.array(weights).T:
        product = rescaled(product * rescaled(column))
    return np.maximum(product, np.finfo(float).tiny)


def _weights(options: dict[tuple, list[Row]]) -> dict[str, dict[str, float]]:
    """Return the prior weight of each reading of each study.

    Raises InputError where the months, or scales, of a study differ in their readings or in how probable these are.
    """
    weights: dict[str, dict[str, float]] = {}
    shares: dict[str, dict[str, float]] = {}
    faults = []
    for (study, scale, month), rows in options.items():
        own = {row["reading"]: row["weight"] for row in rows}
        share = {reading: weight / sum(own.values()) for reading, weight in own.items()}
        weights.setdefault(study, own)
        if share != shares.setdefault(study, share):
            file, where = rows[0]["file"], "rows " + ", ".join(str(row["row"]) for row in rows)
            problem = f"the readings of {study} on {scale} at month {month:g} are not those of its other selected rows"
            faults.append(Fault(file, where, problem, "the same readings and weights at all of them"))
    if faults:
        raise InputError(faults)
    return weights


def _read(contrasts: list[Row | None], options: dict[tuple, list[Row]], tables: Tables) -> dict:
    """Return what each reading makes of each contrast, by (position, reading). Raises InputError with every fault."""
    read, faults = {}, []
    for i, row in enumerate(contrasts):
        for option in options.get(row and KEY(row), ()):
            where = f"row {option['row']}, reading {option['reading']} of {row['study_id']}"
            try:
                found = read[i, option["reading"]] = RULES[option["reading"]](row, tables, option)
            except _Missing as error:
                allowed = "a reading whose figures are there"
                faults.append(Fault(option["file"], where, f"needs {error.args[0]}", allowed))
                continue
            if not (abs(found.effect) <= 100 and 0 < found.se <= 100):
                problem = f"gives an effect of {found.effect:g} with a standard error of {found.se:g}"
                faults.append(Fault(option["file"], where, problem, "at most 100 points either way, se above 0 to 100"))
            elif found.control_se > found.se:
                problem = f"gives a standard error of {found.se:g}, of which its control has {found.control_se:g}"
                faults.append(Fault(option["file"], where, problem, "at most the whole one"))
    if faults:
        raise InputError(faults)
    return read


def _options(contrasts: list[Row | None], tables: Tables, choice: ReadingChoice, file: str) -> dict[tuple, list[Row]]:
    """Return the rows of readings.csv to combine, by (study, scale, month) of the selected contrasts."""
    readings = grouped(tables.where("readings"), KEY)
    declared = {KEY(row): readings[KEY(row)] for row in contrasts if row and KEY(row) in readings}
    if choice == "average":
        return declared
    known = {study: [row["reading"] for row in rows] for (study, *_), rows in declared.items()}
    faults = []
    for study, reading in choice.items():
        where = f"key evidence.readings.{study}"
        if study not in known:
            problem = "this study has no readings among the selected contrasts"
            faults.append(Fault(file, where, problem, choices(study, known)))
        elif reading not in known[study]:
            faults.append(Fault(file, where, f"{reading!r} is not one of its readings", choices(reading, known[study])))
    if faults:
        raise InputError(faults)
    return {
        key: [row for row in rows if row["reading"] == choice.get(key[0], row["reading"])]
        for key, rows in declared.items()
    }


class _Missing(Exception):
    """A figure that a reading needs and the tables lack."""


class _Arm(NamedTuple):
    """One arm's outcome on a 0-100 scale: mean, SD as tabled, spread as printed whatever its kind, children."""

    mean: float
    sd: float | None
    printed: float | None
    n: int


def _both(row: Row, tables: Tables, kind: str, month: float) -> list[_Arm]:
    """Return the preferred outcomes of the two arms of a contrast."""
    arms = []
    for arm in (row["arm_a"], row["arm_b"]):
        wanted = {"study_id": row["study_id"], "arm_id": arm, "scale": row["scale"], "kind": kind, "month": month}
        found = tables.where("outcomes", preferred="yes", **wanted)
        if not found or None in (found[0]["mean"], found[0]["n"]):
            raise _Missing(f"mean and n of {arm}, {row['scale']} {kind} at month {month:g}, in outcomes.csv")
        (outcome,) = found
        unit = 100 / (outcome["scale_max"] or 100)
        printed = {"reported": outcome["sd"], "from_se": outcome["se"]}.get(outcome["sd_source"])
        figures = (x and x * unit for x in (outcome["mean"], outcome["sd"], printed))
        arms.append(_Arm(*figures, outcome["n"]))
    return arms


def _from_arms(row: Row, tables: Tables, option: Row, sd_of: Callable[[_Arm], float | None]) -> Reading:
    """Mean difference and standard error from the two arms, their SDs read by `sd_of`."""
    arms = _both(row, tables, "change", row["month"])
    sds = [sd_of(arm) for arm in arms]
    if None in sds:
        raise _Missing(f"a printed spread of {row['arm_a']} and {row['arm_b']} in outcomes.csv")
    active, control = (se_from_sd(sd, arm.n) for sd, arm in zip(sds, arms, strict=True))
    return Reading(arms[0].mean - arms[1].mean, math.hypot(active, control), control)


def _with_sd(row: Row, effect: float, sd: float, log_se_sd: float = 0.0) -> Reading:
    """Return a reading with one SD for both arms: se = sd sqrt(1/n_a + 1/n_b)."""
    if None in (row["n_a"], row["n_b"]) or min(row["n_a"], row["n_b"]) < 2:
        raise _Missing("n_a and n_b of at least 2 in contrasts.csv")
    se = float(difference_se_from_sd(sd, row["n_a"], row["n_b"]))
    return Reading(effect, se, sd / math.sqrt(row["n_b"]), log_se_sd)


def _as_tabled(row: Row, tables: Tables, option: Row) -> Reading:
    """md100 and md100_se as they stand."""
    if row["md100_se"] is None:
        raise _Missing("md100_se in contrasts.csv")
    return Reading(row["md100"], row["md100_se"], row["control_se100"] or math.nan)


def _imputed_sd(row: Row, tables: Tables, option: Row) -> Reading:
    """The SD is not known: one SD for both arms, distributed as in the other trials of the field at this month.

    The draws of several studies are independent; the uncertainty of the field's median, which they share, is not.
    """
    field = spread_field(tables, row["month"], without_study=row["study_id"])
    return _with_sd(row, row["md100"], field.median, field.log_sd)._replace(borrowed=field.borrowed)


def _sd_in_range(row: Row, tables: Tables, option: Row) -> Reading:
    """The SD lies between sd_low and sd_high with probability 0.95: log-normal, one SD for both arms."""
    low, high = option["sd_low"], option["sd_high"]
    if None in (low, high):
        raise _Missing("sd_low and sd_high in its row")
    return _with_sd(row, row["md100"], math.sqrt(low * high), math.log(high / low) / (2 * Z975))


def _sd_from_d(row: Row, tables: Tables, option: Row) -> Reading:
    """The SD is the one that the printed standardised difference implies: |md| / |d|."""
    same = {k: row[k] for k in ("study_id", "arm_a", "arm_b", "scale", "month")}
    found = tables.where("contrasts", measure="SMD", **same)
    if not found or not found[0]["estimate"]:
        raise _Missing(f"a printed SMD of {row['arm_a']} against {row['arm_b']} in contrasts.csv")
    return _with_sd(row, row["md100"], abs(row["md100"] / found[0]["estimate"]))


def _centre_of_interval(row: Row, tables: Tables, option: Row) -> Reading:
    """The estimate is the middle of the printed interval."""
    if None in (row["ci_low"], row["ci_high"]) or not row["estimate"]:
        raise _Missing("estimate, ci_low and ci_high in contrasts.csv")
    centre = (row["ci_low"] + row["ci_high"]) / 2 * row["md100"] / row["estimate"]
    return _as_tabled(row, tables, option)._replace(effect=centre)


def _change_score(row: Row, tables: Tables, option: Row) -> Reading:
    """Final less baseline scores; the correlation r of the two visits is not known.

    se^2 = sum over arms of sd_of_change(r)^2 / n, with arctanh r ~ Normal(CORRELATION_Z). log se is then close to
    normal (1 - r falls off as exp(-2 z)): its SD is half the distance between its values one SD either way.
    """
    before, after = (_both(row, tables, kind, month) for kind, month in (("baseline", 0), ("final", row["month"])))
    if any(arm.sd is None for arm in (*before, *after)):
        raise _Missing("SDs of baseline and final scores in outcomes.csv")
    centre, spread = CORRELATION_Z

    def standard_errors(z: float) -> list[float]:
        r = math.tanh(z)
        return [se_from_sd(sd_of_change(b.sd, a.sd, r), a.n) for b, a in zip(before, after, strict=True)]

    narrow, middle, wide = (math.hypot(*standard_errors(centre + k * spread)) for k in (1, 0, -1))
    effect = (after[0].mean - before[0].mean) - (after[1].mean - before[1].mean)
    return Reading(effect, middle, standard_errors(centre)[1], math.log(wide / narrow) / 2)


RULES: dict[str, Callable[[Row, Tables, Row], Reading]] = {
    "as_tabled": _as_tabled,
    # means and SDs as the paper's table head names them; or the printed spread is what is said, whatever the head says
    "as_printed": partial(_from_arms, sd_of=lambda arm: arm.sd),
    "spread_is_se": partial(_from_arms, sd_of=lambda arm: arm.printed and arm.printed * math.sqrt(arm.n)),
    "spread_is_sd": partial(_from_arms, sd_of=lambda arm: arm.printed),
    "imputed_sd": _imputed_sd,
    "sd_in_range": _sd_in_range,
    "sd_from_d": _sd_from_d,
    "centre_of_interval": _centre_of_interval,
    "change_score": _change_score,
}
