/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_X86_KEXEC_HANDOFF_H
#define _ASM_X86_KEXEC_HANDOFF_H

#include <linux/cpufeature.h>
#include <linux/kexec.h>
#include <linux/panic.h>

#include <asm/cpu_device_id.h>
#include <asm/tsc.h>

#ifdef CONFIG_KEXEC_PURGATORY_RUST
/**
 * kexec_copies_cached() - whether non-temporal stores could poison memory
 * @c: CPU that copies the image
 *
 * On some CPUs, a partial write to memory that is private to TDX poisons it. For them,
 * check_tdx_erratum() sets X86_BUG_TDX_PW_MCE, but only in a kernel that uses TDX. The memory
 * may be left from an earlier kernel.
 *
 * Return: true if the image must be copied through the cache.
 */
static __always_inline bool kexec_copies_cached(const struct cpuinfo_x86 *c)
{
	return cpu_has_bug(c, X86_BUG_TDX_PW_MCE) ||
	       c->x86_vfm == INTEL_SAPPHIRERAPIDS_X || c->x86_vfm == INTEL_EMERALDRAPIDS_X;
}

/**
 * kexec_handoff() - leave this kernel
 * @relocate: relocate_kernel() in the control page
 * @image: image to enter at kimage::start
 * @pa_control_page: physical address of the control page
 * @flags: RELOC_KERNEL_*
 *
 * Enters kimage::start with the registers of struct kexec_registers. For the purgatory,
 * fills in the current panic_timeout, so that the purgatory stops as panic() would even
 * if its parameters are damaged, the time stamp counter, and the entry point of the
 * crash image. For a next kernel that is entered directly, writes the time stamp counter
 * to its record. Adds RELOC_KERNEL_CACHED_COPY to @flags on CPUs with the erratum of TDX.
 *
 * load_segments() has set %gs to 0. This calls no function except @relocate, and does nothing
 * that can fail.
 *
 * Return: only with RELOC_KERNEL_PRESERVE_CONTEXT, the re-entry point of the
 * image that returned.
 */
static __always_inline unsigned long __nocfi
kexec_handoff(relocate_kernel_fn *relocate, struct kimage *image,
	      phys_addr_t pa_control_page, unsigned int flags)
{
	struct kexec_purgatory *purgatory = &image->arch.purgatory;
	struct kexec_registers *registers = &purgatory->registers;

	/* KEXEC_READ_REGISTERS reads these fields. */
	static_assert(offsetof(struct kexec_registers, rsi) == 0);
	static_assert(offsetof(struct kexec_registers, rdx) == 8);
	static_assert(offsetof(struct kexec_registers, rcx) == 16);

	if (kexec_copies_cached(&boot_cpu_data))
		flags |= RELOC_KERNEL_CACHED_COPY;
	if (purgatory->verified) {
		registers->rsi |= (u32)panic_timeout;
		if (!purgatory->no_io)
			registers->rdx = rdtsc();
		if (image == kexec_image && kexec_mismatch_crash)
			registers->rcx = kexec_mismatch_entry;
	} else if (purgatory->left) {
		purgatory->left[0] = rdtsc();
		purgatory->left[1] = ~purgatory->left[0];
	}
	return relocate(image->head, pa_control_page, image->start, flags, registers);
}
#else
static __always_inline unsigned long __nocfi
kexec_handoff(relocate_kernel_fn *relocate, struct kimage *image,
	      phys_addr_t pa_control_page, unsigned int flags)
{
	return relocate(image->head, pa_control_page, image->start, flags);
}
#endif

#endif /* _ASM_X86_KEXEC_HANDOFF_H */
