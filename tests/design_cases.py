"""Small designs for several test files: one of each kind, on normal children and on children of the curves."""

from pydantic import TypeAdapter

from gmfmsim.trial.analyses import TTest
from gmfmsim.trial.design import Design
from gmfmsim.trial.designs import AnyDesign
from gmfmsim.trial.presets import read_design

SOURCE = {"source": "made up for a test", "verified": "assumed"}
KINDS = ("parallel", "factorial", "crossover", "pairs", "cluster", "single_arm")


def figure(value, **more) -> dict:
    """Return a figure, or one for each level, as a design file gives it."""
    return {"value": value, **SOURCE, **more}


def arm(name: str, dose: float = 0, **more) -> dict:
    """Return an arm as a design file gives it, dose in cells per kg."""
    return {"name": name, "dose": f"{dose:g} cells/kg", **more}


COMMON = {
    "excess_sd": figure(5.0),
    "excess_growth": figure(0.25),
    "visit_correlation": figure(0.7),
    "measurement_error": figure(1.5),
    "response_sd": figure(0),
    "dropout": figure(0),
    "missed": figure(0),
}

NORMAL = {
    "kind": "normal",
    "title": "Normal children",
    "baseline": figure(50),
    "baseline_sd": figure(15),
    "growth": figure(4),
    **COMMON,
}

POPULATION = {
    "kind": "population",
    "title": "Children of all levels",
    "age": {"low": 1.5, "median": 4, "high": 9, **SOURCE},
    "mix": figure([0.3, 0.2, 0.2, 0.2, 0.1]),
    "limit": figure([87, 68, 54, 40, 22], low=[80, 60, 48, 35, 17], high=[92, 76, 60, 45, 29]),
    "age_90": figure([4.8, 4.4, 3.7, 3.5, 2.7]),
    "rate_spread": figure(0.1),
    "volunteer_gain": figure(3),
    "floor": figure(0),
    "ceiling": figure(100),
    "response": figure([1, 1, 1, 1, 1]),
    **COMMON,
}

_TWO_ARMS = [arm("control"), arm("cells", 5e7)]
_OWN = {
    "parallel": {"arms": _TWO_ARMS, "visits": [12], "analyses": [{"method": "ancova"}, {"method": "t"}]},
    "factorial": {
        "arms": [arm("neither"), arm("cells", 5e7), arm("drug", drug=True), arm("both", 5e7, drug=True)],
        "visits": [12],
        "analyses": [{"method": "ancova"}],
        "drug": "erythropoietin",
        "drug_effect": figure(2),
        "interaction": figure(1),
    },
    "crossover": {
        "arms": [arm("cells second"), arm("cells first", 5e7)],
        "visits": [12, 24],
        "analyses": [{"method": "within_child"}, {"method": "t"}],
        "carry_over": figure(0),
        "period_effect": figure(0),
    },
    "pairs": {
        "arms": _TWO_ARMS,
        "visits": [12],
        "analyses": [{"method": "paired_t"}],
        "pair_correlation": figure(0.6),
    },
    "cluster": {
        "arms": _TWO_ARMS,
        "visits": [12],
        "analyses": [{"method": "cluster_t"}],
        "cluster_size": 10,
        "icc": figure(0.05),
    },
    "single_arm": {"arms": _TWO_ARMS[1:], "visits": [12], "analyses": [{"method": "one_sample"}]},
}


PLAIN = ("alpha", "cluster_size")
"""Numbers of a design that are no figures."""


def normal_design(kind: str = "parallel", **changes) -> Design:
    """Return a design on normal children. changes: keys of the design; those in `children` change single figures.

    A number stands for a figure: normal_design("pairs", pair_correlation=0.5, children={"excess_sd": 3}).
    """
    return _design(kind, NORMAL, changes)


def population_design(kind: str = "parallel", **changes) -> Design:
    """Return a design on children of the growth curves; changes as in `normal_design`, lists of five by level."""
    return _design(kind, POPULATION, changes)


def _design(kind: str, children: dict, changes: dict) -> Design:
    raw = {"kind": kind, "title": f"A {kind} trial", "source": SOURCE["source"], **_OWN[kind]}
    raw |= {key: figure(v) if isinstance(v, int | float) and key not in PLAIN else v for key, v in changes.items()}
    changed = changes.get("children", {}).items()
    raw["children"] = children | {k: figure(v) if isinstance(v, int | float | list) else v for k, v in changed}
    return TypeAdapter(AnyDesign).validate_python(raw)


def two_arms(**keys) -> Design:
    """Return the plainest design, two arms and one test, with keys of its short form and others."""
    return read_design("parallel", overrides={"dropout": 0, **keys})


def with_test(design: Design, method: str = "t", alpha: float = 0.05) -> Design:
    """Return a design with one t or z test at two-sided level alpha."""
    return design.model_copy(
        update={"analyses": [TTest(method=method, sd="known" if method == "z" else "observed")], "alpha": alpha}
    )
