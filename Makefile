# make demo    install, and say what the camera does in the example clips (VIDEO=my.mp4 adds your own)
# make test    install, and run every check: style, types, layers of imports, tests
# make soak    kill trainings of one and of two processes at random moments: each must end with the bits of one never killed;
#              and compile an exported model
# make bench   measure docs/benchmarks.md anew and write it, on a machine to oneself (THREADS=1: on fewer than its cores)

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
VIDEO ?=
OUT ?= out
THREADS ?= $(shell nproc)

.PHONY: demo test style soak bench clean

demo: $(VENV)/installed
	$(BIN)/python examples/demo.py --out $(OUT) $(if $(VIDEO),"$(VIDEO)")

# Two processes, a file of tests each: the tests compute on one thread most of the time.
test: $(VENV)/installed-dev style
	$(BIN)/python -m pytest -n 2 --dist loadfile

style: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell src tests docs examples benchmarks README.md
	$(BIN)/pyright
	$(BIN)/lint-imports

soak: $(VENV)/installed-dev
	TUBELET_KILLS=20 $(BIN)/python -m pytest tests/training/test_resume.py tests/test_distributed.py -k killed
	TUBELET_COMPILE=1 $(BIN)/python -m pytest tests/exporting -k compiled

bench: $(VENV)/installed-dev
	$(BIN)/pip install --quiet --editable '.[bench,export,serve]'
	$(BIN)/tubelet bench --out benchmarks --threads $(THREADS)
	$(BIN)/python benchmarks/convert.py --out benchmarks
	$(BIN)/python benchmarks/serving.py --out benchmarks
	$(BIN)/python benchmarks/lighter.py camera --out benchmarks
	$(BIN)/tubelet bench --out benchmarks --docs docs/benchmarks.md
	$(BIN)/python benchmarks/camera_motion.py src/tubelet/zoo/camera_motion --classical

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Tubelet needs Python 3.11 or newer"'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --editable '.[dev,photographs]'
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) $(OUT)
