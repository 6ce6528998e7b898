"""What is remembered is what would be computed again, and whatever is wrong with the memory costs time alone."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import gmfmsim
from gmfmsim.answer import size
from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.faults import InputError
from gmfmsim.files import remembered as memory
from gmfmsim.files.shelf import find
from gmfmsim.files.toml import read_toml
from gmfmsim.model import engine
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.model.engine import exact_draws, fit
from gmfmsim.model.exact import fit_exact
from gmfmsim.model.nuts import Sampled, Sampler
from gmfmsim.question import evidence
from gmfmsim.streams import stream

MU = {"dist": "normal", "mean": 0, "sd": 3, "unit": "GMFM-66 points", "reason": "made up for a test"}
ARRAYS = {"x": np.linspace(0, 1, 7), "hit": np.array([[True, False]])}


class Counted:
    """A computation that counts how often it is done."""

    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1
        return ARRAYS


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty memory."""
    monkeypatch.setenv(memory.PLACE, str(tmp_path))
    return tmp_path


def same(found):
    return found.keys() == ARRAYS.keys() and all((found[k] == v).all() for k, v in ARRAYS.items())


def test_what_was_computed_is_not_computed_again(place):
    work = Counted()
    assert same(memory.remembered("a", work))
    assert same(memory.remembered("a", work))
    assert work.times == 1
    memory.remembered("b", work)
    assert work.times == 2
    assert sorted(p.name for p in place.iterdir()) == ["a.npz", "b.npz"]


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut", b"not a zip at all"])
def test_a_damaged_file_is_computed_anew(place, damage):
    work = Counted()
    memory.remembered("a", work)
    (place / "a.npz").write_bytes(damage)
    assert same(memory.remembered("a", work))
    assert work.times == 2
    assert same(memory.remembered("a", work))
    assert work.times == 2


def test_no_code_is_run_from_the_memory(place):
    np.savez(place / "a.npz", x=np.array([{"an": "object"}], object))
    work = Counted()
    assert same(memory.remembered("a", work))
    assert work.times == 1


