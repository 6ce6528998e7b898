"""What a claim that a share of children improve is worth: growth alone, the effect behind the share, and designs."""

import math
from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from gmfmsim.answer.claim_words import claim_sentences
from gmfmsim.answer.result import Outcome
from gmfmsim.compute.algebra import dot, gauss_legendre
from gmfmsim.compute.text import plain
from gmfmsim.evidence.formulas.conversions import Z975
from gmfmsim.evidence.improvers import EVENT, Reported
from gmfmsim.model.improvers import Changes, OnEffect, counted, counted_in_forms, effect_given
from gmfmsim.model.responders import responder_posterior, responders_of
from gmfmsim.progress import Silent, Steps
from gmfmsim.question.claim import Claim, ClaimSection
from gmfmsim.trial.design import Design
from gmfmsim.trial.detectable import Effort
from gmfmsim.trial.false_claims import claims_by_gain
from gmfmsim.trial.optimise import largest_n
from gmfmsim.trial.untreated import of_ages, untreated

GAINS = ("low", "mean", "high", "all")
"""What volunteers gain: the ends and the mean of what is cited, and its whole distribution."""

NODES, REACH = 200, 8.5
"""Nodes over the gain of volunteers, and how many of its SDs they span on either side."""

STEPS = 7
"""Gains of volunteers, evenly from end to end, at which false claims are said; beside them its mean."""

CURVE = np.arange(0, 10.25, 0.25)
"""Margins in points over which the share of improvers is drawn."""


def claim_outcome(claim: Claim, progress: Silent) -> Outcome:
    """Weigh the claim: figures in answer.json, and in claim.nc the same labelled, with the curves of the page."""
    section = claim.section
    laws = {p.name: untreated(p.children, section.months) for p in claim.populations}
    with progress.steps("children without cells", len(laws)) as advance:
        populations = [_population(claim, name, law, advance) for name, law in laws.items()]
    with progress.steps("what counts say of the effect", len(laws) + len(claim.reports)) as advance:
        posteriors = _given_the_claim(section, laws, advance)
        reports = [_report(claim, report, advance) for report in claim.reports]
    gains = sorted({*np.linspace(section.volunteers.low, section.volunteers.high, STEPS), section.volunteers.mean})
    work = (len(claim.designs) + 1) * (len(gains) + len(section.effects))
    with progress.steps("trials without and with a control group", work) as advance:
        designs = [_design(claim, d, gains, advance) for d in (*claim.designs, claim.controlled)]
    found = {
        **{"share": section.share, "months": section.months, "n_total": section.n_total},
        **{"sizes": section.sizes, "margins": section.margins, "effects": section.effects},
        **{"volunteers": section.volunteers.model_dump(), "replicates": section.replicates},
        "priors": section.priors.model_dump(),
        **{"populations": populations, "given_the_claim": posteriors, "reports": reports},
        **{"reported_in": claim.reported_in.title, "together": _together(claim), "designs": designs},
    }
    answer = plain(found)
    sentences = claim_sentences(answer)
    head = {"sentence": " ".join(sentences), "sentences": sentences}
    datasets = {"claim.nc": _labelled(claim, laws, answer)}
    return Outcome(head | answer, datasets, {"evidence_sha256": claim.tables.sha256})


def _improved(section: ClaimSection, children: int) -> int:
    """Return the least number of children who are the claimed share of them."""
    return math.ceil(round(section.share * children, 9))


def shares_by_gain(claim: Claim, law: Changes, margins: np.ndarray) -> np.ndarray:
    """Return the expected share of children without cells who gain more than margins (C,), by GAINS (C, 4)."""
    v, weight = _nodes(claim)
    ends = _ends(claim)
    at = [[law.share(end - c) for end in ends] for c in margins]
    over = [dot(weight, dot(law.chance, law.above(v - c).T)) for c in margins]
    return np.column_stack([np.array(at), over])


def chances_by_gain(claim: Claim, law: Changes, margin: float, children: int) -> np.ndarray:
    """Return P(at least the claimed share of so many children improve) without cells, by GAINS (4,).

    Children of one trial have one SD and one gain of volunteers: sum_j chance_j P(K >= k | p_j(v)), K binomial.
    """
    v, weight = _nodes(claim)
    k = _improved(claim.section, children)
    p = law.above(np.concatenate([_ends(claim), v]) - margin)
    chance = dot(law.chance, special.bdtrc(k - 1, children, p).T)
    return np.append(chance[:3], dot(weight, chance[3:]))


def _ends(claim: Claim) -> list[float]:
    volunteers, part = claim.section.volunteers, min(claim.section.months / 12, 1)
    return [part * gain for gain in (volunteers.low, volunteers.mean, volunteers.high)]


