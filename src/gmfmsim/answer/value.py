"""What the trial of a plan is worth: over n and dose, where it pays, and what is expected to be known after it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from gmfmsim.answer.sizing import Sizing
from gmfmsim.answer.truths import conditions_of
from gmfmsim.compute.executors import in_order
from gmfmsim.compute.text import money, percent
from gmfmsim.model.after import Joint, joint, merged, mixed_joint
from gmfmsim.model.effect import BETWEEN
from gmfmsim.model.structure import structure
from gmfmsim.progress import UNSEEN, Steps
from gmfmsim.question.plan import Prepared
from gmfmsim.trial.optimise import largest_n
from gmfmsim.trial.worth import DOUBTFUL, SURE, Worth

POINTS, DOSES = 40, 4
"""Numbers of children over which the worth is shown, and doses beside that of the trial, where a plan names none."""
BEYOND, USUAL = 2.5, 200
"""The largest number that is shown, in times of the largest that the answer names; and where it names none, an arm."""
AFTER = (0.25, 0.5, 1.0)
"""Shares of the largest number shown after which is said what is known then, beside those that the answer names."""


def value_record(
    sizing: Sizing, n: int | None, advance: Steps = UNSEEN, *, over: bool = False, search: bool = True
) -> dict[str, Any] | None:
    """Return what the trial of a plan is worth; None where the plan does not ask.

    n: of the answer, or None. The declaration, with what it leaves to [cost] written out; now: what is known, whether
    treatment is taken on it and pays; evpi: the worth of knowing the mean of studies, and one study's own effect;
    at_answer: a row of n; largest: the row with the largest net gain, n_total 0 where no trial has one above 0, null
    without [cost]; worthwhile: children in all up to whom one more is worth more than it costs, null beyond the search;
    by_dose and next_dose: the same of each dose by itself; after: rows of what is known after n. over: and over_n,
    surface: rows over n, and of each dose. search: False leaves all of this out that is not about n.

    A row has n_total, n_by_arm, months until it is read out, children reached after it, evsi (the expected value of
    sample information), cost and net_gain from low to high, null without [cost]. Amounts in `currency`.
    """
    plan = sizing.prepared.plan
    if plan.value is None:
        return None
    doses = _doses(sizing.prepared) if search else [plan.trial.active.dose]
    advance.expect(2 * len(doses))
    worths = {}
    for dose in doses:
        worths[dose] = Worth(plan.trial, _joint(sizing, dose), plan.value.of(plan.cost), plan.cost, plan.recruitment)
        advance()
    own = worths[plan.trial.active.dose]
    found = _declared(own) | {"at_answer": None if n is None else _row(own, n)}
    if not _has_moments(sizing.prepared):
        found["now"] |= NO_MOMENTS
    if not search:
        return found | {"after": _after(own, [n] if n else [], found)}
    rows = []
    for dose, worth in worths.items():
        rows.append(_of_dose(worth, dose, plan.search.max_n_per_arm))
        advance()
    mine = next(row for row in rows if row["dose"] == plan.trial.active.dose)
    found |= {name: mine[name] for name in ("largest", "worthwhile")} | {"by_dose": rows, "next_dose": _next(rows)}
    marks = {k for k in (n, _n_of(own, mine["largest"])) if k}
    if not over:
        return found | {"after": _after(own, marks, found)}
    grid = _grid(sizing.prepared, [*marks, _n_of(own, mine, "worthwhile") or 0])
    found["over_n"] = [_row(own, k) for k in sorted({*grid, *marks})]
    found["surface"] = [_short(worth, dose, k) for dose, worth in worths.items() for k in grid]
    shown = {grid[min(round(share * len(grid)), len(grid) - 1)] for share in AFTER}
    return found | {"after": _after(own, {*marks, *shown}, found)}


def _doses(prepared: Prepared) -> list[float]:
    """Return the doses that are asked for, rising: those named, or some of the range studied, and that of the trial."""
    own, named = prepared.plan.trial.active.dose, prepared.plan.value.doses
    if named is None and prepared.uses_dose and prepared.observed_doses:
        named = [float(f"{dose:.2g}") for dose in np.geomspace(*prepared.observed_doses, DOSES)]
    return sorted({own, *(named or ())})


def _joint(sizing: Sizing, dose: float) -> Joint:
    """Return what the models say of mean and scatter of studies at a dose, mixed; as remembered where it is."""
    prepared = sizing.prepared
    at = conditions_of(prepared, {"asked": dose})["asked"]

    def computed() -> dict[str, np.ndarray]:
        parts = list(in_order(lambda m: merged(joint(m.mixture, m.curve, at)), sizing.members))
        return merged(mixed_joint(parts, [m.share for m in sizing.members])).columns

    known = sizing.remembers and prepared.models
    return Joint(**(prepared.recalled(f"joint {at}", computed) if known else computed()))


def _declared(worth: Worth) -> dict[str, Any]:
    """Return what was declared, what is known now, and what it would be worth to know more."""
    value, of = worth.value, worth.joint.of("mean")
    between, between_sd = worth.joint.between
    mean, own = worth.perfect()
    return value.model_dump(exclude={"n", "doses"}) | {
        "dose": worth.design.active.dose,
        "now": {
            "mean": of.mean,
            "sd": of.sd,
            "between": between,
            "between_sd": between_sd,
            "above": of.above(value.margin),
            "border": value.border,
            "treat": of.mean > value.border,
            "pays": of.above(value.border),
        },
        "evpi": {"mean_of_studies": mean, "own_effect": own},
    }


def _row(worth: Worth, n: int) -> dict[str, Any]:
    """Return what a trial of n is worth and costs; see `value_record`."""
    trial, evsi, months = worth.design, worth.sample(n), worth.months(n)
    cost = worth.price(n)
    return {
        "n_total": trial.total(n),
        "n_by_arm": trial.sizes(n),
        "months": months,
        "children_reached": worth.children(n),
        "evsi": evsi,
        "cost": cost and cost.model_dump(),
        "net_gain": cost and {"low": evsi - cost.high, "high": evsi - cost.low},
    }


NO_MOMENTS = {"between": None, "between_sd": None}
"""What is said of the SD between studies where few studies and a prior with heavy tails leave it no mean or no SD."""

LEAST_ORDER = 2
"""Moments exist below the order of a posterior: mean and SD from more than this on."""

NO_TRIAL = {"n_total": 0, "n_by_arm": None, "months": 0.0, "children_reached": None, "evsi": 0.0} | {
    name: {"low": 0.0, "high": 0.0} for name in ("cost", "net_gain")
}
"""The row of no trial."""


def _of_dose(worth: Worth, dose: float, most: int) -> dict[str, Any]:
    """Return where a trial of one dose pays, by itself."""
    mean = worth.joint.of("mean").mean
    row = {"dose": dose, "mean": mean, "treat": mean > worth.value.border, "evpi": worth.perfect()[0]}
    if worth.cost is None:
        return row | {"largest": None, "worthwhile": None}
    best = worth.largest(most)
    last = best.worthwhile and worth.design.total(best.worthwhile)
    return row | {"largest": _row(worth, best.n) if best.n else NO_TRIAL, "worthwhile": last}


def _next(rows: list[dict[str, Any]]) -> float | None:
    """Return the dose of which a trial has the largest net gain; None where there is but one, or no trial pays."""
    paying = [row for row in rows if row["largest"] and row["largest"]["n_total"]]
    best = max(paying, key=lambda row: row["largest"]["net_gain"]["low"], default=None)
    return best["dose"] if best and len(rows) > 1 else None


def _n_of(worth: Worth, row: dict[str, Any] | None, name: str = "n_total") -> int | None:
    """Return the n of a number of children in all."""
    return largest_n(worth.design, row[name]) if row and row[name] else None


def _grid(prepared: Prepared, marks: list[int]) -> list[int]:
    """Return the n over which the worth is shown: those asked for, or evenly on a logarithmic scale."""
    trial, asked = prepared.plan.trial, prepared.plan.value.n
    if asked:
        return sorted({largest_n(trial, n) for n in asked})
    top = max(trial.at_least(BEYOND * (max(marks, default=0) or USUAL)), 8 * trial.fewest)
    return sorted({trial.at_least(n) for n in np.geomspace(trial.at_least(top / 100), top, POINTS).tolist()})


def _short(worth: Worth, dose: float, n: int) -> dict[str, Any]:
    evsi = worth.sample(n)
    net = None if worth.cost is None else evsi - worth.price(n).high
    return {"dose": dose, "n_total": worth.design.total(n), "evsi": evsi, "net_gain": net}


def _after(worth: Worth, sizes: Iterable[int], found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return rows of what is expected to be known after trials of several sizes, as far as it is known now."""
    lost = {"between_sd": None} if found["now"]["between_sd"] is None else {}
    return [{"n_total": worth.design.total(n)} | worth.after(n) | lost for n in sorted(sizes)]


