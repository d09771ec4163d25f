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
#include <linux/notifier.h>
#include <linux/string.h>

#include <asm/kexec-loader.h>

/*
 * Held while the policy runs, so that its module cannot be unloaded meanwhile. The policy
 * may load a module that registers another one, which must not wait for this lock.
 */
static DEFINE_MUTEX(running_lock);

/* Held while what follows is read and changed; taken after running_lock */
static DEFINE_MUTEX(policy_lock);
static kexec_purgatory_policy_fn *policy;
/* Name of the module that decides, "" if none does */
static char policy_name[KEXEC_POLICY_NAME_LEN];

static_assert(KEXEC_POLICY_NAME_LEN >= MODULE_NAME_LEN);

/* Sets the policy, or none if @verify is NULL; policy_lock is held. */
static void set_policy(kexec_purgatory_policy_fn *verify, const char *name)
{
	WRITE_ONCE(policy, verify);
	strscpy_pad(policy_name, name);
	kexec_purgatory_show_policy(name);
}

/* Ends the policy; both locks are held. */
static void end_policy(void)
{
	pr_info("policy %s unregistered\n", policy_name);
	set_policy(NULL, "");
}

int kexec_purgatory_policy_register(struct module *owner,
				    kexec_purgatory_policy_fn *verify)
{
	const char *name = module_name(owner);

	guard(mutex)(&policy_lock);

	if (policy) {
		pr_err("policy %s refused: %s is registered\n", name, policy_name);
		return -EBUSY;
	}

	set_policy(verify, name);
	pr_info("policy %s registered\n", name);
	return 0;
}
EXPORT_SYMBOL_GPL(kexec_purgatory_policy_register);

void kexec_purgatory_policy_unregister(kexec_purgatory_policy_fn *verify)
{
	/* Do not wait for another policy: it may run now, and have loaded the caller. */
	if (READ_ONCE(policy) != verify)
		return;

	guard(mutex)(&running_lock);
	guard(mutex)(&policy_lock);

	if (policy == verify)
		end_policy();
}
EXPORT_SYMBOL_GPL(kexec_purgatory_policy_unregister);

int kexec_purgatory_policy_ask(struct kimage *image)
{
	kexec_purgatory_policy_fn *verify;

	guard(mutex)(&running_lock);

	scoped_guard(mutex, &policy_lock) {
		verify = policy;
		strscpy_pad(image->arch.purgatory.policy, policy_name);
	}
	if (!verify)
		return -ENOENT;
	return verify(image);
}

/* Ends a policy that its module did not unregister, before the module's code is freed. */
static int module_changed(struct notifier_block *nb, unsigned long state, void *data)
{
	const struct module *module = data;

	/*
	 * Do not wait for the policy of another module: it may run now, and load this module.
	 * No other module registers a policy that lies in this one.
	 */
	if (state != MODULE_STATE_GOING ||
	    !within_module((unsigned long)READ_ONCE(policy), module))
		return NOTIFY_DONE;

	guard(mutex)(&running_lock);
	guard(mutex)(&policy_lock);

	if (within_module((unsigned long)policy, module))
		end_policy();
	return NOTIFY_OK;
}

static struct notifier_block module_notifier = {
	.notifier_call = module_changed,
};

static int __init policy_init(void)
{
	return register_module_notifier(&module_notifier);
}
core_initcall(policy_init);
