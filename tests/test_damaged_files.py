"""Random damage: whatever happens to a file, it reads to finite numbers or is refused in words."""

import copy
import csv
import io
import json
import re
import shutil
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tomli_w
from conftest import examples
from damage import ABSENT, VALID, changed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gmfmsim import check
from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.pooled import PooledChoice, pooled_estimate
from gmfmsim.evidence.read import PACKAGE_TABLES, read_tables
from gmfmsim.evidence.schema import TABLES
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import find, names
from gmfmsim.question.plan import Prepared
from gmfmsim.question.question import read_question

DAMAGE = settings(
    max_examples=examples(12, 80),
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
CONTENT = {name: (PACKAGE_TABLES / f"{name}.csv").read_bytes() for name in TABLES}


@pytest.fixture(scope="module")
def copied_tables(tmp_path_factory):
    return shutil.copytree(PACKAGE_TABLES, tmp_path_factory.mktemp("damaged") / "tables")


def or_refused(action, *arguments):
    """Return what the action returns, or None if it refuses its input in words."""
    try:
        return action(*arguments)
    except InputError as error:
        faults = error.faults
    assert faults
    assert all(fault.file and fault.where and fault.problem and fault.allowed for fault in faults)
    return None


def assert_finite_or_refused(folder: Path, table: str, content: bytes) -> None:
    """Damage one table, read all and use them."""
    path = folder / f"{table}.csv"
    path.write_bytes(content)
    tables = or_refused(read_tables, folder)
    path.write_bytes(CONTENT[table])
    if tables is None:
        return
    numbers = [v for rows in tables.rows.values() for row in rows for v in row.values() if isinstance(v, float)]
    assert np.isfinite(numbers).all()
    data = or_refused(select_contrasts, tables, Selection(default_use="primary"))
    assert data is None or np.isfinite([*data["effect"].values, *data["covariance"].values.flat]).all()
    choice = PooledChoice(meta_id="Eggenberger2019", scale="GMFM-66/88")
    estimate = or_refused(pooled_estimate, tables, choice)
    assert estimate is None or np.isfinite([estimate.mean, estimate.se, estimate.tau]).all()


@DAMAGE
@given(data=st.data(), table=st.sampled_from(sorted(TABLES)))
def test_damaged_bytes_of_a_table(copied_tables, data, table):
    content = bytearray(CONTENT[table])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        length = data.draw(st.integers(0, 3))
        content[at : at + length] = data.draw(st.binary(max_size=3) | st.sampled_from([b",", b'"', b"\n", b"\r", b"9"]))
    assert_finite_or_refused(copied_tables, table, bytes(content))


@DAMAGE
@given(data=st.data(), table=st.sampled_from(["arms", "contrasts", "pooled", "outcomes", "studies"]))
def test_damaged_cells_of_a_table(copied_tables, data, table):
    rows = list(csv.reader(io.StringIO(CONTENT[table].decode("utf-8"))))
    wild = ["", "0", "-1", "1e-200", "1e200", "-1e300", "1e999", "inf", "nan", "0x10", "1_000", "٣", "yes", "GMFM-66"]
    for _ in range(data.draw(st.integers(1, 3))):
        row = data.draw(st.sampled_from(rows[:20]))
        row[data.draw(st.integers(0, len(row) - 1))] = data.draw(
            st.sampled_from(wild) | st.text(st.characters(codec="utf-8"), max_size=5) | st.floats().map(repr)
        )
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    assert_finite_or_refused(copied_tables, table, text.getvalue().encode("utf-8"))


@DAMAGE
@given(data=st.data(), table=st.sampled_from(sorted(TABLES)))
def test_lost_and_repeated_lines_of_a_table(copied_tables, data, table):
    lines = CONTENT[table].splitlines(keepends=True)
    lost = data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=5))
    twice = data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=2))
    kept = [line for i, line in enumerate(lines) for _ in range(1 - (i in lost) + (i in twice))]
    content = b"".join(kept)[: data.draw(st.none() | st.integers(0, len(CONTENT[table])))]
    assert_finite_or_refused(copied_tables, table, content)


def assert_valid_or_refused(path: Path, content: bytes) -> None:
    """Write an experiment and read it; what is accepted must have a key and a configuration that reads again."""
    path.write_bytes(content)
    experiment = or_refused(read_question, str(path))
    if experiment is not None:
        path.write_text(tomli_w.dumps(experiment.config), encoding="utf-8")
        assert read_question(str(path)).key == experiment.key


@DAMAGE
@given(data=st.data())
def test_damaged_bytes_of_an_experiment(tmp_path, data):
    content = bytearray(VALID.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        length = data.draw(st.integers(0, 6))
        content[at : at + length] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"=", b'"', b"\n", b"[", b"]", b"{", b"}", b".", b"1e9", b"nan"])
        )
    assert_valid_or_refused(tmp_path / "trial.toml", bytes(content))


