/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hardware task switches (SDM vol. 3, "Task Management"): by JMP, CALL and IRET, by gates, by
 * interrupts and exceptions, to 32-bit and 16-bit tasks, and into one that cannot be entered.
 * Task A is the payload itself; B and C run functions that never return.
 */
#include "guests/multiboot/multiboot.h"

#define VECTOR_SOFT 48u /* INT n to task B */
#define VECTOR_DB   1u
#define VECTOR_TS   10u
#define VECTOR_NP   11u

#define TYPE_TSS   0x89u
#define TYPE_TSS16 0x81u
#define TYPE_BUSY  0x02u
#define FLAG_NT    0x4000u
#define FLAGS_BASE 0x2u
#define DR6_BT     0x8000u
#define ALIAS      0x40000000u /* in B's tables: the first 4 MiB once more */

/* Fields of a 32-bit TSS, in doublewords. */
enum {
	LINK = 0,
	CR3 = 7,
	EIP,
	EFLAGS,
	EAX,
	ECX,
	EDX,
	EBX,
	ESP,
	EBP,
	ESI,
	EDI,
	ES,
	CS,
	SS,
	DS,
	FS,
	GS,
	LDT,
	TRAP,
	TSS_FIELDS
};

void mb_task_b_mends(void);
void mb_task_c_runs(void);
void mb_task_b_error(void);
void mb_task_c(void);
void mb_task_16(void);
void mb_task_16_end(void);
void mb_db_handler(void);
extern volatile uint32_t mb_task_error, mb_task_16_runs, mb_db_dr6, mb_db_task;

static uint32_t tss_b[TSS_FIELDS], tss_c[TSS_FIELDS];
static uint16_t tss_16[22];
static uint8_t stack_b[4096], stack_c[4096];
static uint8_t directory_b[4096] __attribute__((aligned(4096)));

/* What task B saw, each time it ran. */
static volatile struct {
	uint32_t runs, cr0, cr3, flags, link, alias, type_a, type_b;
} seen;
static volatile uint32_t c_runs, c_link;

/* By its brand, as on_qemu_cpu() of the other payloads. */
static bool is_qemu_cpu(void)
{
	uint32_t a = 0x80000002, b, c, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
	return a == 0x554d4551; /* "QEMU" */
}

static uint8_t type_of(unsigned selector)
{
	return (uint8_t)(mb_gdt[selector / 8] >> 40);
}

static uint32_t flags(void)
{
	uint32_t v;

	__asm__ volatile("pushfl; popl %0" : "=r"(v));
	return v;
}

static void look(void)
{
	seen.cr0 = read_cr0();
	seen.cr3 = read_cr3();
	seen.flags = flags();
	seen.link = tss_b[LINK] & 0xffff;
	seen.alias = *(volatile uint32_t *)(ALIAS + (uint32_t)&mb_tss[1][3]);
	seen.type_a = type_of(SEL_TSS);
	seen.type_b = type_of(SEL_TSS_B);
	seen.runs++;
}

/* Goes back by IRET where it was nested, else by JMP. */
static void task_b(void)
{
	for (;;) {
		look();
		if (flags() & FLAG_NT)
			__asm__ volatile("iret" : : : "memory");
		else
			__asm__ volatile("ljmp %0, $0" : : "i"(SEL_TSS) : "memory");
	}
}

/* The exception's cause is mended. */
void mb_task_b_mends(void)
{
	look();
	mb_gdt[SEL_ABSENT / 8] |= 0x80ull << 40;
}

void mb_task_c_runs(void)
{
	c_link = tss_c[LINK] & 0xffff;
	c_runs++;
}

static void make_task(uint32_t *tss, void (*entry)(void), uint8_t *stack, const void *directory)
{
	for (unsigned i = 0; i < TSS_FIELDS; i++)
		tss[i] = 0;
	tss[CR3] = (uint32_t)directory;
	tss[EIP] = (uint32_t)entry;
	tss[EFLAGS] = FLAGS_BASE;
	tss[ESP] = (uint32_t)stack + 4096;
	tss[CS] = SEL_CODE;
	tss[ES] = tss[SS] = tss[DS] = SEL_DATA;
}

