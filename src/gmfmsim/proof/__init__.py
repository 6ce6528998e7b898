"""How fast this machine fits and simulates, measured side by side in one run."""

from gmfmsim.proof.fits import exact
from gmfmsim.proof.trials import sequential, trials

__all__ = ["exact", "sequential", "trials"]
