"""Dense quadrature from contrasts to the required n: one mean, groups with means of their own, arms that differ.

No mixture of normals, no adaptive rule: the means themselves stand on a grid, on which the likelihood of contrasts
that share a study or control children is summed over its own readings and unknown standard errors. Means, unknown
errors and truths are integrated by the trapezoidal rule, which converges exponentially for smooth functions that die
out (Trefethen & Weideman 2014); the SD of the truths and r by Gauss-Legendre.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr
from quadrature import normal_nodes, t_test_success
from scipy import special, stats

from gmfmsim.evidence.spread import shipped_tables, spread_field

RECORD = Path(__file__).parent / "reference" / "dense_n.json"
RATIO = stats.truncnorm(-2.6, 4.4, loc=0.56, scale=0.10)
"""Prior of r, as in models/random_effects.toml."""
MU_SD = 10.0
"""Prior SD of mu in GMFM-66 points, as there."""


@dataclass(frozen=True)
class Grids:
    """How dense: steps of means (points) and standard normal variables, nodes of SD, angle and r, reach of means.

    Halved steps and 1.5 times the nodes move the success of the quick start and its plateau by less than 1e-8.
    """

    mean: float = 0.2
    error: float = 0.4
    truth: float = 0.08
    sd: int = 64
    angle: int = 17
    ratio: int = 16
    reach: float = 21.0


DENSE = Grids()


@dataclass(frozen=True)
class Setting:
    """A structure: theta_c = mu [+ offset where `other`] + tau z_study [+ tau_arm v_c], and the priors of its parts.

    other (K,): contrasts of another group than the target's, offset ~ Normal(0, offset_sd); None: one mean.
    tau ~ HalfNormal(tau_sd); tau_arm ~ HalfNormal(arm_sd), None: arms of a study do not differ. In GMFM-66 points.
    """

    other: np.ndarray | None = None
    offset_sd: float = 3.0
    tau_sd: float = 2.0
    arm_sd: float | None = None


@dataclass(frozen=True)
class Truths:
    """The true effect of a new study: Normal(mean, sd) at every node, weight (M, S), mean (M,), sd (S,)."""

    weight: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    log_marginal: float
    step: float

    def above(self) -> float:
        """Return P(effect > 0): the plateau of assurance.

        A step is not smooth: it is integrated over the sinc interpolant of the density of the mean, of which P(mean
        > x) = sum_i w_i (1/2 + Si(pi (mean_i - x) / h) / pi), Si the sine integral and h the step (Stenger 1993).
        """
        theta, weight = self.grid
        return float(weight @ (0.5 + special.sici(np.pi * theta / (self.mean[1] - self.mean[0]))[0] / np.pi))

    def of_the_mean(self) -> "Truths":
        """Return the mean of studies in place of a new one: no heterogeneity."""
        return replace(self, weight=self.weight.sum(axis=1, keepdims=True), sd=np.zeros(1))

    @cached_property
    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Points and probabilities of the distribution."""
        z, w = normal_nodes(self.step)
        theta = self.mean[:, None, None] + self.sd[:, None] * z
        weight = self.weight[..., None] * w
        kept = weight > 1e-15
        return theta[kept], weight[kept]