static void task_gate(uint64_t *at, unsigned selector)
{
	*at = 0x8500ull << 32 | (uint64_t)selector << 16;
}

static void interrupt_gate(unsigned vector, void (*handler)(void))
{
	uint32_t at = (uint32_t)handler;

	mb_idt[vector] = (uint64_t)(at >> 16) << 48 | 0x8e00ull << 32 | (uint64_t)SEL_CODE << 16 |
			 (at & 0xffff);
}

static void setup(void)
{
	const struct mb_table idt = {sizeof(mb_idt) - 1, (uint32_t)mb_idt};
	uint32_t code_16 = (uint32_t)mb_task_16;

	mb_map_all(mb_pages[0]);
	mb_map_all(directory_b);
	((volatile uint32_t *)directory_b)[ALIAS >> 22] = PTE_PS | PTE_PW;
	write_cr4(CR4_PSE);
	write_cr3((uint32_t)mb_pages[0]);
	write_cr0(read_cr0() | CR0_PG);
	mb_tss[0][CR3] = (uint32_t)mb_pages[0]; /* which a switch does not save */
	mb_set_descriptor(SEL_TSS_B, tss_b, sizeof(tss_b) - 1, TYPE_TSS);
	mb_set_descriptor(SEL_TSS_C, tss_c, sizeof(tss_c) - 1, TYPE_TSS);
	mb_set_descriptor(SEL_TSS_16, tss_16, sizeof(tss_16) - 1, TYPE_TSS16);
	mb_set_descriptor(SEL_CODE_16, mb_task_16, (uint32_t)mb_task_16_end - code_16 - 1, 0x9b);
	mb_gdt[SEL_CODE_16 / 8] |= 0x40ull << 48; /* 32-bit code, at base 0 of its own */
	mb_gdt[SEL_ABSENT / 8] = mb_gdt[SEL_DATA / 8] & ~(0x80ull << 40);
	task_gate(&mb_gdt[SEL_GATE_B / 8], SEL_TSS_B);
	task_gate(&mb_idt[VECTOR_SOFT], SEL_TSS_B);
	task_gate(&mb_idt[VECTOR_TS], SEL_TSS_C);
	interrupt_gate(VECTOR_DB, mb_db_handler);
	__asm__ volatile("lidt %0" : : "m"(idt) : "memory");
}

#define CALL(selector)                                                                             \
	__asm__ volatile("lcall %0, $0" : : "i"(selector) : "eax", "ecx", "edx", "memory")
#define JMP(selector)                                                                              \
	__asm__ volatile("ljmp %0, $0" : : "i"(selector) : "eax", "ecx", "edx", "memory")

static void test_jmp(void)
{
	uint32_t kept = 0x12345678, cr3 = read_cr3();

	make_task(tss_b, task_b, stack_b, directory_b);
	mb_tss[1][3] = 0xa11a5;
	__asm__ volatile("ljmp %1, $0" : "+b"(kept) : "i"(SEL_TSS_B) : "memory");
	mb_check(seen.runs == 1, "task, JMP: it ran");
	mb_check(kept == 0x12345678, "task, JMP: registers of the old task");
	mb_check(seen.cr0 & CR0_TS, "task, JMP: CR0.TS");
	mb_check(seen.cr3 == (uint32_t)directory_b && seen.alias == 0xa11a5, "task, JMP: CR3");
	mb_check(read_cr3() == cr3, "task, JMP: CR3 of the old task");
	mb_check(!(seen.flags & FLAG_NT), "task, JMP: not nested");
	mb_check(!(seen.type_a & TYPE_BUSY) && (seen.type_b & TYPE_BUSY), "task, JMP: busy bits");
	mb_check((type_of(SEL_TSS) & TYPE_BUSY) && !(type_of(SEL_TSS_B) & TYPE_BUSY),
		"task, JMP back: busy bits");
}

