# Every target works on a fresh machine by itself: it makes .venv, installs what it needs, and is quick the second time.
PYTHON ?= python3
# The torch that the tests ran with. GPU users set TORCH to the build for their driver; pyproject keeps the range open.
TORCH ?= torch==2.13.0
BIN := .venv/bin
# Tiny models: one thread a process is several times faster than two threads that wait for each other.
export OMP_NUM_THREADS ?= 1

.PHONY: setup demo test lint figures docs clean

setup: .venv/.installed

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable ".[train,dev]"
	touch $@

demo: setup
	$(BIN)/python -m qtrain demo --out runs/demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

test: lint
	$(BIN)/pytest -n 2 --cov=qtheory --cov-report=term --cov-fail-under=95

figures: setup
	$(BIN)/python -m figures --all

docs: setup
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf .venv runs dist docs/_build figures/out .pytest_cache .ruff_cache .hypothesis .coverage .import_linter_cache
