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


def read_model(choice: ModelChoice, beside: Path | None = None) -> ModelSpec:
    """Read the model that an experiment names, with the experiment's own priors in place of the declared ones.

    Raises InputError with every fault: no such model, unknown keys, a parameter without prior or a prior without
    parameter, a scale parameter whose prior reaches below 0.
    """
    path = find("models", choice.name, beside)
    spec, faults = parse(ModelSpec, read_toml(path), path.name)
    if spec is None:
        raise InputError(faults)
    faults = [
        Fault(
            "experiment",
            f"key model.priors.{name}",
            f"{choice.name} has no such parameter",
            choices(name, spec.parameters),
        )
        for name in choice.priors
        if name not in spec.parameters
    ]
    spec = spec.model_copy(update={"priors": spec.priors | choice.priors})
    faults += [
        Fault(
            path.name,
            "key priors",
            f"parameter {name} has no prior",
            "a prior for each of " + ", ".join(spec.parameters),
        )
        for name in spec.parameters
        if name not in spec.priors
    ]
    faults += [
        Fault(path.name, f"key priors.{name}", "is not a parameter of the curve", choices(name, spec.parameters))
        for name in spec.priors
        if name not in spec.parameters and name not in choice.priors
    ]
    faults += [
        Fault(path.name, f"key priors.{name}", f"{prior} reaches below 0", "a distribution above 0")
        for name, prior in spec.priors.items()
        if name in ("tau", "r", *spec.shape.nonlinear) and not prior.positive
    ]
    if faults:
        raise InputError(faults)
    return spec
