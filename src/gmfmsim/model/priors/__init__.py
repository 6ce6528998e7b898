"""Priors of the model and experiment files: a distribution by name, with its unit and the reason for it."""

from typing import Annotated, Union

from pydantic import Field, create_model

from gmfmsim.dist.distributions import Beta, Distribution, Fixed, Normal, TruncatedNormal, Uniform
from gmfmsim.dist.positive import (
    Exponential,
    Gamma,
    HalfCauchy,
    HalfNormal,
    HalfStudentT,
    LogLogistic,
    LogNormal,
    LogStudentT,
)
from gmfmsim.files.toml import Spec, key
from gmfmsim.model.priors.tau import DuMouchel, ImproperUniform, Jeffreys, Rhodes2015, Turner2015, UniformShrinkage

GENERAL = (Normal, TruncatedNormal, Uniform, Beta, Fixed)
POSITIVE = (HalfNormal, HalfCauchy, HalfStudentT, Exponential, Gamma, LogNormal, LogStudentT, LogLogistic)
OF_TAU = (Turner2015, Rhodes2015, DuMouchel, UniformShrinkage, Jeffreys, ImproperUniform)
"""Priors that make sense for between-study standard deviations only."""


class Reason(Spec):
    """Why a prior is what it is, and in what unit: what it needs besides the keys of its distribution."""

    unit: Annotated[str, key("of the parameter", example="GMFM-66 points", min_length=1)]
    reason: Annotated[str, key("why this prior", example="No gain of a trial is larger.", min_length=1)]


SCALES = ("sd", "scale", "median")
"""What a distribution calls its scale; the mean of an exponential one is its scale too."""


def rescaled(prior: Distribution, factor: float) -> Distribution | None:
    """Return the prior with its scale times a factor, everything else as it is; None for one that has no scale."""
    own = [name for name in SCALES if name in type(prior).model_fields]
    own += ["mean"] if isinstance(prior, Exponential) else []
    return prior.model_copy(update={own[0]: getattr(prior, own[0]) * factor}) if own else None


PRIORS = tuple(
    create_model(f"{of.__name__}Prior", __base__=(of, Reason), __module__=__name__, __doc__=of.__doc__)
    for of in (*GENERAL, *POSITIVE, *OF_TAU)
)
Prior = Annotated[Union[PRIORS], Field(discriminator="dist")]  # noqa: UP007 (the members are computed)
