/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Included by relocate_kernel_64.S
 *
 * KEXEC_READ_REGISTERS - read the registers that the image is entered with
 *
 * On entry: %r8 virtual address of a struct kexec_registers. It is mapped only until
 * relocate_kernel() switches page tables, so the values go to registers that swap_pages
 * leaves alone: those of %rsi, %rdx and %rcx to %r8, %rbp and %r15.
 */
.macro KEXEC_READ_REGISTERS
#ifdef CONFIG_KEXEC_PURGATORY_RUST
	movq	16(%r8), %r15
	movq	8(%r8), %rbp
	movq	(%r8), %r8
#endif
.endm

/*
 * KEXEC_SET_REGISTERS - set %rsi, %rdx and %rcx to what the image is entered with
 *
 * On entry: what KEXEC_READ_REGISTERS has read; %rdx and %rcx are 0. Without
 * CONFIG_KEXEC_PURGATORY_RUST, %rsi is set to 0 as well.
 */
.macro KEXEC_SET_REGISTERS
#ifdef CONFIG_KEXEC_PURGATORY_RUST
	movq	%r8, %rsi
	movq	%rbp, %rdx
	movq	%r15, %rcx
#else
	xorl	%esi, %esi
#endif
.endm
