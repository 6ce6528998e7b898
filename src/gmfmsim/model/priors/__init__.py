"""Priors of the model and experiment files: a distribution by name, with its unit and the reason for it."""

from typing import Annotated, Union

from pydantic import Field, create_model

from gmfmsim.dist.distributions import Beta, Distribution, Normal, TruncatedNormal, Uniform
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
from gmfmsim.files.toml import Spec
from gmfmsim.model.priors.tau import DuMouchel, ImproperUniform, Jeffreys, Rhodes2015, Turner2015, UniformShrinkage


class Reason(Spec):
    """Why a prior is what it is, and in what unit."""

    unit: str = Field(min_length=1)
    reason: str = Field(min_length=1)


def _with_reason(distribution: type[Distribution]) -> type[Distribution]:
    """Return the class of a distribution that needs, besides its own keys, unit and reason."""
    return create_model(f"{distribution.__name__}Prior", __base__=(distribution, Reason), __module__=__name__)


PRIORS = tuple(
    _with_reason(distribution)
    for distribution in (
        Normal,
        TruncatedNormal,
        Uniform,
        Beta,
        HalfNormal,
        HalfCauchy,
        HalfStudentT,
        Exponential,
        Gamma,
        LogNormal,
        LogStudentT,
        LogLogistic,
        Turner2015,
        Rhodes2015,
        DuMouchel,
        UniformShrinkage,
        Jeffreys,
        ImproperUniform,
    )
)
Prior = Annotated[Union[PRIORS], Field(discriminator="dist")]  # noqa: UP007 (the members are computed)
