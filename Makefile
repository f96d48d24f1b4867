# Everything sets itself up: Python 3.11 or newer and a package index are all that is needed.
#
#   make demo                 analyse a picture and a clip; FILES="photo.jpg clip.mp4" takes your own
#   make train-demo           make a small set, train on it, test it, analyse with it
#   make test                 every test: first without torch, then with it
#   make lint                 ruff, mypy --strict, import-linter
#   make bench                speed and memory against a bare script
#   make bench-faces          the face detector against YuNet and dlib (needs UNMASK_DATA)
#   make clean                remove what these made

PYTHON ?= python3
PIP_FLAGS = --quiet --disable-pip-version-check
PYTEST_FLAGS ?=
DEMO = demo
TRAIN_DEMO = train-demo
FILES =

.PHONY: demo train-demo test test-light test-train lint bench bench-faces clean
.DEFAULT_GOAL := demo

# Each environment holds a stamp with the hash of pyproject.toml: it is made anew only when that changes.
SETUP = $(PYTHON) tools/environment.py
# What each of them holds is said once: with two lists the stamp would change from target to target.
SETUP_LIGHT = $(SETUP) .venv --editable --groups test lint
SETUP_TRAIN = $(SETUP) .venv-train --editable --extras train weights --groups test keras

demo:
	@$(SETUP) .venv-demo
	@.venv-demo/bin/python examples/demo.py $(DEMO) $(FILES)

train-demo:
	@$(SETUP_TRAIN)
	@.venv-train/bin/python examples/train_demo.py $(TRAIN_DEMO)

test: test-light test-train

test-light:
	@$(SETUP_LIGHT)
	UNMASK_LIGHT=1 .venv/bin/python -m pytest -m "not train" $(PYTEST_FLAGS)

test-train:
	@$(SETUP_TRAIN)
	.venv-train/bin/python -m pytest --only-extras $(PYTEST_FLAGS)

lint:
	@$(SETUP_LIGHT)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench:
	@$(SETUP_LIGHT)
	.venv/bin/python benchmarks/bench.py

bench-faces:
	@$(SETUP_LIGHT)
	.venv/bin/python references/faces/bench.py

clean:
	rm -rf .venv .venv-demo .venv-train $(DEMO) $(TRAIN_DEMO) build dist
	rm -rf .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
