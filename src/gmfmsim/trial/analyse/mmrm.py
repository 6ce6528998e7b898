"""Mixed model for repeated measures."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from gmfmsim.files.toml import key
from gmfmsim.trial.analyse.spec import AnalysisSpec, covariate_words
from gmfmsim.trial.estimates import Estimates


class Mmrm(AnalysisSpec):
    """All visits on arm, visit, covariates and their interactions with visit; unstructured covariance, REML.

    The baseline is always among the covariates.
    """

    every_visit: ClassVar[bool] = True
    method: Literal["mmrm"]
    covariates: Annotated[list[Literal["baseline", "level", "age"]], key("what is adjusted for")] = Field(["baseline"])

    @field_validator("covariates")
    @classmethod
    def _with_baseline(cls, covariates: list[str]) -> list[str]:
        if "baseline" not in covariates:
            raise PydanticCustomError("covariates", "covariates with baseline among them")
        return covariates

    @property
    def linear(self):
        return self.covariates == ["baseline"]

    @property
    def label(self):
        return "mmrm" if self.linear else f"mmrm ({', '.join(self.covariates)})"

    def words(self, design):
        model = "a mixed model of the scores at all visits with unstructured covariance"
        return f"{model}, adjusted for {covariate_words(self.covariates)} by visit"

    def estimates(self, trials, moments, design):
        from gmfmsim.trial.analyse.kernels.mmrm import mmrm, mmrm_with_gaps

        if trials is not None and design.children.missed.value > 0 and design.endpoint > 0:
            return Estimates(*mmrm_with_gaps(trials, design, self.covariates))
        return Estimates(*mmrm(moments(tuple(self.covariates)), design.weights))
