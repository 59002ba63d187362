# Every target works on a fresh machine by itself: it makes .venv, installs what it needs, and is quick the second time.
PYTHON ?= python3
# The torch that the tests ran with. GPU users set TORCH to the build for their driver; pyproject keeps the range open.
TORCH ?= torch==2.13.0
BIN := .venv/bin
# Tiny models: one thread a process is several times faster than two threads that wait for each other.
export OMP_NUM_THREADS ?= 1

.PHONY: setup demo test test-slow test-report test-gpu test-vllm coverage bench reliability lint figures docs clean

setup: .venv/.installed

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
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
	$(BIN)/pytest -n 2 -m "not slow" --hypothesis-profile quick

# What documented commands do at small sizes, and the like: minutes.
test-slow: setup
	$(BIN)/pytest -n 2 -m slow

# Apart from `test`, as it needs a CUDA device; set TORCH to a build for its driver.
test-gpu: setup
	$(BIN)/pytest tests/qtrain/test_gpu.py --gpu

# Apart from `test`, as it needs Chromium and its driver, which pip does not install.
test-report: setup
	@command -v chromium > /dev/null && command -v chromedriver > /dev/null || \
		{ echo "test-report: chromium or chromedriver is missing: apt-get install chromium chromium-driver" >&2; exit 2; }
	$(BIN)/pytest tests/qtrain/test_report_browser.py --browser

# Apart from `test`, as tracing costs the theory's tests as much time again; property tests try 100 examples, not 40.
coverage: setup
	$(BIN)/pytest -n 2 tests/qtheory --cov=qtheory --cov-report=term --cov-fail-under=95

# The engine vllm without a GPU, in an environment of its own (3 GB): the CPU build wants an older transformers.
VLLM_BIN := .venv-vllm/bin

.venv-vllm/.installed: pyproject.toml tests/vllm/requirements.txt
	$(PYTHON) -m venv .venv-vllm
	$(VLLM_BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement tests/vllm/requirements.txt
	$(VLLM_BIN)/python tests/vllm/requirements.py > .venv-vllm/requirements.txt
	$(VLLM_BIN)/python -m pip install --quiet "$(TORCH)" --requirement .venv-vllm/requirements.txt \
		--editable ".[dev]"
	touch $@

# One engine a process is all that vLLM allows: one call of pytest a model.
test-vllm: .venv-vllm/.installed
	$(VLLM_BIN)/pytest tests/vllm/test_vllm_engine.py --vllm-model untied
	$(VLLM_BIN)/pytest tests/vllm/test_vllm_engine.py --vllm-model tied
	$(VLLM_BIN)/pytest tests/vllm/test_vllm_engine.py --vllm-model bfloat16
	$(VLLM_BIN)/pytest tests/vllm/test_vllm_engine.py --vllm-model lora
	$(VLLM_BIN)/pytest tests/vllm/test_vllm_records.py tests/vllm/test_vllm_training.py
	$(VLLM_BIN)/pytest tests/qtrain/test_rollouts.py tests/qtrain/test_engines.py \
		tests/qtrain/test_shared_prompt.py

# TRL as users install it, beside this project, in an environment of its own: nothing of it is imported elsewhere.
BENCH_BIN := .venv-bench/bin

.venv-bench/.installed: pyproject.toml tests/bench/requirements.txt
	$(PYTHON) -m venv .venv-bench
	$(BENCH_BIN)/python -m pip install --quiet "$(TORCH)" --requirement tests/bench/requirements.txt --editable ".[figures]"
	touch $@

# Writes docs/benchmarks.json and docs/benchmarks.md. An interrupted run goes on where it was.
bench: setup .venv-bench/.installed .venv-vllm/.installed
	$(BIN)/python -m figures bench

# Kills, malformed inputs and memory over a long run: half an hour, and the data and table of docs/reliability.md.
MEASURED := figures/data/reliability.json

reliability: setup
	$(BIN)/python tests/qtrain/reliability.py --kills 100 --operations --seed 1 --json $(MEASURED)
	$(BIN)/python tests/qtrain/malformed.py --cases 500 --seed 1 --json $(MEASURED)
	$(BIN)/python tests/qtrain/soak.py --steps 2000 --json $(MEASURED)
	$(BIN)/python -m figures tables

figures: setup
	$(BIN)/python -m figures plot --all

docs: setup
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf .venv .venv-bench .venv-vllm runs dist docs/_build figures/out .pytest_cache .ruff_cache .hypothesis .coverage .import_linter_cache