def _nodes(claim: Claim) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of the gain of volunteers: a trial of many children makes steps of it, which a rule on
    its whole range follows."""
    volunteers = claim.section.volunteers.over(claim.section.months)
    y, w = gauss_legendre(NODES)
    weight = w * np.exp(-((REACH * y) ** 2) / 2)
    return volunteers.mean + REACH * volunteers.sd * y, weight / weight.sum()


def _population(claim: Claim, name: str, law: Changes, advance: Steps) -> dict[str, Any]:
    """Return what children of one population gain without cells, and what effect the claimed share would need."""
    section = claim.section
    shares = shares_by_gain(claim, law, np.array(section.margins, float))
    needed, ends = law.shift(section.share), dict(zip(GAINS, _ends(claim), strict=False))
    rows = [{"margin": c} | _by_gain(of) for c, of in zip(section.margins, shares, strict=True)]
    chances = [
        {"children": n, "margin": c} | _by_gain(chances_by_gain(claim, law, c, n))
        for n in section.sizes
        for c in section.margins
    ]
    effect = [{"margin": c} | {k: needed + c - gain for k, gain in ends.items()} for c in section.margins]
    title = next(p.children.title for p in claim.populations if p.name == name)
    advance()
    said = {"name": name, "title": title, "growth": law.average}
    return said | {"improve": rows, "chance": chances, "effect": effect}


def _by_gain(values: np.ndarray) -> dict[str, float]:
    """Return values (4,) by GAINS."""
    return dict(zip(GAINS, values.tolist(), strict=True))


def _given_the_claim(section: ClaimSection, laws: dict[str, Changes], advance: Steps) -> list[dict[str, Any]]:
    """Return what the claim leaves of the effect, by number of children: of each population with an unknown margin, of
    the first one with each margin too."""
    gain, rows = section.volunteers.over(section.months), []
    for i, (name, law) in enumerate(laws.items()):
        for margin in (None, *(section.margins if i == 0 else ())):
            for n in section.sizes:
                k, c = _improved(section, n), section.priors.margin.prior if margin is None else float(margin)
                found = effect_given(counted(k, n), law, effect=section.priors.effect.prior, gain=gain, margin=c)
                rows.append({"population": name, "children": n, "improved": k, "margin": margin} | _in_figures(found))
        advance()
    return rows


def _in_figures(found: OnEffect) -> dict[str, float]:
    low, high = found.effect.interval()
    return {"effect": found.effect.mean, "low": low, "high": high, "above_0": found.effect.above(0.0)}


def _report(claim: Claim, report: Reported, advance: Steps) -> dict[str, Any]:
    """Return a report with what it says of the effect, as far as it can be used."""
    section = claim.section
    said = {"study": report.study, "arm": report.arm, "event": report.event, "definition": report.definition}
    said |= {"month": report.month, "improved": report.improved, "children": report.children}
    said |= {"percents": list(report.percents), "use": report.use, "why": report.why, "caution": report.caution}
    said |= {"rows": list(report.rows), "source_url": report.source_url, "source_location": report.source_location}
    figures = dict.fromkeys(("effect", "low", "high", "above_0"))
    if report.usable:
        month = section.months if report.month is None else report.month
        children = of_ages(claim.reported_in, *report.age, f"{report.study}, studies.csv")
        weights = (
            counted_in_forms(report.percents, report.children)
            if report.improved is None
            else counted(report.improved, report.children)
        )
        law = untreated(children, month, above_expected=report.above_expected)
        priors, gain = section.priors, section.volunteers.over(month)
        figures = _in_figures(
            effect_given(weights, law, effect=priors.effect.prior, gain=gain, margin=priors.margin.prior)
        )
    advance()
    return said | figures


def _together(claim: Claim) -> dict[str, Any] | None:
    """Return the share of improvers in one more report, by the random effects of the counts that were reported after
    cells; None where fewer than two were."""
    usable = [r for r in claim.reports if r.event == EVENT and r.use == "effect" and r.improved is not None]
    if len({r.study for r in usable}) < 2:
        return None
    counts, priors = responders_of(claim.tables, event=EVENT), claim.section.priors
    posterior = responder_posterior(counts.r, counts.n, mu=priors.mean_logit.prior, tau=priors.between)
    low, median, high = posterior.quantile("p_new", np.array([0.025, 0.5, 0.975])).tolist()
    said = {"studies": counts.study, "improved": counts.r, "children": counts.n}
    return said | {"median": median, "low": low, "high": high, "above_share": posterior.above(claim.section.share)}


def _design(claim: Claim, design: Design, gains: list[float], advance: Steps) -> dict[str, Any]:
    """Return how often a design claims a gain: without an effect by what volunteers gain, and with effects."""
    section = claim.section
    how = section.n_total, Effort(section.replicates, claim.seed, Z975, advance)
    sizes = design.sizes(largest_n(design, section.n_total))
    return {
        "design": design.design or design.title,
        "title": design.title,
        "controlled": design.control is not None,
        "primary": design.analyses[0].label,
        "nominal": design.alpha / 2,
        "n_by_arm": sizes,
        "n_total": sum(sizes.values()),
        "false_claims": claims_by_gain(design, gains, [0.0], *how),
        "power": claims_by_gain(design, [section.volunteers.mean], section.effects, *how),
    }


def _labelled(claim: Claim, laws: dict[str, Changes], answer: dict[str, Any]) -> xr.Dataset:
    """Return what the page draws: shares over margins by population, and false claims of primary analyses by gain."""
    curves = np.stack([shares_by_gain(claim, law, CURVE) for law in laws.values()])
    rows = [[r for r in d["false_claims"] if r["analysis"] == d["primary"]] for d in answer["designs"]]
    false, mcse = ([[row[name] for row in of] for of in rows] for name in ("value", "mcse"))
    return xr.Dataset(
        {
            "improve": (("population", "margin", "gain"), curves),
            "false_claims": (("design", "volunteers"), false),
            "false_claims_mcse": (("design", "volunteers"), mcse),
            "controlled": ("design", [d["controlled"] for d in answer["designs"]]),
        },
        {
            "population": list(laws),
            "margin": CURVE,
            "gain": list(GAINS),
            "design": [d["title"] for d in answer["designs"]],
            "volunteers": [row["gain"] for row in rows[0]],
        },
        {"share": claim.section.share, "unit": "GMFM-66 points"},
    )
