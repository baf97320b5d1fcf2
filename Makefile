# `make` only names commands; what they do is in playbooks, roles and Python.
INVENTORY ?= inventories/lab
VENV := .venv
PLAY := $(VENV)/bin/ansible-playbook -i $(INVENTORY)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help setup demo test test-quick test-faults test-vm test-controller bench-deploy bench-modes bench-changes lint reference lab-up lab-down lab-status lock

help: ## What can be typed here
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

setup: $(VENV)/.complete ## Make .venv from the locked requirements.txt

$(VENV)/.complete: requirements.txt
	@./bin/setup

demo: setup ## Boot the lab, deploy uwsgi_gevent, load it, show the result
	$(PLAY) playbooks/demo.yml -e server=uwsgi_gevent

test: setup ## Every check but test-faults, test-vm and test-controller (half an hour to an hour on two processors)
	@./bin/test-tools
	$(VENV)/bin/python -m pytest --numprocesses=3 --durations=15

test-quick: setup ## Linters, unit tests and every template, without a lab
	$(VENV)/bin/python -m pytest --numprocesses=3 tests/unit tests/templates

test-faults: setup ## Break things in a lab while clients come, and see what they feel of it (about 20 minutes)
	$(VENV)/bin/python -m pytest tests/faults

test-vm: setup ## Deploy, measure, reboot and cut the power of virtual machines (about half an hour where they are emulated)
	$(VENV)/bin/python -m pytest tests/vm

test-controller: setup ## Lint and deploy with the newest Python and ansible-core, from a Debian 13 host
	$(VENV)/bin/python -m pytest tests/controller

bench-deploy: setup ## Time the lab, a first deploy, a run without a change and the tutorial's load; HOSTS=20 of so many
	./bin/bench-deploy $(HOSTS)

bench-modes: setup ## Measure the modes beside the tutorial's profile (more than an hour)
	$(PLAY) playbooks/benchmark.yml -e bench_plan=profiles

bench-changes: setup ## Change what is live in the lab while clients ask (about an hour and a half)
	./bin/bench-changes 10.89.0.11

lint: setup ## ruff, mypy, yamllint, the reference of variables, and ansible-lint
	ruff check
	ruff format --check
	mypy
	yamllint --strict .
	python bin/reference.py --check
	ansible-lint --offline --strict

reference: setup ## Write docs/variables.md from what the roles say
	python bin/reference.py

lab-up: setup ## Boot the lab's hosts, or bring back those that died
	$(PLAY) playbooks/lab_up.yml

lab-down: setup ## Throw the lab away
	$(PLAY) playbooks/lab_down.yml

lab-status: setup ## Say which of the lab's hosts run
	$(PLAY) playbooks/lab_status.yml

lock: setup ## Lock requirements again, after requirements.in was changed; UPGRADE=NAME takes its newest
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes $(addprefix --upgrade-package ,$(UPGRADE)) app/demo/requirements.in -o app/demo/requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes $(addprefix --upgrade-package ,$(UPGRADE)) requirements.in -o requirements.txt
