# `make` only names commands; what they do is in playbooks, roles and Python.
INVENTORY ?= inventories/lab
VENV := .venv
PLAY := $(VENV)/bin/ansible-playbook -i $(INVENTORY)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help setup demo test test-faults bench-deploy bench-modes bench-changes lint lab-up lab-down lab-status lock

help: ## What can be typed here
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

setup: $(VENV)/.complete ## Make .venv from the locked requirements.txt

$(VENV)/.complete: requirements.txt
	@./bin/setup

demo: setup ## Boot the lab, deploy uwsgi_gevent, load it, show the result
	$(PLAY) playbooks/demo.yml -e server=uwsgi_gevent

test: setup ## Every check there is
	@./bin/test-tools
	$(VENV)/bin/python -m pytest --numprocesses=3

test-faults: setup ## Break things in a lab while clients come, and see what they feel of it (more than half an hour)
	$(VENV)/bin/python -m pytest tests/faults

bench-deploy: setup ## Time the lab, a first deploy, a run without a change and the tutorial's load
	./bin/bench-deploy

bench-modes: setup ## Measure the modes beside the tutorial's profile (about 30 minutes)
	$(PLAY) playbooks/benchmark.yml -e bench_plan=profiles

bench-changes: setup ## Change what is live in the lab while clients ask (about two hours)
	./bin/bench-changes 10.89.0.11

lint: setup ## ansible-lint and ruff
	ansible-lint --offline
	ruff check
	ruff format --check

lab-up: setup ## Boot the lab's hosts, or bring back those that died
	$(PLAY) playbooks/lab_up.yml

lab-down: setup ## Throw the lab away
	$(PLAY) playbooks/lab_down.yml

lab-status: setup ## Say which of the lab's hosts run
	$(PLAY) playbooks/lab_status.yml

lock: setup ## Lock requirements again, after requirements.in was changed
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes app/demo/requirements.in -o app/demo/requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes requirements.in -o requirements.txt