SCALARS = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8)
    | st.dates()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=2),
    max_leaves=4,
)
KEYS = [
    *("question", "seed", "name", "label", "alternatives", "sampler", "analysis", "evidence", "evidence.tables"),
    *("evidence.select", "evidence.select.default_use", "evidence.select.month", "evidence.select.row"),
    *("evidence.pooled", "model", "model.name", "model.priors", "model.priors.tau", "model.priors.taw", "trial"),
    *("trial.month", "trial.arms", "trial.arms.0", "trial.arms.0.dose", "trial.arms.1.ratio", "trial.sd_change"),
    *("trial.sd_change.dist", "trial.sd_change.median", "trial.dropout", "trial.oddity", "search", "search.target"),
    *("search.target.value", "search.planning_value", "search.replicates", "search.max_n_per_arm", "analysis.alpha"),
]


@DAMAGE
@given(
    key=st.sampled_from(KEYS),
    value=VALUES | st.just(ABSENT),
    alternatives=st.sampled_from([ABSENT, [{"label": "b"}], [{"trial": {"month": 6}}, {"model": {"name": "emax"}}]]),
)
def test_damaged_values_of_an_experiment(tmp_path, key, value, alternatives):
    config = tomllib.loads(VALID)
    if alternatives is not ABSENT:
        config["alternatives"] = alternatives
    try:
        changed(config, {key: value})
    except KeyError:  # nothing there to take out
        return
    assert_valid_or_refused(tmp_path / "trial.toml", tomli_w.dumps(config).encode("utf-8"))


# every shipped experiment and design, looked at as `check` does

SHIPPED = {name: tomllib.loads(find("experiments", name).read_text(encoding="utf-8")) for name in names("experiments")}
SHIPPED["past_trials"]["past"]["designs"] = ["wang2015", "rah2017"]  # for speed: two of the twenty
SHIPPED |= {
    f"design {name}": {
        "question": "Which?",
        "seed": 1,
        "evidence": {"select": {"default_use": "primary"}},
        "model": {"name": "random_effects"},
        "search": {"target": {"metric": "assurance", "value": 0.8}, "planning_value": 1},
        "trial": tomllib.loads(find("designs", name).read_text(encoding="utf-8")),
    }
    for name in names("designs")
}
WILD = (
    SCALARS
    | st.sampled_from(
        [1e308, 5e-324, -(2**63), 2**63 - 1, 10**6, "x" * 300, "", "emax", "sun2017", "package", "GMFM-66"]
    )
    | st.sampled_from(
        ["../..", "/etc", "a/b.toml", "\\", "~", "%s", "{0}", "黄", "$x$", "<b>", "\u202e", "a\0b", "CON"]
    )
    | st.sampled_from([[], {}, [[]], [{}], [1, "a"], {"dist": "fixed", "value": 0}, {"a": {}}, [{}] * 9])
)


def places(node: object) -> list[tuple]:
    """Return every place in a file as its parent and its key."""
    items = list(node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ())
    return [(node, key) for key, _ in items] + [place for _, value in items for place in places(value)]


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_what_is_damaged_below_is_valid(tmp_path, name):
    path = tmp_path / "trial.toml"
    path.write_text(tomli_w.dumps(SHIPPED[name]), encoding="utf-8")
    assert check(str(path))["key"]


@settings(DAMAGE, max_examples=examples(15, 100))
@given(data=st.data(), name=st.sampled_from(sorted(SHIPPED)))
def test_damaged_shipped_experiments(tmp_path, data, name):
    """What is deleted, replaced or added anywhere: a dict that can be written as JSON and TOML, or a refusal."""
    config = copy.deepcopy(SHIPPED[name])
    for _ in range(data.draw(st.integers(1, 2))):
        node, key = data.draw(st.sampled_from(places(config)))
        match data.draw(st.sampled_from(["delete", "replace", "replace", "add", "move"])):
            case "delete":
                del node[key]
            case "replace":
                node[key] = data.draw(WILD)
            case "add" if isinstance(node, dict):
                node[data.draw(st.sampled_from(KEYS).map(lambda key: key.rpartition(".")[2]))] = data.draw(WILD)
            case "move":
                other, its = data.draw(st.sampled_from(places(config)))
                node[key] = copy.deepcopy(other[its])
        if not places(config):
            break
    path = tmp_path / "trial.toml"
    path.write_text(tomli_w.dumps(config), encoding="utf-8")
    found = or_refused(check, str(path))
    if found is not None:
        assert json.loads(json.dumps(found, allow_nan=False))["key"] == found["key"]
        assert tomllib.loads(tomli_w.dumps(found["config"])) == found["config"]


@given(st.text(max_size=60) | st.sampled_from(["..", "/", "a/../b", "\\", "CON", "\0", "\u202e", "黄", "."]))
def test_a_label_names_a_folder_of_its_own(label):
    """Alternatives stand in folders of their labels: no label leads elsewhere."""
    slug = Prepared.slug.fget(SimpleNamespace(plan=SimpleNamespace(label=label)))
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,120}[a-z0-9])?", slug)
