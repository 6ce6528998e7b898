"""The exact engine: a declared model on its contrasts, integrated without sampling error."""

from gmfmsim.model.exact.exact_posterior import ExactPosterior, fit_exact, not_gaussian, posterior, refusal
from gmfmsim.model.exact.existence import impropriety, missing_moments, orders
from gmfmsim.model.exact.prepared import Refused

__all__ = [
    "ExactPosterior",
    "Refused",
    "fit_exact",
    "impropriety",
    "missing_moments",
    "not_gaussian",
    "orders",
    "posterior",
    "refusal",
]
