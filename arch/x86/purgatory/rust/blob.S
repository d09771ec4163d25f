/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The purgatory as a flat image, for the loader in arch/x86/kexec.
 */

#include <linux/linkage.h>

	.section .rodata, "a"

	.balign 8
SYM_DATA_START(kexec_purgatory_blob)
	.incbin "arch/x86/purgatory/rust/purgatory.bin"
SYM_DATA_END_LABEL(kexec_purgatory_blob, SYM_L_GLOBAL, kexec_purgatory_blob_end)
