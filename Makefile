# Every target does its own set-up. make help lists them.

GO        ?= go
PYTHON    ?= python3
ARCHES    := arm64 amd64
FUNCTIONS := hook launcher reaper webhook
GOBUILD   := CGO_ENABLED=0 GOOS=linux $(GO) build -trimpath -buildvcs=false -tags lambda.norpc -ldflags='-s -w -buildid='
VENV      := tools/venv
DYNAMODB  := tools/dynamodb-local
CHECKOV   := tools/checkov-venv
NPM       := tools/npm/node_modules
# LONGEST is tested first: it takes about as long as all others together.
LONGEST   := ./internal/sandbox
GOFMT     := files=$$(gofmt -l cmd cfn docs endpoints scheduler internal tools/docker tools/docs tools/gitserve tools/image tools/lambdazip tools/mutants tools/rooms tools/soak) && test -z "$$files" || { echo "not formatted by gofmt: $$files"; exit 1; }
LINT      := tools/bin/golangci-lint
LINT_VERSION := v2.15.0
ACTIONLINT := tools/bin/actionlint
ACTIONLINT_VERSION := v1.7.12

GOVULNCHECK_VERSION := v1.9.0
GORELEASER := tools/bin/goreleaser
GORELEASER_VERSION := v2.17.0
CYCLONEDX := tools/bin/cyclonedx-gomod
CYCLONEDX_VERSION := v1.10.0
# IMAGE_VERSION is the tag of the mirror's image.
IMAGE_VERSION := $(or $(VERSION),dev)
IMAGE := build/drawbridge-mirror_$(IMAGE_VERSION).oci.tar
# debian installs a program of a package of Debian's where there is none.
debian = command -v $(1) >/dev/null || { echo "installing $(2)"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2) >/dev/null; } || { echo "missing on this machine: $(1); install with: apt-get install $(2)"; exit 1; }
CDK_VERSION := $(or $(VERSION),0.0.0)
CDK_PACKAGE := build/drawbridge-cdk-$(CDK_VERSION).tgz
LICENSES := tools/bin/go-licenses
# ALLOWED are the licences that what is inside the programs may have.
ALLOWED  := Apache-2.0,BSD-2-Clause,BSD-3-Clause,ISC,MIT,MPL-2.0
NOTICES  := build/THIRD_PARTY_NOTICES
# CHROMIUM installs the browser where there is none.
CHROMIUM  = $(call debian,chromium,chromium fonts-dejavu-core)

# functions builds the functions for the architectures that are given, and zips them.
define functions
set -e; mkdir -p dist; for arch in $(1); do for f in $(FUNCTIONS); do \
	echo "$$f for $$arch"; \
	GOARCH=$$arch $(GOBUILD) -o dist/$$arch/$$f/bootstrap ./cmd/$$f; \
	$(GO) run ./tools/lambdazip dist/$$f-$$arch.zip dist/$$arch/$$f/bootstrap; \
done; done
endef

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo build test unit quick flakes lint licenses vulnerabilities image cdk conformance templates policies docs pages release release-files release-check explore mutants fuzz soak check-machine formatted lambdas mirror bench golden clean

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

demo: ## A day of real arrivals against a simulated AWS. Needs Go alone. UI=yes shows it hour by hour in a browser.
	@$(GO) run ./cmd/drawbridge demo $(if $(UI),--ui)

build: ## The command line ./drawbridge, with the arm64 functions inside.
	@$(call functions,arm64)
	@for f in $(FUNCTIONS); do cp dist/$$f-arm64.zip internal/functions/zips/$$f.zip; done
	@echo "drawbridge, with them inside"
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o drawbridge ./cmd/drawbridge
	@ls -l drawbridge

# The Go tests wait more than the rest computes and downloads: two at a time. Policies and conformance read what the Go tests record.
test: check-machine formatted ## All tests: Go, linters, and the checks against AWS's own artefacts.
	@$(MAKE) --no-print-directory --jobs=2 unit lint image templates
	@$(MAKE) --no-print-directory --jobs=2 policies conformance pages
	@echo "all tests passed"

unit: ## The Go tests alone.
	@mkdir -p build && rm -f build/replies.jsonl build/calls.jsonl
	GOGC=400 DRAWBRIDGE_SANDBOX_RECORD=$(CURDIR)/build/replies.jsonl DRAWBRIDGE_SANDBOX_CALLS=$(CURDIR)/build/calls.jsonl $(GO) test -count=1 -timeout 15m $(LONGEST) ./...

