"""Adverse events by dose: rates, what none seen excludes, sizes, rules to stop, and the gain beside the harm."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from gmfmsim.answer.result import Outcome
from gmfmsim.compute.text import percent, plain
from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.evidence.events import ArmCount, EventCounts, LeftOut, event_counts, within_trials
from gmfmsim.evidence.formulas.rates import bound_when_none, children_to_see_one, clopper_pearson
from gmfmsim.model.average import Member, refitted
from gmfmsim.model.effect import Condition, Of, effect_at
from gmfmsim.model.safety import COEFFICIENTS, Asked, SafetyPosterior, safety_posterior
from gmfmsim.progress import Silent
from gmfmsim.question.safety import Event, Safety, Telling
from gmfmsim.trial.exact.stopping import StoppingRule, boundary, stops
from gmfmsim.trial.exact.two_shares import children_to_tell, power_to_tell

PROB = 0.95
"""Probability of every interval, and of seeing an event at all."""

ENDS = ((1 - PROB) / 2, (1 + PROB) / 2)

UNITS = {
    "mu": "mean logit without cells",
    "slope": "log odds ratio a unit of log10(1 + dose / 1e7)",
    "route": "log odds ratio of another route than by vein alone",
    "cells": "log odds ratio of cells",
    "tau": "SD of studies' logits",
}
SMALLEST = 1e-6
"""A rate below it is written as it: with fewer than three million children nothing can be seen of it."""


def safety_outcome(safety: Safety, progress: Silent) -> Outcome:
    """Answer an experiment with a [safety] section: every figure in answer.json, and in safety.nc labelled what the
    figures show. Nothing is drawn or simulated."""
    section, found = safety.section, []
    with progress.steps("adverse events", len(safety.counts)) as advance:
        for event, counts in zip(section.events, safety.counts, strict=True):
            found.append(_event(event, counts, safety))
            advance()
    with progress.steps("the gain by dose"):
        gain = _gain(safety)
    stopping = stopping_record(section.stopping)
    answer = {
        "doses": section.doses,
        "route": section.setting.route,
        "month": section.month,
        "interval_prob": PROB,
        "events": found,
        "none_seen": [row for one in found for row in _none_seen(one)],
        "tell": telling_record(section.tell) | {"largest_trial": _largest(safety.counts)},
        "stopping": stopping,
        "gain": {"model": safety.benefit.model_title, "evidence": safety.benefit.source, "doses": gain},
    }
    said = sentences(answer)
    answer = {"headline": headline(answer), "sentence": " ".join(said), "sentences": said} | plain(answer)
    return Outcome(answer, {"safety.nc": _labelled(answer)}, {"evidence_sha256": safety.tables.sha256})


# events


def _event(event: Event, counts: EventCounts, safety: Safety) -> dict[str, Any]:
    """Return what is said of one event."""
    section = safety.section
    posterior = safety_posterior(counts.used, section.priors)
    rates = _Rates(posterior, section.by_vein, event.limit)
    return {
        "event": event.name,
        "serious": counts.serious,
        "limit": event.limit,
        "children": {role: _total([c for c in counts.used if c.cells == cells]) for role, cells in ROLES.items()},
        "rows": [_row(c) for c in counts.used],
        "left_out": [_left(one) for one in counts.left_out],
        "reviews": _reviews(counts.left_out),
        "within_trials": _ratio(counts.used),
        "parameters": [_parameter(posterior, name, section.priors) for name in (*COEFFICIENTS, "tau")],
        "log_marginal": posterior.log_marginal,
        "without": rates.without,
        "doses": [{"dose": dose} | rates.at(dose) for dose in section.doses],
        "otherwise": list(_otherwise(event, counts, safety)),
    }


ROLES = {"cells": True, "control": False}


class _Rates:
    """What a posterior says of rates, by dose."""

    def __init__(self, posterior: SafetyPosterior, by_vein: bool, limit: float):
        self.posterior, self.by_vein, self.limit = posterior, by_vein, limit

    @cached_property
    def without(self) -> dict[str, Any]:
        """The rate without cells: of the typical trial, and of a new one, which may differ from it."""
        return self._rates(0.0)

    def at(self, dose: float) -> dict[str, Any]:
        """The rates at a dose, and how far they are above those without cells."""
        asked, found = Asked(dose, self.by_vein), self._rates(dose)
        low, median, high = (self.posterior.difference_quantile(asked, p) for p in (ENDS[0], 0.5, ENDS[1]))
        mean = found["new_trial"]["mean"] - self.without["new_trial"]["mean"]
        return found | {
            "difference": {"mean": mean, "median": median, "low": low, "high": high},
            "more_with_cells": 1 - self.posterior.difference_cdf(asked, 0.0),
        }

    def _rates(self, dose: float) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, new in (("typical_trial", False), ("new_trial", True)):
            asked = Asked(dose, self.by_vein, new)
            low, median, high = (self.posterior.rate_quantile(asked, p) for p in (ENDS[0], 0.5, ENDS[1]))
            found[name] = {"mean": self.posterior.mean_rate(asked), "median": median, "low": low, "high": high}
        seen = {
            end: children_to_see_one(max(found["new_trial"][end], SMALLEST), PROB) for end in ("median", "low", "high")
        }
        above = 1 - self.posterior.rate_cdf(Asked(dose, self.by_vein), self.limit)
        return found | {"above_limit": above, "children_to_see_one": seen}


def _otherwise(event: Event, counts: EventCounts, safety: Safety):
    """Yield the rates at the last dose otherwise: arms of unknown dose too, controlled trials alone, wider priors."""
    section, known = safety.section, [c.dose for c in counts.used if c.cells]
    middle = math.exp(np.mean(np.log(known))) if known else section.doses[-1]
    more = event_counts(safety.tables, event.name, unknown_dose=middle).used
    both = {c.children for c in counts.used if c.cells} & {c.children for c in counts.used if not c.cells}
    within = [c for c in counts.used if c.children in both]
    ways = {
        f"with arms whose dose is not known, taken to be {in_words(middle)} cells/kg": more,
        "from trials with a control group alone": within,
    }
    asked = [(words, rows, section.priors) for words, rows in ways.items() if 0 < len(rows) != len(counts.used)]
    asked.append(("priors of cells, slope and route twice as wide", counts.used, section.priors.wider(2.0)))
    for words, rows, priors in asked:
        rates = _Rates(safety_posterior(rows, priors), section.by_vein, event.limit)
        yield {"words": words, "arms": len(rows), "children": sum(c.n for c in rows)} | rates.at(section.doses[-1])


def _total(arms: Sequence[ArmCount]) -> dict[str, Any]:
    """Return the children of some arms, with their plain share and its exact interval."""
    events, n = sum(c.events for c in arms), sum(c.n for c in arms)
    low, high = clopper_pearson(events, n, PROB) if n else (math.nan, math.nan)
    return {"events": events, "n": n, "share": events / n if n else math.nan, "low": float(low), "high": float(high)}


def _row(count: ArmCount) -> dict[str, Any]:
    """Return one arm that counts, with the exact interval of its share and its source."""
    own = {name: getattr(count, name) for name in ("study", "arm", "dose", "route", "note")}
    source = {name: count.row[name] for name in ("month", "definition", "source_url", "source_location", "verified")}
    return own | _total([count]) | source | {"row": count.row["row"], "file": count.row["file"]}


def _left(one: LeftOut) -> dict[str, Any]:
    """Return a row that does not count, and why."""
    names = {
        "study_id": "study",
        "arm_id": "arm",
        "event": "event",
        "events": "events",
        "n": "n",
        "row": "row",
        "file": "file",
    }
    return {name: one.row[column] for column, name in names.items()} | {"why": one.why}


def _reviews(left_out: Sequence[LeftOut]) -> list[dict[str, Any]]:
    """Return what reviews print of the event, both arms side by side, with the plain ratio of shares."""
    found: dict[str, dict] = {}
    for one in left_out:
        if one.why.startswith("a review's total"):
            found.setdefault(one.row["study_id"], {})[one.row["arm_id"]] = (one.row["events"], one.row["n"])
    rows = []
    for review, arms in found.items():
        if {"cells", "ctrl"} <= arms.keys():
            (a, n1), (c, n2) = arms["cells"], arms["ctrl"]
            rows.append(
                {"review": review, "cells": [a, n1], "control": [c, n2], "ratio": a * n2 / (c * n1) if c else None}
            )
    return rows


def _ratio(used: Sequence[ArmCount]) -> dict[str, Any] | None:
    """Return the Mantel-Haenszel risk ratio within trials."""
    found = within_trials(used)
    if found is None:
        return None
    trials, ratio = found
    low, high = np.exp(ratio.ci).tolist()
    return {"trials": trials, "ratio": math.exp(ratio.estimate), "low": low, "high": high}


def _parameter(posterior: SafetyPosterior, name: str, priors: Any) -> dict[str, Any]:
    """Return a parameter with its prior."""
    mean, sd = posterior.moments(name)
    return {"name": name, "words": UNITS[name], "mean": mean, "sd": sd, "prior": str(priors.of(name))}


def _none_seen(event: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the arms with cells in which an event was not seen, with the rate that this excludes."""
    rows = [row for row in event["rows"] if row["dose"] > 0 and row["events"] == 0]
    keys = ("study", "arm", "dose", "n")
    return [
        {"event": event["event"]} | {k: row[k] for k in keys} | {"bound": bound_when_none(row["n"])} for row in rows
    ]