static void check_nested(uint32_t runs, const char *text)
{
	mb_check(seen.runs == runs, text);
	mb_check(seen.flags & FLAG_NT, "task, nested: NT");
	mb_check(!(flags() & FLAG_NT), "task, nested: NT of the old task");
	mb_check(seen.link == SEL_TSS, "task, nested: link");
	mb_check((seen.type_a & TYPE_BUSY) && (seen.type_b & TYPE_BUSY), "task, nested: busy bits");
	mb_check((type_of(SEL_TSS) & TYPE_BUSY) && !(type_of(SEL_TSS_B) & TYPE_BUSY),
		"task, IRET: busy bits");
	mb_check(!(tss_b[EFLAGS] & FLAG_NT), "task, IRET: NT as saved");
}

static void test_nested(void)
{
	seen.runs = 0;
	make_task(tss_b, task_b, stack_b, directory_b);
	CALL(SEL_TSS_B);
	check_nested(1, "task, CALL: it ran");
	CALL(SEL_GATE_B);
	check_nested(2, "task, CALL by a gate: it ran");
	__asm__ volatile("int %0" : : "i"(VECTOR_SOFT) : "memory");
	check_nested(3, "task, INT: it ran");
}

/* #NP names the selector, and the instruction is run again when the segment is there. */
static void test_exception(void)
{
	seen.runs = 0;
	task_gate(&mb_idt[VECTOR_NP], SEL_TSS_B);
	make_task(tss_b, mb_task_b_error, stack_b, directory_b);
	__asm__ volatile("movw %w0, %%fs" : : "r"(SEL_ABSENT) : "memory");
	check_nested(1, "task, exception: it ran");
	mb_check(mb_task_error == SEL_ABSENT, "task, exception: error code");
	mb_idt[VECTOR_NP] = 0;
}

/*
 * #DB before the first instruction of the new task. QEMU's CPU does not know it, Bochs does not
 * tell its cause where #DB is intercepted on AMD-V.
 */
static void test_trap(const char *cmdline)
{
	if (is_qemu_cpu())
		return;
	seen.runs = 0;
	make_task(tss_b, task_b, stack_b, directory_b);
	tss_b[TRAP] = 1;
	CALL(SEL_TSS_B);
	check_nested(1, "task, T flag: it ran");
	mb_check((mb_db_dr6 & DR6_BT) || mb_asked_for(cmdline, "dr6-lost"), "task, T flag: DR6.BT");
	mb_check(mb_db_task == SEL_TSS_B, "task, T flag: in the new task");
}

static void test_16(void)
{
	for (unsigned i = 0; i < 22; i++)
		tss_16[i] = 0;
	tss_16[8] = FLAGS_BASE;
	tss_16[13] = 0x1000; /* SP, not used */
	tss_16[17] = tss_16[19] = tss_16[20] = SEL_DATA;
	tss_16[18] = SEL_CODE_16;
	CALL(SEL_TSS_16);
	mb_check(mb_task_16_runs == 1, "task, 16-bit TSS: it ran");
	mb_check(tss_16[0] == SEL_TSS, "task, 16-bit TSS: link");
	mb_check(tss_16[9] == 0x1234, "task, 16-bit TSS: AX as saved");
	CALL(SEL_TSS_16);
	mb_check(mb_task_16_runs == 2, "task, 16-bit TSS: it went on");
}

/* The fault of a segment that cannot be loaded is the new task's; its handler is a task too. */
static void test_bad_segment(void)
{
	make_task(tss_b, task_b, stack_b, directory_b);
	make_task(tss_c, mb_task_c, stack_c, mb_pages[0]);
	seen.runs = 0;
	tss_b[SS] = SEL_CODE;
	JMP(SEL_TSS_B);
	mb_check(c_runs == 1 && seen.runs == 0, "task, bad SS: #TS");
	mb_check(mb_task_error == SEL_CODE, "task, bad SS: error code");
	mb_check(c_link == SEL_TSS_B, "task, bad SS: in the new task");
}

void test_tasks(const char *cmdline)
{
	setup();
	test_jmp();
	test_nested();
	test_exception();
	test_trap(cmdline);
	test_16();
	test_bad_segment();
	write_cr0(read_cr0() & ~(CR0_PG | CR0_TS));
}
