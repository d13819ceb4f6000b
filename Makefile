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

.PHONY: build run test test-long soak pauses memory masterships manners fuzz asan lint bench annotate trace clean

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
	$(BIN)/python -m pytest --durations=10 --numprocesses $$(nproc) --dist worksteal \
		tests/unit tests/differential tests/fuzz tests/sim
	$(BIN)/python -m pytest --durations=10 tests/cell tests/clients
endif

# What takes long: packages from nothing, sanitizers, many inputs, a thousand connections, real pauses.
test-long: build
	$(BIN)/python -m pytest --durations=10 tests/long
	$(MAKE) asan
	$(MAKE) fuzz
	$(MAKE) memory
	$(MAKE) masterships
	$(MAKE) pauses MINUTES=$(or $(MINUTES),5)

# New seeds until Ctrl-C; violations go to soak-failures.txt.
soak: build
	$(BIN)/fastpaxos-live sim --soak --jobs $$(nproc) $(ARGS)

# Cells of real processes that are stopped, killed and cut off, under clients that check every reply.
MINUTES ?= 10
REPLICAS ?= 3 5
pauses: build
	$(BIN)/python -m tests.cell.pauses --minutes $(MINUTES) --replicas $(REPLICAS) $(ARGS)

# A thousand connections, each with the largest request and the largest reply: is the memory back?
memory: build
	$(BIN)/python -m tests.cell.memory $(ARGS)

# A hundred clients with large MGETs, a million keys due at once, FLUSHALLs of millions: does the mastership stand?
masterships: build
	$(BIN)/python -m tests.cell.masterships $(ARGS)

# What a cell says beside what a redis-server says: new requests each time.
REQUESTS ?= 30000
manners: build
	$(BIN)/python -m tests.differential.manners --requests $(REQUESTS) $(ARGS)

# Generated and mutated input for all that reads what others wrote; what fails is kept in build/fuzz.
fuzz: build
	$(BIN)/python -m tests.fuzz $(ARGS)

# The extensions with GCC's address and undefined behaviour sanitizers and the assertions of debug builds, in build/asan.
# Python is preloaded with them, and its small objects come from malloc, so that reads beyond a bytes object are seen.
# Leaks are not looked for: Python and its libraries keep much to their end, on purpose. What the tests of the model
# check, of benchmarks and of the house do is not compiled, or is explored elsewhere. Lists of clients that fill up, and
# streams that wait for room, are hardly met by runs of the mix: these plans are short ways there.
SANITIZED = LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" PYTHONMALLOC=malloc \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 PYTHONPATH=build/asan/lib
ASAN_TESTS = tests/differential/test_machines.py tests/differential/test_probe.py tests/differential/test_db_resp.py \
	$(addprefix tests/unit/test_, arrival.py catchup.py client_bounds.py client_input.py client_turns.py db_apply.py \
	db_store.py disk_full.py edge.py explore.py protocol.py replay.py replica_check.py replies.py resp_fast.py \
	resp_parse.py restarts.py)
asan: build
	FPL_SANITIZE=1 $(BIN)/python setup.py --quiet build --build-base build/asan/base --build-lib build/asan/lib
	$(SANITIZED) $(BIN)/python -c "import fastpaxos_live._core as core; assert 'build/asan' in core.__file__, core"
	$(SANITIZED) $(BIN)/python -m pytest --capture=no -p no:cacheprovider $(ASAN_TESTS)
	$(SANITIZED) $(BIN)/python -m tests.fuzz --inputs 40000 --least 2000 --directories 200 --first 0
	$(SANITIZED) $(BIN)/python -m fastpaxos_live sim --seeds 0:8
	$(SANITIZED) $(BIN)/python -m fastpaxos_live sim --plan choke --seeds 0:1
	$(SANITIZED) $(BIN)/python -m fastpaxos_live sim --plan busy --seeds 0:2
	$(SANITIZED) $(BIN)/python -m fastpaxos_live sim --plan bulk --seeds 0:2

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