def _has_moments(prepared: Prepared) -> bool:
    """Return whether mean and SD of the SD between studies exist in every model."""
    for model in prepared.models.values():
        heavy = [name for name in BETWEEN if name in model.priors and not _light(model.priors[name])]
        if heavy:
            from gmfmsim.model.exact import orders  # compiled code: loaded where it is needed

            found = orders(structure(model, prepared.contrasts))
            if any(found.get(name, math.inf) <= LEAST_ORDER for name in heavy):
                return False
    return True


def _light(prior: Any) -> bool:
    """Return whether all moments of a prior exist."""
    return prior.proper and prior.tail == math.inf


def in_sentences(found: dict[str, Any]) -> Iterator[str]:
    """Yield what `value_record` found as sentences."""
    now, currency = found["now"], found["currency"]
    paid = f"costs {_money(found['treatment_cost'], currency)} a child and " if found["treatment_cost"] else ""
    taken = "it would be taken" if now["treat"] else "it would not be taken"
    yield (
        f"With a benefit of {_money(found['benefit'], currency)} a point, {found['reach']:,.0f} children a year for "
        f"{found['horizon']:g} years, later ones discounted by {percent(found['discount'])} a year: figures of whoever "
        "asks, not advice."
    )
    known, own = (_money(found["evpi"][name], currency) for name in ("mean_of_studies", "own_effect"))
    yield (
        f"Treatment at {_per_kg(found['dose'])} {paid}is expected to gain {now['mean']:.2f} points; above "
        f"{now['border']:.2f} it pays, with {percent(now['pays'])} probability: by these figures {taken} on what is "
        f"known. To know the mean of studies is worth {known}, one study's own effect {own}."
    )
    best = found.get("largest")
    if (row := found["at_answer"]) and row["n_total"] != (best or {}).get("n_total"):
        net = _net(row, currency) if row["cost"] else "it may cost no more, and no [cost] says what it does"
        yield f"A trial of {_children(row)} is worth {_money(row['evsi'], currency)}: {net}."
    if best:
        yield from _of_largest(found, best)
    yield from _of_doses(found)
    for row in _named(found):
        yield _known_then(row, found)


