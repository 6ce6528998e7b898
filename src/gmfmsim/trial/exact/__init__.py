"""The exact engine of trials: success by quadrature, where the law of the test statistic is known given the truth."""

from gmfmsim.trial.exact.statistic import qualifies
from gmfmsim.trial.exact.success import Assurance, plateau, required_n, success, surface

__all__ = ["Assurance", "plateau", "qualifies", "required_n", "success", "surface"]
