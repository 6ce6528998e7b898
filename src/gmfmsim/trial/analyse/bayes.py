"""Posterior of the effect under a prior: flat, a declared mixture of normals, or what the evidence says."""

from functools import cache
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.compute.text import percent
from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.files.toml import Spec, key
from gmfmsim.trial.analyse.law import of_residual
from gmfmsim.trial.analyse.spec import BASELINE, AnalysisSpec, joined
from gmfmsim.trial.estimates import Estimates


class Component(Spec):
    """One normal component of a prior."""

    weight: Annotated[float, key("its share of the prior", gt=0, le=1)] = 1
    mean: Annotated[float, key("of the effect", "GMFM-66 points", example=0, ge=-50, le=50)]
    sd: Annotated[float, key("its SD", "GMFM-66 points", example=2, gt=0, le=1000)]


class Robust(Spec):
    """A vague component mixed into a prior, for the case that the prior is wrong (Schmidli et al. 2014)."""

    weight: Annotated[float, key("its share of the whole", example=0.2, gt=0, lt=1)]
    mean: Annotated[float, key("of the effect", "GMFM-66 points", ge=-50, le=50)] = 0
    sd: Annotated[
        float, key("its SD; one child an arm tells about 8 points", "GMFM-66 points", example=8, gt=0, le=1000)
    ]


WHERE = "flat, evidence, or a list of components { weight, mean, sd }"


class Bayes(AnalysisSpec):
    """Posterior of the effect from the ANCOVA on baseline and a prior of the effect.

    prior: flat, and this is the ANCOVA again; a mixture of normals, whose weights sum to 1; or "evidence", what the
    models of a plan say of the effect in its trial (the meta-analytic-predictive prior of Spiegelhalter, Abrams & Myles
    2004; Neuenschwander et al. 2010), as a mixture of few normals. robust: a vague component beside it.
    Success: P(effect > 0 | data) > 1 - alpha / 2; the SD of children is estimated, under the prior 1 / sigma.
    """

    method: Literal["bayes"]
    prior: Annotated[
        Literal["flat", "evidence"] | Annotated[list[Component], Field(min_length=1, max_length=12)],
        key("of the effect: " + WHERE),
    ] = "flat"
    robust: Annotated[Robust | None, key("a vague component beside the prior")] = Field(
        default=None, exclude_if=lambda v: v is None
    )
    _evidence: NormalMixture | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _a_distribution(self) -> Self:
        if isinstance(self.prior, list) and abs(sum(c.weight for c in self.prior) - 1) > 1e-6:
            raise PydanticCustomError("prior", "weights of the prior that sum to 1")
        if self.prior == "flat" and self.robust:
            raise PydanticCustomError("prior", "robust beside a prior that is not flat")
        return self

    @property
    def label(self) -> str:
        words = self.prior if isinstance(self.prior, str) else ", ".join(_said(c) for c in self.prior)
        return f"bayes ({words}{f', robust {self.robust.weight:g}' if self.robust else ''})"

    @property
    def open(self) -> bool:
        """Whether the prior is that of the evidence, which is not known yet."""
        return self.prior == "evidence" and self._evidence is None

    def informed(self, evidence: NormalMixture | None) -> Self:
        """Return the analysis with what the evidence says of the effect; None: without."""
        found = self.model_copy()
        found._evidence = evidence
        return found

    @property
    def mixture(self) -> NormalMixture | None:
        """The prior with its robust component; None if it is flat. Raises ValueError where it is not known yet."""
        if self.prior == "flat":
            return None
        if self.open:
            raise ValueError("the prior is that of the evidence: it is known within a plan that has models")
        own = self._evidence if isinstance(self.prior, str) else _mixed(self.prior)
        return own.beside(self.robust.weight, self.robust.mean, self.robust.sd) if self.robust else own

    def words(self, design) -> str:
        if self.prior == "flat":
            prior = "flat prior"
        elif self.prior == "evidence":
            prior = "prior: what the evidence says of the effect"
            if self._evidence is not None:
                prior += ", " + joined(_as_components(self._evidence))
        else:
            prior = "prior of the effect " + joined([_in_words(c) for c in self.prior])
        if self.robust:
            vague = self.robust
            prior += f", with {percent(vague.weight)} on a vague one of mean {vague.mean:g} and SD {vague.sd:g} points"
        return f"a Bayesian analysis of covariance ({prior}; success from probability {1 - design.alpha / 2:g})"

    def estimates(self, trials, moments, design) -> Estimates:
        """Return posterior mean and SD of the effect; its bounds are quantiles of the posterior.

        P(effect > threshold | data) > 1 - level where the lower bound lies above the threshold, and so from above.
        """
        from gmfmsim.trial.analyse.kernels.ancova import ancova
        from gmfmsim.trial.analyse.kernels.posterior import posterior

        found, prior = ancova(moments(BASELINE), design.weights), self.mixture
        if prior is None:
            return found
        ok = found.ok & np.isfinite(found.estimate) & np.isfinite(found.se) & (found.se > 0) & (found.df >= 1)
        data = [np.where(ok, *part) for part in ((found.estimate, 0), (found.se, 1), (found.df, 1))]
        at = cache(lambda level: posterior(*data, prior, level))
        mean, sd, *_ = at(design.alpha / 2)
        return Estimates(mean, sd, found.df, ok, bounds=lambda level: at(level)[2:])

    def law(self, design, factors) -> Any:
        found = of_residual(self, design, factors)
        if self.prior == "flat" or isinstance(found, str):
            return found
        if self.open:
            return "the prior is that of the evidence, which is not fitted yet"
        if found.unequal:
            return "children with cells differ more than others, which a prior of the effect does not know"
        if design.objective.claim == "equivalence" or design.objective.decision_value is not None:
            return "a posterior that has to meet two criteria is simulated"
        return found._replace(prior=self.mixture)


def _mixed(components: list[Component]) -> NormalMixture:
    """Return components as a mixture, with weights that sum to 1 to the last bit."""
    weight, means, sds = np.array([(c.weight, c.mean, c.sd) for c in components], float).T
    return NormalMixture(weight / weight.sum(), means, sds)


def _said(component: Component) -> str:
    share = "" if component.weight == 1 else f"{component.weight:g} x "
    return f"{share}{component.mean:g}, {component.sd:g}"


def _as_components(mixture: NormalMixture) -> list[str]:
    """Return a mixture in the words of a protocol."""
    parts = zip(mixture.weight.tolist(), mixture.means.tolist(), mixture.sds.tolist(), strict=True)
    return [f"{percent(w)} of mean {m:.2f} and SD {s:.2f} points" for w, m, s in parts]


def _in_words(component: Component) -> str:
    share = "with" if component.weight == 1 else f"{percent(component.weight)} of"
    return f"{share} mean {component.mean:g} and SD {component.sd:g} points"
