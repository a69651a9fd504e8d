# Everything runs in .venv, made from pyproject.toml through constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DATA ?=
# One thread per process: two processes of two torch threads each crawl.
export OMP_NUM_THREADS ?= 1

.PHONY: help demo test test-all test-floors bench lint format clean
help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

demo: $(INSTALLED)  ## accuracy against noise on real input; DATA=<folder> takes bearing records
	$(BIN)/python examples/demo.py $(if $(DATA),--data "$(DATA)")

lint: $(INSTALLED)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint  ## lint, types, tests and doctests
	$(BIN)/pytest --numprocesses 2 -m "not slow and not network and not gpu"

test-all: lint  ## the slow tests as well
	$(BIN)/pytest --numprocesses 2 -m "not network"

test-floors: $(INSTALLED)  ## the tests with the oldest versions that pyproject.toml admits
	$(MAKE) test VENV=.venv-floors INSTALLED=.venv-floors/.installed
.venv-floors/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-floors
	$(PYTHON) tests/floors.py pyproject.toml > .venv-floors/constraints.txt
	.venv-floors/bin/python -m pip install --quiet --constraint .venv-floors/constraints.txt --editable ".[test]"
	touch $@

bench: $(INSTALLED)  ## the benchmarks; tables are printed, figures written to benchmarks/results
	$(BIN)/python benchmarks/bench_soft_threshold.py

format: $(INSTALLED)  ## let ruff format and mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what the commands made
	rm -rf $(VENV) .venv-floors .mypy_cache .pytest_cache .ruff_cache *.egg-info examples/output benchmarks/results
