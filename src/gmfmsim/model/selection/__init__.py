"""Selection of results by their p value: how it is declared, and the posterior under it."""

from gmfmsim.model.selection.selected import log_likelihood
from gmfmsim.model.selection.selection_posterior import SelectionPosterior, selection_posterior
from gmfmsim.model.selection.steps import Steps

__all__ = ["SelectionPosterior", "Steps", "log_likelihood", "selection_posterior"]
