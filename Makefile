# make demo [SOURCE=photo.jpg]   run the default models in an environment of their own, without torch
# make test                      format, lint, types and tests, in .venv with the versions of constraints.txt
# make weights DATA=FOLDER       train the weights of the package anew into build/weights; SMALL=1: on 32 pictures a set

PYTHON ?= python3
SOURCE ?=
DATA ?=
SMALL ?=

.PHONY: demo test weights

demo: .venv-demo/ready
	.venv-demo/bin/edgepose demo $(if $(SOURCE),"$(SOURCE)")

test: .venv/ready
	PATH="$(CURDIR)/.venv/bin:$$PATH" scripts/check

weights: .venv/ready
	@test -n "$(DATA)" || { echo "error: make weights DATA=FOLDER: expected the project's data folder" >&2; exit 1; }
	.venv/bin/python training/weights.py "$(DATA)" build/weights $(if $(SMALL),--small)

.venv-demo/ready: pyproject.toml constraints.txt
	@$(call checked_python)
	"$(PYTHON)" -m venv --clear .venv-demo
	.venv-demo/bin/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/ready: pyproject.toml constraints.txt
	@$(call checked_python)
	"$(PYTHON)" -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

define checked_python
"$(PYTHON)" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || \
	{ echo "error: $(PYTHON) is not Python 3.10 to 3.13: name one that is, such as make PYTHON=python3.11" >&2; exit 1; }
endef