# what a trial can show


def telling_record(tell: Telling) -> dict[str, Any]:
    """Return the children that tell two rates apart, and the exact power of the test with so many."""
    first, second = tell.rates
    formula = children_to_tell(first, second, power=tell.power, alpha=tell.alpha)
    n = math.ceil(formula)
    exact = {"power_exactly": power_to_tell(first, second, n, alpha=tell.alpha)} if n <= MOST_BY_ARM else {}
    level = {"level_exactly": power_to_tell(second, second, n, alpha=tell.alpha)} if n <= MOST_BY_ARM else {}
    return tell.model_dump() | {"formula": formula, "n_per_arm": n, "n_total": 2 * n} | exact | level


MOST_BY_ARM = 1_000_000
"""Children an arm up to which the exact power is summed."""


def _largest(counts: Sequence[EventCounts]) -> int:
    """Return the children of the largest trial among those that count, of whichever event."""
    sums: Counter[tuple[str, str]] = Counter()
    for found in counts:
        for c in found.used:
            sums[found.event, c.children] += c.n
    return max(sums.values())


def stopping_record(rule: StoppingRule) -> dict[str, Any]:
    """Return a stopping rule with its boundary, and what it does at each true rate."""
    fewest, rows = boundary(rule), []
    for rate in rule.rates:
        does = stops(rule.looks, fewest, rate)
        rows.append({"rate": rate, "stops": does.ever, "at_look": does.at_look.tolist(), "children": does.children})
    return rule.model_dump(mode="json") | {"looks": rule.looks, "boundary": fewest, "operating": rows}


