# Set-up lives in .venv: uv when it is on PATH, else the first Python >= 3.12 that really runs.
SHELL := /bin/bash
.PHONY: run test slow style reproduce calibrate clean

run: .venv/ready
	.venv/bin/gmfmsim run quickstart

# One thread for linear algebra in each process that tests; two more threads for two cores only wait for each other.
test slow: export OMP_NUM_THREADS ?= 1
PYTEST := .venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: .venv/ready
	$(PYTEST)

# What `make test` runs at small size only: whole sizes, more damage, speed, the wheel and all models with sampling.
slow: .venv/ready
	$(PYTEST) -m "slow or hypothesis" --hypothesis-profile slow

style: .venv/ready
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

# The shipped results: every experiment once more, into results/.
reproduce: .venv/ready
	for file in experiments/*.toml; do .venv/bin/gmfmsim run $$(basename $$file .toml) || exit 1; done

# The dated record of calibration in tests/validation/: hours on two cores.
calibrate: .venv/ready
	.venv/bin/gmfmsim calibrate --out tests/validation
	.venv/bin/gmfmsim type-one --out tests/validation

clean:
	rm -rf .venv

.venv/ready: pyproject.toml constraints.txt setup.sh
	bash setup.sh
	touch $@
