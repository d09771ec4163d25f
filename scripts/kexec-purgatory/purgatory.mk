# SPDX-License-Identifier: GPL-2.0-only
#
# Builds the purgatory without a kernel around it: with the purgatory's own Makefile, and
# with the few rules of the kernel that it needs.
#
# make -f purgatory.mk KERNEL=<kernel tree> PURGATORY=<sources> KEXEC_PURGATORY_CRATES=<crates>
#
# Builds in "purgatory", a directory that it makes in the current one.

MAKEFLAGS += --no-builtin-rules --no-builtin-variables --no-print-directory

.SUFFIXES:
PHONY := FORCE
.PHONY: all
all: purgatory/purgatory.bin purgatory/purgatory_test.bin

srctree	:= $(KERNEL)
objtree	:= .
src	:= $(PURGATORY)
obj	:= purgatory
Q	:= @
quiet	:= quiet_

CONFIG_SHELL	:= sh
RUSTC		?= /usr/bin/rustc
LD		:= ld.lld-19
NM		:= llvm-nm-19
OBJCOPY		:= llvm-objcopy-19
READELF		:= llvm-readelf-19
RUSTC_OR_CLIPPY		:= $(RUSTC)
RUSTC_OR_CLIPPY_QUIET	:= RUSTC
export RUSTC_BOOTSTRAP := 1

CONFIG_KEXEC_PURGATORY_RUST := y
CONFIG_RUSTC_VERSION := $(shell $(srctree)/scripts/rustc-version.sh $(RUSTC))

include $(srctree)/scripts/Kbuild.include
include $(srctree)/scripts/Makefile.compiler

# Without fixdep, which only matters for files with CONFIG_ symbols: the compiler's list
# of sources is used unchanged.
cmd_and_fixdep = $(cmd_and_savecmd)

# As in scripts/Makefile.lib.
quiet_cmd_objcopy = OBJCOPY $@
      cmd_objcopy = $(OBJCOPY) $(OBJCOPYFLAGS) $(OBJCOPYFLAGS_$(@F)) $< $@

include $(src)/Makefile

$(shell mkdir -p $(obj))
-include $(foreach t,$(targets),$(wildcard $(obj)/.$(t).cmd $(obj)/.$(t).d))

FORCE:
.PHONY: $(PHONY)
