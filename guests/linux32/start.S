/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bzImage without a 64-bit entry: setup header (Linux, boot.rst), then protected-mode code. Made
 * twice: of protocol 2.15, and with OLD of 2.03, whose header ends where later fields would be.
 */
#ifdef OLD
	.set VERSION, 0x0203
#else
	.set VERSION, 0x020f
#endif

/* Byte 1F1h of the file and on; linux32.lds makes setup one sector behind the boot sector. */
	.section .header, "a"
	.byte 1                 /* 1F1h: setup_sects */
	.word 0
	.long code_paragraphs   /* 1F4h: syssize */
	.word 0, 0, 0
	.word 0xaa55            /* 1FEh: boot_flag */
	.byte 0xeb, header_end - header_magic
header_magic:
	.ascii "HdrS"
	.word VERSION
	.long 0
	.word 0, 0
	.byte 0
	.byte 1                 /* 211h: loaded high */
	.word 0
	.long 0x100000          /* 214h: code32_start */
	.long 0, 0, 0
	.word 0, 0
	.long 0
	.long 0x37ffffff        /* 22Ch: initrd_addr_max */
#ifdef OLD
header_end:
	/* Would be: relocatable, a 64-bit entry, a command line of no characters. */
	.long 0x1000
	.byte 1, 0
	.word 1
	.fill 0x2c, 1, 0xff
#else
	.long 0x1000            /* 230h: kernel_alignment */
	.byte 0, 12             /* 234h: relocatable_kernel, min_alignment */
	.word 4                 /* 236h: xloadflags without XLF_KERNEL_64 */
	.long 255               /* 238h: cmdline_size */
	.long 0, 0, 0, 0, 0, 0, 0
	.long 0x100000, 0       /* 258h: pref_address */
	.long memory_size       /* 260h: init_size */
	.long 0, 0
header_end:
#endif

/* The registers as they came, then main.c. At 200h, where a 64-bit entry would be, is none. */
	.section .entry, "ax"
	.code32
	.globl linux32_entry
linux32_entry:
	movl $stack_top, %esp
	pushfl
	pushal
	movl %cs, %eax
	pushl %eax
	movl %ds, %eax
	pushl %eax
	movl %es, %eax
	pushl %eax
	movl %ss, %eax
	pushl %eax
	movl %cr0, %eax
	pushl %eax
	/* Boot segments can be loaded again: they are in the GDT. */
	movl $0x18, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %fs
	movl %eax, %gs
	movl %eax, %ss
	ljmp $0x10, $1f
1:	movl %esp, %eax
	pushl %eax
	call linux32_main
2:	cli
	hlt
	jmp 2b
	.org linux32_entry + 0x200
	ud2

	.data
	.balign 16
	.skip 4096
stack_top:

	.section .note.GNU-stack, "", @progbits
