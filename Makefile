# `make demo` and `make test` set up what they need, in .venv, from the lock files.
PYTHON ?= python3.11
BIN := .venv/bin
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1

SEEDS ?= 50000
MINUTES ?= 120
LINES ?= 1000000
SEED ?= 4217
EDITED_EVERY ?= 1
SEEDS_TELLS ?= 20000
SEEDS_ADAPTERS ?= 2000
SEEDS_POSTGRESQL ?= 5000
KILLS ?= 500
RECORDS ?= 50000

.PHONY: demo test test-real check lint types contracts torture kills flows mutants bench bench-money scale lock clean

demo: .venv/runtime
	$(BIN)/connector demo $(if $(KEEP),--keep)

# Three processes on two cores: many tests wait for a server.
test: .venv/develop
	$(BIN)/pytest -m "not slow" --numprocesses 3 --dist loadfile

# Starts a real BottleCRM (where there is a Python 3.12) and a real Tryton: a few minutes the first time.
test-real: .venv/develop
	CONNECTOR_REAL=1 $(BIN)/pytest -rs --numprocesses 2 --dist loadfile --no-loadscope-reorder tests/real

check: lint types contracts test

lint: .venv/develop
	$(BIN)/ruff check .

types: .venv/develop
	$(BIN)/mypy

contracts: .venv/develop
	$(BIN)/lint-imports

torture: .venv/develop
	$(BIN)/pytest -m slow --numprocesses 2 tests/torture tests/properties tests/acceptance tests/integration
	$(BIN)/python -m connector.testing.torture.crashes --edited-every $(EDITED_EVERY)
	$(BIN)/python -m connector.testing.torture.crashes --tells $(SCENARIOS_TELLS)
	$(BIN)/python -m connector.testing.torture --seeds $(SEEDS) --minutes $(MINUTES)
	$(BIN)/python -m connector.testing.torture --tells --seeds $(SEEDS_TELLS) --minutes $(MINUTES)
	for kind in native_crm native_erp; do $(BIN)/python -m connector.testing.torture.kit tests.torture.simulated_natives:$$kind --seeds $(SEEDS_ADAPTERS) --minutes $(MINUTES) || exit 1; done
	$(BIN)/python -m tests.postgres connector.testing.torture --seeds $(SEEDS_POSTGRESQL) --processes 1

# Schedules, workers, cancellation and killed flow runs, with a real Prefect server: some minutes.
flows: .venv/develop
	$(BIN)/pytest -m slow tests/flows --ignore tests/flows/test_spreads.py

# Kills real processes with -9 while people work in both systems, on either store.
kills: .venv/develop
	$(BIN)/python -m connector.testing.torture.kills --cycles $(KILLS)
	$(BIN)/python -m tests.postgres connector.testing.torture.kills --cycles $(KILLS)

# Changes the code that decides, one spot at a time, and tells which changes no test notices.
# mutmut never renews its copy of what it doesn't change, so it starts afresh.
mutants: .venv/develop
	rm -rf mutants
	$(BIN)/mutmut run
	$(BIN)/mutmut export-cicd-stats && cat mutants/mutmut-cicd-stats.json

bench: .venv/develop
	$(BIN)/python benchmarks/first_load.py
	for measure in latency schedule load busy kills coalesce statuses; do $(BIN)/python benchmarks/webhooks.py $$measure || exit 1; done

# Real workers of a Prefect work pool and of Dask, and what they bring.
scale: .venv/develop
	$(BIN)/pytest -m slow tests/flows/test_spreads.py
	PYTHONPATH=. $(BIN)/python benchmarks/scale_out.py $(RECORDS)

bench-money: .venv/develop
	$(BIN)/python benchmarks/money.py $(LINES) $(SEED)

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/runtime: .venv/bin/python requirements.lock pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.venv/develop: .venv/bin/python requirements-dev.lock pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@ .venv/runtime

lock:
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --group build -o requirements.lock
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --group build --group dev -o requirements-dev.lock
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --group build --extra postgres --extra otel -o deploy/requirements.lock

clean:
	rm -rf .venv .demo .mypy_cache .ruff_cache .pytest_cache
