PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: run test lint docs tables bench clean

run: .venv/.run  ## train and measure the quick study, write its page
	$(BIN)/sgdscope run quick --out out/quick

test: .venv/.test  ## run the tests, doctests included, one process a core
	$(BIN)/python -m pytest --numprocesses auto

lint: .venv/.lint  ## check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: .venv/.docs  ## build the documentation, out/site/index.html; anything amiss is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

tables: .venv/.run  ## judge the kept studies anew, write the tables of docs/
	$(BIN)/python -m docs.tables

bench: .venv/peers/.done  ## run every benchmark small beside its peers, write benchmarks/RESULTS.md; wants a quiet machine
	.venv/peers/bin/python benchmarks/all.py

.venv/.run: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("sgdscope needs Python 3.11 or newer; set PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable .
	touch $@

.venv/.test: .venv/.run
	$(INSTALL) --editable '.[test,ray]'
	touch $@

.venv/.lint: .venv/.run
	$(INSTALL) --editable '.[lint]'
	touch $@

.venv/.docs: .venv/.run
	$(INSTALL) --editable '.[docs]'
	touch $@

.venv/peers/.done: pyproject.toml constraints.txt benchmarks/requirements.txt
	$(PYTHON) -m venv .venv/peers
	.venv/peers/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	.venv/peers/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement benchmarks/requirements.txt
	touch $@

clean:
	rm -rf .venv out
