"""Looks in the words of a protocol."""

import numpy as np
from scipy import special

from gmfmsim.trial.analyse.spec import joined
from gmfmsim.trial.looks.bounds import bounds
from gmfmsim.trial.looks.declare import Looks

BOUNDS = {
    "obrien_fleming": "bounds of O'Brien and Fleming (O'Brien 1979)",
    "pocock": "bounds of Pocock (Pocock 1977)",
    "wang_tsiatis": "bounds of Wang and Tsiatis (Wang 1987), Delta {shape:g}",
    "lan_demets_obrien_fleming": "alpha spent as O'Brien and Fleming's bounds do (Lan 1983)",
    "lan_demets_pocock": "alpha spent as Pocock's bounds do (Lan 1983)",
    "hwang_shih_decani": "alpha spent by the gamma family (Hwang 1990), gamma {shape:g}",
    "kim_demets": "alpha spent by the power family (Kim 1987), rho {shape:g}",
    "none": "no bound of success before the end",
}
"""How bounds of success are made."""


def name_of(looks: Looks) -> str:
    """Return looks in a few words."""
    shares = joined([f"{100 * share:g}" for share in looks.at])
    futility = (
        "" if looks.futility is None else ", futility " + ("binding" if looks.futility.binding else "non-binding")
    )
    return f"after {shares} % of children: {_made(looks)}{futility}"


def in_sentences(looks: Looks, alpha: float) -> str:
    """Say when the looks are, and where the trial stops."""
    found = bounds(looks, alpha / 2)
    shares = joined([f"{100 * share:g}" for share in looks.at])
    one = len(looks.at) == 1
    success = joined([f"{z:.3f}" for z in found.upper if np.isfinite(z)])
    first = "the end" if looks.bounds == "none" else f"{'the look' if one else 'the looks'} and the end"
    sentences = [
        f"{'One look comes' if one else f'{NUMBERS[len(looks.at)]} looks come'} before the end, when {shares} % of the "
        f"children of each arm have reached the endpoint ({_made(looks)}).",
        f"At {first} the trial succeeds where the statistic lies beyond {success} (one-sided "
        f"levels {joined([f'{p:.2g}' for p in special.ndtr(-found.upper) if p > 0])}; of a t test the level counts), "
        "and stops for harm beyond the same bounds on the other side.",
    ]
    if looks.futility is not None:
        below = joined([f"{z:.3f}" for z in found.lower[:-1] if np.isfinite(z)])
        must = "It must stop" if looks.futility.binding else "It may stop"
        keeps = "" if looks.futility.binding else "; the type I error holds whether it does or not"
        sentences.append(f"{must} for futility below {below}{keeps}.")
    if looks.lag:
        sentences.append(f"A look is decided {looks.lag:g} months after its last visit.")
    return " ".join(sentences)


NUMBERS = ("", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def _made(looks: Looks) -> str:
    return BOUNDS[looks.bounds].format(shape=looks.shape)
