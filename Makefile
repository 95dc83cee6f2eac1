# rlvr_sweep: "make" lists the targets. ARGS= goes to the command behind one, as in:  make run ARGS='model=lab/olmo reward=python'
.DEFAULT_GOAL := help
.PHONY: help setup run test test-slurm test-gpu lint format types lock bench doctor clean

BIN := .venv/bin
WORKERS := 2
# Tests take nothing from a hub and send nothing out. One thread a process: two cores, and sums in the same order everywhere.
TEST_ENV := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 WANDB_MODE=offline PYRIGHT_PYTHON_IGNORE_WARNINGS=1

help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv and install into it (PYTHON=python3.12, DEVICE=cpu|gpu|gpu-vllm)
	@requirements/setup.sh

run: setup ## run the default cell, or what ARGS= says
	@$(BIN)/python -m rlvr_sweep $(ARGS)

test: lint types ## lint, types and all tests; ARGS= goes to pytest, WORKERS= files at a time (0: in one process, for --pdb)
	$(TEST_ENV) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

test-slurm: setup ## sweeps on a real SLURM on this machine, one a worker (Debian's packages are installed where that is allowed)
	@tests/slurm/install.sh || true
	$(TEST_ENV) $(BIN)/python -m pytest -n $(WORKERS) -m slurm tests/slurm $(ARGS)

test-gpu: setup ## tests that need a GPU, or two; what vLLM or a second GPU is missing for is skipped
	$(TEST_ENV) $(BIN)/python -m pytest -m gpu tests/gpu $(ARGS)

lint: setup ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: setup ## write what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: setup ## pyright on the package and the tests
	$(TEST_ENV) $(BIN)/pyright --pythonpath $(BIN)/python

doctor: setup ## check this machine: versions, GPUs, disk, offline mode
	@$(BIN)/python -m rlvr_sweep doctor $(ARGS)

bench: setup ## time what must stay fast: tests/bench/*.py
	@for file in tests/bench/*.py; do name=$$(basename $$file .py); echo "== $$name"; \
	    $(TEST_ENV) $(BIN)/python -m tests.bench.$$name $(ARGS) || exit 1; done

lock: ## resolve pyproject.toml into requirements/*.txt (ARGS=--upgrade for the newest)
	@requirements/lock.sh $(ARGS)

clean: ## remove caches and builds; never runs/, nor .venv
	rm -rf build dist .pytest_cache .ruff_cache
	find rlvr_sweep tests -name __pycache__ -type d -prune -exec rm -rf {} +
