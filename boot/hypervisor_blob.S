/* SPDX-License-Identifier: Apache-2.0 */
/* The hypervisor's ELF file, carried in a section of its own. */
	.section .hypervisor, "a", @progbits
	.balign 4096 /* sections of a PE file start on pages */
	.globl hypervisor_blob, hypervisor_blob_end
	.hidden hypervisor_blob, hypervisor_blob_end
hypervisor_blob:
	.incbin "hypervisor.stripped.elf"
hypervisor_blob_end:
	.section .note.GNU-stack, "", @progbits
