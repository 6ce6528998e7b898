"""The ratio of GMFM-66 to GMFM-88 changes: what each sample says, a further trial, and what the models take."""

import textwrap

from gmfmsim.evidence.scales import paired_samples
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.model.effect import INTERVAL_PROB
from gmfmsim.model.ratio import informative, of_sample, scale_ratio

ENDS = {"low": (1 - INTERVAL_PROB) / 2, "median": 0.5, "high": (1 + INTERVAL_PROB) / 2}
UNITS = {"points": "points", "baseline_sd": "SDs at baseline"}


def ratio_of_scales() -> dict:
    """Return samples with their own ratio (its likelihood), the ratio in a further trial, and the prior of the models.

    Each with the median and the ends of the equal-tailed interval of probability interval_prob; a sample without
    figures has none. log_mean and log_sd: of the logarithm of the ratio in a further trial.
    """
    samples = paired_samples()
    found = scale_ratio(samples)
    log_mean, log_sd = found.log_moments
    prior = read_model(ModelChoice(name="random_effects")).priors["r"]
    return {
        "interval_prob": INTERVAL_PROB,
        "samples": [
            sample | (_figures(of_sample(sample).quantile) if informative(sample) else {}) for sample in samples
        ],
        "further_trial": _figures(found.quantile) | {"log_mean": log_mean, "log_sd": log_sd},
        "models": _figures(prior.ppf) | {"prior": str(prior)},
    }


def in_words(found: dict) -> str:
    """Return what `ratio_of_scales` found, a line for each sample and distribution."""
    lines = []
    for s in found["samples"]:
        said = "changes not read"
        if "median" in s:
            times = "" if s["unit"] == "points" else f", which have a ratio of {s['baseline_ratio']:g}"
            said = f"{s['change66']:g} against {s['change88']:g} {UNITS[s['unit']]}{times}: r {_interval(s)}"
        lines += textwrap.wrap(
            f"{s['sample']}, {s['n']} children, month {s['month']:g}: {said}", 100, subsequent_indent="    "
        )
    head = f"GMFM-66 points per GMFM-88 point, median and {INTERVAL_PROB:.0%} interval"
    further = f"In a further trial: r {_interval(found['further_trial'])}"
    models = f"The models take: r {_interval(found['models'])}, {found['models']['prior']}"
    return "\n".join([head, *lines, further, models])


def _figures(quantile) -> dict[str, float]:
    return {name: float(quantile(p)) for name, p in ENDS.items()}


def _interval(figures: dict) -> str:
    return f"{figures['median']:.2f} ({figures['low']:.2f} to {figures['high']:.2f})"
