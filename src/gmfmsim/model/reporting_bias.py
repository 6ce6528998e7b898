"""Accounts of small-study and reporting bias side by side: each fitted, with its probability, and their average."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import special

from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.effect import Condition
from gmfmsim.model.exact import ExactPosterior, fit_exact
from gmfmsim.model.selection import SelectionPosterior, Steps, selection_posterior
from gmfmsim.model.truths import Belief, exact_belief, mixed_belief

SPIKE = 1e-6
"""SD of the amplitude, in its unit, where there is no effect: as good as 0."""

type Account = str | Steps | None
"""How reports are biased: a term of models ("pet", "peese", "small_study"), steps of the p value, or not at all."""

ACCOUNTS: Mapping[str, Account] = {
    "none": None,
    "pet": "pet",
    "peese": "peese",
    "selection": Steps(p=(0.025, 0.05)),
}


@dataclass(frozen=True)
class Biased:
    """One account, with or without an effect: its fit, log p(y), its probabilities and what it says of the next trial.

    prior and share: probability before and after the data; belief: of the effect in the next trial, free of bias.
    """

    name: str
    effect: bool
    fit: ExactPosterior | SelectionPosterior
    log_marginal: float
    prior: float
    share: float
    belief: Belief


def bias_models(
    spec: ModelSpec,
    data: xr.Dataset,
    at: Condition,
    *,
    accounts: Mapping[str, Account] = ACCOUNTS,
    weights: Mapping[str, float] | None = None,
    no_effect: float = 0.0,
) -> list[Biased]:
    """Return a declared model under several accounts of bias, with their posterior model probabilities.

    share = prior p(y | account) / sum of these; all accounts share the priors of the model, those of biases are of the
    shipped models. weights: prior weights by account, equal by default. no_effect: prior probability, in every account,
    that the mean of studies is 0; they differ by tau still, and so does the next trial. Source: Bartos, Maier,
    Wagenmakers, Doucouliagos & Stanley 2023.

    Raises ValueError for weights that are not above 0 or not of the accounts and for a no_effect outside 0 to 1,
    Refused where an account cannot be integrated.
    """
    weight = weights or dict.fromkeys(accounts, 1.0)
    if weight.keys() != accounts.keys() or not all(0 < w < np.inf for w in weight.values()):
        raise ValueError(f"weights {dict(weight)}: one above 0 for each of {', '.join(accounts)}")
    if not 0 <= no_effect <= 1:
        raise ValueError(f"no_effect {no_effect!r}: a probability")
    chances = [(effect, p) for effect, p in ((True, 1 - no_effect), (False, no_effect)) if p > 0]
    total = sum(weight.values())
    rows = [(name, effect, weight[name] / total * p) for name in accounts for effect, p in chances]
    fits = [fit_account(spec if effect else without_effect(spec), data, accounts[name]) for name, effect, _ in rows]
    log_marginal = np.array([fit.log_marginal for fit in fits])
    shares = special.softmax(np.log([prior for *_, prior in rows]) + log_marginal)
    return [
        Biased(name, effect, fit, fit.log_marginal, prior, float(share), exact_belief(fit, spec.shape, at))
        for (name, effect, prior), fit, share in zip(rows, fits, shares, strict=True)
    ]


def averaged(models: Sequence[Biased]) -> Belief:
    """Return the Belief in the effect of the next trial over all accounts, in their shares."""
    return mixed_belief([m.belief for m in models], [m.share for m in models])


def without_effect(spec: ModelSpec) -> ModelSpec:
    """Return a model whose amplitude is 0: studies scatter around no effect."""
    name = spec.shape.amplitude
    spike = spec.priors[name].model_copy(update={"mean": 0.0, "sd": SPIKE})
    return spec.model_copy(update={"priors": spec.priors | {name: spike}})


def fit_account(spec: ModelSpec, data: xr.Dataset, account: Account) -> ExactPosterior | SelectionPosterior:
    """Return a declared model under an account of bias. Raises Refused where it cannot be integrated."""
    if isinstance(account, Steps):
        return selection_posterior(spec, data, account)
    if account is not None:
        prior = {account: read_model(ModelChoice(name=account)).priors[account]}
        spec = spec.model_copy(update={"terms": [*spec.terms, account], "priors": prior | spec.priors})
    return fit_exact(spec, data)
