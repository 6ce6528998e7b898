"""What a report says of the fitted models: parameters by both engines, priors, shares, the gate."""

import numpy as np

from gmfmsim.compute.executors import in_order
from gmfmsim.model.average import Member
from gmfmsim.model.effect import INTERVAL_PROB, Condition, effect
from gmfmsim.model.exact import missing_moments
from gmfmsim.model.priors.words import in_words


def typical_tau(members: list[Member]) -> float:
    """Return the posterior mean of the between-study SD at the highest dose studied, averaged over the models.

    Where tau has no mean, the median stands in.
    """
    total = 0.0
    for m in members:
        group, data = m.tree["posterior"].to_dataset(), m.tree["constant_data"]
        phi = {name: group[name].values for name in ("tau", *m.spec.shape.nonlinear)}
        found = effect(m.spec.shape, [(m.spec.shape.amplitude, None)], phi, Condition(float(data["dose"].max())))
        middle = np.mean if m.fit.orders["tau"] > 1 else np.median
        total += m.share * float(middle(found.scatter))
    return total


def fitted(members: list[Member]) -> list[dict]:
    """Return one entry a model: name, title, share, engine, parameters, priors, what they say, and the gate."""
    return list(in_order(_fitted, [m for m in members if m.fit]))


def _fitted(m: Member) -> dict:
    return {
        "name": m.name,
        "title": m.spec.title,
        "share": m.share,
        "engine": m.fit.engine,
        "why_not": m.fit.why_not,
        "log_marginal": m.fit.exact.log_marginal if m.fit.exact else None,
        "parameters": _exact_parameters(m) if m.fit.exact else _sampled_parameters(m),
        **({"threshold": _between_doses(m)} if "threshold" in m.spec.shape.nonlinear else {}),
        "priors": [{"name": k, "prior": str(v), "unit": v.unit, "reason": v.reason} for k, v in m.spec.priors.items()],
        "words": in_words(m.spec),
        "gate": m.fit.gate,
        "verdict": m.fit.verdict,
        "missing": missing_moments(m.fit.orders),
    }


GRADES = (np.arange(100_000) + 0.5) / 100_000
"""Probabilities whose quantiles stand for a prior: equally many on either side of a dose."""


def _between_doses(m: Member) -> list[dict]:
    """Return how probable it is, before and after the data, that a threshold lies below, between and above the doses
    studied: above and up_to in cells/kg, None beyond the highest. Nothing else of a threshold is seen in the data."""
    dose = m.tree["constant_data"]["dose"].values
    cuts = np.unique(dose[np.isfinite(dose)])
    before = np.searchsorted(m.spec.priors["threshold"].ppf(GRADES), cuts) / GRADES.size
    if m.fit.exact:
        after = np.array([float(m.fit.exact.parameter("threshold").cdf(cut)) for cut in cuts])
    else:
        after = (m.tree["posterior"]["threshold"].values.ravel()[:, None] < cuts).mean(axis=0)
    prior, posterior = (np.diff(below, prepend=0.0, append=1.0).tolist() for below in (before, after))
    ends = zip([0.0, *cuts.tolist()], [*cuts.tolist(), None], prior, posterior, strict=True)
    return [dict(zip(("above", "up_to", "prior", "posterior"), row, strict=True)) for row in ends]


def _exact_parameters(member: Member) -> list[dict]:
    """Return mean, sd and 95 % equal-tailed interval by quadrature, and mean, sd and distance by sampling."""
    exact, compared, rows = member.fit.exact, member.fit.compared, []
    for name, label in (*exact.labelled, *((name, None) for name in exact.prepared.structure.parameters)):
        if name in exact.prepared.structure.parameters:
            found, (mean, sd) = exact.parameter(name), exact.moments(name)
        else:
            found = exact.coefficient(name, label)
            mean, sd = found.mean, found.sd
        low, median, high = (found.quantile((1 + s * INTERVAL_PROB) / 2) for s in (-1, 0, 1))
        shown = name if label is None else f"{name}[{label}]"
        mean, sd = (None if np.isnan(moment) else moment for moment in (mean, sd))
        figures = {"mean": mean, "sd": sd, "median": median, "low": low, "high": high}
        sampled = {row["figure"]: row for row in compared if row["name"] == shown}
        by_nuts = {f"nuts_{figure}": sampled.get(figure, {}).get("nuts") for figure in ("mean", "sd", "median")}
        first = sampled.get("mean") or sampled.get("median") or {"mcse": None}
        apart = max((row["distance"] for row in sampled.values()), default=None)
        row = {"name": shown, "unit": _unit(member.spec, name)} | figures | by_nuts
        rows.append(row | {"mcse": first["mcse"], "apart": apart})
    return rows


def _unit(spec, name: str) -> str:
    """Return the unit of a parameter or coefficient; a pooled coefficient has that of the amplitude."""
    prior = spec.priors.get(name) or spec.priors[spec.shape.amplitude]
    return prior.unit


def _sampled_parameters(member: Member) -> list[dict]:
    """Return mean, sd, 95 % equal-tailed interval, MCSE, R-hat and ESS of every parameter by sampling."""
    import arviz as az

    posterior = member.tree["posterior"].to_dataset()
    own = {"theta", "spread_offset", "dose_offset", f"study_{member.spec.shape.amplitude}"}
    own |= set(posterior.attrs.get("held", "").split(", "))
    names = [name for name in posterior if name not in own]
    how = {"var_names": names, "ci_prob": INTERVAL_PROB, "round_to": "none"}
    table = az.summary(member.tree, ci_kind="eti", **how)
    table["median"] = az.summary(member.tree, kind="stats_median", **how)["median"]
    orders = member.fit.orders
    return [
        {
            "name": name,
            "unit": _unit(member.spec, name.split("[")[0]),
            "mean": row["mean"] if orders.get(name, 3) > 1 else None,
            "sd": row["sd"] if orders.get(name, 3) > 2 else None,
            "median": row["median"],
            "low": row["eti95_lb"],
            "high": row["eti95_ub"],
            "mcse": row["mcse_mean"],
            "r_hat": row["r_hat"],
            "ess": row["ess_bulk"],
        }
        for name, row in table.to_dict("index").items()
    ]
