"""How fast this machine fits and simulates, measured side by side in one run."""

from gmfmsim.benchmark.fits import exact
from gmfmsim.benchmark.trials import trials

__all__ = ["exact", "trials"]