def in_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield what the trials of a result are worth, as lines."""
    plans = (found, *found.get("alternatives", ()))
    for row in plans:
        of = f"{row['label']}: " if len(plans) > 1 else ""
        yield from (f"{of}{line}" for line in (in_sentences(row["value"]) if row.get("value") else ()))


def _of_largest(found: dict[str, Any], best: dict[str, Any]) -> Iterator[str]:
    currency, last = found["currency"], found["worthwhile"]
    if not best["n_total"]:
        yield "No trial pays: none of any size is worth as much as it costs."
        return
    yield (
        f"Most is gained by a trial of {_children(best)}, worth {_money(best['evsi'], currency)}: "
        f"{_net(best, currency)}."
    )
    if last is None:
        yield "One more child is worth more than it costs up to the most that were looked at."
    elif last != best["n_total"]:
        yield f"Up to {last} children one more is worth more than it costs."


def _of_doses(found: dict[str, Any]) -> Iterator[str]:
    if dose := found.get("next_dose"):
        row = next(row for row in found["by_dose"] if row["dose"] == dose)
        net = _money(row["largest"]["net_gain"]["low"], found["currency"])
        yield (
            f"Of {len(found['by_dose'])} doses, each decided on by itself, a trial of {_per_kg(dose)} gains most, "
            f"{net} with {_children(row['largest'])}."
        )


def _named(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is known after the trial that gains most, or that of the answer."""
    rows = {row["n_total"]: row for row in found["after"]}
    named = [found[name] for name in ("largest", "at_answer") if found.get(name) and found[name]["n_total"] in rows]
    return [rows[row["n_total"]] for row in named[:1]]


def _known_then(row: dict[str, Any], found: dict[str, Any]) -> str:
    now = found["now"]
    return (
        f"After a trial of {row['n_total']} children the SD of the mean of studies is expected to be {row['sd']:.2f} "
        f"points, not {now['sd']:.2f}; that the mean is above {found['margin']:.2f} points is then more than "
        f"{percent(SURE)} probable with {percent(row['sure'])} probability, less than {percent(DOUBTFUL)} with "
        f"{percent(row['doubtful'])} (now {percent(now['above'])} probable)."
    )


def _children(row: dict[str, Any]) -> str:
    return f"{row['n_total']} children ({', '.join(f'{n} {arm}' for arm, n in row['n_by_arm'].items())})"


def _net(row: dict[str, Any], currency: str) -> str:
    """Say what a trial costs and what is left of its worth."""
    low, high = row["cost"]["low"], row["cost"]["high"]
    ends = "" if low == high else " at the high ends of its costs"
    net = row["net_gain"]["low"]
    left = f"{_money(net, currency)} more" if net >= 0 else f"{_money(-net, currency)} less"
    return f"{left} than it costs{ends}"


def _per_kg(dose: float) -> str:
    return f"{dose:.3g} cells per kg".replace("e+0", "e")


def _money(amount: float, currency: str) -> str:
    return money(amount, amount, currency).removeprefix("about ")
