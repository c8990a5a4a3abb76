# make | demo | test | check | bench | bench-links | faults | soak | soak-real  (Python 3.11, make, git)
#   make                              installs all of it into .venv: the command is .venv/bin/wardround
#   make demo STUDY=breast            lung (default), breast, linear-regression, heart
#   make demo STUDY=heart DATA=dir    a study whose data you bring
#   make demo STUDY=dir/ward DATA=dir a study of your own, by its folder: as `wardround try`
#   make test JOBS=4                  tests in so many processes at once, each with a broker of its own (default 2)
#   make faults DURATION_S=600 SEED=7 SITES=8 COORDINATORS=2
#                                     kill, stop and cut off everybody at random, then balance the books; without
#                                     SEED a random one, printed
#   make soak-real MINUTES=60         memory of the real processes while links come and go
#   make bench-links FULL=1           a large body over bad links; without FULL scaled down to minutes
#   make demo TORCH=cpu               torch without CUDA: 0.2 GB instead of 4.7 GB
#   make soak SEEDS=100000            simulated histories with faults, on all cores; SEEDS=5000-6000 plays these
# Everything is installed at a pinned version and checked by hash, but torch with TORCH=cpu (it comes from the index
# that uv knows for that build, version pinned) and what builds the few packages that exist as source alone.
# The checkout itself is installed by reference: what changes here counts at once, and `wardround` works in any folder.

STUDY ?= lung
DATA ?=
JOBS ?= 2
FULL ?=
DURATION_S ?= 600
SEED ?=
MINUTES ?= 60
SITES ?= 8
COORDINATORS ?= 2
SEEDS ?= 10000
TORCH ?= $(if $(wildcard .venv/.installed-cpu),cpu,index)
PYTHON ?= python3.11

VENV := .venv
RUN := $(VENV)/bin/python
UV := $(VENV)/bin/uv
TORCH_PIN := $(shell sed -n 's/^torch==\([^ ]*\).*/\1/p' requirements/torch.txt)
INSTALLED := $(VENV)/.installed-$(TORCH)
DEV_INSTALLED := $(VENV)/.installed-$(TORCH)-dev

.PHONY: install demo test check bench bench-links faults soak soak-real
.DELETE_ON_ERROR:

install: $(INSTALLED)
	@echo "installed: $(abspath $(VENV))/bin/wardround; its folder on PATH makes it \`wardround\`"

demo: $(INSTALLED)
	@how="demo --study"; case "$(STUDY)" in */*) how=try;; *) [ ! -f "$(STUDY)/task.py" ] || how=try;; esac; \
	$(RUN) -m wardround $$how "$(STUDY)" $(if $(DATA),--data "$(DATA)")

test: check
	$(RUN) -m pytest -n $(JOBS) --dist loadfile

check: $(DEV_INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	git ls-files '*.md' ':!README.zh-CN.md' | xargs $(RUN) -m mdformat --check --compact-tables --wrap 100
	$(RUN) -m mypy --strict .

bench: $(INSTALLED)
	$(RUN) -m bench $(if $(FULL),--full)

soak: $(INSTALLED)
	$(RUN) -m simulation.soak $(SEEDS)

bench-links: $(INSTALLED)
	$(RUN) -m bench.links $(if $(FULL),--full)

soak-real: $(DEV_INSTALLED)
	$(RUN) -m tests.faults.soak --minutes $(MINUTES)

faults: $(DEV_INSTALLED)
	$(RUN) -m tests.faults --duration-s $(DURATION_S) --sites $(SITES) --coordinators $(COORDINATORS) $(if $(SEED),--seed $(SEED))

$(UV): requirements/uv.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

HERE_INSTALLED = $(UV) pip install --quiet --python $(RUN) --no-deps --no-index --no-build-isolation \
	--config-settings editable_mode=compat --editable .

ifeq ($(TORCH),cpu)
$(INSTALLED): requirements/base.txt requirements/torch.txt pyproject.toml $(UV)
	$(UV) pip install --python $(RUN) --require-hashes -r requirements/base.txt
	$(UV) pip install --python $(RUN) --no-deps --torch-backend=cpu torch==$(TORCH_PIN)
	$(HERE_INSTALLED)
	@touch $@
else
$(INSTALLED): requirements/base.txt requirements/torch.txt pyproject.toml $(UV)
	$(UV) pip install --python $(RUN) --require-hashes -r requirements/base.txt -r requirements/torch.txt
	$(HERE_INSTALLED)
	@touch $@
endif

$(DEV_INSTALLED): requirements/dev.txt requirements/base.txt $(INSTALLED)
	$(UV) pip install --python $(RUN) --require-hashes -r requirements/base.txt -r requirements/dev.txt
	@touch $@
