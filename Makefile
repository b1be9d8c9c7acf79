# Every target works from a bare python3 (3.11 or newer) and make: the first one that runs creates .venv.

PYTHON ?= python3
PY := .venv/bin/python
TESTS ?= # what `make test` and `make matrix` run, as `TESTS=tests/rules` (default: all)
# Bytecode is cached: tests start hundreds of processes, each of which would compile migrate again.
PYTEST := PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -n 2

.PHONY: demo test matrix families oldest stranger docs torture fuzz lint format bench lock fixtures clean
.DEFAULT_GOAL := test

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "migrate needs Python 3.11 or newer; say make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: .venv/installed  ## migrate a bundled old Linen checkpoint into an NNX model and compare their outputs
	$(PY) docs/demo.py

test: .venv/installed  ## the suite, in less than ten minutes on 2 cores, with a sample of the longest lists of cases; prints where its time went
	$(PY) -m compileall -q migrate
	$(PYTEST) --where $(TESTS)

matrix: .venv/installed  ## the long lists of cases, of which `make test` runs a sample, and more examples of each law
	$(PY) -m compileall -q migrate
	$(PYTEST) -m 'matrix or hypothesis' --hypothesis-profile=matrix --where $(TESTS)

stranger:  ## a newcomer's path: a fresh clone, demo, part of the tests, the tutorial; takes minutes, most for the environment
	$(PYTHON) tests/stranger.py

.venv-families/installed: tests/families/requirements.txt tests/families/torch.txt
	$(PYTHON) -m venv .venv-families
	for file in $^; do .venv-families/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $$file || exit 1; done
	touch $@

families: .venv-families/installed  ## every model family, there and back, in an environment of its own; writes docs/families.md and fixtures/families
	.venv-families/bin/python -m tests.families --write --keep

.venv-oldest/installed: tests/oldest/requirements.txt
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	touch $@

oldest: .venv/installed .venv-oldest/installed  ## migrate with the oldest libraries of pyproject.toml and the newest; each restores what the other wrote
	$(PY) -m tests.oldest .venv-oldest/bin/python

docs: .venv/installed  ## the documentation as a site in docs/build; warnings are errors
	$(PY) -m sphinx -W --keep-going -q -b html docs docs/build

torture: .venv/installed  ## attack it for up to 40 minutes; writes docs/reliability.md
	$(PY) -m tests.torture --write docs/reliability.md

fuzz: .venv/installed  ## fuzz every parser for 30 minutes, guided by coverage; needs the atheris package
	$(PY) -m tests.torture.fuzz

lint: .venv/installed  ## ruff, formatting and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: .venv/installed
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: .venv/installed  ## time and memory against Orbax restore + save, growth, the cost of terabytes; against transformers after `make families`
	$(PY) -m tests.benchmarks.run
	$(PY) -m tests.benchmarks.tuning
	$(PY) -m tests.benchmarks.scale
	if [ -e .venv-families/installed ]; then .venv-families/bin/python -m tests.benchmarks.converting; fi

lock: .venv/installed  ## resolve requirements.lock and the oldest versions again; needs the uv command
	uv pip compile pyproject.toml --group dev --python-version 3.11 --no-header --no-annotate --no-emit-index-url --output-file requirements.lock
	uv pip compile pyproject.toml --resolution lowest-direct --python-version 3.11 --no-header --no-annotate --no-emit-index-url --output-file tests/oldest/requirements.txt

fixtures: .venv/installed  ## write the fixtures again with the old versions; needs the uv command and old Pythons
	$(PY) fixtures/regenerate.py

clean:
	rm -rf .venv .venv-families .venv-oldest demo-out docs/build docs/reference/made node_modules
