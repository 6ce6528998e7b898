"""The two-arm parallel trial: arms and doses, allocation, spread of the change score, drop-out, analysis."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from scipy import special

from gmfmsim.dist.distributions import Fixed
from gmfmsim.dist.positive import LogNormal
from gmfmsim.evidence.formulas.dose import Dose
from gmfmsim.files.toml import Spec
from gmfmsim.model.setting import Setting
from gmfmsim.trial.sizes import Sized


class Arm(Spec):
    """One arm: its dose, and its children as a multiple of those of the smaller arm (allocation ratio)."""

    name: str = Field(min_length=1, max_length=40)
    dose: Dose
    ratio: Annotated[float, Field(ge=1, le=20)] = 1


class Parallel(Sized):
    """Two arms side by side, one without cells; every child has one change score unless it drops out.

    change ~ Normal(growth + effect, sd_change) in both arms. sd_change, the between-child SD of the change, is
    uncertain: by default log-normal with median 5.5 GMFM-66 points and sigma 0.12, for 12 months. outcomes.csv holds
    4.9 to 6.8 for the arms of Sun 2017 and Sun 2022 (cells by vein), and wider ones for Amanat 2021 and Zarrabi 2022
    (into the spinal canal), 8.5 to 15.5 from their intervals: for such trials state another. A child drops out with
    probability `dropout`, whatever its arm and outcome, and is not analysed. `setting`: cells and children, for models
    that ask for them.
    """

    design: Literal["parallel"] = "parallel"
    month: Annotated[float, Field(gt=0, le=120)]
    arms: Annotated[list[Arm], Field(min_length=2, max_length=2)]
    sd_change: Annotated[LogNormal | Fixed, Field(discriminator="dist")] = LogNormal(
        dist="lognormal", median=5.5, sigma=0.12
    )
    dropout: Annotated[float, Field(ge=0, lt=1)]
    setting: Setting = Setting()

    @field_validator("arms")
    @classmethod
    def _one_control(cls, arms: list[Arm]) -> list[Arm]:
        if sorted(arm.dose > 0 for arm in arms) != [False, True]:
            raise PydanticCustomError("arms", "one arm with dose 0 cells/kg and one with a dose above 0")
        if min(arm.ratio for arm in arms) != 1:
            raise PydanticCustomError("arms", "ratio 1 for the smaller arm: n counts its children")
        if arms[0].name == arms[1].name:
            raise PydanticCustomError("arms", "two different names for the two arms")
        return arms

    @field_validator("sd_change")
    @classmethod
    def _above_zero(cls, sd: LogNormal | Fixed) -> LogNormal | Fixed:
        if not 1e-3 <= sd.ppf(np.array(0.5)) <= 1e3:
            raise PydanticCustomError("sd", "an SD above 0, from 0.001 to 1000")
        return sd

    @model_validator(mode="after")
    def _default_is_for_a_year(self):
        if self.month != 12 and "sd_change" not in self.model_fields_set:
            raise PydanticCustomError(
                "sd", "an sd_change of its own where month is not 12: the default is for 12 months"
            )
        return self

    @property
    def control(self) -> Arm:
        """The arm without cells."""
        return next(arm for arm in self.arms if arm.dose == 0)

    @property
    def active(self) -> Arm:
        """The arm with cells."""
        return next(arm for arm in self.arms if arm.dose > 0)


class Analysis(Spec):
    """How the trial is analysed, and what counts as success: significant two-sided, in favour of treatment.

    t: two-sample t test with pooled variance. z: the SD taken as known.
    """

    method: Literal["t", "z"] = "t"
    alpha: Annotated[float, Field(ge=1e-6, le=0.5)] = 0.05


def completers(randomised: int, dropout: float, u: np.ndarray) -> np.ndarray:
    """Return children who finish, Binomial(randomised, 1 - dropout), as quantiles at uniforms u (same shape)."""
    if dropout == 0:
        return np.full(u.shape, randomised)
    cdf = special.bdtr(np.arange(randomised + 1), randomised, 1 - dropout)
    return np.minimum(np.searchsorted(cdf, u), randomised)
