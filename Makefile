# Two commands do everything on a machine with Python and make: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCK := requirements.lock
READY := $(VENV)/.ready
COMPILED := $(VENV)/.compiled
KERAS := $(VENV)/.keras

.PHONY: demo test test-all check lint types imports setup lock clean help

help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 12

setup: $(READY) $(COMPILED)  ## the environment alone

$(READY): $(LOCK) pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("AirTune needs Python 3.11 or newer") if sys.version_info < (3, 11) else 0'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --no-compile -r $(LOCK)
	@# pip would compile on one core, half of its time; some packages hold templates that are no Python
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	$(PIP) --no-deps -e .
	touch $@

$(COMPILED): $(READY)
	@echo "a first tiny run compiles the slot loop (half a minute, once)"
	rm -rf $(VENV)/first-run
	$(BIN)/airtune run smoke --quiet --set channel=tr38901 --out $(VENV)/first-run
	touch $@

# Clients may train with Keras; nobody but they and the tests needs TensorFlow.
$(KERAS): $(READY) constraints.lock
	$(PIP) -c constraints.lock tensorflow-cpu==2.20.0
	touch $@

demo: $(READY) $(COMPILED)  ## the quickstart: one YAML in, a fine-tuned model and its radio bill out
	$(BIN)/airtune run scenarios/quickstart.yaml

test: check  ## the environment, lint, types, import rules and tests

check: $(READY)  ## what CI runs
	$(MAKE) -j3 --output-sync=target $(KERAS) $(COMPILED) types lint imports
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-all: $(READY) $(COMPILED) $(KERAS) lint types imports  ## the longer studies as well
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports

lock: $(READY)  ## write requirements.lock from what is installed
	$(BIN)/python -m pip freeze --exclude-editable | sed "s/+cpu$$//" > $(LOCK).new && mv $(LOCK).new $(LOCK)

clean:  ## everything made here but the runs
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
