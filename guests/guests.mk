# SPDX-License-Identifier: Apache-2.0
# Payload guests: see guests/README.md. guests/payloads/NAME.c becomes build/guests/NAME.elf.
GUEST_NAMES := $(basename $(notdir $(wildcard guests/payloads/*.c)))
GUEST_BINS  := $(patsubst %,$(BUILD)/guests/%.elf,$(GUEST_NAMES) multiboot)
GUEST_BINS  += $(BUILD)/guests/linux32.bzimage $(BUILD)/guests/linux32-old.bzimage

GUEST_CFLAGS  := $(filter-out -mcmodel=%,$(TARGET_CFLAGS)) -mcmodel=small
GUEST_LDFLAGS := $(TARGET_LDFLAGS)
guest_obj = $(patsubst %,$(BUILD)/guests/obj/%.o,$(basename $(1)))
GUEST_RUNTIME := $(call guest_obj,$(wildcard guests/runtime/*.[cS]) hv/lib/fmt.c hv/lib/string.c)

$(BUILD)/guests/obj/%.o: %.c $(FLAGS_STAMP) guests/guests.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/guests/obj/%.o: %.S $(FLAGS_STAMP) guests/guests.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -MMD -MP -c $< -o $@

.SECONDARY: $(call guest_obj,$(wildcard guests/payloads/*.c)) $(GUEST_RUNTIME)
$(BUILD)/guests/%.elf: $(BUILD)/guests/obj/guests/payloads/%.o $(GUEST_RUNTIME) linker/payload.lds
	$(Q)$(LD) $(GUEST_LDFLAGS) -T linker/payload.lds -o $@ $< $(GUEST_RUNTIME)

# The Multiboot payload starts in 32-bit protected mode and is an ELF32 file.
MULTIBOOT_CFLAGS := $(filter-out -mcmodel=% -mno-red-zone,$(TARGET_CFLAGS)) -m32 -march=i686
MULTIBOOT_OBJS := $(patsubst %,$(BUILD)/guests/obj/%.o,$(basename $(wildcard guests/multiboot/*.[cS])))
$(BUILD)/guests/obj/guests/multiboot/%.o: guests/multiboot/%.c $(FLAGS_STAMP) guests/guests.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(MULTIBOOT_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/guests/obj/guests/multiboot/%.o: guests/multiboot/%.S $(FLAGS_STAMP) guests/guests.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(MULTIBOOT_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/guests/multiboot.elf: $(MULTIBOOT_OBJS) linker/multiboot.lds
	$(Q)$(LD) -m elf_i386 $(GUEST_LDFLAGS) -T linker/multiboot.lds -o $@ $(MULTIBOOT_OBJS)

# bzImages with a 32-bit entry only: start.S is the header too, of a new and of an old protocol.
LINUX32 := $(BUILD)/guests/obj/guests/linux32
$(LINUX32)/%.o: guests/linux32/%.c $(FLAGS_STAMP) guests/guests.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(MULTIBOOT_CFLAGS) -MMD -MP -c $< -o $@

$(LINUX32)/linux32.o $(LINUX32)/linux32-old.o: guests/linux32/start.S $(FLAGS_STAMP) guests/guests.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(MULTIBOOT_CFLAGS) $(if $(findstring old,$@),-DOLD) -MMD -MP -c $< -o $@

.SECONDARY: $(LINUX32)/main.o
$(BUILD)/guests/%.bzimage: $(LINUX32)/%.o $(LINUX32)/main.o linker/linux32.lds
	$(Q)$(LD) -m elf_i386 $(GUEST_LDFLAGS) -T linker/linux32.lds -o $(LINUX32)/$*.elf $(LINUX32)/$*.o $(LINUX32)/main.o
	$(Q)$(OBJCOPY) -O binary $(LINUX32)/$*.elf $@
