# SPDX-License-Identifier: Apache-2.0
# Every command a person types. `make help` lists them.

BUILD  := build
CC     := gcc
LD     := ld
AR     := ar
OBJCOPY := objcopy
NM     := nm
PYTHON := /usr/bin/python3
IASL   := iasl

.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
Q := $(if $(V),,@)

# ---- Sources, one list per layer (design: dependencies go down only) ------------------------------
LIB_SRCS     := $(wildcard hv/lib/*.c)
PURE_DIRS    := hv/config hv/mm hv/io hv/trace hv/sched hv/abi arch/x86/mm arch/x86/emul \
                arch/x86/policy drivers/virt
PURE_SRCS    := $(LIB_SRCS) $(foreach d,$(PURE_DIRS),$(wildcard $(d)/*.c)) $(wildcard hv/vm/load*.c) \
                arch/x86/svm/event.c
# Uses privileged instructions only through arch/x86/cpu/insn.h, which the host tests replace.
FAKEABLE_DIRS := arch/x86/virt arch/x86/vmx arch/x86/svm hv/vm drivers/back
FAKEABLE_SRCS := $(filter-out $(PURE_SRCS),$(foreach d,$(FAKEABLE_DIRS),$(wildcard $(d)/*.c)))
IMPURE_DIRS  := arch/x86/cpu drivers/phys hv/core
IMPURE_SRCS  := $(foreach d,$(IMPURE_DIRS),$(wildcard $(d)/*.c))
ASM_SRCS     := $(foreach d,arch/x86/cpu arch/x86/vmx arch/x86/svm,$(wildcard $(d)/*.S))
BOOT_SRCS    := $(wildcard boot/*.c)
BOOT_PURE_SRCS := boot/acpi.c boot/convert.c boot/cpus.c boot/elf.c boot/memmap.c boot/paging.c
# The loader asks the config which files to load, with the hypervisor's own parser.
BOOT_SHARED_SRCS := hv/lib/fmt.c hv/lib/string.c $(wildcard hv/config/*.c)
UNIT_SRCS    := $(wildcard tests/unit/test_*.c)
FAKE_SRCS    := $(wildcard tests/fakes/*.c)
FUZZ_SRCS    := $(wildcard tests/fuzz/fuzz_*.c)

# ---- Flags ------------------------------------------------------------------------------------------
WARN   := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla \
          -Wundef -Werror
VERSION := $(shell cat VERSION)
DEFINES := # make bench: -DEXIT_TIMING
COMMON := -std=gnu11 -I. -I$(BUILD)/gen $(WARN) -fno-strict-aliasing -DBULKHEAD_VERSION='"$(VERSION)"' $(DEFINES)
TARGET_CFLAGS := $(COMMON) -O2 -g -ffreestanding -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone \
          -mgeneral-regs-only -fno-stack-protector -fno-asynchronous-unwind-tables \
          -fcf-protection=none -fno-omit-frame-pointer -momit-leaf-frame-pointer -fno-common
TARGET_LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments \
          --build-id=none --fatal-warnings
HOST_CC := $(CC)
HOST_CFLAGS := $(COMMON) -O1 -g -DHOST_BUILD -fsanitize=address,undefined \
          -fno-sanitize-recover=undefined -fno-omit-frame-pointer
EFI_CFLAGS := -std=gnu11 -I. -isystem /usr/include/efi -isystem /usr/include/efi/x86_64 $(WARN) -O2 -g -ffreestanding -fpic \
          -fshort-wchar -mno-red-zone -mgeneral-regs-only -fno-stack-protector -fno-strict-aliasing \
          -fcf-protection=none -DGNU_EFI_USE_MS_ABI -DBULKHEAD_VERSION='"$(VERSION)"'
EFI_LIB := /usr/lib

# A change of compiler or flags rebuilds everything.
FLAGS_STAMP := $(BUILD)/flags.stamp
FLAGS_NOW   := $(CC) $(TARGET_CFLAGS) $(HOST_CFLAGS) $(EFI_CFLAGS)
$(shell mkdir -p $(BUILD); printf '%s\n' "$(subst ",\",$(FLAGS_NOW))" | cmp -s - $(FLAGS_STAMP) || \
	printf '%s\n' "$(subst ",\",$(FLAGS_NOW))" > $(FLAGS_STAMP))

# ---- The hypervisor ELF -----------------------------------------------------------------------------
obj = $(patsubst %,$(BUILD)/hv/%.o,$(basename $(1)))
LAYERS := lib pure vendor phys core
LAYER_lib    := $(LIB_SRCS)
LAYER_pure   := $(filter-out $(LIB_SRCS),$(PURE_SRCS))
HV_SRCS := $(PURE_SRCS) $(FAKEABLE_SRCS) $(IMPURE_SRCS)
HV_OBJS := $(call obj,$(HV_SRCS)) $(patsubst %.S,$(BUILD)/hv/%.S.o,$(ASM_SRCS))

$(BUILD)/hv/%.o: %.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) $(TARGET_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/hv/%.S.o: %.S $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) $(TARGET_CFLAGS) -D__ASSEMBLY__ -MMD -MP -c $< -o $@

# Assembly offsets come from the structures themselves.
$(BUILD)/gen/asm_offsets.h: arch/x86/cpu/asm_offsets.c.in $(FLAGS_STAMP) tools/asm_offsets.py
	@mkdir -p $(@D)
	$(Q)$(CC) $(TARGET_CFLAGS) -MMD -MP -MT $@ -MF $(BUILD)/gen/asm_offsets.d -x c -S $< -o $(BUILD)/gen/asm_offsets.s
	$(Q)$(PYTHON) tools/asm_offsets.py $(BUILD)/gen/asm_offsets.s > $@
$(patsubst %.S,$(BUILD)/hv/%.S.o,$(ASM_SRCS)): | $(BUILD)/gen/asm_offsets.h

# ACPI: the DSDT is compiled from ASL into a C array.
$(BUILD)/gen/dsdt.h: drivers/virt/dsdt.asl tools/bin2c.py
	@mkdir -p $(@D)
	$(Q)$(IASL) -ve -p $(BUILD)/gen/dsdt $< > $(BUILD)/gen/iasl.log 2>&1 || { cat $(BUILD)/gen/iasl.log; exit 1; }
	$(Q)$(PYTHON) tools/bin2c.py acpi_dsdt $(BUILD)/gen/dsdt.aml > $@
$(call obj,$(wildcard drivers/virt/acpi*.c)): | $(BUILD)/gen/dsdt.h

# Two links: the first gives the symbol table that the second carries for backtraces.
HV_ELF := $(BUILD)/hypervisor.elf
$(BUILD)/hypervisor.pass1.elf: $(HV_OBJS) linker/hypervisor.lds $(BUILD)/gen/symbols_empty.o
	$(Q)$(LD) $(TARGET_LDFLAGS) -T linker/hypervisor.lds -o $@ $(HV_OBJS) $(BUILD)/gen/symbols_empty.o

$(BUILD)/gen/symbols_empty.o: tools/symbols.py $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(PYTHON) tools/symbols.py < /dev/null > $(BUILD)/gen/symbols_empty.S
	$(Q)$(CC) -c $(BUILD)/gen/symbols_empty.S -o $@

$(BUILD)/gen/symbols.o: $(BUILD)/hypervisor.pass1.elf tools/symbols.py
	$(Q)$(NM) -n $< | $(PYTHON) tools/symbols.py > $(BUILD)/gen/symbols.S
	$(Q)$(CC) -c $(BUILD)/gen/symbols.S -o $@

$(HV_ELF): $(BUILD)/gen/symbols.o linker/hypervisor.lds $(HV_OBJS)
	$(Q)$(LD) $(TARGET_LDFLAGS) -T linker/hypervisor.lds -Map $(BUILD)/hypervisor.map -o $@ $(HV_OBJS) $(BUILD)/gen/symbols.o

# ---- The loader: BOOTX64.EFI with the hypervisor inside --------------------------------------------
EFI := $(BUILD)/BOOTX64.EFI
BOOT_OBJS := $(patsubst %.c,$(BUILD)/efi/%.o,$(BOOT_SRCS) $(BOOT_SHARED_SRCS)) \
             $(BUILD)/efi/hypervisor_blob.o
$(BUILD)/efi/%.o: %.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) $(EFI_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/efi/hypervisor_blob.o: boot/hypervisor_blob.S $(HV_ELF)
	@mkdir -p $(@D)
	$(Q)$(OBJCOPY) --strip-all $(HV_ELF) $(BUILD)/hypervisor.stripped.elf
	$(Q)$(CC) -I$(BUILD) -c $< -o $@

# -z defs: an undefined symbol would otherwise link, and jump to 0 at run time.
$(BUILD)/loader.so: $(BOOT_OBJS)
	$(Q)$(LD) -nostdlib -znocombreloc -shared -Bsymbolic --no-warn-rwx-segments -z noexecstack -z defs \
		-T $(EFI_LIB)/elf_x86_64_efi.lds $(EFI_LIB)/crt0-efi-x86_64.o $(BOOT_OBJS) \
		-L$(EFI_LIB) -lgnuefi -o $@

$(EFI): $(BUILD)/loader.so
	$(Q)$(OBJCOPY) -j .text -j .sdata -j .data -j .rodata -j .hypervisor -j .dynamic -j .dynsym -j .rel \
		-j .rela -j '.rel.*' -j '.rela.*' -j .reloc --target=efi-app-x86_64 $< $@
	@printf 'built %s: %s bytes\n' $@ $$(stat -c %s $@)

# ---- Host unit tests --------------------------------------------------------------------------------
HOST_LIB_SRCS := $(filter-out hv/lib/string.c,$(PURE_SRCS)) $(FAKEABLE_SRCS) $(FAKE_SRCS) $(BOOT_PURE_SRCS)
HOST_OBJS := $(patsubst %.c,$(BUILD)/host/%.o,$(HOST_LIB_SRCS))
UNIT_BINS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRCS))

$(BUILD)/host/%.o: %.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(HOST_CC) $(HOST_CFLAGS) -MMD -MP -c $< -o $@
$(patsubst %.c,$(BUILD)/host/%.o,$(wildcard drivers/virt/acpi*.c)): | $(BUILD)/gen/dsdt.h

$(BUILD)/host/libpure.a: $(HOST_OBJS)
	$(Q)rm -f $@; $(AR) rcs $@ $^

$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/host/libpure.a $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(HOST_CC) $(HOST_CFLAGS) -MMD -MP -MF $@.d $< $(BUILD)/host/libpure.a -lcmocka -o $@

# The decoder against an independent disassembler: a fixed set of instructions here, others in `make fuzz`.
EMUL_DIFF := $(BUILD)/unit/emul_diff
$(EMUL_DIFF): $(wildcard tests/fuzz/emul_diff*.[ch]) $(BUILD)/host/libpure.a $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(HOST_CC) $(HOST_CFLAGS) $(filter %.c %.a,$^) -lZydis -o $@

TEST :=
.PHONY: unit
unit: $(if $(TEST),$(BUILD)/unit/$(TEST),$(UNIT_BINS) $(EMUL_DIFF))
	$(Q)$(PYTHON) tests/tools/run_unit.py $^

# ---- Static checks ----------------------------------------------------------------------------------
# What the tree must look like, and the tests' own tools; CHECK="name ..." for some.
CHECK :=
check: export CHECK_CC := $(CC)
check: export CHECK_NM := $(NM)
check: export CHECK_BUILD := $(BUILD)
check: export CHECK_PURE := $(PURE_SRCS)
check: export CHECK_BOOT_PURE := $(BOOT_PURE_SRCS)
check: export CHECK_TARGET_CFLAGS := $(TARGET_CFLAGS)
check: export CHECK_EFI_CFLAGS := $(EFI_CFLAGS)
check: export CHECK_HOST_CFLAGS := $(HOST_CFLAGS)
check: $(BUILD)/bulkhead $(call obj,$(PURE_SRCS)) $(patsubst %.c,$(BUILD)/efi/%.o,$(BOOT_PURE_SRCS))
	$(Q)$(PYTHON) tests/tools/check_all.py $(CHECK)

FORMAT := $(or $(shell command -v clang-format-14),clang-format)
format:
	$(Q)git ls-files -z --cached --others --exclude-standard '*.c' '*.h' | xargs -0 $(FORMAT) -i

# ---- Fuzzing ----------------------------------------------------------------------------------------
# Each target for FUZZ_SECONDS; FUZZ=name for one. What it learns stays in build/fuzz/corpus/.
FUZZ_SECONDS := 30
FUZZ :=
FUZZ_CC := clang
FUZZ_CFLAGS := $(COMMON) -O1 -g -DHOST_BUILD -fsanitize=address,undefined \
          -fno-sanitize-recover=undefined -fno-omit-frame-pointer
FUZZ_OBJS := $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(HOST_LIB_SRCS))
FUZZ_BINS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRCS))
$(BUILD)/fuzz/obj/%.o: %.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@
$(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(wildcard drivers/virt/acpi*.c)): | $(BUILD)/gen/dsdt.h

$(BUILD)/fuzz/libpure.a: $(FUZZ_OBJS)
	$(Q)rm -f $@; $(AR) rcs $@ $^

$(BUILD)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(BUILD)/fuzz/libpure.a
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer -MMD -MP -MF $@.d $< $(BUILD)/fuzz/libpure.a -o $@

FUZZ_ALL := $(FUZZ_BINS) $(EMUL_DIFF)
fuzz: $(if $(FUZZ),$(or $(filter %/$(FUZZ),$(FUZZ_ALL)),$(BUILD)/fuzz/$(FUZZ)),$(FUZZ_ALL))
	$(Q)$(PYTHON) tests/tools/fuzz.py --seconds $(FUZZ_SECONDS) $^

# ---- Figures ----------------------------------------------------------------------------------------
# docs/bench.md. A second build measures itself; exits are timed with the first, the one that users run.
TIMED := $(BUILD)/timed
bench: $(EFI) $(TOOL) $(foreach g,bench counter hello,$(BUILD)/guests/$(g).elf)
	$(Q)$(DEPS) test
	$(Q)$(MAKE) --no-print-directory $(BUILD)/unit/test_vmx_price \
		$(BUILD)/unit/test_svm_price
	$(Q)$(MAKE) --no-print-directory BUILD=$(TIMED) DEFINES=-DEXIT_TIMING $(TIMED)/BOOTX64.EFI
	$(Q)$(PYTHON) tests/bench/bench.py --build $(BUILD) --timed $(TIMED)

# ---- Mutants ----------------------------------------------------------------------------------------
# Known defects, planted in a copy of the tree; see tests/mutants/README.md.
MUTANTS :=
mutants:
	$(Q)$(PYTHON) tests/tools/mutants.py $(MUTANTS)

# ---- Payload guests ---------------------------------------------------------------------------------
include guests/guests.mk

TOOL := $(BUILD)/bulkhead

# ---- Commands ---------------------------------------------------------------------------------------
.PHONY: all image run test test-long check boot-test bench mutants fuzz clean help format deps
all: $(EFI) $(GUEST_BINS) $(TOOL)

# The host program: Bulkhead's own config parser and check.
$(TOOL): tools/bulkhead.c $(wildcard hv/config/*.[ch]) hv/lib/fmt.c $(FLAGS_STAMP)
	$(Q)$(CC) -std=gnu11 -I. $(WARN) -O2 -DHOST_BUILD tools/bulkhead.c hv/config/*.c hv/lib/fmt.c -o $@

# Debian packages that are missing are installed first, saying so: what the goals at hand need.
DEPS  := tools/deps.sh
GOALS := $(or $(MAKECMDGOALS),all)
NEEDS := $(if $(filter test test-long check unit boot-test bench mutants fuzz format,$(GOALS)),test,$(if \
         $(filter debug,$(GOALS)),debug,$(if $(filter run,$(GOALS)),run,$(if $(filter-out clean help,$(GOALS)),build))))
NEEDS += $(if $(NEEDS),$(if $(findstring clang,$(CC)),clang))
ifneq ($(strip $(NEEDS)),)
ifneq ($(shell $(DEPS) $(NEEDS) >&2 && echo ready),ready)
$(error packages are missing: see above)
endif
endif

CONFIG :=
IMAGE  :=
image: $(EFI) $(TOOL)
	@test -n "$(CONFIG)" -a -n "$(IMAGE)" || { echo "usage: make image CONFIG=bulkhead.toml IMAGE=out.img" >&2; exit 2; }
	$(Q)$(PYTHON) tools/image.py $(IMAGE) $(EFI) $(CONFIG) $(TOOL)

.PHONY: demo-image
demo-image: $(EFI) $(TOOL) $(GUEST_BINS)
	$(Q)$(PYTHON) tools/stage_demo.py $(BUILD)/demo $(BUILD)/guests/beacon.elf
	$(Q)$(PYTHON) tools/image.py $(BUILD)/demo.img $(EFI) $(BUILD)/demo/bulkhead.toml $(TOOL)

# The fastest that works here; tools/emulate says which. `make run PLATFORM=bochs-vmx` decides.
PLATFORM := fastest
run: demo-image
	tools/emulate $(PLATFORM) $(BUILD)/demo.img --timeout 0

# Waits for gdb at its first instruction; docs/debugging.md.
.PHONY: debug
debug: demo-image
	tools/debug.py $(BUILD)/demo.img $(filter qemu-%,$(PLATFORM))

# BOOT="--platform qemu-svm --only 'payloads-*'" for some.
BOOT :=
boot-test: $(EFI) $(TOOL) $(GUEST_BINS)
	$(Q)$(PYTHON) tests/boot/run.py $(BOOT)

# Debian's ordinary kernel on many CPUs, and what it says on the bare emulator.
test-long: $(EFI) $(TOOL) $(GUEST_BINS)
	$(Q)$(PYTHON) tests/boot/run.py --long $(BOOT)
	$(Q)$(PYTHON) tests/boot/bare.py compare

# All parts run even when one fails; each ends with its own summary line.
test:
	@failed=; for part in check unit boot-test; do \
		echo "---- $$part"; $(MAKE) --no-print-directory $$part || failed="$$failed $$part"; done; \
	if [ -n "$$failed" ]; then echo "test: FAILED:$$failed"; exit 1; else echo "test: everything passed"; fi

clean:
	rm -rf $(BUILD)

help:
	@echo "make              build BOOTX64.EFI and the payload guests"
	@echo "make run          build a demo image (Debian Linux + a second guest) and boot it (PLATFORM=name)"
	@echo "make debug        the same in QEMU, under gdb"
	@echo "make test         check + unit + boot-test"
	@echo "make test-long    Debian's ordinary kernel on many CPUs, compared with the bare emulator"
	@echo "make check        static checks: layers, purity, licences, formatting"
	@echo "make unit         host tests under sanitizers (TEST=name for one)"
	@echo "make boot-test    emulator tests (BOOT=\"--platform qemu-svm\" for some)"
	@echo "make image CONFIG=bulkhead.toml IMAGE=out.img   bootable disk image"
	@echo "make bench        figures: build/bench.json and a table (docs/bench.md)"
	@echo "make mutants      plant known defects and see the tests catch them"
	@echo "make fuzz         fuzz the pure code (FUZZ=name for one, FUZZ_SECONDS=n for longer)"
	@echo "make format       lay out the C files with clang-format"
	@echo "make clean        remove build/"

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
