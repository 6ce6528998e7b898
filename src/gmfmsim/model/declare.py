"""A model as declared in models/<name>.toml: a curve, its heterogeneity, its terms, and a prior for each parameter."""

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.dist.distributions import Fixed
from gmfmsim.faults import Fault, InputError, choices, shown
from gmfmsim.files.shelf import find
from gmfmsim.files.toml import Spec, key, parse, read_toml
from gmfmsim.model.curves import CURVES, DOSES, POINTS, Curve
from gmfmsim.model.priors import OF_TAU, Prior
from gmfmsim.model.terms import COURSE, SCALES, TERMS, TermName

NUMBERS = ("rho", "nu", "pet")
"""The parameters beside those of curves that have no unit."""
POINT_WORDS, CELL_WORDS = ("point", "gmfm"), ("cell",)
"""What a unit in points, or in cells, says somewhere."""

CurveName = Literal[tuple(CURVES)]


class ModelChoice(Spec):
    """Which model an experiment fits, or which it averages over and how, and the priors it changes."""

    name: Annotated[str | None, key("the one model: a shipped one, or a .toml file", example="emax")] = None
    average: (
        Annotated[list[str], key("models to average over", example=["emax", "linear"], min_length=2, max_length=12)]
        | None
    ) = None
    weights: Annotated[
        Literal["posterior", "stacking"], key("weighs them by posterior model probability, or by stacking")
    ] = "posterior"
    prior_weights: Annotated[
        dict[str, Annotated[float, Field(gt=0, le=1e6)]] | None,
        key("by model, how probable some are before the data, where the others have 1", example={"arms": 2}),
    ] = Field(default=None, exclude_if=lambda weights: weights is None)
    priors: Annotated[
        dict[str, Prior], key("by parameter, in place of the model's own; of every model that has the parameter")
    ] = Field({})

    @model_validator(mode="after")
    def _one_or_several(self):
        if (self.name is None) == (self.average is None):
            raise PydanticCustomError("model", "either name (one model) or average (a list of models)")
        if self.average is None and self.weights != "posterior":  # the default may stand in a resolved configuration
            raise PydanticCustomError("model", "weights with average: one model needs none")
        if self.prior_weights and (self.weights != "posterior" or not self.prior_weights.keys() <= set(self.names)):
            raise PydanticCustomError("model", "prior_weights of models of the average, weighed by posterior")
        if self.average and len(set(self.average)) < len(self.average):
            raise PydanticCustomError("model", "each model once")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The models: the one, or those averaged over."""
        return tuple(self.average or (self.name,))

    def prior_weight(self, name: str) -> float:
        """Return how probable a model is before the data, to a factor."""
        return (self.prior_weights or {}).get(name, 1.0)


class ModelSpec(Spec):
    """A declared model: y ~ MvNormal(s theta, V), theta = amplitude_c (f(dose) - f(control dose)) + biases.

    The curve names the parameters: its amplitude, its non-linear ones, tau (between-study standard deviation of
    the amplitude), those of the terms, and r (ratio of GMFM-66 to other GMFM changes). Each has exactly one prior.
    Study deviations are normal, or Student-t with nu degrees of freedom.
    """

    title: Annotated[str, key("the model in a few words", example="One mean, studies scattered about it")]
    curve: Annotated[CurveName, key("dose-response curve")]
    heterogeneity: Annotated[Literal["normal", "student_t"], key("law of the deviations of studies")] = "normal"
    terms: Annotated[list[TermName], key("what else the effect depends on", max_length=len(TERMS))] = Field([])
    priors: Annotated[dict[str, Prior], key("by parameter, one for each")]

    @model_validator(mode="after")
    def _terms_fit(self):
        if len(set(self.terms)) < len(self.terms):
            raise PydanticCustomError("terms", "each term once")
        if "dose_error" in self.terms and not self.shape.uses_dose:
            raise PydanticCustomError("terms", "dose_error with a curve that uses the dose")
        if {"months", "course"} <= set(self.terms):
            raise PydanticCustomError("terms", "months or course: each says how the effect goes with time")
        return self

    @property
    def shape(self) -> Curve:
        """The dose-response curve."""
        return CURVES[self.curve]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters, the amplitude first."""
        tail = ("nu",) if self.heterogeneity == "student_t" else ()
        terms = [name for term in self.terms for name in TERMS[term].priors]
        return (self.shape.amplitude, *self.shape.nonlinear, "tau", *tail, *terms, "r")

    @property
    def limits(self) -> dict[str, tuple[float, float]]:
        """The open interval of every parameter that has one: scales above 0, shares between 0 and 1."""
        scales = {name for term in self.terms for name in TERMS[term].nonlinear}
        own = dict.fromkeys(("tau", "r", "nu", *scales), (0.0, math.inf)) | {"rho": (0.0, 1.0)}
        return own | dict(self.shape.nonlinear)

    @property
    def held(self) -> tuple[str, ...]:
        """The parameters that a value may hold, in models with normal studies."""
        return ("tau", "rho", *COURSE) if "course" in self.terms else ("tau",)

    def unit(self, name: str) -> str:
        """The unit of a parameter, as a prior may state it: in points, cells or months, or a number without these."""
        if name in COURSE:
            return "months"
        if name in (*self.shape.nonlinear, *NUMBERS):
            return "cells/kg" if name in DOSES else "none"
        return self.shape.unit_of_amplitude if name in (self.shape.amplitude, *SCALES) else POINTS


