# Everything runs in .venv. A stamp file remembers each installation, so that the next run starts at once.
PYTHON ?= python3
BACKENDS ?= all
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install -c constraints.txt
LOG := $(VENV)/pip.log
TRIED := dist.tried
OLD := "normcheck needs Python 3.11 or later, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ..."

.DEFAULT_GOAL := help
.PHONY: help setup compare test test-browser check lint type format bench power docs site fuzz release clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

setup: $(VENV)/.users ## install normcheck with NumPy, PyTorch and JAX into .venv

compare: $(VENV)/.users ## compare group norm in NumPy, PyTorch and JAX
	$(VENV)/bin/normcheck compare --method group

test: $(VENV)/.developers ## run the tests; a missing framework fails them
	NORMCHECK_REQUIRE_BACKENDS=$(BACKENDS) $(VENV)/bin/pytest -n auto

test-browser: $(VENV)/.developers ## click through the HTML pages in headless Chromium
	@sh tests/browser/install
	NORMCHECK_REQUIRE_BROWSER=1 $(VENV)/bin/pytest tests/browser

check: lint type site ## what CI runs beside the tests: lint, type and site

lint: $(VENV)/.developers ## ruff, and the direction of imports
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --no-cache

type: $(VENV)/.developers ## mypy, strict, on the package
	$(VENV)/bin/mypy

format: $(VENV)/.developers ## fix what ruff can fix
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(VENV)/.users ## time normcheck against a script written by hand
	$(VENV)/bin/python benchmarks/run.py
	$(VENV)/bin/python benchmarks/comparison.py
	$(VENV)/bin/python benchmarks/large.py --gradients

power: $(VENV)/.developers ## measure which broken implementations the checks catch, into docs/power.md
	$(VENV)/bin/python tests/mutants/power.py

fuzz: $(VENV)/.developers ## read 10,000 damaged files, and what else is in tests/fuzz; other ones with ARGS='--seed 1'
	@for script in tests/fuzz/*.py; do $(VENV)/bin/python $$script $(ARGS) || exit 1; done

docs: $(VENV)/.developers ## draw the pictures again, and write the pages of backends and conventions, and the extras
	$(VENV)/bin/python docs/images/make.py
	$(VENV)/bin/python docs/images/plots.py
	$(VENV)/bin/python docs/make_backends.py
	$(VENV)/bin/python docs/make_conventions.py

site: $(VENV)/.developers ## build the website of the documentation into site/; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build

release: $(VENV)/.developers ## build wheel and sdist into dist, install from each, and say how to upload them
	rm -rf dist
	$(VENV)/bin/python -m hatchling build
	$(VENV)/bin/twine check --strict dist/*
	@for file in dist/*; do \
		echo "== $$file"; rm -rf $(TRIED); $(PYTHON) -m venv $(TRIED) \
		&& $(TRIED)/bin/python -m pip --disable-pip-version-check install -q -c constraints.txt $$file \
		&& (cd $(TRIED) && bin/normcheck --version && bin/normcheck compare -q) || exit 1; \
	done; rm -rf $(TRIED)
	@echo "ready: $(VENV)/bin/twine upload dist/*"

clean: ## remove .venv, caches and builds
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A half-made environment is removed, so that the next run begins again; what pip says is shown where it fails.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit($(OLD) if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.users: EXTRAS := torch,jax
$(VENV)/.developers: EXTRAS := all,dev
$(VENV)/.users $(VENV)/.developers: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing normcheck[$(EXTRAS)] into $(VENV): this takes minutes, once"
	@$(PIP) -e '.[$(EXTRAS)]' > $(LOG) 2>&1 || { cat $(LOG) >&2; exit 1; }
	@touch $(VENV)/.users $@
