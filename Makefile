# Each target sets up what it needs from a bare Python >= 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
IN_TWO := --numprocesses 2
LOWEST := $(VENV)/lowest
STAMP := $(VENV)/.installed
COMPILED := query/kernels/compiled*.so
DOCS_STAMP := $(VENV)/.docs-installed
PROSE := README.md CONTRIBUTING.md CHANGELOG.md dbgen/FORMAT.md $(wildcard docs/*.md docs/how-to/*.md docs/tutorials/*.md docs/explanation/*.md)

.PHONY: demo test coverage test-slow test-lowest lint bench docs pictures clean

demo: $(STAMP)
	$(BIN)/glioquery demo -o demo-output

# In two processes, as the machines of most have two cores at least. Python keeps what it compiles,
# which an environment may forbid: the tests begin hundreds of processes.
test: $(STAMP)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest $(IN_TWO)

# With branches, and the processes that tests begin, Ray's aside.
coverage: $(STAMP)
	$(BIN)/python -m pytest $(IN_TWO) --cov

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m "slow or not slow"

# With the lowest versions that pyproject.toml allows, in an environment of its own.
test-lowest: $(STAMP)
	$(BIN)/python -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[dicom,learned,radiomics,sharing]' --group test
	$(LOWEST)/bin/python -m pytest $(IN_TWO)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict --follow-imports=silent tests/public_api.py

bench: $(STAMP)
	$(BIN)/python tests/benchmark/solver.py
	$(BIN)/python tests/benchmark/query.py --synthetic 50000
	$(BIN)/python tests/benchmark/startup.py

# A warning, such as a dead link, is an error. The scripts of the gallery run. Nothing is fetched.
docs: $(DOCS_STAMP)
	$(BIN)/proselint --config .proselintrc.json check $(PROSE)
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo "the site: docs/_build/html/index.html"

pictures: $(STAMP)
	$(BIN)/python docs/make_pictures.py

clean:
	rm -rf $(VENV) build dist *.egg-info demo-output docs/_build docs/tutorials/gallery docs/reference/api docs/reference/rooms docs/reference/commands.md docs/reference/result-json.md docs/sg_execution_times.rst $(COMPILED)

$(STAMP): pyproject.toml setup.py constraints.txt query/kernels/compiled.c
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"glioquery needs Python 3.11 to 3.13, this is {v[0]}.{v[1]}: name another with make PYTHON=python3.12")'
	rm -rf build $(COMPILED)  # or one that no longer compiles would leave the last
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dicom,learned,radiomics,sharing]' --group test
	touch $@

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group docs
	touch $@
