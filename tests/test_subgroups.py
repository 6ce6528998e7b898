"""Two subgroups of a trial: power of the test of treatment by subgroup against simulated trials, and its n."""

import numpy as np
import pytest
from scipy.stats import norm, t

from gmfmsim.files.toml import parse
from gmfmsim.trial.designs import AnyDesign
from gmfmsim.trial.presets import resolve
from gmfmsim.trial.subgroups import Subgroups


def design(ratio: float = 1, dropout: float = 0.0, **sd):
    raw = {"design": "parallel", "ratio": ratio, "dropout": dropout, "sd_change": sd or {"dist": "fixed", "value": 5.0}}
    found, faults = parse(AnyDesign, resolve(raw, None, "test"), "test")
    assert faults == []
    return found


def simulated(cells: np.ndarray, effects: tuple[float, float], sd: float, trials: int) -> dict[str, float]:
    """Draw children of four cells and test them: treatment by subgroup, and the first subgroup alone."""
    rng = np.random.default_rng(20261130)
    means, squares = [], []
    for size, mean in zip(cells.astype(int), (effects[0], 0.0, effects[1], 0.0), strict=True):
        y = mean + sd * rng.standard_normal((trials, size))
        means.append(y.mean(axis=1))
        squares.append(((y - y.mean(axis=1, keepdims=True)) ** 2).sum(axis=1))

    def found(weights, chosen) -> float:
        df = sum(cells[i] - 1 for i in chosen)
        estimate = sum(w * means[i] for w, i in zip(weights, chosen, strict=True))
        error = np.sqrt(
            sum(squares[i] for i in chosen) / df * sum(w**2 / cells[i] for w, i in zip(weights, chosen, strict=True))
        )
        return float((estimate / error > t.isf(0.025, df)).mean())

    return {"interaction": found((1, -1, -1, 1), (0, 1, 2, 3)), "within": found((1, -1), (0, 1))}


@pytest.mark.parametrize(("share", "ratio"), [(0.5, 1), (0.25, 1), (0.6, 2)])
def test_known_power_equals_simulated_trials(share, ratio):
    split, n = Subgroups(design(ratio), share), 40
    cells = split.cells(n)
    assert np.allclose(cells, np.round(cells))
    assert cells.sum() == n * (1 + ratio)
    found = simulated(cells, (4.0, 0.5), 5.0, 20_000)
    for name, exact in (("interaction", split.interaction(n, 3.5)), ("within", split.within(n, 4.0, first=True))):
        assert abs(found[name] - exact) < 4 * np.sqrt(exact * (1 - exact) / 20_000), name


def test_known_a_difference_of_halves_takes_four_times_the_children():
    """Of large samples: n = (2 sd (z + z) / d)^2 x 4 for the interaction, x 1 for the effect, 1:1 and in halves."""
    split = Subgroups(design(), 0.5)
    n, main = (split.needed(lambda m, of=of: of(m, 0.5), 0.8, 10**6) for of in (split.interaction, split.overall))
    z = norm.isf(0.025) + norm.isf(0.2)
    assert n / main == pytest.approx(4, rel=1e-3)
    assert n == pytest.approx(8 * (z * 5 / 0.5) ** 2, rel=1e-3)
    assert split.interaction(n, 0.5) >= 0.8 > split.interaction(n - 1, 0.5)


def test_known_level_and_sign():
    """Without a difference a result in one direction comes in alpha / 2; the sign of a difference does not matter."""
    split = Subgroups(design(), 0.3)
    assert split.interaction(50, 0.0) == pytest.approx(0.025, abs=1e-9)
    assert split.interaction(50, -2.0) == split.interaction(50, 2.0)
    assert split.overall(50, 1.0) < split.overall(50, 2.0)


def test_losses_and_an_unknown_sd_count():
    lossy = Subgroups(design(dropout=0.2), 0.5)
    np.testing.assert_allclose(lossy.cells(50), 20)
    assert lossy.interaction(50, 3.0) == pytest.approx(Subgroups(design(), 0.5).interaction(40, 3.0), abs=1e-12)
    unsure = Subgroups(design(dist="lognormal", median=5.0, sigma=0.4), 0.5)
    sds = 5.0 * np.exp(0.4 * norm.ppf((np.arange(60) + 0.5) / 60))
    by_hand = [Subgroups(design(dist="fixed", value=float(sd)), 0.5).interaction(60, 3.0) for sd in sds]
    assert unsure.interaction(60, 3.0) == pytest.approx(np.mean(by_hand), abs=2e-3)


def test_too_few_children_have_no_power_and_no_n_is_said():
    split = Subgroups(design(), 0.1)
    assert split.interaction(10, 50.0) == 0.0
    assert split.needed(lambda n: split.interaction(n, 0.0), 0.8, 1000) is None
