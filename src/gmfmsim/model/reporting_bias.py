"""Accounts of small-study and reporting bias side by side: each fitted, and their average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gmfmsim.compute.labels import xr
from gmfmsim.model.average import probabilities
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.exact import ExactPosterior, fit_exact
from gmfmsim.model.selection import SelectionPosterior, Steps, selection_posterior
from gmfmsim.model.truths import Belief, mixed_belief

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


type Fitted = tuple[float, Belief]
"""log p(y) under an account, and the effect in the next trial, free of bias."""


def over_accounts(accounts: Sequence[Fitted], without: Sequence[Fitted] = (), no_effect: float = 0.0) -> Belief:
    """Return the Belief over accounts of bias, each with the prior probability of the others.

    without: the same accounts where the mean of studies is 0, which has the prior probability no_effect in each; they
    differ by tau still, and so does the next trial. Source: Bartos, Maier, Wagenmakers, Doucouliagos & Stanley 2023.
    """
    prior = [1 - no_effect] * len(accounts) + [no_effect] * len(without)
    every = [*accounts, *without]
    return mixed_belief([b for _, b in every], probabilities([log_p for log_p, _ in every], prior))


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
