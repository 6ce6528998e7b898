"""The analyses a protocol may name: one frozen value each, told apart by `method`."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.files.toml import Spec

Covariate = Literal["baseline", "level", "age", "centre"]
DOSE_CURVES = Literal["linear", "log_linear", "emax", "sigmoid_emax", "exponential", "quadratic", "logistic", "beta"]


class AnalysisSpec(Spec):
    """An analysis of one simulated trial.

    `scale` names what it estimates: points (the effect in GMFM-66 points), share (a difference of proportions), or
    rank (nothing in points). `linear`: whether group sizes, means and cross-products of the scores suffice for it.
    """

    scale: ClassVar[Literal["points", "share", "rank"]] = "points"
    linear: ClassVar[bool] = True
    method: str

    @property
    def label(self) -> str:
        """The analysis in a word or two, different for each analysis of a design."""
        return self.method


class TTest(AnalysisSpec):
    """Change at the last visit between arms: t (pooled variance), welch (Welch 1947), or z (SDs as observed)."""

    method: Literal["t", "welch", "z"]


class Ancova(AnalysisSpec):
    """Score at the last visit on arm and covariates; level and centre as categories (Vickers & Altman 2001)."""

    method: Literal["ancova"]
    covariates: list[Covariate] = Field(["baseline"], min_length=1)

    @property
    def label(self) -> str:
        return "ancova" if self.covariates == ["baseline"] else f"ancova ({', '.join(self.covariates)})"


class Mmrm(AnalysisSpec):
    """All visits on arm, visit, covariates and their interactions with visit; unstructured covariance, REML.

    The baseline is always among the covariates.
    """

    method: Literal["mmrm"]
    covariates: list[Literal["baseline", "level", "age"]] = Field(["baseline"])

    @field_validator("covariates")
    @classmethod
    def _with_baseline(cls, covariates: list[str]) -> list[str]:
        if "baseline" not in covariates:
            raise PydanticCustomError("covariates", "covariates with baseline among them")
        return covariates

    @property
    def label(self) -> str:
        return "mmrm" if self.covariates == ["baseline"] else f"mmrm ({', '.join(self.covariates)})"


class Trend(AnalysisSpec):
    """Linear contrast of the mean changes over doses: scores are the ranks of the doses, or the doses themselves."""

    method: Literal["trend"]
    scores: Literal["rank", "dose"] = "rank"

    @property
    def label(self) -> str:
        return "trend" if self.scores == "rank" else "trend (dose)"


class Dunnett(AnalysisSpec):
    """Each dose against control, family-wise error by the multivariate t distribution (Dunnett 1955)."""

    method: Literal["dunnett"]


class ClosedTest(AnalysisSpec):
    """Each dose against control by closed testing of Dunnett tests: the step-down procedure (Marcus, Peritz &
    Gabriel 1976)."""

    method: Literal["closed_dunnett"]


class Candidate(Spec):
    """A shape of the dose-response to look for; ed50, delta and end as fractions of the highest dose.

    With x = dose / highest dose: linear x; log_linear log(1 + x / ed50); emax x / (ed50 + x); sigmoid_emax
    x^h / (ed50^h + x^h); exponential exp(x / delta) - 1; quadratic x + delta x^2; logistic
    1 / (1 + exp((ed50 - x) / delta)); beta (x / end)^rise (1 - x / end)^fall (Bretz, Pinheiro & Branson 2005).
    """

    curve: DOSE_CURVES
    ed50: Annotated[float, Field(gt=0, le=10)] | None = None
    h: Annotated[float, Field(gt=0, le=20)] | None = None
    delta: Annotated[float, Field(gt=-10, le=10)] | None = None
    rise: Annotated[float, Field(gt=0, le=20)] | None = None
    fall: Annotated[float, Field(gt=0, le=20)] | None = None
    end: Annotated[float, Field(gt=1, le=10)] | None = None

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "linear": (),
        "log_linear": ("ed50",),
        "emax": ("ed50",),
        "sigmoid_emax": ("ed50", "h"),
        "exponential": ("delta",),
        "quadratic": ("delta",),
        "logistic": ("ed50", "delta"),
        "beta": ("rise", "fall", "end"),
    }

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters of the curve by name, those that it has."""
        return {name: getattr(self, name) for name in self.NEEDS[self.curve]}

    @model_validator(mode="after")
    def _has_what_it_needs(self):
        needs = set(self.NEEDS[self.curve])
        given = {name for names in self.NEEDS.values() for name in names if getattr(self, name) is not None}
        if given != needs:
            words = " and ".join(sorted(needs)) or "no parameter"
            raise PydanticCustomError("candidate", "{words} for curve {curve}", {"words": words, "curve": self.curve})
        if self.curve in ("exponential", "logistic") and self.delta <= 0:
            raise PydanticCustomError("candidate", "a delta above 0 for curve {curve}", {"curve": self.curve})
        return self

    @model_validator(mode="after")
    def _differs_between_doses(self):
        from gmfmsim.trial.dose_shapes import shape  # which imports this file

        with np.errstate(all="ignore"):
            if not np.isfinite(shape(self, np.linspace(0, 1, 11))).all():
                words = "parameters with which curve {curve} has an effect at the highest dose"
                raise PydanticCustomError("candidate", words, {"curve": self.curve})
        return self


