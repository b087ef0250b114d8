# setup: everything into .venv   demo: the main job in a minute   test: all checks and tests   check: the quick half   simulate: many seeds
# test-faults: real processes, broken in every way   test-bugs: deliberate bugs, each of which must be caught
SEEDS ?= 1000
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: setup demo test check simulate test-faults test-bugs schemas bench bench-quick test-docker clean

setup: .venv/.done

.venv/.done: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: setup
	$(BIN)/ticketsync demo

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n 2 -m "not servers and not stack and not docker"

test: check
	$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "servers and not stack and not docker"
	$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "stack or docker"

simulate: setup
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)

test-faults: setup
	$(BIN)/python -m tests.faults

test-bugs: setup
	$(BIN)/python -m tests.simulation --bugs
	$(BIN)/pytest -q -rA tests/simulation/test_contract.py
	$(BIN)/python -m tests.faults --bug "key on update-ticket" --only "said again"
	$(BIN)/python -m tests.faults --bug "repeated without keys" --only "a cloud without idempotency keys"

schemas: setup
	$(BIN)/python -m schemas.generate

# Peers that cannot be had are skipped; they get into .bench/ and never into what the product installs.
bench: setup
	$(PYTHON) bench/peers/prepare.py
	$(BIN)/python -m bench

bench-quick: setup
	$(PYTHON) bench/peers/prepare.py
	$(BIN)/python -m bench --quick

test-docker: setup
	$(BIN)/pytest -m docker

clean:
	rm -rf .venv
