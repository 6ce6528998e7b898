"""A model as declared in models/<name>.toml: a curve, its heterogeneity, and a prior for each parameter."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from gmfmsim.faults import Fault, InputError, choices
from gmfmsim.model.curves import CURVES, Curve
from gmfmsim.model.priors import Prior
from gmfmsim.shipped import find
from gmfmsim.spec import Spec, parse, read_toml


class ModelChoice(Spec):
    """Which model an experiment fits, and the priors it changes."""

    name: str
    priors: dict[str, Prior] = Field(default_factory=dict)


class ModelSpec(Spec):
    """A declared model: y ~ MvNormal(s theta, V), theta = amplitude_i (f(dose) - f(control dose)).

    The curve names the parameters: its amplitude, its non-linear ones, tau (between-study standard deviation of
    the amplitude) and r (ratio of GMFM-66 to other GMFM changes). Each has exactly one prior.
    """

    title: str
    curve: Literal["constant", "log_linear", "emax"]
    priors: dict[str, Prior]

    @property
    def shape(self) -> Curve:
        """The dose-response curve."""
        return CURVES[self.curve]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters, the amplitude first."""
        return (self.shape.amplitude, *self.shape.nonlinear, "tau", "r")


def read_model(choice: ModelChoice, *, beside: Path | None = None, file: str = "experiment") -> ModelSpec:
    """Read the model that an experiment names, with the experiment's own priors in place of the declared ones.

    A path is relative to the folder `beside`; `file` is the experiment's name in faults.
    Raises InputError with every fault: no such model, unknown keys, a parameter without prior or a prior without
    parameter, a scale parameter whose prior reaches below 0.
    """
    path = find("models", choice.name, beside=beside, file=file, where="key model.name")
    spec, faults = parse(ModelSpec, read_toml(path), path.name)
    if spec is None:
        raise InputError(faults)
    spec = spec.model_copy(update={"priors": spec.priors | choice.priors})
    for name in spec.parameters:
        if name not in spec.priors:
            allowed = "a prior for each of " + ", ".join(spec.parameters)
            faults.append(Fault(path.name, "key priors", f"parameter {name} has no prior", allowed))
    for name, prior in spec.priors.items():
        place = (file, f"key model.priors.{name}") if name in choice.priors else (path.name, f"key priors.{name}")
        if name not in spec.parameters:
            allowed = choices(name, spec.parameters)
            faults.append(Fault(*place, f"curve {spec.curve} has no parameter of this name", allowed))
        elif name in ("tau", "r", *spec.shape.nonlinear) and not prior.positive:
            faults.append(Fault(*place, f"{prior} reaches below 0", "a distribution above 0"))
    if faults:
        raise InputError(faults)
    return spec
