# Everything a developer or CI runs. PYTHON=python3.13 works in a folder of its own (.venv-python3.13).
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

RUNS = $(1) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
PYTHON ?= $(shell for one in python3.11 python3.12 python3.13 python3; do $(call RUNS,$$one) && echo $$one && break; done)
VENV ?= $(if $(filter file,$(origin PYTHON)),.venv,.venv-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
BUILT_FROM := pyproject.toml setup.py asyncref/_entries.c $(wildcard asyncref/_c/*.h)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo test lint bench servers clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(VENV)/.demo  ## the whole job on a local S3 server, no account needed
	@$(BIN)/asyncref demo

test: $(VENV)/.dev servers  ## the whole suite; ARGS="-k name" for a part
	@$(BIN)/python -m pytest -rs $(ARGS)

lint: $(VENV)/.dev  ## ruff, mypy, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: $(VENV)/.dev  ## asyncref against its peers on a synthetic store
	@$(BIN)/python -m benchmarks scan $(ARGS)

servers:  ## real servers for the tests (only as root or under CI)
	@.ci/servers

clean:  ## all that was installed or built here
	rm -rf .venv .venv-* build dist *.egg-info asyncref/*.so .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.pip:
	@test -n "$(PYTHON)" || { echo "asyncref needs Python 3.11 or newer, with venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade 'pip>=25.1'  # the first with --group
	@touch $@

$(VENV)/.demo: $(VENV)/.pip $(BUILT_FROM)
	@echo "installing asyncref and a local S3 server (moto) into $(VENV)"
	@$(PIP) install --editable . 'moto[server]>=5'
	@touch $@

$(VENV)/.dev: $(VENV)/.pip $(BUILT_FROM)
	@echo "installing asyncref and its development tools into $(VENV)"
	@$(PIP) install --editable . --group dev
	@touch $@ $(VENV)/.demo
