"""The exact engine of trials: success by quadrature, where the law of the test statistic is known given the truth."""

from gmfmsim.trial.exact.own_truth import behind
from gmfmsim.trial.exact.size import curves, required_n, smallest
from gmfmsim.trial.exact.statistic import along_doses, qualifies
from gmfmsim.trial.exact.success import Assurance, success, surface

__all__ = ["Assurance", "along_doses", "behind", "curves", "qualifies", "required_n", "smallest", "success", "surface"]