quick: ## gofmt, go vet and the short Go tests, for each change. Needs no network.
	@$(GOFMT)
	$(GO) vet ./...
	$(GO) test -short ./...
	@echo "passed without the long stories, which make unit tells"

docs: $(NPM)/done ## The documentation as a small static site in build/site, its links checked and its diagrams drawn.
	@$(CHROMIUM)
	$(GO) run ./tools/docs
	node tools/npm/diagrams.mjs "$$(command -v chromium)" build/site

pages: docs ## The pages of drawbridge report, of ui and of the documentation in a real browser; pages and pictures stay in build/pages.
	$(GO) build -o build/drawbridge ./cmd/drawbridge
	node tools/npm/browse.mjs build/drawbridge "$$(command -v chromium)" build/pages
	node tools/npm/browse-ui.mjs build/drawbridge "$$(command -v chromium)" build/pages

flakes: ## The Go tests ten times in a row on busy CPUs; FLAKES=3 for three times.
	@GO='$(GO)' FLAKES='$(or $(FLAKES),10)' tools/flakes

explore: ## Every story in which at most two things go wrong, and long walks, for hours. The unit tests hold those with one.
	EXPLORE=full $(GO) test -count=1 -timeout 12h -v -run 'EveryPromiseHolds' ./internal/explore

mutants: ## Changes the scheduler, the store and the functions in one place at a time: do the tests notice? SAMPLE=200 draws some.
	@mkdir -p build
	$(GO) run ./tools/mutants $(if $(SAMPLE),-sample $(SAMPLE))

fuzz: ## Fuzzes all that is read from outside, ten minutes each; FUZZTIME=10s for less. What breaks goes into testdata/fuzz.
	@for file in $$(grep -rl --include='*_test.go' '^func Fuzz' cfn endpoints internal scheduler); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z]*\).*/\1/p' $$file); do \
			echo "$$(dirname $$file) $$target"; \
			$(GO) test ./$$(dirname $$file) -run '^$$' -fuzz "^$$target\$$" -fuzztime $(or $(FUZZTIME),10m) -fuzzminimizetime 5s || exit 1; done; done

soak: ## A year with 100,000 runs and faults throughout; 1, 20 and 200 sets; 10,000 events at once; 5,000 runs at once. An hour.
	$(GO) run ./tools/soak -days 365 -runs 274 -takes 2m -faults
	$(GO) run ./tools/soak -days 1 -runs 0 -burst 10000 -takes 1m
	$(GO) run ./tools/soak -days 1 -runs 0 -burst 5000 -takes 5h
	for n in 1 20 200; do $(GO) run ./tools/soak -days 1 -sets $$n -runs $$((n * 10)) || exit 1; done
	$(GO) run ./tools/soak -days 7 -runs 274 -programs

formatted: # tells in a second what would fail late
	@$(GOFMT)

check-machine: # names at once what the machine lacks
	@tools/check-machine

