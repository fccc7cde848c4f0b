# What a developer does here.  Every target sets itself up; `make` alone prints the list.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=

.PHONY: help demo test test-rust coverage coverage-rust fastpath path peers lint format bench bench-calls bench-latency bench-flood bench-pause bench-soak bench-overload bench-outage bench-failover bench-pair fuzz docs deb clean distclean always

help: ## print this list
	@.ci/fastpath say
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  ARGS=... is passed on: make test ARGS='-k route -x', make demo ARGS='--once', make bench ARGS='--smoke'"

demo: path ## two answerers and the proxy on loopback: watch calls being spread (ARGS to sipdispatch demo)
	@$(BIN)/sipdispatch demo $(ARGS)

test: $(VENV)/.dev path peers ## the whole test suite with the coverage thresholds, or what ARGS selects (pytest's options)
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(ARGS)
ifeq ($(strip $(ARGS)),)
	@$(MAKE) --no-print-directory coverage test-rust
endif

fastpath: $(VENV)/.fastpath ## the compiled packet path, where there is a Rust toolchain
	@.ci/fastpath say

test-rust: ## the tests inside the compiled path, by cargo
	@.ci/fastpath test

coverage: $(VENV)/.dev ## check the thresholds against the last test run: cores 100 %, whole 95 %
	@$(BIN)/python .ci/thresholds.py

coverage-rust: $(VENV)/.dev ## how much of the compiled path do the tests against Python run? (ARGS to pytest instead of those)
	@$(BIN)/python .ci/coverage_rust.py $(ARGS)

peers: $(VENV)/.dev ## install the real programs that the tests talk to (root on Debian), or say which are missing
	@.ci/peers

lint: $(VENV)/.dev ## style, types and import contracts, of the Rust sources too
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	.ci/fastpath lint

format: $(VENV)/.dev ## rewrite the sources in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	.ci/fastpath format

bench: path ## forwarding side by side with the null forwarder and Kamailio, as a Markdown table
	@$(BIN)/python -m bench $(ARGS)

bench-latency: path ## how long a transaction takes at parts of each proxy's maximum (ARGS to bench.latency)
	@$(BIN)/python -m bench.latency $(ARGS)

bench-calls: $(VENV)/.dev path peers ## what a message of a whole call costs, with SIPp (ARGS to bench.calls)
	@$(BIN)/python -m bench.calls $(ARGS)

bench-flood: path ## what becomes of real calls while one source floods the proxy (ARGS to bench.flood)
	@$(BIN)/python -m bench.flood $(ARGS)

bench-pause: path ## the longest time that reading the list again stops the forwarding (ARGS to bench.pause)
	@$(BIN)/python -m bench.pause $(ARGS)

bench-soak: path ## half an hour at half load, list and states changing: do client, proxy and servers agree? (ARGS to bench.soak)
	@$(BIN)/python -m bench.soak $(ARGS)

bench-overload: path ## what comes through a proxy that is offered more than it can forward (ARGS to bench.overload)
	@$(BIN)/python -m bench.overload $(ARGS)

bench-outage: $(VENV)/.dev path peers ## what becomes of calls when one of two Asterisks freezes or dies (root, 25 minutes)
	@$(BIN)/python -m bench.outage $(ARGS)

bench-failover: $(VENV)/.dev path peers ## how long the address is gone when a node or its agent fails, beside keepalived (root)
	@$(BIN)/python -m bench.failover $(ARGS)

bench-pair: $(VENV)/.dev path peers ## what becomes of calls when a node of the pair fails: two edges, two Asterisks, phones (root)
	@$(BIN)/python -m bench.pair $(ARGS)

fuzz: $(VENV)/.fuzz path ## feed the parser and both pipelines with mutated messages (ARGS to fuzz/run.py)
	@$(BIN)/python fuzz/run.py $(ARGS)

docs: $(VENV)/.dev ## check the documentation: links resolve, examples run
	$(BIN)/pytest tests/docs $(ARGS)

deb: $(VENV)/.venv ## the Debian package, with all it needs, into dist/ (on Debian; deploy/README.md says how it is used)
	@deploy/debian/make-package $(BIN)/python

clean: ## remove what was built and measured; the environment and the peers stay
	rm -rf build dist fastpath/target dispatcher/_fastpath*.so $(VENV)/.fastpath ./*.egg-info .coverage .coverage.* .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -path ./$(VENV) -prune -o -path ./.peers -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

distclean: clean ## remove the environment and the peers too
	rm -rf $(VENV) .peers

# The stamps: what is installed into the environment, and from which pyproject.toml.
$(VENV)/.venv:
	@.ci/venv $(PYTHON) $(VENV)
	@touch $@

$(VENV)/.run: pyproject.toml $(VENV)/.venv
	@echo "installing sipdispatch into $(VENV)"
	@PYTHONWARNINGS=ignore $(PIP) install --editable .
	@touch $@

# Says on every run which path there is; one that is missing is tried anew each time.
path: $(VENV)/.run $(VENV)/.fastpath
	@.ci/fastpath say

$(VENV)/.fastpath: $(shell find fastpath -name target -prune -o -type f -print) .ci/fastpath $(VENV)/.run
	@.ci/fastpath build >$@

ifeq ($(wildcard dispatcher/_fastpath.abi3.so),)
$(VENV)/.fastpath: always
endif

always:

$(VENV)/.dev: pyproject.toml $(VENV)/.run
	@echo "installing the test and lint tools into $(VENV)"
	@$(PIP) install --group test --group lint
	@touch $@

$(VENV)/.fuzz: pyproject.toml $(VENV)/.dev
	@echo "installing the fuzzer into $(VENV)"
	@$(PIP) install --group fuzz
	@touch $@
