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

# The paper's Table 1 on one base, then the same estimators under Adam where hard and easy prompts are in conflict,
# and where all prompts are alike. An interrupted demo goes on where it was; a finished one only writes the page again.
SIX := grpo rb_rloo garl:q=.25 garl:q=.5 garl:q=.75 garl:q=1

demo: setup
	$(BIN)/qtrain compare qtrain/configs/cold_start.toml --estimator $(SIX) --out runs/demo
	$(BIN)/qtrain compare qtrain/configs/adam_conflict.toml --estimator $(SIX) --out runs/demo-conflict
	$(BIN)/qtrain compare qtrain/configs/adam_alike.toml --estimator $(SIX) --out runs/demo-alike
	$(BIN)/qtrain report runs/demo runs/demo-conflict runs/demo-alike -o runs/demo/report.html

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

test: lint
	$(BIN)/pytest -n 2 --dist loadgroup --cov=qtheory --cov-report=term --cov-fail-under=95

figures: setup
	$(BIN)/python -m figures --all

docs: setup
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf .venv runs dist docs/_build figures/out .pytest_cache .ruff_cache .hypothesis .coverage .import_linter_cache
