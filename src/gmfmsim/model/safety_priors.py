"""Priors of the model of adverse events, each with its unit and what it says before the data."""

from typing import Annotated

from gmfmsim.dist.distributions import Distribution, Normal
from gmfmsim.dist.positive import HalfNormal
from gmfmsim.files.toml import Spec, key

UNIT_DOSE = 1e7
"""Cells per kg at which log10(1 + dose / unit) turns from a line in the dose into one in its logarithm."""


class Bell(Spec):
    """A normal prior."""

    mean: Annotated[float, key("mean", "logit", example=0, ge=-20, le=20)]
    sd: Annotated[float, key("standard deviation", "logit", example=1, ge=1e-3, le=10)]


class SafetyPriors(Spec):
    """Priors of the model of adverse events, on the logit scale.

    A log odds ratio of Normal(0, 1) is an odds ratio of 0.14 to 7 in 95 %: cells may double a rate or halve it, they
    are not likely to change it tenfold. No tail is cut off.
    """

    mu: Annotated[
        Bell, key("mean logit without cells; by default 0.3 to 87 % of children in 95 %, as events of control arms lie")
    ] = Bell(mean=-2.0, sd=2.0)
    tau: Annotated[
        float,
        key(
            "SD of the half-normal prior of studies' SD; by default below 2 in 95 %, since definitions and months "
            "of watching differ",
            "logit",
            ge=1e-4,
            le=5,
        ),
    ] = 1.0
    cells: Annotated[Bell, key("log odds ratio of cells by vein at the least dose")] = Bell(mean=0.0, sd=1.0)
    slope: Annotated[Bell, key("log odds ratio a unit of log10(1 + dose / 1e7)")] = Bell(mean=0.0, sd=1.0)
    route: Annotated[Bell, key("log odds ratio of cells given otherwise than by vein alone")] = Bell(mean=0.0, sd=1.0)

    def wider(self, times: float) -> "SafetyPriors":
        """Return priors whose SDs of cells, slope and route are so many times as large."""
        names = ("cells", "slope", "route")
        bells = {name: getattr(self, name) for name in names}
        return self.model_copy(update={n: b.model_copy(update={"sd": times * b.sd}) for n, b in bells.items()})

    def of(self, name: str) -> Distribution:
        """Return the prior of a coefficient, or of tau."""
        if name == "tau":
            return HalfNormal(dist="half_normal", sd=self.tau)
        bell = getattr(self, name)
        return Normal(dist="normal", mean=bell.mean, sd=bell.sd)
