// SPDX-License-Identifier: GPL-2.0-only

#ifdef CONFIG_KEXEC_PURGATORY_RUST

#include <linux/cc_platform.h>
#include <linux/cpufeature.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/sched.h>

__rust_helper bool rust_helper_boot_cpu_has(unsigned int feature)
{
	return boot_cpu_has(feature);
}

__rust_helper void rust_helper_cond_resched(void)
{
	cond_resched();
}

__rust_helper void *rust_helper_phys_to_virt(phys_addr_t address)
{
	return phys_to_virt(address);
}

#ifndef CONFIG_KEXEC_HANDOVER
__rust_helper bool rust_helper_kho_is_enabled(void)
{
	return kho_is_enabled();
}
#endif

#ifndef CONFIG_ARCH_HAS_CC_PLATFORM
__rust_helper bool rust_helper_cc_platform_has(enum cc_attr attr)
{
	return cc_platform_has(attr);
}
#endif

#endif /* CONFIG_KEXEC_PURGATORY_RUST */
