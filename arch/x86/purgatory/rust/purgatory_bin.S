/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The purgatory as a flat image, for the loader in arch/x86/kexec, and an image of
 * only its digests, for the tests there
 */

#include <linux/linkage.h>

	.section .rodata, "a"

	.balign 8
SYM_DATA_START(kexec_purgatory_start)
	.incbin "arch/x86/purgatory/rust/purgatory.bin"
SYM_DATA_END_LABEL(kexec_purgatory_start, SYM_L_GLOBAL, kexec_purgatory_end)

#ifdef CONFIG_KEXEC_PURGATORY_KUNIT_TEST
	.balign 8
SYM_DATA_START(kexec_purgatory_test_start)
	.incbin "arch/x86/purgatory/rust/purgatory_test.bin"
SYM_DATA_END_LABEL(kexec_purgatory_test_start, SYM_L_GLOBAL, kexec_purgatory_test_end)
#endif
