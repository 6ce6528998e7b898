"""Calibration: the record of the shipped models held to thresholds, and quick runs that a wrong posterior does not pass.

A recorded figure may be off by chance, and there are several hundred. Every family of them is held to the level at which
one of all is beyond its threshold in one run of a hundred (Bonferroni): FAMILY / number of figures.
"""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gmfmsim.calibration import DATA_SETS, SIZES, applies, design, model_hash, read_record
from gmfmsim.evidence.contrasts import contrasts_from_arrays
from gmfmsim.evidence.read import read_tables
from gmfmsim.model.calibrate import Simulated, ecdf_p, exact_engine, nuts_engine, simulate, uniformity
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.nuts import Sampler
from gmfmsim.model.priors import parse_prior
from gmfmsim.shipped import names

RECORD = read_record(Path(__file__).parent / "validation")
FAMILY = 0.01
MODELS = names("models")
R_HAT_MAX = 1.01
