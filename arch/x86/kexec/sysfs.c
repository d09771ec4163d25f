// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/kexec/verify_*: which images are verified, and why
 */

#include <linux/delay.h>
#include <linux/kexec.h>
#include <linux/sysfs.h>

#include "../../../kernel/kexec_internal.h"

static ssize_t show_decision(struct kimage **image, char *buf)
{
	const char *decision = "none", *policy = "";
	ssize_t len;

	/* A load or unload replaces the image; it is over soon. */
	while (!kexec_trylock()) {
		if (msleep_interruptible(10))
			return -EINTR;
	}

	if (*image && (*image)->file_mode) {
		decision = kexec_purgatory_decision((*image)->arch.purgatory.decision);
#ifdef CONFIG_KEXEC_PURGATORY_VERIFY_MODULE
		policy = (*image)->arch.purgatory.policy;
#endif
	} else if (*image) {
		decision = "unknown: loaded with kexec_load()";
	}
	len = sysfs_emit(buf, "%s%s%s\n", decision, policy[0] ? " " : "", policy);

	kexec_unlock();

	return len;
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
struct kobj_attribute kexec_verify_loaded_attr = __ATTR_RO(verify_loaded);
struct kobj_attribute kexec_verify_crash_attr = __ATTR_RO(verify_crash);
