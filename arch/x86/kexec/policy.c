// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module that decides which normal images are verified, with
 * CONFIG_KEXEC_PURGATORY_VERIFY=m
 */

#define pr_fmt(fmt) "kexec: " fmt

#include <linux/cleanup.h>
#include <linux/export.h>
#include <linux/kexec.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sysfs.h>

/* Held while the policy runs, so that it cannot go away meanwhile. */
static DEFINE_MUTEX(policy_lock);
static struct module *policy_owner;
static kexec_purgatory_policy_fn *policy;

int kexec_purgatory_policy_register(struct module *owner,
				    kexec_purgatory_policy_fn *verify)
{
	guard(mutex)(&policy_lock);

	if (policy) {
		pr_err("%s: %s decides already which images are verified\n",
		       module_name(owner), module_name(policy_owner));
		return -EBUSY;
	}

	policy_owner = owner;
	policy = verify;
	pr_info("%s decides which images are verified\n", module_name(owner));
	return 0;
}
EXPORT_SYMBOL_GPL(kexec_purgatory_policy_register);

void kexec_purgatory_policy_unregister(void)
{
	guard(mutex)(&policy_lock);

	pr_info("%s decides no more which images are verified\n",
		module_name(policy_owner));
	policy = NULL;
	policy_owner = NULL;
}
EXPORT_SYMBOL_GPL(kexec_purgatory_policy_unregister);

int kexec_purgatory_policy_ask(struct kimage *image)
{
	char *name = image->arch.purgatory.policy;

	guard(mutex)(&policy_lock);

	if (!policy)
		return -ENOENT;
	strscpy(name, module_name(policy_owner), MODULE_NAME_LEN);
	return policy(image);
}

ssize_t kexec_purgatory_policy_show(char *buf)
{
	guard(mutex)(&policy_lock);

	if (!policy)
		return sysfs_emit(buf, "%s\n", kexec_purgatory_policy());
	return sysfs_emit(buf, "policy: %s\n", module_name(policy_owner));
}
