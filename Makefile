# make demo     the example site: server, two clients, a whole conversation
# make serve    the same, and the server goes on until Ctrl-C (PORT=6789)
# make test     every check there is
# make backends the recorded cases on the cores that are not the default; a part of make test
# make bench    what the server does in a second, against the released one
#
# Everything that is installed or made goes to var/.

VENV := var/venv
BIN := $(VENV)/bin
# Tests that run at once.
JOBS ?= 2
# The same examples in each run, and no complaints of Hypothesis about a slow machine.
PYTEST := -n $(JOBS) --hypothesis-profile ci
PORT ?= 6789
# What takes long, and is tested on one Python only.
SLOW := tests/real tests/conformance tests/server/admin tests/server/database tests/server/info tests/server/reload \
    $(addprefix tests/server/test_,cherrypy_core.py daemonize.py durability.py fuzzing.py hardening.py monitoring.py \
    multiprocessing_core.py schema.py) $(addprefix tests/server/plugins/,ldap metadata/test_database.py \
    probes/test_database.py test_git.py test_version_commands.py)
# The recorded cases that every core has to pass.
CASES := -k "core- or metadata- or structures- or cfg- or probes-"

PYTHON = $(shell .ci/python)
PYTHON_VERSION = $(shell $(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# The other Pythons that are supported and found on this machine.
OTHERS = $(foreach version,$(filter-out $(PYTHON_VERSION),3.11 3.12 3.13),$(if $(shell .ci/python $(version)),$(version)))
WHAT_TO_INSTALL := pyproject.toml setup.py .ci/venv .ci/services

.PHONY: help demo serve test lint types unit backends docs package pythons bench clean
.NOTPARALLEL:
.PRECIOUS: var/venv-%/test.stamp

help:
	@sed -n 's/^# make/make/p' Makefile

demo: $(VENV)/demo.stamp
	$(BIN)/python examples/demo.py

serve: $(VENV)/demo.stamp
	$(BIN)/python examples/demo.py --serve --port $(PORT)

test: lint types unit backends docs package pythons
	@echo "All checks passed."

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/dev.stamp
	$(BIN)/mypy

unit: $(VENV)/dev.stamp
	.ci/databases
	$(BIN)/python -m pytest $(PYTEST)

backends: $(VENV)/dev.stamp
	$(BIN)/python -m pytest $(PYTEST) tests/conformance/test_cases.py $(CASES) --backend multiprocessing
	$(BIN)/python -m pytest $(PYTEST) tests/conformance/test_cases.py -k "core-" --backend cherrypy

docs: $(VENV)/dev.stamp
	$(BIN)/sphinx-build -q -W --keep-going -b html docs var/docs

# What "pip install ." gives works away from this folder.
package: $(VENV)/dev.stamp
	rm -rf build var/package
	$(BIN)/python -m venv var/package
	var/package/bin/pip install --quiet --disable-pip-version-check .
	cd / && $(CURDIR)/var/package/bin/bcfg2-server --version
	cd / && $(CURDIR)/var/package/bin/bcfg2-admin --version
	cd / && $(CURDIR)/var/package/bin/bcfg2-info --version
	cd / && $(CURDIR)/var/package/bin/bcfg2 --version
	cd / && $(CURDIR)/var/package/bin/python -c 'import bcfg2, pathlib; pathlib.Path(bcfg2.__file__).with_name("py.typed").stat()'

pythons: $(VENV)/dev.stamp
	@for version in $(OTHERS); do \
	    $(MAKE) --no-print-directory pytest-$$version || exit; \
	done

pytest-%: var/venv-%/test.stamp
	var/venv-$*/bin/python -m pytest $(PYTEST) $(SLOW:%=--ignore %)

bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks

clean:
	rm -rf var build bcfg2.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/demo.stamp: $(WHAT_TO_INSTALL)
	.ci/venv $(VENV) "$(PYTHON)" ".[genshi,jinja2,inotify,yaml]"
	@touch $@

$(VENV)/dev.stamp: $(WHAT_TO_INSTALL)
	.ci/venv $(VENV) "$(PYTHON)" ".[dev]"
	.ci/services $(BIN)/pip
	@touch $@ $(VENV)/demo.stamp

var/venv-%/test.stamp: $(WHAT_TO_INSTALL)
	.ci/venv var/venv-$* "$(shell .ci/python $*)" ".[test]"
	@touch $@