def legendre(low: float, high: float, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of Gauss-Legendre between two numbers."""
    x, w = np.polynomial.legendre.leggauss(points)
    return low + (high - low) * (x + 1) / 2, (high - low) / 2 * w


def truths(data: xr.Dataset, setting: Setting, grids: Grids = DENSE) -> Truths:
    """Integrate a structure over contrasts with readings (`gmfmsim` Dataset(reading, contrast)).

    With sd = sqrt(tau^2 + tau_arm^2), the SD of a new study's effect, tau = sd cos a and tau_arm = sd sin a, so that
    one grid (mean, sd) holds the truths of every structure.
    """
    mean = grids.mean * np.arange(-round(grids.reach / grids.mean), round(grids.reach / grids.mean) + 1)
    largest = 7 * max(setting.tau_sd, setting.arm_sd or 0.0)
    sd, sd_weight = legendre(0.0, largest, grids.sd)
    angle, angle_weight = np.zeros(1), np.ones(1)
    if setting.arm_sd is not None:
        angle = np.linspace(0, np.pi / 2, grids.angle)
        angle_weight = np.full(grids.angle, angle[1])
        angle_weight[[0, -1]] /= 2
    ratio, ratio_weight = legendre(*RATIO.support(), grids.ratio)
    ratio_weight = ratio_weight * RATIO.pdf(ratio)
    other = np.zeros(data.sizes["contrast"], bool) if setting.other is None else setting.other
    own_blocks, other_blocks = (_blocks(data, mask) for mask in (~other, other))
    prior = stats.norm.pdf(mean, scale=MU_SD) * grids.mean
    offset = stats.norm.pdf(mean[:, None], mean, setting.offset_sd) * grids.mean
    error = normal_nodes(grids.error)
    weight = np.empty((mean.size, sd.size))
    for j, width in enumerate(sd):
        between, within = width * np.cos(angle), width * np.sin(angle)
        value = _group(own_blocks, mean, between, within, ratio, error)
        if other.any():
            of_other = _group(other_blocks, mean, between, within, ratio, error)
            value = value * np.tensordot(offset, of_other, 1)
        density = stats.halfnorm.pdf(between, scale=setting.tau_sd)
        if setting.arm_sd is not None:
            density = density * stats.halfnorm.pdf(within, scale=setting.arm_sd) * width
        weight[:, j] = prior * sd_weight[j] * np.einsum("mar,a,r->m", value, angle_weight * density, ratio_weight)
    total = weight.sum()
    edge = weight[[0, -1]].sum() + weight[:, -1].sum()
    if not edge < 1e-9 * total:
        raise ValueError(f"the grids end too early: a share of {edge / total:.1e} lies at their ends")
    return Truths(weight / total, mean, sd, float(np.log(total)), grids.truth)


@dataclass(frozen=True)
class _Block:
    """Contrasts that share a study or control children; a reading: weight, effect, covariance, log_se_sd."""

    readings: list[tuple[float, np.ndarray, np.ndarray, np.ndarray]]
    same_study: np.ndarray
    study: list[str]
    gmfm66: np.ndarray


def _blocks(data: xr.Dataset, mask: np.ndarray) -> list[_Block]:
    """Return the independent blocks of those contrasts.

    The readings of a dataset are all combinations of those of its studies, which are independent: a reading of a block
    has the sum of the weights of its combinations. Raises ValueError for a block half in the mask.
    """
    study = data["study"].values
    linked = (data["covariance"].values != 0).any(0) | (study[:, None] == study)
    blocks, left = [], list(np.flatnonzero(mask))
    while left:
        members = {left[0]}
        while (grown := set(np.flatnonzero(linked[sorted(members)].any(0)).tolist())) != members:
            members = grown
        if not mask[sorted(members)].all():
            raise ValueError(f"a block of {sorted(set(study[sorted(members)].tolist()))} lies in both groups")
        left = [i for i in left if i not in members]
        blocks.append(_block(data, np.array(sorted(members))))
    return blocks


def _block(data: xr.Dataset, members: np.ndarray) -> _Block:
    effect, covariance, spread, weight = (data[v].values for v in ("effect", "covariance", "log_se_sd", "weight"))
    distinct: dict[bytes, list] = {}
    for r, w in enumerate(weight):
        y, v, ell = effect[r, members], covariance[r][np.ix_(members, members)], spread[r, members]
        distinct.setdefault(b"".join(x.tobytes() for x in (y, v, ell)), [0.0, y, v, ell])[0] += w
    study = data["study"].values[members]
    return _Block(
        [tuple(found) for found in distinct.values()],
        np.equal.outer(study, study),
        study.tolist(),
        data["gmfm66"].values[members],
    )


def _group(blocks, mean, between, within, ratio, error) -> np.ndarray:
    """Return the likelihood of the blocks at their common mean: (mean, angle, ratio)."""
    value = np.ones((mean.size, between.size, ratio.size))
    for block in blocks:
        value = value * _likelihood(block, mean, between, within, ratio, error)
    return value


def _likelihood(block: _Block, mean, between, within, ratio, error) -> np.ndarray:
    """Return sum over readings, and integral over unknown errors, of MvNormal(y; m s, D V D + s s' heterogeneity)."""
    ratio = np.ones(1) if block.gmfm66.all() else ratio
    scale = np.where(block.gmfm66, 1.0, 1 / ratio[:, None])  # (R, K)
    variance = between[:, None, None] ** 2 * block.same_study + within[:, None, None] ** 2 * np.eye(scale.shape[1])
    heterogeneity = scale[:, :, None] * scale[:, None, :] * variance[:, None]  # (A, R, K, K)
    total = 0.0
    for weight, y, v, ell in block.readings:
        u, w = error if ell.any() else (np.zeros(1), np.ones(1))
        if ell.any() and len(set(np.array(block.study)[ell > 0].tolist())) > 1:
            raise ValueError(f"unknown errors of several studies in one block: {block.study}")
        size = np.exp(ell * u[:, None])
        within_block = heterogeneity[:, :, None] + v * size[:, :, None] * size[:, None, :]  # (A, R, U, K, K)
        inverse, logdet = np.linalg.inv(within_block), np.linalg.slogdet(within_block)[1]
        s = scale[:, None, :]
        yy = np.einsum("...ij,i,j->...", inverse, y, y)
        sy = np.einsum("...ij,...i,j->...", inverse, s, y)
        ss = np.einsum("...ij,...i,...j->...", inverse, s, s)
        m = mean[:, None, None, None]
        log = -0.5 * (yy - 2 * m * sy + m**2 * ss + logdet + y.size * np.log(2 * np.pi))
        total = total + weight * (np.exp(log) @ w)
    return total


@dataclass(frozen=True)
class Average:
    """Several structures by posterior model probability, each as likely as the others beforehand."""

    parts: tuple[Truths, ...]

    @property
    def weight(self) -> np.ndarray:
        """Posterior model probabilities."""
        return special.softmax([part.log_marginal for part in self.parts])

    @property
    def log_marginal(self) -> float:
        """Log of the mean marginal likelihood."""
        return float(special.logsumexp([part.log_marginal for part in self.parts]) - np.log(len(self.parts)))

    def above(self) -> float:
        """Return P(effect > 0)."""
        return float(self.weight @ [part.above() for part in self.parts])

    @cached_property
    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Points and probabilities of the distribution."""
        theta, weight = zip(*(part.grid for part in self.parts), strict=True)
        return np.concatenate(theta), np.concatenate([p * w for p, w in zip(self.weight, weight, strict=True)])


@dataclass(frozen=True)
class Answer:
    """The required n per arm, success at n - 1 and at n, plateau and log marginal likelihood."""

    n: int
    success_before: float
    success: float
    plateau: float
    log_marginal: float


def required(effect: Truths | Average, target: float = 0.8, **trial: float) -> Answer:
    """Return the smallest n per arm at which a two-arm t test succeeds with the target probability.

    trial: as `t_test_success` takes it. Raises ValueError where the plateau is not above the target.
    """
    if effect.above() <= target:
        raise ValueError(f"no n reaches {target}: the plateau is {effect.above():.4f}")
    success: dict[int, float] = {2: 0.0}
    low, high = 2, 64
    while success.setdefault(high, t_test_success(effect, high, **trial)) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        success[middle] = t_test_success(effect, middle, **trial)
        low, high = (low, middle) if success[middle] >= target else (middle, high)
    return Answer(high, success[low], success[high], effect.above(), effect.log_marginal)


# The quick start and what it may assume instead.

QUICKSTART = {"dropout": 0.08, "sd_median": 5.5, "sd_sigma": 0.12}
STRUCTURES: dict[str, Callable[[xr.Dataset], Setting]] = {
    "one_mean": lambda data: Setting(),
    "arms": lambda data: Setting(arm_sd=2.0),
    "route": lambda data: Setting(other=data["route"].values == "IT"),
    # every study stands at one month, so that the correlation between months has no part
    "months": lambda data: Setting(other=data["month"].values != 12),
    "tau_1": lambda data: Setting(tau_sd=1.0),
    "tau_4": lambda data: Setting(tau_sd=4.0),
}
AVERAGED = ("one_mean", "arms", "route", "months")
LEFT_OUT = ("Sun2017", "Sun2022", "Min2013")
CASES = (*STRUCTURES, "average", *(f"without_{study}" for study in LEFT_OUT), "sd_of_the_field")


def without(data: xr.Dataset, study: str) -> xr.Dataset:
    """Return the contrasts of the other studies."""
    kept = data["study"].values != study
    return data.isel(contrast=kept, contrast_=kept)


def effect_of(case: str, data: xr.Dataset, grids: Grids = DENSE) -> Truths | Average:
    """Return the truths of a case by its name in CASES, from the contrasts of the quick start."""
    if case == "average":
        return Average(tuple(truths(data, STRUCTURES[name](data), grids) for name in AVERAGED))
    if case.startswith("without_"):
        return truths(without(data, case.removeprefix("without_")), Setting(), grids)
    return truths(data, STRUCTURES.get(case, STRUCTURES["one_mean"])(data), grids)


def trial_of(case: str) -> dict[str, float]:
    """Return the trial of a case: drop-out, and the SD of change ~ LogNormal(median, sigma) in points."""
    if case != "sd_of_the_field":
        return QUICKSTART
    field = spread_field(shipped_tables(), 12)
    return QUICKSTART | {"sd_median": field.median, "sd_sigma": field.log_sd}


def recorded(case: str) -> Answer:
    """Return the committed answer of a case: what any program must give for it."""
    return Answer(**json.loads(RECORD.read_text(encoding="utf-8"))["answers"][case])


def model_probabilities() -> dict[str, float]:
    """Return the posterior probabilities of the structures of the average, from the committed answers."""
    log = [recorded(name).log_marginal for name in AVERAGED]
    return dict(zip(AVERAGED, special.softmax(log).tolist(), strict=True))


def write(data: xr.Dataset) -> None:
    """Compute every case (some minutes) and write the record."""
    computed = "tests/dense_n.py, trapezoidal and Gauss-Legendre rules"
    answers = {case: asdict(required(effect_of(case, data), **trial_of(case))) for case in CASES}
    record = {"computed": computed, "n": "children per arm", "grids": asdict(DENSE), "answers": answers}
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
