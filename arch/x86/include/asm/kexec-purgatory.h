/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_X86_KEXEC_PURGATORY_H
#define _ASM_X86_KEXEC_PURGATORY_H

#ifndef __ASSEMBLER__

#include <linux/types.h>

struct kimage;
struct kobj_attribute;

/**
 * struct kexec_purgatory - what was decided about an image when it was loaded
 * @decision:		enum Decision of rust/kernel/kexec/decision.rs; 0 for
 *			an image that kexec_load() loaded
 * @verified:		kimage::start is the purgatory, which checks the image
 *			before it enters the next kernel
 * @boot_params:	physical address of struct boot_params, %rsi of the next
 *			kernel, where kimage::start is the next kernel itself;
 *			else 0
 */
struct kexec_purgatory {
	u8 decision;
	bool verified;
	unsigned long boot_params;
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
 * kexec_purgatory_decision() - describe a decision
 * @decision: &kexec_purgatory.decision
 *
 * Return: a static string.
 */
const char *kexec_purgatory_decision(u8 decision);

/* What a normal image that is loaded now would get, as above. */
const char *kexec_purgatory_policy(void);

/* /sys/kernel/kexec/verify_* */
extern struct kobj_attribute kexec_verify_policy_attr;
extern struct kobj_attribute kexec_verify_loaded_attr;
extern struct kobj_attribute kexec_verify_crash_attr;

#endif /* __ASSEMBLER__ */

#endif /* _ASM_X86_KEXEC_PURGATORY_H */
