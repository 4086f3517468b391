/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/vm/vm.h"
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/defs/cr.h"
#include "hv/lib/fmt.h"
#include "hv/lib/string.h"
#include "hv/mm/memory.h"
#include "hv/vm/pc.h"

struct vm_host vm_host;

static unsigned pages_for(uint64_t bytes)
{
	return (unsigned)((bytes + PAGE_SIZE - 1) / PAGE_SIZE);
}

/* ---- Memory ---- */

static hpa_t table_alloc(void *context)
{
	const struct vm *vm = context;

	return frame_alloc(&host_frames, vm->owner, 1, 1);
}

static void table_free(void *context, hpa_t frame)
{
	const struct vm *vm = context;

	frame_free(&host_frames, vm->owner, frame, 1);
}

static void *table_to_virt(hpa_t frame)
{
	return phys_to_virt(frame);
}

static void set_chunks(struct vm *vm, uint64_t first, hpa_t base, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		vm->mem.chunk[first + i] = phys_to_virt(base + i * CHUNK_SIZE);
}

/* Whole GiBs where a 1 GiB leaf could map them, as many as lie in a row elsewhere. */
static int give_ram(struct vm *vm)
{
	const uint64_t per_gib = GIB(1) / CHUNK_SIZE;
	uint64_t count = vm->ram_size / CHUNK_SIZE, got;
	hpa_t base;

	for (uint64_t i = 0; i < count; i += got) {
		uint64_t run = MIN(per_gib - i % per_gib, count - i);

		got = 0;
		if (run == per_gib && i != 0 && vm_host.page_sizes & PT_1G)
			got = frame_alloc_chunks(&host_frames, vm->owner, run, run, run, &base);
		if (got == 0)
			got = frame_alloc_chunks(&host_frames, vm->owner, 1, run, 1, &base);
		if (got == 0)
			return E_NOMEM; /* never: all of them were claimed */
		set_chunks(vm, i, base, got);
	}
	return OK;
}

/* Map one region, as few calls as host memory is contiguous, so that large leaves can form. */
static int map_region(struct vm *vm, const struct guest_region *r)
{
	uint64_t done = 0;

	while (done < r->size) {
		uint64_t offset = r->offset + done, left, run;
		const char *host = (char *)vm->mem.chunk[offset / CHUNK_SIZE] + offset % CHUNK_SIZE;
		int status;

		for (run = CHUNK_SIZE - offset % CHUNK_SIZE; run < r->size - done;
			run += CHUNK_SIZE) {
			if (vm->mem.chunk[(offset + run) / CHUNK_SIZE] != host + run)
				break;
		}
		left = MIN(run, r->size - done);
		status = pt_map(&vm->stage2, r->base + done, virt_to_phys(host), left,
			PT_READ | PT_WRITE | PT_EXEC | PT_WB | PT_IGNORE_PAT, vm_host.page_sizes);
		if (status != OK)
			return status;
		done += left;
	}
	return OK;
}

static int create_apic_access(struct vm *vm)
{
	if (!(vm_host.caps.apic & VCPU_APIC_PAGE))
		return OK;
	vm->apic_access = frame_alloc(&host_frames, vm->owner, 1, 1);
	return vm->apic_access ? vm_lapic_map(vm) : E_NOMEM;
}

static int create_memory(struct vm *vm, const struct virt_ops *ops)
{
	int status;

	vm->mem.chunk = memory_alloc(
		vm->owner, pages_for(vm->ram_size / CHUNK_SIZE * sizeof(void *)));
	if (!vm->mem.chunk)
		return E_NOMEM;
	status = give_ram(vm);
	if (status != OK)
		return status;
	guest_mem_layout_pc(&vm->mem, vm->ram_size);
	vm->stage2 = (struct pt){
		.format = ops->stage2_format,
		.page_sizes = vm_host.page_sizes,
		.frame_alloc = table_alloc,
		.frame_free = table_free,
		.to_virt = table_to_virt,
		.context = vm,
	};
	status = pt_create(&vm->stage2);
	for (unsigned i = 0; i < vm->mem.region_count && status == OK; i++)
		status = map_region(vm, &vm->mem.region[i]);
	return status == OK ? create_apic_access(vm) : status;
}

/* ---- vCPUs ---- */

static struct cpuid_regs host_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf)
{
	(void)ctx;
	return cpuid(leaf, subleaf);
}

static int create_cpu(
	struct vm *vm, unsigned id, const struct vm_params *p, const struct virt_ops *ops)
{
	struct vm_cpu *c = memory_alloc(vm->owner, pages_for(sizeof(*c)));
	void *page = memory_alloc(vm->owner, 1);
	const struct cpuid_params params = {
		.host = host_cpuid,
		.apic_id = id,
		.vcpu_count = p->cpu_count,
		.tsc_hz = tsc_hz(),
		.rdtscp = vm_host.caps.rdtscp,
		.invpcid = vm_host.caps.invpcid,
		.xsavec = vm_host.caps.xsavec,
		.xsaves = vm_host.caps.xsaves,
		.host_cr4 = vm_host.caps.cr4,
	};

