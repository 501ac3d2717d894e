# The two that do everything: `make corpus` and `make test`. Each makes the environment when it is not there yet.

PYTHON ?= python3
ARGS ?=
# Workers of the tests: 0 for none (-s, --pdb). Each takes up to 3 GB, so there are never more than 8.
JOBS ?= auto
OUT ?= build/corpus
# Of the slow checks, those whose hash falls in part K of N.
PART ?= 1/1
SEED ?= 0

ENV := .venv
LOCK := .ci/constraints.txt
# The environment is made anew when the lock, the project's requirements or the interpreter change.
STAMP := $(ENV)/installed-$(shell { cat pyproject.toml $(LOCK); $(PYTHON) -VV; } | sha256sum | cut -c1-16)

PYTEST := $(ENV)/bin/python -m pytest --numprocesses $(JOBS) --maxprocesses 8 --dist worksteal

.PHONY: help setup corpus test check links wheel soak bench docs pictures clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

setup: $(STAMP)  ## make the environment in .venv

$(STAMP):
	$(PYTHON) -m venv --clear $(ENV)
	$(ENV)/bin/pip install --quiet --only-binary=:all: --constraint $(LOCK) --editable '.[dev]'
	touch $@

corpus: $(STAMP)  ## build the demonstration corpus, train a small model on it, let it speak
	$(ENV)/bin/tokenmill build docs --out $(OUT) $(ARGS)
	$(ENV)/bin/tokenmill train $(OUT) --restart-if-stale
	for prompt in The Returns Usage:; do $(ENV)/bin/tokenmill sample $(OUT) "$$prompt" || exit; done

test: $(STAMP)  ## run the tests (7 minutes on 2 cores, and 2 more the first time)
	$(PYTEST) -m 'not soak' $(ARGS)

check: $(STAMP) links  ## lint, format, types, and that every row of faults has its tests
	$(ENV)/bin/ruff check .
	$(ENV)/bin/ruff format --check .
	$(ENV)/bin/mypy
	$(ENV)/bin/python -m tests.faults.rows

# The package as tools see it that read sources and run no import hook: mypy, editors, mkdocstrings.
links:
	rm -rf build/links && mkdir -p build/links/tokenmill
	cd build/links/tokenmill && ln -s ../../../flows/api/* ../../../pipeline ../../../tokenizer ../../../model ../../../flows .

# setuptools puts what an earlier build left in build/lib into the next wheel, so it goes first.
wheel: $(STAMP)  ## build a wheel in dist/
	rm -rf build/lib build/bdist.*
	$(ENV)/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

# Peers that cannot be installed are left out by name: offline, the rest is measured all the same.
$(STAMP)-bench: $(STAMP)
	$(ENV)/bin/pip install --quiet --only-binary=:all: --constraint $(LOCK) --editable '.[dev,bench]' && touch $@ || true

bench: $(STAMP)-bench  ## each stage beside what people use today (at most 10 minutes); ONLY=c4 for one
	$(ENV)/bin/python -m tests.bench $(if $(ONLY),--only $(ONLY)) $(ARGS)

soak: $(STAMP)  ## the slow checks: faults at every file operation, all real data; PART=2/4 for a part
	$(PYTEST) -m soak --soak-part $(PART) --soak-seed $(SEED) $(ARGS)

$(STAMP)-docs: $(STAMP)
	$(ENV)/bin/pip install --quiet --only-binary=:all: --constraint $(LOCK) --editable '.[dev,docs]'
	touch $@

# mkdocs-material recommends its successor in each run; that is no fault of a page.
docs: $(STAMP)-docs links  ## build the site of the documentation in build/docs, for a browser
	NO_MKDOCS_2_WARNING=1 $(ENV)/bin/python -m mkdocs build --config-file flows/docs/mkdocs.yml

pictures: $(STAMP)  ## draw the pictures of the README from what `make corpus` built; needs chromium
	$(ENV)/bin/python -m tokenmill.flows.docs.pictures $(OUT)

clean:  ## remove what `make` made
	rm -rf $(ENV) build dist