# the gain


def _gain(safety: Safety) -> list[dict[str, Any]]:
    """Return the gain at each dose, mean of studies and a new study, models of the gain mixed by their shares."""
    benefit, section = safety.benefit, safety.section
    members = refitted(benefit.models, benefit.contrasts, benefit.plan.model)
    rows = []
    for dose in section.doses:
        at = Condition(dose, section.month, section.setting)
        typical, new = _mixed(members, at, "mean"), _mixed(members, at, "new_study")
        of = {"typical_trial": typical, "new_trial": new}
        rows.append({"dose": dose} | {name: _spread(one) for name, one in of.items()} | {"above_0": new.above()})
    return rows


def _spread(gain: NormalMixture) -> dict[str, float]:
    """Return mean and interval of a gain."""
    low, high = (gain.quantile(p) for p in ENDS)
    return {"mean": gain.mean, "low": low, "high": high}


def _mixed(members: Sequence[Member], at: Condition, of: Of) -> NormalMixture:
    """Return the effect under a condition, models in their shares."""
    parts = [effect_at(m.mixture, m.curve, at, of) for m in members]
    weight = np.concatenate([m.share * part.weight for m, part in zip(members, parts, strict=True)])
    means, sds = (np.concatenate([getattr(part, name) for part in parts]) for name in ("means", "sds"))
    return NormalMixture(weight, means, sds)


# in words and labelled


def event_words(name: str, count: int = 2) -> str:
    """Say an event of events.csv in words."""
    words = {"serious_adverse": "serious adverse event", "adverse": "adverse event"}.get(name)
    return name.replace("_", " ") if words is None else words + ("s" if count != 1 else "")


