# `make demo` shows the main job, `make test` passes the tests; both make the environment first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check bench chaos screenshots day format clean

demo: $(READY)
	$(BIN)/marrow demo --folder demo

test: $(READY)
	$(BIN)/python tests/run_all.py

# The fast part, for while you work: unit tests on SQLite, about two minutes on two cores.
UNITS := tests/marrow tests/napari_marrow tests/training tests/worker $(wildcard tests/test_*.py)
check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not viewer and not slow" \
	  -k "not postgresql" $(UNITS)

# Ratios of two things measured in the same run; on an idle machine about ten minutes.
bench: $(READY)
	$(BIN)/python -m tests.bench

# Hours: 100,000 smears a seed and 50 kills over 20 seeds; it goes on where it was stopped.
chaos: $(READY)
	$(BIN)/python -m tests.chaos

# The pictures of docs/tour.md, on synthetic smears; needs xvfb-run, or a display and DISPLAYED=.
DISPLAYED ?= xvfb-run -a -s "-screen 0 1600x1000x24"
screenshots: $(READY)
	QT_API=pyqt6 $(DISPLAYED) $(BIN)/python docs/make_screenshots.py docs/tour

# A pathologist's day with real keys and clicks, five minutes; needs xdotool and openbox.
day: $(READY)
	QT_API=pyqt6 $(DISPLAYED) $(BIN)/python -m pytest -q tests/napari_marrow/end_to_end/day.py

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) demo chaos build dist .pytest_cache .mypy_cache .ruff_cache
