"""The arms of one study at one month: which is the control, and how each of the others differs from it."""

import math
from collections import defaultdict
from typing import NamedTuple

from gmfmsim.evidence.flat.summary import SPREADS, Summary, Wrong, check_sd
from gmfmsim.evidence.formulas.conversions import sd_from_difference_se, se_from_p
from gmfmsim.evidence.formulas.dose import DosePerKg
from gmfmsim.evidence.schema import Row


class Arm(NamedTuple):
    """What is the same in every row of an arm. dose is None where it is not known; an arm without cells has none."""

    control: bool
    dose: DosePerKg | None
    derivation: str
    cell_class: str
    route: str


class Result(NamedTuple):
    """One row: its arm, and what it says of the children."""

    row: Row
    arm: Arm
    summary: Summary


class Comparison(NamedTuple):
    """One arm less the control: difference, standard error, that of the control's mean, and both SDs (None: no n).

    df: the degrees of freedom of the t test whose p gave the standard error; None where the arms gave it.
    """

    active: Result
    control: Result
    md: float
    se: float
    control_se: float
    sd: float | None
    control_sd: float | None
    df: int | None = None


def comparable(results: list[Result]) -> list[list[Result]]:
    """Return the rows of one study that are compared: those of one scale and month."""
    groups: dict[tuple, list[Result]] = defaultdict(list)
    for result in results:
        groups[result.row["scale"], result.row["month"]].append(result)
    return list(groups.values())


def control_of(group: list[Result]) -> Result | None:
    """Return what the others are compared with: the arm without cells, else, of known doses, the lowest.

    None where there is no such arm, more than one, or nothing to compare with it. An arm whose dose is not known may
    be the control that lacks its 0: beside one, no dose is the lowest.
    """
    lowest = [r for r in group if r.arm.control]
    if not lowest and all(r.arm.dose is not None for r in group):
        least = min(r.arm.dose.dose for r in group)
        lowest = [r for r in group if r.arm.dose.dose == least]
    return lowest[0] if len(lowest) == 1 < len(group) else None


def compare(active: Result, control: Result) -> Comparison:
    """Return how an arm differs from the control: md = mean_a - mean_c, se^2 = se_a^2 + se_c^2.

    Where an arm has no spread, se is the one that gives the two-sided p of the difference in a t test with
    n_a + n_c - 2 degrees of freedom, and such an arm has the pooled SD, se / sqrt(1/n_a + 1/n_c).

    Raises Wrong where there is neither, or p cannot be right.
    """
    a, c = active.summary, control.summary
    md = a.mean - c.mean
    if abs(md) > 100:
        raise Wrong(active.row, "mean", f"a difference of {md:g} points from the control", "from -100 up to 100")
    if a.se is not None and c.se is not None:
        return Comparison(active, control, md, math.hypot(a.se, c.se), c.se, a.sd, c.sd)
    p, n_a, n_c = active.row["p"], active.row["n"], control.row["n"]
    if p is None:
        raise Wrong((control if c.se is None else active).row, "sd", "no spread is given", SPREADS)
    if n_a is None or n_c is None:
        raise Wrong(active.row, "p", "n of an arm is not known", "p beside n of both arms")
    try:
        se = float(se_from_p(md, p, n_a + n_c - 2))
        sd = float(sd_from_difference_se(se, n_a, n_c))
    except ValueError as error:
        allowed = "above 0 and below 1, of a difference that is not 0"
        raise Wrong(active.row, "p", f"gives no standard error: {error}", allowed) from None
    check_sd(active.row, "p", sd)
    control_se = sd / math.sqrt(n_c) if c.se is None else c.se
    if control_se >= se:
        problem = f"gives the difference a standard error of {se:.3g}, and the control alone has {control_se:.3g}"
        raise Wrong(active.row, "p", problem, "figures that agree: p, means, and the spread of the control")
    own, other = (sd if s.sd is None else s.sd for s in (a, c))
    return Comparison(active, control, md, se, control_se, own, other, n_a + n_c - 2)
