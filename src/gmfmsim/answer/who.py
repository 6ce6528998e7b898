"""Who gains most: effects by age and GMFCS level, trials of some children alone, and the test of subgroups."""

from typing import Any

import numpy as np
import xarray as xr

from gmfmsim.answer.posterior import posterior_of
from gmfmsim.answer.prior import informed
from gmfmsim.answer.result import Outcome
from gmfmsim.answer.sizing import Sizing
from gmfmsim.answer.truths import target_of
from gmfmsim.answer.who_words import who_sentences
from gmfmsim.compute.text import plain
from gmfmsim.model.average import Member
from gmfmsim.model.effect import Condition
from gmfmsim.model.setting import MODIFIERS, reach, reach_words
from gmfmsim.model.truths import Belief, exact_belief, exact_mixture
from gmfmsim.progress import Silent, Steps
from gmfmsim.question.plan import Prepared
from gmfmsim.question.who import Part, Who, in_words, mean_of
from gmfmsim.trial.subgroups import Subgroups

POINTS = {"age": np.array([1.0, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18]), "gmfcs": np.arange(1.0, 5.25, 0.5)}
"""Ages in years and levels at which the effect is drawn."""
SLOPES = (np.arange(100) + 0.5) / 100
"""Probabilities at whose quantiles a slope stands for its posterior."""
POWER = 0.8
"""The power that protocols ask for."""


def who_outcome(who: Who, progress: Silent) -> Outcome:
    """Answer the question: figures in answer.json, and in <term>.nc the curves and studies of each part's figure."""
    fits: dict[tuple[str, ...], Member] = {}
    fitted = [posterior_of(part.both, fits, progress)[0] for part in who.parts]
    held = posterior_of(who.held, fits, progress)[0] if who.held else None
    trials = sum(len(part.bands) + 1 for part in who.parts)
    with progress.steps("trials by age and level", trials) as advance:
        parts = [_part(part, member, advance) for part, member in zip(who.parts, fitted, strict=True)]
    search = who.plans[0].plan.search
    found = {
        **{"target": search.target.model_dump(), "planning_value": search.planning_value, "power": POWER},
        **{"note": who.section.note, "by": parts, "held": _held(who, held)},
    }
    answer = plain(found)
    sentences = who_sentences(answer)
    curves = {f"{part.term}.nc": _labelled(part, member) for part, member in zip(who.parts, fitted, strict=True)}
    head = {"sentence": " ".join(sentences), "sentences": sentences}
    return Outcome(head | answer, curves, {"evidence_sha256": who.tables.sha256})


def slope_of(member: Member, term: str) -> Any:
    """Return the posterior of the slope of a term: the marginal of a parameter, or the mixture of a coefficient."""
    exact, name = member.mixture, f"{term}_slope"
    return exact.parameter(name) if name in exact.prepared.names else exact.coefficient(name)


def _slope(member: Member, term: str) -> dict[str, Any]:
    """Return the slope of a term before and after the data: mean, 95 % interval, P(below 0)."""
    law, prior = slope_of(member, term), member.spec.priors[f"{term}_slope"]
    before = [float(prior.ppf(np.array(p))) for p in (0.025, 0.975)]
    return {
        "mean": member.mixture.moments(f"{term}_slope")[0],
        **{"low": law.quantile(0.025), "high": law.quantile(0.975), "below_0": float(law.cdf(0.0))},
        "prior": {"low": before[0], "high": before[1], "unit": prior.unit},
    }


def _model(prepared: Prepared, member: Member, term: str) -> dict[str, Any]:
    """Return what a part rests on: the model, its gate, its slope, and how far the evidence reaches."""
    data, found = prepared.contrasts, reach(prepared.contrasts, term)
    setting = type(prepared.plan.trial.setting)()
    return {
        **{"term": term, "model": member.name, "title": member.spec.title, "gate": member.fit.verdict},
        **{"slope": _slope(member, term), "reach": found._asdict(), "rests_on": reach_words(data, term, setting)},
        "studies": _studies(data, term),
    }


def _studies(data: xr.Dataset, term: str) -> list[dict[str, Any]]:
    """Return what is known of the children of each study."""
    rows, seen = [], set()
    for i, study in enumerate(data["study"].values.tolist()):
        if study not in seen:
            figures = {name: data[f"{term}{end}"].values[i] for name, end in (("mean", ""), ("sd", "_sd"))}
            rows.append({"study": study, "told": str(data[f"{term}_told"].values[i]), **figures})
            seen.add(study)
    return rows


def _effect(member: Member, at: Condition) -> dict[str, float]:
    """Return the effect under a condition: in the mean of studies, with its 95 % interval, and in a new study."""
    return _figures(*(exact_belief(member.mixture, member.curve, at, of) for of in ("mean", "new_study")))


def _figures(of_mean: Belief, of_new: Belief) -> dict[str, float]:
    mean, new = exact_mixture(of_mean), exact_mixture(of_new)
    (low, high), (new_low, new_high) = mean.interval(), new.interval()
    found = {"effect": mean.mean, "low": low, "high": high, "above_0": mean.above(0.0)}
    return found | {"new_low": new_low, "new_high": new_high}


