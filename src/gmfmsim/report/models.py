"""What a report says of the fitted models: parameters by both engines, priors, shares, the gate."""

import numpy as np

from gmfmsim.model.average import Member
from gmfmsim.model.predict import INTERVAL_PROB
from gmfmsim.model.priors.words import in_words


def typical_tau(members: list[Member]) -> float:
    """Return the posterior mean of the between-study SD at the highest dose studied, averaged over the models."""
    total = 0.0
    for m in members:
        group, data = m.tree["posterior"].to_dataset(), m.tree["constant_data"]
        dose = float(data["dose"].max()) if m.spec.shape.uses_dose else 1.0
        shape = m.spec.shape.shape(np.float64(dose), *(group[name].values for name in m.spec.shape.nonlinear))
        total += m.share * float((group["tau"].values * abs(shape)).mean())
    return total


def fitted(members: list[Member]) -> list[dict]:
    """Return one entry a model: name, title, share, engine, parameters, priors, what they say, and the gate."""
    return [_one(m) for m in members if m.fit]


def _one(member: Member) -> dict:
    spec, fit = member.spec, member.fit
    return {
        "name": member.name,
        "title": spec.title,
        "share": member.share,
        "engine": fit.engine,
        "why_not": fit.why_not,
        "log_marginal": fit.exact.log_marginal if fit.exact else None,
        "parameters": _exact_parameters(member) if fit.exact else _sampled_parameters(member),
        "priors": [
            {"name": k, "prior": str(v), **v.model_dump(include={"unit", "reason"})} for k, v in spec.priors.items()
        ],
        "words": in_words(spec),
        "gate": fit.gate,
    }


def _exact_parameters(member: Member) -> list[dict]:
    """Return mean, sd and 95 % equal-tailed interval by quadrature, and mean, sd and distance by sampling."""
    exact, spec, compared = member.fit.exact, member.spec, member.fit.compared
    rows = []
    wanted = [(c.variable, c.label) for c in exact.prepared.structure.coefficients]
    for name, label in (*wanted, *((name, None) for name in exact.prepared.names)):
        if name in exact.prepared.names:
            marginal = exact.parameter(name)
            mean, sd = marginal.moments()
            low, high = (marginal.quantile((1 + s * INTERVAL_PROB) / 2) for s in (-1, 1))
        else:
            mixture = exact.coefficient(name, label)
            mean, sd, (low, high) = mixture.mean, mixture.sd, mixture.interval(INTERVAL_PROB)
        shown = name if label is None else f"{name}[{label}]"
        sampled = {row["figure"]: row for row in compared if row["name"] == shown}
        rows.append({"name": shown, "unit": _unit(spec, name), "mean": mean, "sd": sd, "low": low, "high": high})
        by_nuts = (
            (
                sampled["mean"]["nuts"],
                sampled["sd"]["nuts"],
                sampled["mean"]["mcse"],
                max(r["distance"] for r in sampled.values()),
            )
            if sampled
            else (None,) * 4
        )
        rows[-1] |= dict(zip(("nuts_mean", "nuts_sd", "mcse", "apart"), by_nuts, strict=True))
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
    names = [name for name in posterior if name not in own]
    table = az.summary(member.tree, var_names=names, ci_prob=INTERVAL_PROB, ci_kind="eti", round_to="none")
    return [
        {
            "name": name,
            "unit": _unit(member.spec, name.split("[")[0]),
            "mean": row["mean"],
            "sd": row["sd"],
            "low": row["eti95_lb"],
            "high": row["eti95_ub"],
            "mcse": row["mcse_mean"],
            "r_hat": row["r_hat"],
            "ess": row["ess_bulk"],
        }
        for name, row in table.to_dict("index").items()
    ]
