# Every target runs in the virtual environment and from the repository's root.
# STOPPABLECONTAINER_CLUSTER names the local cluster (default: local); several can live side by side.

PYTHON ?= python3
NODES ?= 2
# End-to-end tests wait most of the time, so more of them than there are cores run side by side.
E2E_WORKERS ?= 4

# Given on the command line; $(value) keeps a shell's dollar signs as they are.
export NODE_CMD := $(value CMD)

VENV := $(shell $(PYTHON) -m deploy.local.venv --path)
LOCAL := $(VENV)/bin/python -m deploy.local

.DEFAULT_GOAL := help
.PHONY: help venv tools images test-images cluster-up cluster-down node-crash node-up node-exec \
	kubeconfig kubectl load-image deploy demo test test-fast test-e2e bench

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

$(VENV)/.complete:
	@$(PYTHON) -m deploy.local.venv

venv: $(VENV)/.complete ## the virtual environment, kept in the user's cache
	@echo $(VENV)

tools: $(VENV)/.complete ## build the Go programs of the cluster, install Debian's packages
	@$(LOCAL) tools

images: $(VENV)/.complete ## build/images/*.tar: the project's images and the test images
	@$(LOCAL) images

test-images: $(VENV)/.complete ## only the test images
	@$(LOCAL) test-images

cluster-up: $(VENV)/.complete ## [NODES=2] start the local cluster, or repair it
	@$(LOCAL) cluster-up $(NODES)

cluster-down: $(VENV)/.complete ## end it and remove every trace of it
	@$(LOCAL) cluster-down

node-crash: $(VENV)/.complete ## N=2: end a node as a power cut does
	@$(LOCAL) node-crash $(N)

node-up: $(VENV)/.complete ## N=2: bring a crashed node back, or add one
	@$(LOCAL) node-up $(N)

node-exec: $(VENV)/.complete ## N=1 CMD='...': run a shell command as root inside a node
	@$(LOCAL) node-exec $(N)

kubeconfig: $(VENV)/.complete ## print the path of the kubeconfig
	@$(LOCAL) kubeconfig

kubectl: $(VENV)/.complete ## ARGS='get pods': run kubectl on the local cluster
	@KUBECONFIG=$$($(LOCAL) kubeconfig) build/bin/kubectl $(ARGS)

load-image: $(VENV)/.complete ## ARCHIVE=x.tar: import an OCI archive into every node
	@$(LOCAL) load-image $(abspath $(ARCHIVE))

deploy: $(VENV)/.complete ## install the product on KUBECONFIG's cluster, by default the local one
	@$(LOCAL) deploy

# A KUBECONFIG that the user has set is used as it is; otherwise the local cluster is started.
ifdef KUBECONFIG
CLUSTER :=
ON_CLUSTER :=
else
CLUSTER := images cluster-up
ON_CLUSTER := KUBECONFIG=$$($(LOCAL) kubeconfig)
endif

demo: $(VENV)/.complete $(CLUSTER) deploy ## everything on a fresh machine, then the quick example, timed
	@$(ON_CLUSTER) $(VENV)/bin/python -m deploy.demo --kubectl build/bin/kubectl

test: test-fast test-e2e ## linters, types, unit and kernel tests, then end to end on the cluster

test-fast: $(VENV)/.complete ## what needs no cluster
	@$(VENV)/bin/python -m pytest -m "not e2e"

test-e2e: $(VENV)/.complete $(CLUSTER) deploy ## end to end on a real kubelet
	@$(ON_CLUSTER) $(VENV)/bin/python -m pytest -m "e2e and not alone" -n $(E2E_WORKERS)
	@$(ON_CLUSTER) $(VENV)/bin/python -m pytest -m "e2e and alone"

bench: $(VENV)/.complete $(CLUSTER) deploy ## [COUNT=40] [BASELINE=old.json] starts and stops beside a bare pod's
	@$(ON_CLUSTER) $(VENV)/bin/python -m deploy.bench $(if $(COUNT),--count $(COUNT)) \
		$(if $(BASELINE),--baseline $(BASELINE))