class McpMod(AnalysisSpec):
    """Maximum of the optimal contrasts of candidate shapes, multiplicity by the multivariate t (Bretz 2005)."""

    method: Literal["mcp_mod"]
    candidates: Annotated[list[Candidate], Field(min_length=1, max_length=12)]


class Responder(AnalysisSpec):
    """Share of children who gain more than `margin` points: two-proportion z test, pooled under the null."""

    scale: ClassVar = "share"
    linear: ClassVar = False
    method: Literal["responder"]
    margin: Annotated[float, Field(ge=-50, le=50)]

    @property
    def label(self) -> str:
        return f"responder (> {self.margin:g})"


class Wilcoxon(AnalysisSpec):
    """Ranks of the changes at the last visit (Mann & Whitney 1947), normal approximation with ties."""

    scale: ClassVar = "rank"
    linear: ClassVar = False
    method: Literal["wilcoxon"]


class Bayes(AnalysisSpec):
    """Posterior of the effect from the ANCOVA on baseline and Normal(prior_mean, prior_sd^2), or a flat prior.

    Success: P(effect > 0 | data) > 1 - alpha / 2. Without prior_sd the prior is flat, and this is the ANCOVA again.
    """

    method: Literal["bayes"]
    prior_mean: Annotated[float, Field(ge=-50, le=50)] = 0
    prior_sd: Annotated[float, Field(gt=0, le=1000)] | None = None

    @property
    def label(self) -> str:
        if self.prior_sd is None:
            return "bayes (flat)"
        return f"bayes ({self.prior_mean:g}, {self.prior_sd:g})"


class WithinChild(AnalysisSpec):
    """Crossover: difference of the changes of the two periods, between sequences, halved (Hills & Armitage 1979)."""

    linear: ClassVar = False
    method: Literal["within_child"]


class PairedT(AnalysisSpec):
    """One-sample t test of the differences within pairs; a pair that loses a child counts as lost."""

    linear: ClassVar = False
    method: Literal["paired_t"]


class ClusterT(AnalysisSpec):
    """Two-sample t test of the mean changes of clusters (Donner & Klar 2000)."""

    linear: ClassVar = False
    method: Literal["cluster_t"]


class OneSample(AnalysisSpec):
    """One-sample t test of observed minus expected change, less `allowance` points for gains of any volunteer.

    Expected is the curve of the child's level at its age (normal children: their growth).
    """

    linear: ClassVar = False
    method: Literal["one_sample"]
    allowance: Annotated[float, Field(ge=-20, le=20)] = 0

    @property
    def label(self) -> str:
        return f"one_sample (allowance {self.allowance:g})"


class Historical(AnalysisSpec):
    """Welch test of the mean change against `n` historical children, their mean and SD as published."""

    linear: ClassVar = False
    method: Literal["historical"]
    mean: Annotated[float, Field(ge=-50, le=50)]
    sd: Annotated[float, Field(gt=0, le=50)]
    n: Annotated[int, Field(ge=2, le=100_000)]


BETWEEN_ARMS = (TTest, Ancova, Mmrm, Responder, Wilcoxon, Bayes)
"""Analyses of one contrast between arms of individually randomised children."""

ALONG_DOSES = (Trend, Dunnett, ClosedTest, McpMod)
"""Analyses of several doses and control."""

AnyAnalysis = Annotated[
    TTest
    | Ancova
    | Mmrm
    | Trend
    | Dunnett
    | ClosedTest
    | McpMod
    | Responder
    | Wilcoxon
    | Bayes
    | WithinChild
    | PairedT
    | ClusterT
    | OneSample
    | Historical,
    Field(discriminator="method"),
]
