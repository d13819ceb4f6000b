# Each verb builds .venv by itself, from Debian's python3, python3-venv, python3-dev, make and gcc.
# Stamp files make the second time quick.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find src -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' ! -path '*/generated/*') \
	$(wildcard src/fastpaxos_live/spec/*.py src/fastpaxos_live/smc/*.py)
# All that has to be installed, the project itself apart, as pyproject.toml says.
REQUIREMENTS := import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); j = p["project"]; \
	print(*p["build-system"]["requires"], *j["dependencies"], \
	*sum(j["optional-dependencies"].values(), []), sep="\n")

.PHONY: build run test soak pauses lint bench annotate trace clean

build: $(VENV)/built

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PYTHON) -c '$(REQUIREMENTS)' > $(VENV)/requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r $(VENV)/requirements.txt
	rm -f $(VENV)/built
	touch $@

# The first time the project is installed in place; after that only what changed is compiled.
$(VENV)/built: $(SOURCES) setup.py $(VENV)/installed
	if [ -e $@ ]; then $(BIN)/python setup.py --quiet build_ext --inplace; else \
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .; fi
	touch $@

run: build
	$(BIN)/fastpaxos-live up $(ARGS)

# Tests with real cells have the machine for themselves.
test: build
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	$(BIN)/python -m pytest --numprocesses $$(nproc) tests/unit tests/differential tests/sim
	$(BIN)/python -m pytest tests/cell tests/clients
endif

# New seeds until Ctrl-C; violations go to soak-failures.txt.
soak: build
	$(BIN)/fastpaxos-live sim --soak --jobs $$(nproc) $(ARGS)

# Cells of real processes that are stopped, killed and cut off, under clients that check every reply.
MINUTES ?= 10
REPLICAS ?= 3 5
pauses: build
	$(BIN)/python -m tests.cell.pauses --minutes $(MINUTES) --replicas $(REPLICAS) $(ARGS)

lint: build
	$(BIN)/ruff check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint src

# What single parts of the hot path cost, on both cores; to compare: ARGS=--benchmark-autosave, then
# ARGS=--benchmark-compare. Whole cells: python -m bench --help.
bench: build
	$(BIN)/python -m pytest bench/test_hotpath.py --benchmark-max-time=0.5 --benchmark-columns=min,median,iqr,rounds \
		--benchmark-group-by=group $(ARGS)

# Cython's pages of which lines call into Python: build/cython/**/*.html
annotate: $(VENV)/installed
	FPL_ANNOTATE=1 $(BIN)/python setup.py --quiet build_ext --inplace --force

# The package with line tracing, in build/trace; the usual build stays as it is.
trace: build
	FPL_TRACE=1 $(BIN)/python setup.py --quiet build --build-base build/trace/base --build-lib build/trace/lib
	@echo "with line tracing: PYTHONPATH=build/trace/lib $(BIN)/python ..."

clean:
	rm -rf $(VENV) build src/*.egg-info src/fastpaxos_live/generated
	find src -name '*.so' -delete
	find src tests bench -name __pycache__ -type d -prune -exec rm -r {} +
