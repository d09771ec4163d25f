# SPDX-License-Identifier: GPL-2.0-only
#
# Drives the overlay: everything is done by the host tool in
# scripts/kexec-purgatory, which is built first.  The files that the kernel
# build itself reads are Kbuild and Kconfig beside this one.

TOOL := build/tool/debug/kexec-purgatory
# Built with optimizations, to measure.
RELEASE_TOOL := build/tool/release/kexec-purgatory

# KDIR=<kernel tree to use in place of the one that is fetched>
# SERIES=<series to fetch in place of the newest that is supported>
SERIES_ARGS := $(if $(SERIES),--series '$(SERIES)')
TREE_ARGS := $(if $(KDIR),--kdir '$(KDIR)') $(SERIES_ARGS)

# Refuses the variable $1 for the commands $2, which would ignore it.
refuse = $(if $($1),$(foreach command,$(filter $2,$(MAKECMDGOALS)),\
	$(error make $(command) does not take $1=)))
NO_KDIR := check fuzz bench-static debian-patches mutants series-check
NO_SERIES := check fuzz
$(call refuse,KDIR,$(NO_KDIR))
$(call refuse,SERIES,$(NO_SERIES))
# Refuses the variable $1 on the command line of all commands except $2, and except "clean" beside
# one of $2.
only = $(if $(filter command,$(origin $1)),$(call refuse,$1,$(filter-out $2 \
	$(if $(filter $2,$(MAKECMDGOALS)),clean),$(MAKECMDGOALS))))
$(call only,FILTER,test check matrix mutants)
$(call only,LIST,test)
$(call only,KEXECS,test test-debian)
$(call only,PROFILE,test test-debian deb)
$(call only,O,kernel)
$(call only,VERIFY,kernel)
$(call only,ROUNDS,bench)
$(call only,RUNS,bench fuzz)
$(call only,CACHES,bench)
$(call only,QEMU,bench)
$(call only,COUNT,faults)
$(call only,SEED,faults)
$(call only,SECONDS,fuzz)
$(call only,KEEP,fuzz)
$(call only,PULL,series)

# make kernel O=<build directory> VERIFY=<y|m|n|norust|options|options-m>
KERNEL_ARGS := $(if $(O),--output '$(O)') $(if $(VERIFY),--verify '$(VERIFY)')
# make bench ROUNDS=<of each piece of work> RUNS=<of each way to /init, in QEMU>
# CACHES=<warm|cold> QEMU=0
BENCH_ARGS := $(if $(ROUNDS),--rounds '$(ROUNDS)') $(if $(RUNS),--runs '$(RUNS)') \
	$(if $(CACHES),--caches '$(CACHES)') $(if $(filter 0,$(QEMU)),--no-emulation)
# make faults COUNT=<faults> SEED=<number>
FAULTS_ARGS := $(if $(COUNT),--count '$(COUNT)') $(if $(SEED),--seed '$(SEED)')
# make test FILTER=<part of a test's name>, make mutants FILTER=<part of a mutant's>
FILTER_ARGS := $(if $(FILTER),--filter '$(FILTER)')
# make test LIST=1 prints the names of the tests
LIST_ARGS := $(if $(LIST),--list)
# make fuzz SECONDS=<for each property> RUNS=<inputs for each> KEEP=1
FUZZ_ARGS := $(if $(SECONDS),--seconds '$(SECONDS)') $(if $(RUNS),--runs '$(RUNS)') \
	$(if $(KEEP),--keep)

# make series PULL='<URL of a repository> <branch>'
SERIES_MAIL_ARGS := $(if $(PULL),--pull '$(PULL)')
# make deb PROFILE=<full|guest>
DEB_ARGS := $(if $(PROFILE),--profile '$(PROFILE)')
# make test-debian KEXECS=<in a row> PROFILE=<full|guest>; make test takes them too
GUEST_ARGS := $(if $(KEXECS),--kexecs '$(KEXECS)') $(DEB_ARGS)

