"""Operating characteristics from running sums: what simulated trials show, each with its Monte Carlo error."""

from __future__ import annotations

import numpy as np

from gmfmsim.compute.labels import xr
from gmfmsim.trial.decide import Verdicts

SUMS = (
    "done",  # trials whose analysis could be done
    "error", "error2", "error4",  # powers of estimate - truth
    "variance", "variance2",  # powers of the squared standard error
    "cover", "width", "width2",
    "claims", "wrong",  # significant results, and those of the wrong sign
    "size", "size2", "true", "true2", "size_true",  # |estimate| and |truth| of significant results
)  # fmt: skip


class Tally:
    """Running sums over trials at one scenario and n, for A analyses: memory does not grow with the replicates.

    batches: runs of consecutive posterior draws, for Monte Carlo errors that allow for autocorrelation; an independent
    scenario (one fixed truth) takes the closed forms of Morris, White & Crowther (2019) in their place.
    """

    def __init__(self, labels: list[str], batches: int, arms: int, *, independent: bool):
        self.labels, self.independent = labels, independent
        self.trials = 0
        self.sums = {name: np.zeros(len(labels)) for name in SUMS}
        self.failed = np.zeros(len(labels))
        self.in_batch = np.zeros(batches)
        self.hits = {what: np.zeros((len(labels), batches)) for what in ("benefit", "harm")}
        self.both = np.zeros((len(labels), len(labels)))
        self.selected = np.zeros((len(labels), arms))
        self.completers = np.zeros(2)  # sum and sum of squares

    def add(self, verdicts: dict[str, Verdicts], truth: dict[str, np.ndarray], batch: np.ndarray, completers) -> None:
        """Add a block of R trials: verdicts and true value (R,) of each analysis, batch (R,), completers (R,)."""
        found = [verdicts[label] for label in self.labels]
        said = {what: np.array([getattr(e, what) for e in found], float) for what in self.hits}
        self.trials += batch.size
        self.in_batch += np.bincount(batch, minlength=self.in_batch.size)
        for what, hit in said.items():
            for i, row in enumerate(hit):
                self.hits[what][i] += np.bincount(batch, row, self.in_batch.size)
        self.both += said["benefit"] @ said["benefit"].T
        self.failed += [e.failed.sum() for e in found]
        self.completers += np.sum(completers), np.sum(np.square(completers, dtype=float))
        for i, e in enumerate(found):
            for name, value in _sums(e, truth[self.labels[i]]).items():
                self.sums[name][i] += value
            if e.selected is not None:
                taken = e.selected[e.selected >= 0]
                self.selected[i] += np.bincount(taken, minlength=self.selected.shape[1])

    def seen_at_endpoint(self) -> tuple[float, float]:
        """Return the mean number of children observed at the endpoint, and its Monte Carlo error SD / sqrt(K)."""
        mean, square = self.completers / self.trials
        return mean, float(np.sqrt(max(square - mean**2, 0) / self.trials))

    def characteristics(self) -> dict[str, np.ndarray]:
        """Return the operating characteristics (A,) with their `_mcse`, and differences of success (A, A).

        With K trials, of which k could be analysed:

        - success, harm: shares of K; MCSE sqrt(p (1 - p) / K), or batch means over sqrt(batches) where truths are
          posterior draws (Flegal & Jones 2010); failed: share of K;
        - bias: mean of estimate - truth; MCSE empirical_se / sqrt(k);
        - empirical_se: SD of estimate - truth; MCSE empirical_se / sqrt(2 (k - 1));
        - model_se: root of the mean squared standard error; MCSE sqrt(Var(se^2) / (4 k model_se^2));
        - mse: mean of (estimate - truth)^2; MCSE its SD / sqrt(k);
        - coverage: share of k whose interval holds the truth; width: mean width of the interval;
        - type_s: share of significant results with the wrong sign; type_m: mean |estimate| over mean |truth| of the
          significant results (Gelman & Carlin 2014), MCSE by the delta method; none where the truth is 0;
        - difference: success of the row minus success of the column on the same children, MCSE of the paired
          difference.

        Source: Morris, White & Crowther 2019, table 6.
        """
        k, total, s = self.sums["done"], self.trials, self.sums
        out: dict[str, np.ndarray] = {}
        with np.errstate(divide="ignore", invalid="ignore"):
            for name, what in (("success", "benefit"), ("harm", "harm")):
                out[name], out[f"{name}_mcse"] = self._share(self.hits[what])
            out["failed"] = self.failed / total
            out["failed_mcse"] = _binomial(out["failed"], total)
            bias = s["error"] / k
            variance = (s["error2"] - k * bias**2) / (k - 1)
            out["bias"], out["bias_mcse"] = bias, np.sqrt(variance / k)
            out["empirical_se"], out["empirical_se_mcse"] = np.sqrt(variance), np.sqrt(variance / (2 * (k - 1)))
            out["mse"] = s["error2"] / k
            out["mse_mcse"] = np.sqrt((s["error4"] / k - out["mse"] ** 2) / (k - 1))
            model = s["variance"] / k
            of_variance = np.maximum(s["variance2"] / k - model**2, 0) * k / (k - 1)
            out["model_se"], out["model_se_mcse"] = np.sqrt(model), np.sqrt(of_variance / (4 * k * model))
            out["coverage"] = s["cover"] / k
            out["coverage_mcse"] = _binomial(out["coverage"], k)
            out["width"] = s["width"] / k
            out["width_mcse"] = np.sqrt(np.maximum(s["width2"] / k - out["width"] ** 2, 0) / (k - 1))
            out["type_s"] = np.where(s["true"] > 0, s["wrong"] / s["claims"], np.nan)
            out["type_s_mcse"] = _binomial(out["type_s"], s["claims"])
            out["type_m"], out["type_m_mcse"] = _ratio(s)
            out["difference"], out["difference_mcse"] = self._differences(out["success"])
            out["selected"] = self.selected / total
            out["selected_mcse"] = _binomial(out["selected"], total)
        return out

    def _share(self, hits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return share (...) and MCSE from counts (..., batch)."""
        share = hits.sum(axis=-1) / self.trials
        return share, _binomial(share, self.trials) if self.independent else self._between_batches(hits)

    def _between_batches(self, counts: np.ndarray) -> np.ndarray:
        held = self.in_batch > 0
        means = counts[..., held] / self.in_batch[held]
        return (
            means.std(axis=-1, ddof=1) / np.sqrt(held.sum()) if held.sum() > 1 else np.full(counts.shape[:-1], np.nan)
        )

    def _differences(self, success: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        difference = success[:, None] - success[None, :]
        if not self.independent:
            hits = self.hits["benefit"]
            return difference, self._between_batches(hits[:, None] - hits[None, :])
        disagree = success[:, None] + success[None, :] - 2 * self.both / self.trials
        return difference, np.sqrt(np.maximum(disagree - difference**2, 0) / self.trials)


def _sums(e: Verdicts, truth: np.ndarray) -> dict[str, float]:
    """Return what one analysis adds to its sums; what has no value in points adds NaN, and stays NaN."""
    ok = ~e.failed
    estimate, se, truth = e.estimate[ok], e.se[ok], truth[ok]
    low, high = e.low[ok], e.high[ok]
    error, size = estimate - truth, abs(estimate)
    claim = (e.benefit | e.harm)[ok]
    size, true = size[claim], abs(truth[claim])
    return {
        "done": ok.sum(),
        "error": error.sum(),
        "error2": (error**2).sum(),
        "error4": (error**4).sum(),
        "variance": (se**2).sum(),
        "variance2": (se**4).sum(),
        "cover": ((low <= truth) & (truth <= high)).sum() if np.isfinite(truth).all() else np.nan,
        "width": (high - low).sum(),
        "width2": ((high - low) ** 2).sum(),
        "claims": claim.sum(),
        "wrong": (np.sign(estimate[claim]) != np.sign(truth[claim])).sum() if np.isfinite(truth).all() else np.nan,
        "size": size.sum(),
        "size2": (size**2).sum(),
        "true": true.sum(),
        "true2": (true**2).sum(),
        "size_true": (size * true).sum(),
    }


def _binomial(share: np.ndarray, trials: np.ndarray | float) -> np.ndarray:
    return np.sqrt(share * (1 - share) / trials)


def _ratio(s: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean |estimate| / mean |truth| over significant results, and its MCSE by the delta method."""
    claims, ratio = s["claims"], np.where(s["true"] > 0, s["size"] / s["true"], np.nan)
    spread = s["size2"] - 2 * ratio * s["size_true"] + ratio**2 * s["true2"]  # sum of (size - ratio true)^2
    return ratio, np.sqrt(np.maximum(spread, 0) / (claims * (claims - 1))) / (s["true"] / claims)


def performance(estimate: np.ndarray, se: np.ndarray, truth: float, *, low: np.ndarray, high: np.ndarray) -> xr.Dataset:
    """Return bias, empirical and model SE, MSE, coverage and power of replicates (R,) with a known truth.

    Formulas and MCSE as `Tally.characteristics`; power is the share of intervals that exclude 0. For any simulation
    study: what rsimsum (Gasparini 2018) reports.
    """
    excludes = (low > 0) | (high < 0)
    shape = estimate.shape
    e = Verdicts(estimate, se, low, high, excludes, np.zeros(shape, bool), np.zeros(shape, bool))
    tally = Tally(["estimate"], 1, 1, independent=True)
    tally.add({"estimate": e}, {"estimate": np.full(shape, truth)}, np.zeros(shape, int), 0)
    found = tally.characteristics()
    names = ("bias", "empirical_se", "model_se", "mse", "coverage")
    out = {f"{n}{m}": found[f"{n}{m}"].item() for n in names for m in ("", "_mcse")}
    return xr.Dataset(out | {"power": found["success"].item(), "power_mcse": found["success_mcse"].item()})