def test_a_memory_that_cannot_be_written_is_none(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(memory.PLACE, str(tmp_path / "file"))
    work = Counted()
    assert same(memory.remembered("a", work))
    assert same(memory.remembered("a", work))
    assert work.times == 2


def test_nothing_is_remembered_where_none_is_wished(monkeypatch, tmp_path):
    monkeypatch.setenv(memory.PLACE, "")
    monkeypatch.chdir(tmp_path)
    work = Counted()
    assert same(memory.remembered("a", work))
    assert same(memory.remembered("a", work))
    assert work.times == 2
    assert not list(tmp_path.iterdir())


def test_the_oldest_are_forgotten(place, monkeypatch):
    monkeypatch.setattr(memory, "MOST", 3)
    for name in "abcde":
        memory.remembered(name, Counted())
    assert len(list(place.iterdir())) == 3
    assert (place / "e.npz").exists()


def test_a_key_tells_apart_whatever_a_result_depends_on(tmp_path):
    code = tmp_path / "code.py"
    code.write_text("a = 1")

    def key(said=("model", "seed"), arrays=ARRAYS, packages=("numpy",)):
        return memory.key_of(said, arrays, packages=packages, code=[code])

    first = key()
    others = [
        key(said=("mode", "lseed")),
        key(arrays=ARRAYS | {"x": ARRAYS["x"] + 1e-16}),
        key(arrays=ARRAYS | {"x": ARRAYS["x"].astype("f4")}),
        key(arrays=ARRAYS | {"hit": ARRAYS["hit"].T}),
        key(arrays={"y": ARRAYS["x"], "hit": ARRAYS["hit"]}),
        key(packages=("scipy",)),
    ]
    code.write_text("a = 2")
    assert len({first, *others, key()}) == len(others) + 2
    assert first != key()


def like_sampled(spec, data, how, seed, **_):
    """What stands in for `sample`: draws of the exact posterior, with statistics as of a sampler."""
    draws = exact_draws(fit_exact(spec, data), how, seed)
    numbers = stream(seed, "statistics").standard_normal((how.chains, how.draws))
    stats = {"diverging": numbers > 9, "energy": numbers, "tree_depth": numbers.astype(int)}
    return Sampled(draws, xr.Dataset({name: (("chain", "draw"), values) for name, values in stats.items()}))


@pytest.mark.parametrize("sampling", ["stands in", pytest.param("real", marks=pytest.mark.slow)])
def test_a_cross_check_is_sampled_once(place, monkeypatch, sampling):
    if sampling == "stands in":
        monkeypatch.setattr(engine, "sample", like_sampled)
    tables = read_tables()
    data = read_contrasts(select_contrasts(tables, Selection(default_use="primary")), tables, "as_tabled")
    spec, how = read_model(ModelChoice(name="random_effects")), Sampler(chains=2, tune=200, draws=200)
    first = fit(spec, data, how, 1)
    monkeypatch.setattr(engine, "sample", lambda *_, **__: pytest.fail("sampled again"))
    again = fit(spec, data, how, 1)
    assert again.gate == first.gate
    assert again.compared == first.compared
    assert again.check_stats.identical(first.check_stats)
    for other in ({"seed": 2}, {"sampler": how.model_copy(update={"target_accept": 0.9})}):
        with pytest.raises(pytest.fail.Exception, match="sampled again"):
            fit(**{"spec": spec, "data": data, "sampler": how, "seed": 1} | other)
    with pytest.raises(pytest.fail.Exception, match="sampled again"):
        fit(spec, data.assign(se=data["se"] * 1.01), how, 1)


EVIDENCE = Path(gmfmsim.__file__).parent / "evidence" / "tables"


def test_tables_are_read_again_where_a_byte_of_them_or_the_memory_is_another(place, monkeypatch, tmp_path):
    """And not before; the answer is that of no memory each time."""
    own = tmp_path / "own"
    shutil.copytree(EVIDENCE, own)
    raw = read_toml(find("experiments", "quickstart_one_mean"))
    raw |= {"evidence": raw["evidence"] | {"tables": str(own)}}
    read, times = evidence.read_sources, []
    monkeypatch.setattr(evidence, "read_sources", lambda *of: times.append(of) or read(*of))
    first = gmfmsim.size(raw)
    assert gmfmsim.size(raw) == first
    assert len(times) == 1
    for kept in place.glob("*.npz"):
        kept.write_bytes(kept.read_bytes()[:-40])
    assert gmfmsim.size(raw) == first
    assert len(times) == 2
    contrasts = own / "contrasts.csv"
    contrasts.write_bytes(contrasts.read_bytes() + b"\n")
    assert gmfmsim.size(raw) == first
    assert len(times) == 3
    contrasts.write_text("study_id\nnobody\n")
    with pytest.raises(InputError):
        gmfmsim.size(raw)
    with pytest.raises(InputError):
        gmfmsim.size(raw)


def test_another_trial_on_the_same_models_and_evidence_fits_nothing(place, monkeypatch):
    """And is what it would be without the memory; other evidence, another model or another target cells are fitted."""
    raw = read_toml(find("experiments", "quickstart_one_mean"))

    def with_trial(**trial):
        return raw | {"trial": raw["trial"] | trial}

    def not_again(*_):
        pytest.fail("fitted again")

    fitted_models = size.fitted_models
    gmfmsim.size(raw)
    monkeypatch.setattr(size, "fitted_models", not_again)
    found = gmfmsim.size(with_trial(dropout=0.3))
    others = (
        raw | {"evidence": raw["evidence"] | {"readings": "as_tabled"}},
        raw | {"model": {"name": "arms"}},
        raw | {"model": {"name": "random_effects", "priors": {"mu": MU}}},
    )
    for other in others:
        with pytest.raises(pytest.fail.Exception, match="fitted again"):
            gmfmsim.size(other)
    monkeypatch.setattr(size, "fitted_models", fitted_models)
    monkeypatch.setenv(memory.PLACE, "")
    assert gmfmsim.size(with_trial(dropout=0.3)) == found