.PHONY: help
help:
	@echo 'make run       build, boot in QEMU and enter a distribution'\''s kernel, for'
	@echo '               KEXEC_PURGATORY_VERIFY=y, m and n; then crash under n'
	@echo 'make test      the tests that take up to an hour; FILTER=<text> runs the tests'
	@echo '               whose names contain it, and FILTER=compilers, options, toolchain,'
	@echo '               matrix, debian, debug, long or cargo-mutants those groups, which'
	@echo '               take long and run only on request; LIST=1 prints the names and'
	@echo '               builds nothing'
	@echo 'make check     the tests that need no root and no kernel, only git, a C compiler'
	@echo '               and Rust; FILTER=<text>'
	@echo 'make matrix    boot many machines, with kernels of many configurations and'
	@echo '               compilers, enter many other kernels, and crash; FILTER=<text>'
	@echo 'make bench     measure the Rust and the C purgatory; prints tables, writes'
	@echo '               build/bench; ROUNDS=<of each piece of work> RUNS=<to each /init,'
	@echo '               in QEMU> CACHES=warm|cold; QEMU=0 skips QEMU and builds no kernel'
	@echo 'make bench-static'
	@echo '               the measurements as one static program in build/bench-static, for'
	@echo '               other machines; it runs as any user and takes a minute'
	@echo 'make faults    damage images in the memory of guests, and check that the'
	@echo '               purgatory notices; COUNT=<faults> SEED=<number>'
	@echo 'make mutants   break the purgatory and the kernel; the tests must notice each'
	@echo '               mutant; FILTER=<text> tries the mutants whose names contain it'
	@echo 'make fuzz      fuzz the parameter checks and the digests; SECONDS= or RUNS= for'
	@echo '               each property, KEEP=1 adds to the corpus'
	@echo 'make registers compare the registers that the next kernel finds with those that'
	@echo '               it finds after the C purgatory'
	@echo 'make kernel    build the grafted kernel; O=<build directory>'
	@echo '               VERIFY=y|m|n|norust|options|options-m'
	@echo 'make graft     link the overlay into the kernel tree'
	@echo 'make ungraft   remove it again'
	@echo 'make series    the project as a patch series in build/series, checked by'
	@echo '               checkpatch; KDIR=<git repository> for a series against the commit'
	@echo '               that is checked out there; PULL=<repository and branch>'
	@echo '               also writes mails for lists'
	@echo 'make series-check'
	@echo '               build each patch of the series, with and without Rust, boot some,'
	@echo '               and compare the last with the grafted tree'
	@echo 'make deb       Debian packages of the grafted kernel, with Debian'\''s'
	@echo '               configuration, in build/debian-packages; PROFILE=full, or'
	@echo '               PROFILE=guest with only the modules of a guest in QEMU'
	@echo 'make test-debian'
	@echo '               install these packages in a Debian 13 guest, and run the commands'
	@echo '               of the administrator'\''s guide there; KEXECS=<in a row>'
	@echo '               PROFILE=full|guest, by default guest'
	@echo 'make debian-patches'
	@echo '               the series as patches for Debian'\''s source package linux, with the'
	@echo '               lines for its configuration, in build/debian-patches'
	@echo 'make clean     remove build/'
	@echo
	@echo 'KDIR=<kernel tree> makes a command graft that tree instead of the fetched one.'
	@echo 'Refused by: $(NO_KDIR)'
	@echo 'SERIES=7.2 makes a command fetch that series instead of the newest supported'
	@echo 'one. Refused by: $(NO_SERIES)'

.PHONY: tool
tool:
	@scripts/kexec-purgatory/bootstrap

.PHONY: run
run: tool
	@$(TOOL) run $(TREE_ARGS)

.PHONY: test
test: tool
	@$(TOOL) test $(FILTER_ARGS) $(LIST_ARGS) $(GUEST_ARGS) $(TREE_ARGS)

.PHONY: check
check:
	@scripts/kexec-purgatory/bootstrap check $(FILTER_ARGS)

.PHONY: mutants
mutants: tool
	@$(TOOL) mutants $(FILTER_ARGS) $(TREE_ARGS)

.PHONY: bench
bench:
	@scripts/kexec-purgatory/bootstrap release
	@$(RELEASE_TOOL) bench $(BENCH_ARGS) $(TREE_ARGS)

.PHONY: bench-static
bench-static: tool
	@$(TOOL) bench-static $(SERIES_ARGS)

.PHONY: faults
faults: tool
	@$(TOOL) faults $(FAULTS_ARGS) $(TREE_ARGS)

.PHONY: fuzz
fuzz: tool
	@$(TOOL) fuzz $(FUZZ_ARGS)

.PHONY: registers
registers: tool
	@$(TOOL) registers $(TREE_ARGS)

.PHONY: kernel
kernel: tool
	@$(TOOL) kernel $(KERNEL_ARGS) $(TREE_ARGS)

.PHONY: graft ungraft
graft ungraft:
	@scripts/kexec-purgatory/bootstrap $@ $(TREE_ARGS)

.PHONY: series
series:
	@scripts/kexec-purgatory/bootstrap series $(SERIES_MAIL_ARGS) $(TREE_ARGS)

.PHONY: debian-patches
debian-patches: tool
	@$(TOOL) debian-patches $(SERIES_ARGS)

.PHONY: deb
deb: tool
	@$(TOOL) deb $(DEB_ARGS) $(TREE_ARGS)

.PHONY: test-debian
test-debian: tool
	@$(TOOL) test --filter debian $(GUEST_ARGS) $(TREE_ARGS)

.PHONY: matrix
matrix: tool
	@$(TOOL) matrix $(FILTER_ARGS) $(TREE_ARGS)

.PHONY: series-check
series-check: tool
	@$(TOOL) series-check $(SERIES_ARGS)

.PHONY: clean
clean:
	@if [ -d build ]; then flock build/.lock rm -rf build; fi
