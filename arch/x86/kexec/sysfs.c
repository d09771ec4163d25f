// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/kexec/verify_*: which images are verified, and why
 */

#include <linux/delay.h>
#include <linux/kexec.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "../../../kernel/kexec_internal.h"

/*
 * What holds the lock keeps a crash from entering its image, and a load from
 * starting: hold it for a few instructions, and do not be preempted meanwhile.
 */
static bool trylock_shortly(void)
{
	preempt_disable();
	if (kexec_trylock())
		return true;
	preempt_enable();
	return false;
}

static ssize_t show_decision(struct kimage **image, char *buf)
{
	const char *decision = "none";
	char policy[MODULE_NAME_LEN] = "";

	/* A load or unload replaces the image; it is over soon. */
	while (!trylock_shortly()) {
		if (msleep_interruptible(10))
			return -ERESTARTSYS;
	}

	if (*image && (*image)->file_mode) {
		decision = kexec_purgatory_decision((*image)->arch.purgatory.decision);
#ifdef CONFIG_KEXEC_PURGATORY_VERIFY_MODULE
		strscpy(policy, (*image)->arch.purgatory.policy);
#endif
	} else if (*image) {
		decision = "unknown: loaded with kexec_load()";
	}

	kexec_unlock();
	preempt_enable();

	return sysfs_emit(buf, "%s%s%s\n", decision, policy[0] ? " " : "", policy);
}

static ssize_t verify_loaded_show(struct kobject *kobj,
				  struct kobj_attribute *attr, char *buf)
{
	return show_decision(&kexec_image, buf);
}

static ssize_t verify_crash_show(struct kobject *kobj,
				 struct kobj_attribute *attr, char *buf)
{
	return show_decision(&kexec_crash_image, buf);
}

static ssize_t verify_policy_show(struct kobject *kobj,
				  struct kobj_attribute *attr, char *buf)
{
	return kexec_purgatory_policy_show(buf);
}

struct kobj_attribute kexec_verify_policy_attr = __ATTR_RO(verify_policy);
/* Not for everybody, who could keep others from the lock by reading all the time. */
struct kobj_attribute kexec_verify_loaded_attr = __ATTR_RO_MODE(verify_loaded, 0400);
struct kobj_attribute kexec_verify_crash_attr = __ATTR_RO_MODE(verify_crash, 0400);