def read_models(choice: ModelChoice, *, beside: Path | None = None, file: str = "experiment") -> dict[str, ModelSpec]:
    """Read the models that an experiment names, with the experiment's own priors in place of the declared ones.

    A path is relative to the folder `beside`; `file` is the experiment's name in faults.
    Raises InputError with every fault: no such model, unknown keys, a parameter without prior or a prior without
    parameter, a prior that leaves the range of its parameter.
    """
    specs, faults, known = {}, [], set()
    where = f"key model.{'average' if choice.average else 'name'}"
    for name in choice.names:
        try:
            path = find("models", name, beside=beside, file=file, where=where)
            spec, found = parse(ModelSpec, read_toml(path), path.name)
            if spec is None:
                raise InputError(found)
        except InputError as error:
            faults += error.faults
            continue
        known |= set(spec.parameters)
        own = {k: prior for k, prior in choice.priors.items() if k in spec.parameters}
        specs[name] = spec.model_copy(update={"priors": spec.priors | own})
        faults += _prior_faults(specs[name], own, path.name, file)
    if len(specs) == len(choice.names):
        problem = f"{'the model has no' if len(specs) == 1 else 'no model has a'} parameter of this name"
        for name in [name for name in choice.priors if name not in known]:
            faults.append(Fault(file, f"key model.priors.{name}", problem, choices(name, sorted(known))))
    if faults:
        raise InputError(faults)
    return specs


def read_model(choice: ModelChoice, *, beside: Path | None = None, file: str = "experiment") -> ModelSpec:
    """Read the one model of a choice; see `read_models`."""
    (spec,) = read_models(choice, beside=beside, file=file).values()
    return spec


def _prior_faults(spec: ModelSpec, own: dict, model_file: str, file: str) -> list[Fault]:
    """Return the faults of the priors of a model, `own` of which stand in the experiment."""
    faults = []
    for name in spec.parameters:
        if name not in spec.priors:
            allowed = "a prior for each of " + ", ".join(spec.parameters)
            faults.append(Fault(model_file, "key priors", f"parameter {name} has no prior", allowed))
    for name, prior in spec.priors.items():
        place = (file, f"key model.priors.{name}") if name in own else (model_file, f"key priors.{name}")
        low, high = spec.limits.get(name, (-math.inf, math.inf))
        if name not in spec.parameters:
            allowed = choices(name, spec.parameters)
            faults.append(Fault(*place, "the model has no parameter of this name", allowed))
        elif prior.support[0] < low or prior.support[1] > high:
            problem, allowed = f"leaves {low:g} to {high:g}", f"between {low:g} and {high:g}"
            if high == math.inf:
                problem, allowed = "reaches below 0", "above 0"
            faults.append(Fault(*place, f"{prior} {problem}", f"a distribution {allowed}"))
        elif isinstance(prior, Fixed) and (name not in spec.held or spec.heterogeneity != "normal"):
            problem = f"{prior}: a value may hold {' or '.join(spec.held)} alone, in models with normal studies"
            faults.append(Fault(*place, problem, "a distribution; a narrow one for what is all but known"))
        elif isinstance(prior, OF_TAU) and name not in SCALES:
            faults.append(Fault(*place, f"{prior} is a prior of between-study SDs", "another prior for this parameter"))
        elif prior.scale_of_effects or not _fits(prior.unit, spec.unit(name)):
            of = prior.scale_of_effects or prior.unit
            problem = f"{prior.dist} in {shown(of)}, and {name} is in {spec.unit(name)}"
            faults.append(Fault(*place, problem, f"a prior whose unit fits: {spec.unit(name)}"))
    return faults


def _fits(unit: str, wanted: str) -> bool:
    """Return whether a unit, in a user's words, is of the kind that is wanted: points, cells, months, or neither."""
    points, cells = (any(word in unit.lower() for word in words) for words in (POINT_WORDS, CELL_WORDS))
    months = "month" in unit.lower() and not points and not cells
    known = {"none": not points and not cells, "cells/kg": cells and not points, "months": months}
    return known.get(wanted, points)