# actionlint would call shellcheck and pyflakes where a machine has them: it says the same on every machine.
lint: $(LINT) $(ACTIONLINT) $(VENV)/done licenses ## gofmt, go vet and golangci-lint; the workflows against actionlint and zizmor; licences.
	@$(GOFMT)
	$(LINT) run --allow-parallel-runners ./...
	$(ACTIONLINT) -shellcheck= -pyflakes= .github/workflows/*.yml
	$(VENV)/bin/zizmor --offline --quiet --persona auditor .github deploy/action

licenses: $(NOTICES) ## Holds the licences of what is inside the programs to those that are allowed, and writes their texts to build/.
	@for os in linux darwin windows; do CGO_ENABLED=0 GOOS=$$os $(LICENSES) check --ignore drawbridge --allowed_licenses=$(ALLOWED) ./cmd/... 2>build/licenses.txt || { grep -v 'contains non-Go code' build/licenses.txt; echo "licences of $$os: allowed are $(ALLOWED)"; exit 1; }; done

$(NOTICES): $(LICENSES) go.sum tools/licenses/notices.tpl
	@mkdir -p build
	@$(LICENSES) report --ignore drawbridge --template tools/licenses/notices.tpl ./cmd/... >$(NOTICES) 2>build/licenses.txt || { cat build/licenses.txt; exit 1; }
	@for part in "uPlot:internal/report/uplot/LICENSE" "The Go standard library:$$($(GO) env GOROOT)/LICENSE"; do printf '%.80s\n%s\n\n' "$$(printf '%080d' 0 | tr 0 -)" "$${part%%:*}"; cat "$${part#*:}"; echo; done >>$(NOTICES)
	@touch $@

# CDK_PACKAGE is a package as npm installs it; the folder beside it has the tests too.
cdk: $(CDK_PACKAGE) ## The package for the AWS CDK in build/.

$(CDK_PACKAGE): $(NPM)/done $(wildcard deploy/cdk/*) LICENSE
	@rm -rf build/cdk && mkdir -p build && cp -r deploy/cdk build/cdk && cp LICENSE build/cdk/ && ln -s ../../$(NPM) build/cdk/node_modules
	cd build/cdk && node_modules/.bin/tsc && npm pkg set version=$(CDK_VERSION) && npm pack --silent --ignore-scripts --pack-destination ..

vulnerabilities: ## Known vulnerabilities in what is inside the programs, from https://vuln.go.dev: needs the Internet, and is not in make test.
	$(GO) run golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION) ./...

$(LICENSES): tools/licenses/go.mod
	@mkdir -p tools/bin
	cd tools/licenses && $(GO) build -o ../bin/go-licenses github.com/google/go-licenses/v2
	@touch $@

$(LINT): Makefile
	@mkdir -p tools/bin
	GOBIN=$(CURDIR)/tools/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	@touch $@

$(ACTIONLINT): Makefile
	@mkdir -p tools/bin
	GOBIN=$(CURDIR)/tools/bin $(GO) install github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION)
	@touch $@

$(VENV)/done: tools/requirements.txt
	rm -rf $(VENV) && $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r tools/requirements.txt
	@touch $@

$(CHECKOV)/done: tools/checkov-requirements.txt
	rm -rf $(CHECKOV) && $(PYTHON) -m venv $(CHECKOV)
	$(CHECKOV)/bin/pip install --quiet --disable-pip-version-check -r tools/checkov-requirements.txt
	@touch $@

$(NPM)/done: tools/npm/package-lock.json
	cd tools/npm && npm ci --legacy-peer-deps --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(DYNAMODB)/done: tools/pom.xml
	rm -rf $(DYNAMODB)
	mvn --batch-mode --quiet --file tools/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(DYNAMODB) -DincludeScope=runtime
	@touch $@

templates: $(VENV)/done $(CHECKOV)/done $(NPM)/done lambdas ## The templates against cfn-lint, cfn-guard, checkov and moto.
	$(VENV)/bin/cfn-lint --non-zero-exit-code informational --regions us-east-1 eu-central-1 -- cfn/testdata/*.json cfn/templates/*.yaml internal/install/testdata/*.yaml examples/pipeline/network.yaml examples/pipeline/infrastructure/*.yaml examples/step-functions/template.yaml
	$(VENV)/bin/python -W ignore tools/conformance/templates.py $(CURDIR)/$(CHECKOV)/bin/checkov
	$(VENV)/bin/python -W ignore tools/conformance/rights.py

policies: $(NPM)/done ## The roles' policies against every call of the Go tests. Needs make unit first.
	@test -s build/calls.jsonl || { echo "no calls are recorded: make unit first"; exit 1; }
	node tools/npm/prove-policies.mjs build/calls.jsonl

conformance: $(VENV)/done $(if $(ENDPOINT),,$(DYNAMODB)/done $(NPM)/done $(CHECKOV)/done lambdas $(IMAGE) $(CDK_PACKAGE)) ## The sandbox against AWS's models, tools and DynamoDB Local. With ENDPOINT=aws PROFILE=... THIS_COSTS=yes: the same paths on an account.
	@$(if $(ENDPOINT),,$(call debian,bwrap,bubblewrap))
	$(VENV)/bin/python tools/conformance/run.py $(if $(ENDPOINT),--endpoint $(ENDPOINT)) $(if $(PROFILE),--profile $(PROFILE)) $(if $(filter yes,$(THIS_COSTS)),--yes-this-costs)

release: $(GORELEASER) $(CYCLONEDX) ## The files of a release in build/release/files: VERSION=1.2.3, SIGNING_KEY=FILE of ssh-keygen, DOWNLOADS=URL of releases.
	@test -n "$(VERSION)" || { echo "which version? make release VERSION=1.2.3 SIGNING_KEY=FILE"; exit 1; }
	@test -s "$(SIGNING_KEY)" || { echo "no key to sign with: SIGNING_KEY=FILE, as ssh-keygen -t ed25519 writes it"; exit 1; }
	@rm -f $(IMAGE) # its dates are the commit's
	PATH="$(CURDIR)/tools/bin:$$PATH" COMMIT_DATE=$$(git log -1 --format=%cI) COMMIT_TIME=$$(git log -1 --format=%ct) VERSION=$(VERSION) SIGNING_KEY=$(SIGNING_KEY) DOWNLOADS=$(or $(DOWNLOADS),https://example.com/drawbridge/releases/download) $(GORELEASER) release --snapshot --clean --skip=publish
	@mkdir -p build/release/files && cd build/release && cp *.tar.gz *.zip *.deb *.cdx.json SHA256SUMS SHA256SUMS.sig homebrew/Formula/drawbridge.rb ../../dist/*.zip ../drawbridge-mirror_$(VERSION).oci.tar ../THIRD_PARTY_NOTICES ../drawbridge-cdk-$(VERSION).tgz files/
	$(PYTHON) tools/release/provenance.py build/release/files $(VERSION)
	@rm -f build/release/files/provenance.json.sig && ssh-keygen -Y sign -q -f $(SIGNING_KEY) -n file build/release/files/provenance.json
	@ls -l build/release/files

release-files: lambdas $(IMAGE) $(NOTICES) $(CDK_PACKAGE) # what is in every archive: the functions for arm64 inside the program, completions, the manual page; the mirror's image, the package for the CDK
	@for f in $(FUNCTIONS); do cp dist/$$f-arm64.zip internal/functions/zips/$$f.zip; done
	$(GO) build -o build/drawbridge ./cmd/drawbridge
	@mkdir -p build/completions build/man
	@for s in bash zsh fish; do build/drawbridge completion -c $$s > build/completions/drawbridge.$$s; done
	@build/drawbridge --man | sed "1s/\"[0-9-]*\"/\"$$(git log -1 --format=%cs)\"/" | gzip --no-name --best > build/man/drawbridge.1.gz

release-check: ## Makes a release twice by a throw-away key, compares the bytes, unpacks and runs each file. Three minutes, or 15 where nothing is built.
	$(PYTHON) tools/release/check.py

$(GORELEASER): Makefile
	@mkdir -p tools/bin
	GOBIN=$(CURDIR)/tools/bin $(GO) install github.com/goreleaser/goreleaser/v2@$(GORELEASER_VERSION)
	@touch $@

$(CYCLONEDX): Makefile
	@mkdir -p tools/bin
	GOBIN=$(CURDIR)/tools/bin $(GO) install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_VERSION)
	@touch $@

lambdas: ## Static arm64 and amd64 bootstrap zips in dist/, the same bytes every time.
	@$(call functions,$(ARCHES))
	@ls -l dist/*.zip

image: $(IMAGE) ## The mirror's image for arm64 and amd64 in build/, as an OCI layout. Needs Debian's mmdebstrap, and no Docker engine.

$(IMAGE): $(NOTICES) LICENSE $(wildcard $(filter-out %_test.go,$(shell git ls-files go.mod tools/image '*.go')))
	@$(call debian,mmdebstrap,mmdebstrap uidmap debian-archive-keyring)
	@$(MAKE) --no-print-directory mirror
	$(GO) run ./tools/image $@ $(IMAGE_VERSION) $$(git log -1 --format=%ct)
	@ls -l $@

mirror: ## The mirror's program for arm64 and amd64 in dist/, as its image holds it.
	@set -e; for arch in $(ARCHES); do CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o dist/$$arch/mirror/mirror ./cmd/mirror; done; ls -l dist/*/mirror/mirror

bench: $(VENV)/done lambdas ## Speed and size, each as a ratio measured in one run.
	$(GO) build -o build/ ./cmd/drawbridge ./tools/gitserve
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o build/mirror ./cmd/mirror
	$(VENV)/bin/python tools/bench.py
	$(VENV)/bin/python tools/bench_mirror.py

golden: ## Write the expected outputs of tests anew.
	$(GO) test ./cfn ./internal/config ./internal/demo ./internal/explore ./internal/install ./internal/replay ./internal/sandbox ./scheduler ./scheduler/forecast ./cmd/drawbridge ./tools/rooms -update

clean: ## Remove what was built or installed here.
	rm -rf build dist drawbridge internal/functions/zips/*.zip tools/venv tools/checkov-venv tools/dynamodb-local tools/npm/node_modules tools/bin
