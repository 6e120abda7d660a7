# Two commands matter: `make demo` and `make test`. Both set up .venv themselves and do nothing twice.
# Another interpreter: make demo PYTHON=python3.12

VENV := .venv
BIN := $(VENV)/bin
COURSE := $(BIN)/course
BASE := main
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
CANDIDATES := python3.11 python3.12 python3.13 python3 python
USABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in $(CANDIDATES); do if $$name -c '$(USABLE)' 2>/dev/null; then command -v $$name; break; fi; done)

.PHONY: demo test quick test-long hostile fuzz error-rates killers race serve-bench serve-clients gpu-suite lint generate bench sensitivity help
.DELETE_ON_ERROR:

help:
	@echo "make demo      set up, grade the solutions on the embedded model, show a learner's first screen"
	@echo "make test      set up, then ruff, mypy and the tests, a process a core (ROOM=graders/batch: of that room alone)"
	@echo "make quick     ruff, and the tests of the rooms that differ from main (BASE=… another branch)"
	@echo "make test-long the slow tests too: more seeds, more random engines, a whole term of nbgrader"
	@echo "make hostile   every attack on the grader, at the highest level and at L1, as a table (ARGS='--repeat 1000')"
	@echo "make fuzz      20,000 random engines of toy models, 2,000 with Medusa, against the oracle"
	@echo "make error-rates  how often the laws about cost fail right parts and pass slow ones (ARGS='--rounds 30 1.10')"
	@echo "make killers   whether wrong parts die by the law they name, and right parts live, at 20 seeds (ARGS='--right 3')"
	@echo "make race      our engine beside the others that are installed here (see course engines)"
	@echo "make serve-bench  our server beside vLLM's and llama.cpp's, one client (ARGS='--scale 0.1 --rounds 1')"
	@echo "make serve-clients  vLLM's and SGLang's own benchmark clients, unmodified, on our server"
	@echo "make gpu-suite kernels, tokens, throughput and roofline on the GPU; a JSON card (ARGS=--dry: on the CPU)"
	@echo "make lint      ruff and mypy alone"
	@echo "make generate  write exercises/ from solutions/"
	@echo "make bench     the engine's figures on this machine"
	@echo "make sensitivity what the timed laws make of parts that are 2, 5 and 20 times as slow (ARGS='--exercises 4')"

demo: $(INSTALLED)
	@set -e; for folder in solutions/ex[0-9]*_*/; do \
		number=$${folder#solutions/ex}; number=$${number%%_*}; \
		if [ "$$number" = 7 ] && ! $(BIN)/python -c "import triton" 2> /dev/null; then \
			printf '\nExercise 7 is skipped: triton is not installed here (make test installs it).\n'; continue; fi; \
		$(COURSE) check "$$number" --using solutions; \
	done
	@set -e; desk=$$(mktemp -d); trap 'rm -rf "$$desk"' EXIT; course="$(CURDIR)/$(COURSE)"; \
		"$$course" init "$$desk" > /dev/null; cd "$$desk"; \
		echo; echo "Those were the solutions. A learner starts here:"; \
		"$$course" list; "$$course" check 1 || test $$? -eq 1
	@echo "Now it is your turn: . $(VENV)/bin/activate && course list"

ifdef ROOM
test: $(INSTALLED_DEV)
	@tests=$$($(BIN)/python tests/support/rooms.py "$(ROOM)") && $(BIN)/pytest -m "not slow" $$tests
else
test: lint
	$(BIN)/pytest -n auto -m "not slow"
endif

quick: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	@tests=$$($(BIN)/python tests/support/rooms.py --changed --base "$(BASE)") || exit 2; \
		if [ -z "$$tests" ]; then echo "Nothing that has tests differs from $(BASE)."; \
		else echo "$$tests"; $(BIN)/pytest -m "not slow" $$tests || test $$? -eq 5; fi  # 5: they are all slow ones

test-long: lint
	$(BIN)/pytest -n auto

hostile: $(INSTALLED)
	$(BIN)/python tests/hostile/run.py $(ARGS)

fuzz: $(INSTALLED_DEV)
	$(BIN)/pytest -m slow tests/unit/graders/simulation/test_simulation.py tests/unit/reference_engine/test_speculation.py

error-rates: $(INSTALLED_DEV)
	$(BIN)/python tests/support/error_rates.py $(ARGS)

killers: $(INSTALLED_DEV)
	$(BIN)/python tests/support/killing_laws.py $(ARGS)

race: $(INSTALLED)
	$(COURSE) race $(ARGS)

serve-bench: $(INSTALLED_DEV)
	$(BIN)/python -m course.serving_race $(ARGS)

serve-clients: $(INSTALLED_DEV)
	$(BIN)/python -m course.serving_race.other_clients $(ARGS)

gpu-suite: $(INSTALLED)
	$(BIN)/python -m reference_engine.gpu.suite $(ARGS)

lint: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

generate: $(INSTALLED)
	$(COURSE) generate

bench: $(INSTALLED)
	$(BIN)/python -m reference_engine.benchmarks.engine

sensitivity: $(INSTALLED)
	$(BIN)/python -m graders.throughput.sensitivity $(ARGS)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer with venv was found; name one: make demo PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 2; }

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV); the first time this takes a few minutes, torch is large."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(INSTALLED_DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV); the first time this takes a few minutes, torch is large."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(INSTALLED) $@
