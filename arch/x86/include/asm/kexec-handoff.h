/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_X86_KEXEC_HANDOFF_H
#define _ASM_X86_KEXEC_HANDOFF_H

#include <linux/io.h>
#include <linux/kexec.h>
#include <linux/panic.h>

/**
 * kexec_handoff() - leave this kernel
 * @relocate: relocate_kernel() in the control page
 * @image: image to enter at kimage::start
 * @control_page: virtual address of the control page
 * @flags: RELOC_KERNEL_*
 *
 * What kimage::start finds in %rsi depends on what was decided at load time:
 * the next kernel, entered directly, gets its boot_params; the purgatory gets
 * what the loader recorded about the console, and panic_timeout as it is now, so
 * that it stops as panic() would even if its parameters are damaged. Anything
 * else gets 0.
 *
 * Runs with the kernel's segments gone: no function call but the one into
 * @relocate, nothing that can fail.
 *
 * Return: only with RELOC_KERNEL_PRESERVE_CONTEXT, the re-entry point of the
 * image that returned.
 */
static __always_inline unsigned long __nocfi
kexec_handoff(relocate_kernel_fn *relocate, struct kimage *image,
	      void *control_page, unsigned int flags)
{
#ifdef CONFIG_KEXEC_PURGATORY_RUST
	const struct kexec_purgatory *purgatory = &image->arch.purgatory;
	unsigned long rsi = purgatory->rsi;

	if (purgatory->verified)
		rsi |= (u32)panic_timeout;
	return relocate(image->head, virt_to_phys(control_page), image->start,
			flags, rsi);
#else
	return relocate(image->head, virt_to_phys(control_page), image->start, flags);
#endif
}

#endif /* _ASM_X86_KEXEC_HANDOFF_H */
