"""How alike children of a pair, a therapist or a centre are: what is reported, its law, what that does not say."""

import textwrap

from gmfmsim.dist.distributions import Beta
from gmfmsim.dist.sample_correlation import critical
from gmfmsim.evidence.correlations import correlations
from gmfmsim.evidence.schema import Row
from gmfmsim.model.correlation import PairCorrelation, icc_law, pair_correlation
from gmfmsim.model.effect import INTERVAL_PROB
from gmfmsim.trial.sourced import share_law

TAIL = (1 - INTERVAL_PROB) / 2
PROBABILITIES = {"low": TAIL, "q25": 0.25, "median": 0.5, "q75": 0.75, "high": 1 - TAIL}

HEADS = {
    "pair": "Changes of two twins of a pair: posterior, uniform from 0 to 1 before",
    "therapist": "Changes of children of one therapist (ICC): law taken from other children",
    "centre": "Changes of children of one centre (ICC): law taken from other children",
}
LIMITS = {
    "pair": [
        "It is wide: eight pairs, of whom a significant correlation is told and no figure. It says that changes go "
        "together, not how far.",
        "Had it been reported only because it was significant, these pairs would say nothing: 0.03 to 0.98, as before.",
        "Both twins had cells, without blinding, and were identical: how alike they respond is part of it. Where one "
        "has cells and one has none, or twins are not identical, the correlation may be lower.",
        "How the paper tested it was not read. It is of changes as observed, to 6 months at most; a design takes it as "
        "that of the true excess over the growth curve.",
    ],
    "therapist": [
        "No trial in cerebral palsy was found that reports one. The law is that of school classes; physiotherapists of "
        "adults, listed, lie within it.",
        "Estimates of ICCs hold their own error, so that the law is wider than the true ICCs of that survey.",
    ],
    "centre": [
        "No trial in cerebral palsy was found that reports one. The law is that of schools; practices of patients, "
        "listed, lie lower.",
        "Estimates of ICCs hold their own error, so that the law is wider than the true ICCs of that survey.",
    ],
}


def within_units() -> dict:
    """Return, by unit (pair, therapist, centre), its reports, the law of its correlation and what that does not say.

    The law: mean, SD, quartiles, median and the ends of the equal-tailed interval of probability interval_prob; the
    design's is the beta law with that mean and SD, which the shipped designs take.
    """
    rows = correlations()
    return {"interval_prob": INTERVAL_PROB} | {unit: _of_unit([r for r in rows if r["unit"] == unit]) for unit in HEADS}


def _of_unit(rows: list[Row]) -> dict:
    unit, used = rows[0]["unit"], [row for row in rows if row["used"] == "yes"]
    if unit == "pair":
        law: PairCorrelation | Beta = pair_correlation(used)
        mean, sd = law.moments
        figures = {name: law.quantile(p) for name, p in PROBABILITIES.items()}
    else:
        law = icc_law(used[0])
        mean, sd = law.moments
        figures = {name: float(law.ppf(p)) for name, p in PROBABILITIES.items()}
    beta = share_law(mean, sd)
    taken = {name: float(beta.ppf(p)) for name, p in PROBABILITIES.items()}
    law_of = {"mean": mean, "sd": sd} | figures
    return {"law": law_of, "design": {"law": str(beta)} | taken, "reports": rows, "does_not_say": LIMITS[unit]}


def in_words(found: dict) -> str:
    """Return what `within_units` found, unit by unit."""
    lines = []
    for unit, head in HEADS.items():
        of, law = found[unit], found[unit]["law"]
        lines += [f"{head}", f"  {_figures(law)}; mean {law['mean']:.3g}, SD {law['sd']:.3g}"]
        lines += [f"  a design takes {of['design']['law']}: {_figures(of['design'])}"]
        for row in of["reports"]:
            rests = "rests on" if row["used"] == "yes" else "beside it"
            lines += _wrapped(f"{rests} {row['citation']}: {row['outcome']}; {_shown(row)} ({row['verified']})")
        lines += [line for limit in of["does_not_say"] for line in _wrapped(limit)]
        lines += [""]
    return "\n".join(lines[:-1])


def _shown(row: Row) -> str:
    """Say what a report shows."""
    low, middle, high = (row[name] for name in ("low", "middle", "high"))
    if row["shows"] == "significant":
        limit = critical(row["number"], row["alpha"])
        return f"{row['number']} pairs, significant: above {limit:.3g} among them, no figure"
    if row["shows"] == "quartiles":
        return f"median {middle:g} (quartiles {low:g} to {high:g}) of {row['number']}"
    if row["shows"] == "range":
        return f"{low:g} to {high:g}"
    return f"{middle:g}" + ("" if low is None else f" ({low:g} to {high:g})")


def _figures(of: dict) -> str:
    return f"median {of['median']:.2g} ({INTERVAL_PROB:.0%} {of['low']:.2g} to {of['high']:.2g})"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="  - ", subsequent_indent="    ")
