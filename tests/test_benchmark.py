"""The benchmark of the exact engine says what the README says, on any machine."""

import timeit

import pytest

from gmfmsim import proof as benchmark
from gmfmsim.proof import fits
from gmfmsim.proof.fits import DENSE, _default_model, dense_emax


def test_reference_the_dense_grid_of_the_benchmark_has_converged():
    _, data = _default_model()
    coarse, fine = dense_emax(data, (40, 26, 60)), dense_emax(data, DENSE)
    assert max(abs(coarse[name] / fine[name] - 1) for name in fine) < 1e-8


def test_reference_the_benchmark_of_the_exact_engine_beside_a_dense_grid(monkeypatch):
    """Without sampling and without many data sets at once, which test_batch compares; each time is taken once."""
    monkeypatch.setattr(fits, "shortest", lambda work, repeats: timeit.timeit(work, number=1))
    monkeypatch.setattr(fits, "_batched", lambda model, size: float(size))
    monkeypatch.setattr(fits, "SIZES", range(20, 120))
    monkeypatch.setattr(fits, "_nuts", lambda spec, data, fit: (5.0, 1.0))
    monkeypatch.setattr(fits, "_nutpie", lambda spec, data: 0.1)
    monkeypatch.setattr(fits, "_how_sure", lambda progress: {"sensitivity_table_s": 1.0})
    measured = benchmark.exact()
    assert measured["max_rel_error"] <= 1e-6
    assert abs(measured["ratio"] - 5 / measured["fit_ms"] * 1e3) < 1e-6
    for name in ("fit_ms", "batched_fits_per_s", "batched_emax_fits_per_s", "oc_cells_per_s"):
        assert measured[name] > 0


@pytest.mark.slow
def test_reference_the_benchmark_of_the_exact_engine():
    measured = benchmark.exact()
    assert measured["max_rel_error"] <= 1e-6
    assert measured["nuts_distance_mcse"] < 4  # equal answers; of eight figures chance goes beyond it once in 2000
    assert measured["ratio"] > 100  # above 500 on an idle machine, less where other work shares the cores
    assert abs(measured["ratio"] - measured["nuts_s"] / measured["fit_ms"] * 1e3) < 1e-6
    more = ("sensitivity_table_s", "sensitivity_surface_s", "quickstart_first_answer_s")
    for name in ("nutpie_refit_s", "batched_fits_per_s", "batched_emax_fits_per_s", "oc_cells_per_s", *more):
        assert measured[name] > 0
    assert measured["batched_fits_per_s"] > 2e4  # 2e6 on an idle core