def headline(answer: dict[str, Any]) -> str:
    """Return the answer in one line: the first event at the last dose."""
    first, way = answer["events"][0], "by vein" if answer["route"] == "intravenous" else "not by vein alone"
    rate, dose = first["doses"][-1]["typical_trial"], in_words(answer["doses"][-1])
    of = f"{percent(rate['low'])} to {percent(rate['high'])} of children at {dose} cells/kg {way}"
    return f"{capitalised(event_words(first['event']))} in {of}"


def capitalised(words: str) -> str:
    """Return words with a capital first letter."""
    return words[:1].upper() + words[1:]


def sentences(answer: dict[str, Any]) -> list[str]:
    """Return the answer in sentences: each event at the last dose, and what a trial can show."""
    first, *others = answer["events"]
    dose, way = answer["doses"][-1], "by vein" if answer["route"] == "intravenous" else "not by vein alone"
    at = first["doses"][-1]
    new, typical = at["new_trial"], at["typical_trial"]
    said = [
        f"At {in_words(dose)} cells/kg {way}, {event_words(first['event'])} happen in {percent(typical['median'])} of "
        f"children in the typical trial, in {percent(new['low'])} to {percent(new['high'])} in a new one (95 %): above "
        f"{percent(first['limit'])} with {percent(at['above_limit'])} probability, and more often than without cells "
        f"with {percent(at['more_with_cells'])}."
    ]
    for one in others:
        at = one["doses"][-1]
        away, name = at["difference"], event_words(one["event"])
        said.append(
            f"{capitalised(name)}: {_than(away['median'])} in 100 children than without cells "
            f"({_than(away['low'])} to {_than(away['high'])})."
        )
    tell, stop = answer["tell"], answer["stopping"]
    more, less = (percent(rate) for rate in tell["rates"])
    said.append(f"To tell {more} from {less} takes {tell['n_total']:,} children, {tell['n_per_arm']:,} an arm.")
    worst = stop["operating"][-1]
    said.append(
        f"The stopping rule stops {percent(worst['stops'])} of trials whose true rate is {percent(worst['rate'])}, "
        f"after {worst['children']:.0f} of {stop['children']} children on average."
    )
    return said


def in_words(dose: float) -> str:
    """Write a dose as people do: 5e7."""
    power = math.floor(math.log10(dose) + 1e-12)
    return f"{dose / 10**power:.3g}e{power}"


def _than(difference: float) -> str:
    """Say a risk difference in children of 100: 3.9 fewer, 15.5 more."""
    return f"{100 * abs(difference):.1f} {'fewer' if difference < 0 else 'more'}"


def _labelled(answer: dict[str, Any]) -> xr.Dataset:
    """Return what the figures show, labelled: rates and differences (event, dose, of), gain, stopping rule."""
    of, events, stopping = ("median", "low", "high"), answer["events"], answer["stopping"]

    def by_dose(name: str) -> tuple[tuple[str, ...], np.ndarray]:
        return ("event", "dose", "of"), np.array([[[at[name][k] for k in of] for at in e["doses"]] for e in events])

    gain = [[at["typical_trial"][k] for k in ("mean", "low", "high")] for at in answer["gain"]["doses"]]
    without = [[e["without"]["new_trial"][k] for k in of] for e in events]
    return xr.Dataset(
        {
            "typical_trial": by_dose("typical_trial"),
            "new_trial": by_dose("new_trial"),
            "difference": by_dose("difference"),
            "without": (("event", "of"), np.array(without)),
            "above_limit": (("event", "dose"), np.array([[at["above_limit"] for at in e["doses"]] for e in events])),
            "gain": (("dose", "of"), np.array(gain)),
            "stops": (("rate", "look"), np.array([row["at_look"] for row in stopping["operating"]])),
            "children": ("rate", np.array([row["children"] for row in stopping["operating"]])),
        },
        coords={
            "event": [e["event"] for e in events],
            "dose": answer["doses"],
            "of": list(of),
            "rate": stopping["rates"],
            "look": stopping["looks"],
        },
        attrs={
            "interval": "equal-tailed",
            "interval_prob": PROB,
            "unit of gain": "GMFM-66 points; of its median the mean",
        },
    )
