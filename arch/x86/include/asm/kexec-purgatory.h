/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_X86_KEXEC_PURGATORY_H
#define _ASM_X86_KEXEC_PURGATORY_H

#ifndef __ASSEMBLER__

#include <linux/moduleparam.h>
#include <linux/types.h>

struct kimage;
struct kobj_attribute;
struct module;

/**
 * struct kexec_purgatory - what was decided about an image when it was loaded
 * @decision:		enum Decision of rust/kernel/kexec/decision.rs; 0 for
 *			an image that kexec_load() loaded
 * @verified:		kimage::start is the purgatory, which checks the image
 *			before it enters the next kernel
 * @boot_params:	physical address of struct boot_params, %rsi of the next
 *			kernel, where kimage::start is the next kernel itself;
 *			else 0
 * @kernel:		physical address of the next kernel's segment, of which
 *			only the file's bytes are loaded; 0 for an image that
 *			kexec_load() loaded
 * @policy:		name of the module that decided, "" if none did
 *
 * Empty where CONFIG_KEXEC_PURGATORY_RUST is off.
 */
struct kexec_purgatory {
#ifdef CONFIG_KEXEC_PURGATORY_RUST
	u8 decision;
	bool verified;
	unsigned long boot_params;
	unsigned long kernel;
#endif
#ifdef CONFIG_KEXEC_PURGATORY_VERIFY_MODULE
	char policy[MODULE_NAME_LEN];
#endif
};

/* The purgatory, see arch/x86/purgatory/rust/abi.rs for its layout. */
extern const u8 kexec_purgatory_blob[];
extern const u8 kexec_purgatory_blob_end[];

/**
 * kexec_purgatory_place() - decide about an image and place the purgatory
 * @image: image being loaded, with every other segment in place
 * @entry: physical address of the next kernel's 64-bit entry point
 * @boot_params: physical address of its struct boot_params
 *
 * Sets kimage::start. Adds the purgatory as a segment if the image is to be
 * verified, and no segment if it is not.
 *
 * Context: kexec_lock is held; may sleep.
 * Return: 0 or a negative errno, which is logged.
 */
int kexec_purgatory_place(struct kimage *image, unsigned long entry,
			  unsigned long boot_params);

/**
 * kexec_purgatory_seal() - tell the purgatory what it has to verify
 * @image: image whose segments have their final content
 *
 * Context: kexec_lock is held; may sleep.
 * Return: 0 or a negative errno, which is logged.
 */
int kexec_purgatory_seal(struct kimage *image);

/**
 * kexec_purgatory_load_size() - tell how much of a segment's memory to load
 * @image: image being loaded, by either system call
 * @idx: index of one of its segments
 *
 * A kernel's segment has room for the kernel to decompress itself, init_size of
 * Documentation/arch/x86/boot.rst, several times what there is to load. The
 * kernel takes that room as it finds it.
 *
 * Return: bytes, a multiple of the page size.
 */
size_t kexec_purgatory_load_size(const struct kimage *image, int idx);
#ifdef CONFIG_KEXEC_PURGATORY_RUST
#define arch_kexec_load_size kexec_purgatory_load_size
#endif

/**
 * kexec_purgatory_decision() - describe a decision
 * @decision: &kexec_purgatory.decision
 *
 * Return: a static string.
 */
const char *kexec_purgatory_decision(u8 decision);

/* What a normal image that is loaded now would get if no module decides, as above. */
const char *kexec_purgatory_policy(void);

#ifdef CONFIG_KEXEC_PURGATORY_VERIFY_MODULE
/**
 * typedef kexec_purgatory_policy_fn - decide about a normal image
 * @image: image being loaded, with every segment but the purgatory in place
 *
 * Context: kexec_lock is held; may sleep.
 * Return: whether @image is to be verified.
 */
typedef bool kexec_purgatory_policy_fn(struct kimage *image);

/**
 * kexec_purgatory_policy_register() - decide about normal images from now on
 * @owner: module that decides, whose name is shown to the administrator
 * @verify: its decision; not asked about crash images, nor where kexec handover
 *	    or CMA make a check pointless
 *
 * Context: may sleep.
 * Return: 0, or -EBUSY if a module decides already.
 */
int kexec_purgatory_policy_register(struct module *owner,
				    kexec_purgatory_policy_fn *verify);

/**
 * kexec_purgatory_policy_unregister() - decide no more
 *
 * Only for the module that registered. Images that were loaded keep what was
 * decided about them.
 *
 * Context: may sleep; waits for a decision that is being taken.
 */
void kexec_purgatory_policy_unregister(void);

/**
 * kexec_purgatory_policy_ask() - have the registered module decide
 * @image: image being loaded; &kexec_purgatory.policy is set
 *
 * Context: kexec_lock is held; may sleep.
 * Return: 1 to verify @image, 0 not to, -ENOENT if no module is registered.
 */
int kexec_purgatory_policy_ask(struct kimage *image);

/* Shows the policy in force, for sysfs. */
ssize_t kexec_purgatory_policy_show(char *buf);
#else
static inline ssize_t kexec_purgatory_policy_show(char *buf)
{
	return sysfs_emit(buf, "%s\n", kexec_purgatory_policy());
}
#endif

/* /sys/kernel/kexec/verify_* */
extern struct kobj_attribute kexec_verify_policy_attr;
extern struct kobj_attribute kexec_verify_loaded_attr;
extern struct kobj_attribute kexec_verify_crash_attr;

#endif /* __ASSEMBLER__ */

#endif /* _ASM_X86_KEXEC_PURGATORY_H */
