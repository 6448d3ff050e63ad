# make up      install and run Rollcall on this machine           make up ARGS="--port 9000 --data /srv/rollcall"
# make demo    show it with sample people, no camera needed
# make test    all checks and tests                               make test ARGS="-k bus"
# make test-compose   deploy/compose.yaml really run, in Docker
# make check   formatting, lint, types, import rules, bandit
# make audit   known holes in the packages, by a public list; says "skipped" where that cannot be asked
# make faults  break everything under load and compare screens with ledger     make faults ARGS="--minutes 30 --seed 1"
PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
ARGS ?=

.PHONY: up demo test test-compose check audit faults format models bench bench-search bench-scale clean

up: .venv/installed
	@.venv/bin/rollcall up $(ARGS)

demo: .venv/installed
	@.venv/bin/rollcall demo $(ARGS)

models: .venv/installed
	@$(PY) -m shared.vision.fetch

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Rollcall needs Python 3.11 or later; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "creating the virtual environment .venv"
	@$(PYTHON) -m venv .venv || { echo "On Debian and Ubuntu: apt-get install python3-venv"; rm -rf .venv; exit 1; }

.venv/installed: .venv/bin/python pyproject.toml constraints.txt shared/vision/models.toml
	@echo "installing the packages (about 150 MB the first time)"
	@$(PIP) install --progress-bar on -e ".[all]" -c constraints.txt
	@echo "getting the face models (about 35 MB the first time)"
	@$(PY) -m shared.vision.fetch
	@touch $@

.venv/dev: .venv/installed
	@$(PIP) install --quiet -e ".[all,dev]" -c constraints.txt
	@touch $@

check: .venv/dev
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports --no-cache
	$(PY) -m bandit -q -r shared terminal deploy/rollcall services -c pyproject.toml

audit: .venv/dev
	@$(PY) -m tests.security.audit

# Python keeps what it has compiled, so that the hundreds of processes which the tests start do not all do it anew. Files
# come in the order of their folders: whole systems early, and many short unit tests at the end, so that all end together.
test: export PYTHONDONTWRITEBYTECODE =
test: check
	@sh tests/needs.sh
	@echo "the tests, three files at a time; then those that want the machine to themselves"
	$(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not alone" $(ARGS) || [ $$? = 5 ]
	$(PY) -m pytest -m alone $(ARGS) || [ $$? = 5 ]

faults: .venv/dev
	@sh tests/needs.sh
	$(PY) -m tests.faults $(ARGS)

test-compose: .venv/dev
	@sh tests/compose/needs.sh
	ROLLCALL_COMPOSE=1 $(PY) -m pytest tests/compose $(ARGS)

format: .venv/dev
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: .venv/dev
	@$(PIP) install --quiet dlib-bin face_recognition_models "setuptools<81" -c constraints.txt
	@$(PIP) install --quiet --no-deps face-recognition-ng -c constraints.txt
	$(PY) -m bench.recognizer $(ARGS)

bench-search: .venv/dev
	@$(PIP) install --quiet -e ".[bench]" -c constraints.txt
	$(PY) -m bench.search $(ARGS)

bench-scale: .venv/dev
	$(PY) -m bench.scale $(ARGS)

clean:
	rm -rf .venv .cache *.egg-info