def _part(part: Part, member: Member, advance: Steps) -> dict[str, Any]:
    """Return a part: its model, the trials of its bands, and its subgroups."""
    term, bands = part.term, []
    found = _model(part.both, member, term)
    for prepared, band in zip(part.bands, part.by.bands, strict=True):
        bands.append(
            _trial(prepared, member, term) | {"words": in_words(term, band), "low_end": band[0], "high_end": band[1]}
        )
        advance()
    both = _trial(part.both, member, term)
    advance()
    return found | {"bands": bands, "subgroups": _subgroups(part, member, both)}


def _trial(prepared: Prepared, member: Member, term: str) -> dict[str, Any]:
    """Return a trial of children of one mean: the effect there, and how many children it needs."""
    trial, mean = prepared.plan.trial, getattr(prepared.plan.trial.setting, term)
    sizing = informed(Sizing(prepared, lambda: [member]))
    required, effect = sizing.required(), _figures(sizing.belief("pooled_mean"), sizing.belief("new_study"))
    said = {"mean": mean, "outside": not reach(prepared.contrasts, term).holds(mean)} | effect
    n = {"n": required.n, "n_total": trial.total(required.n) if required.n else None}
    return said | n | {"status": required.status, "plateau": required.plateau}


def _subgroups(part: Part, member: Member, both: dict[str, Any]) -> dict[str, Any]:
    """Return what one trial of two subgroups shows of them: power at the n of its main effect, and the n that the test
    of treatment by subgroup needs."""
    plan, by, term = part.both.plan, part.by, part.term
    split, law, n = Subgroups(plan.trial, by.share), slope_of(member, term), both["n"]
    means = [mean_of(term, band) for band in by.subgroups]
    apart = means[0] - means[1]
    differences = apart * np.array([law.quantile(float(p)) for p in SLOPES])
    estimated, ends = (
        apart * member.mixture.moments(f"{term}_slope")[0],
        apart * np.array([law.quantile(p) for p in (0.025, 0.975)]),
    )
    groups = []
    for i, (band, mean) in enumerate(zip(by.subgroups, means, strict=True)):
        at = target_of(part.both)
        own = _effect(member, Condition(at.dose, at.month, at.setting.model_copy(update={term: mean})))
        power = split.within(n, own["effect"], first=i == 0) if n else None
        groups.append({"words": in_words(term, band), "mean": mean, "within": power} | own)
    found = {"share": by.share, "groups": groups, "both": both, "difference": estimated}
    found |= {"difference_low": float(ends.min()), "difference_high": float(ends.max())}
    found["power"] = split.interaction(n, estimated) if n else None
    found["assurance"] = float(np.mean([split.interaction(n, float(d)) for d in differences])) if n else None
    return found | {"needed": _needed(split, plan.search, estimated, both["effect"])}


def _needed(split: Subgroups, search: Any, estimated: float, effect: float) -> list[dict[str, Any]]:
    """Return the children that the test of treatment by subgroup needs, and a main effect of the same size, each."""
    sizes = {
        "as estimated": estimated,
        "as large as the effect": effect,
        "as large as the planning value": search.planning_value,
    }
    rows = []
    for words, size in sizes.items():
        tests = {
            "n_total": lambda n, d=size: split.interaction(n, d),
            "main_total": lambda n, d=size: split.overall(n, abs(d)),
        }
        found = {name: split.needed(chance, POWER, search.max_n_per_arm) for name, chance in tests.items()}
        totals = {name: split.design.total(n) if n else None for name, n in found.items()}
        rows.append({"words": words, "difference": abs(size)} | totals)
    return rows


def _held(who: Who, member: Member | None) -> dict[str, Any] | None:
    """Return what the evidence says of the claim: how probable it is after the data, and before."""
    if who.held is None or member is None:
        return None
    (term,) = (name for name in member.spec.terms if name in MODIFIERS)
    found, prior = _model(who.held, member, term), member.spec.priors[f"{term}_slope"]
    before = float(np.mean(prior.ppf(SLOPES) > 0))
    return found | {"claim": who.claim, "after": 1 - found["slope"]["below_0"], "before": before}


def _labelled(part: Part, member: Member) -> xr.Dataset:
    """Return the curve of a part over what its children are told apart by, and the contrasts beside it."""
    at, data = target_of(part.both), part.both.reported
    points = POINTS[part.term]
    rows = [_effect(member, Condition(at.dose, at.month, at.setting.model_copy(update={part.term: x}))) for x in points]
    r = member.mixture.moments("r")[0] if "r" in member.mixture.prepared.names else 1.0
    scale = np.where(data["gmfm66"].values, 1.0, r)
    found = reach(part.both.contrasts, part.term)
    return xr.Dataset(
        {name: ("at", [row[name] for row in rows]) for name in rows[0]}
        | {name: ("contrast", data[f"{part.term}{end}"].values) for name, end in (("where", ""), ("where_sd", "_sd"))}
        | {name: ("contrast", data[of].values * scale) for name, of in (("reported", "effect"), ("se", "se"))},
        {"at": points, "contrast": data["contrast"].values},
        {"term": part.term, "low": found.low, "high": found.high, "unit": "GMFM-66 points", "r": r},
    )