	if (!c || !page)
		return E_NOMEM;
	vm->cpu[id] = c;
	c->vm = vm;
	c->vcpu.id = id;
	c->vcpu.cpu = p->cpus[id];
	c->vcpu.vpid = p->vpid + id;
	c->vcpu.owner = vm->owner;
	c->vcpu.ops = ops;
	c->vcpu.hooks = &vm_hooks;
	c->vcpu.stage2_root = vm->stage2.root;
	cpuid_table_build(&c->cpuid, &params);
	c->vcpu.cr4_guest_bits = c->cpuid.cr4_allowed;
	c->vcpu.has_rdtscp = vm_host.caps.rdtscp;
	c->vcpu.has_invpcid = vm_host.caps.invpcid;
	c->vcpu.has_xsaves = c->cpuid.has_xsaves;
	c->xcr0 = XCR0_X87;
	vm_msr_reset(c);
	vm_lapic_init(c, page);
	return ops->vcpu_init(&c->vcpu);
}

static int create_cpus(struct vm *vm, const struct vm_params *p, const struct virt_ops *ops)
{
	for (unsigned i = 0; i < p->cpu_count; i++) {
		int status = create_cpu(vm, i, p, ops);

		if (status != OK)
			return status;
		vm->cpu_count = i + 1;
	}
	return OK;
}

/* ---- Life ---- */

static int load_image(struct vm *vm, const struct vm_params *p, char *error)
{
	struct load_layout layout;
	struct load_result result = {.error = ""};
	const struct load_request request = {
		.kernel = p->kernel,
		.kernel_size = p->kernel_size,
		.initrd = p->initrd,
		.initrd_size = p->initrd_size,
		.cmdline = p->cmdline,
		.name = p->name,
		.vcpu_count = p->cpu_count,
		.layout = &layout,
	};
	const struct cpuid_regs *leaf1 = cpuid_table_find(&vm->cpu[0]->cpuid, 1, 0);
	const struct load_cpus cpus = {p->cpu_count, leaf1->eax, leaf1->edx};
	int status = load_layout_init(&layout, &vm->mem);

	if (status == OK)
		status = load_tables(&layout, &vm->mem, &cpus);
	if (status == OK)
		status = load_guest(&request, &vm->mem, &result);
	if (result.error[0])
		fmt_string(error, VM_TEXT_MAX, "%s", result.error);
	vm->entry = result.entry;
	vm->bytes_copied = result.bytes_copied;
	if (status == OK && result.kind == LOAD_MULTIBOOT)
		pc_bios_leave(vm);
	return status;
}

static int build(struct vm *vm, const struct vm_params *p, const struct virt_ops *ops, char *error)
{
	void *pc = memory_alloc(vm->owner, pc_frames());
	int status;

	if (!pc)
		return E_NOMEM;
	vm->name = p->name;
	vm->exit_port = p->exit_port;
	vm->ram_size = p->memory;
	vm->console_out = p->console_out;
	vm->console_in = p->console_in;
	vm->console_dropped = p->console_dropped;
	vm->start_ns = tsc_now_ns();
	vm->start_tsc = rdtsc();
	status = create_memory(vm, ops);
	if (status != OK)
		return status;
	status = pc_create(vm, pc, p);
	if (status == E_BUSY || status == E_INVAL) {
		fmt_string(error, VM_TEXT_MAX, "exit_port 0x%x belongs to a device", p->exit_port);
		return E_INVAL; /* not the E_BUSY that means: try again */
	}
	if (status != OK)
		return status;
	bus_seal(&vm->ports);
	bus_seal(&vm->mmio);
	status = create_cpus(vm, p, ops);
	return status == OK ? load_image(vm, p, error) : status;
}

static int create(
	struct vm **vm, const struct vm_params *p, const struct virt_ops *ops, char *error)
{
	struct vm *new = memory_alloc(p->owner, pages_for(sizeof(*new)));
	int status;

	if (!new)
		return E_NOMEM;
	new->owner = p->owner;
	status = build(new, p, ops, error);
	if (status == OK)
		*vm = new;
	return status;
}

int vm_create(struct vm **vm, const struct vm_params *p, const struct virt_ops *ops, char *error)
{
	int status = frame_claim_chunks(&host_frames, p->owner, p->memory / CHUNK_SIZE);

	*vm = NULL;
	error[0] = '\0';
	if (status == E_BUSY) {
		fmt_string(error, VM_TEXT_MAX, "waiting for memory to be scrubbed");
		return status; /* nothing has been taken yet */
	}
	if (status == OK)
		status = create(vm, p, ops, error);
	if (status == OK)
		return OK;
	if (!error[0])
		fmt_string(error, VM_TEXT_MAX, "not enough memory");
	/* Nothing has run: no CPU holds a translation of it. */
	frame_release_owner(&host_frames, p->owner);
	return status;
}

void vm_destroy(struct vm *vm)
{
	/*
	 * Each vCPU's CPU dropped its translations in vcpu_unload; nothing walks the tables any
	 * more.
	 */
	frame_release_owner(&host_frames, vm->owner);
}

void vm_stop(struct vm *vm, enum vm_stop_kind kind, const char *format, ...)
{
	va_list args;

	spin_lock(&vm->stop_lock);
	if (vm->stop.kind == STOP_NONE) {
		va_start(args, format);
		fmt_vstring(vm->stop.text, sizeof(vm->stop.text), format, args);
		va_end(args);
		vm->stop.cpu = vm_host.this_cpu();
		__atomic_store_n(&vm->stop.kind, (uint32_t)kind, __ATOMIC_RELEASE);
	}
	spin_unlock(&vm->stop_lock);
	for (unsigned i = 0; i < vm->cpu_count; i++) {
		struct vcpu *v = &vm->cpu[i]->vcpu;

		__atomic_or_fetch(&v->attention, VCPU_LEAVE, __ATOMIC_ACQ_REL);
		vm_host.kick(v->cpu);
	}
}
