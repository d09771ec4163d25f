/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_X86_KEXEC_PURGATORY_H
#define _ASM_X86_KEXEC_PURGATORY_H

#ifndef __ASSEMBLER__

#include <linux/stddef.h>
#include <linux/types.h>

struct kexec_buf;
struct kimage;
struct kobject;
struct module;

/* Room for the name of a module, with its NUL. */
#define KEXEC_POLICY_NAME_LEN	64

/**
 * struct kexec_purgatory - what was decided about an image when it was loaded
 * @decision:		enum Decision of rust/kernel/kexec/decision.rs; 0 for
 *			an image that kexec_load() loaded
 * @verified:		kimage::start is the purgatory, which checks the image
 *			before it enters the next kernel
 * @rsi:		%rsi at kimage::start. The next kernel itself gets the physical
 *			address of its struct boot_params. The purgatory gets struct
 *			Handoff of arch/x86/purgatory/rust/abi.rs, whose low 32 bits
 *			are panic_timeout: 0 here, filled in at the time of the jump.
 *			Else 0
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
	unsigned long rsi;
	unsigned long kernel;
#endif
#ifdef CONFIG_KEXEC_PURGATORY_VERIFY_MODULE
	char policy[KEXEC_POLICY_NAME_LEN];
#endif
};

/* The purgatory, see arch/x86/purgatory/rust/abi.rs for its layout. */
extern const u8 kexec_purgatory_blob[];
extern const u8 kexec_purgatory_blob_end[];

/*
 * The purgatory's digests, only with CONFIG_KEXEC_PURGATORY_KUNIT_TEST; see
 * arch/x86/purgatory/rust/purgatory_test.rs.
 */
extern const u8 kexec_purgatory_test_blob[];
extern const u8 kexec_purgatory_test_blob_end[];

/**
 * kexec_purgatory_engine() - read the table of engines
 * @row: row of the table in arch/x86/purgatory/rust/digest/engines.rs
 * @number: gets the engine's number
 * @usable: gets whether this machine can run the engine
 *
 * Only with CONFIG_KEXEC_PURGATORY_KUNIT_TEST.
 *
 * Return: the engine's name, or NULL behind the last row.
 */
const char *kexec_purgatory_engine(u32 row, u32 *number, bool *usable);

#ifdef CONFIG_KEXEC_PURGATORY_RUST
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
 * kexec_purgatory_elfcorehdr() - verify a new ELF core header
 * @image: crash image, while it is not &kexec_crash_image
 * @elfcorehdr: what was just written to the memory of its ELF core header
 * @size: bytes of that
 *
 * Context: kexec_lock is held, and the memory of @image is writable.
 */
void kexec_purgatory_elfcorehdr(struct kimage *image, const void *elfcorehdr,
				unsigned long size);

/* The ELF purgatory, of which this kernel has none: there is nothing to load or to set up. */
static inline int kexec_load_purgatory(struct kimage *image, struct kexec_buf *kbuf)
{
	return 0;
}

static inline int kexec_purgatory_get_set_symbol(struct kimage *image, const char *name,
						 void *buf, unsigned int size, bool get_value)
{
	return 0;
}

static inline void *kexec_purgatory_get_symbol_addr(struct kimage *image, const char *name)
{
	return NULL;
}
#else
static inline int kexec_purgatory_place(struct kimage *image, unsigned long entry,
					unsigned long boot_params)
{
	return 0;
}

static inline int kexec_purgatory_seal(struct kimage *image)
{
	return 0;
}

static inline void kexec_purgatory_elfcorehdr(struct kimage *image, const void *elfcorehdr,
					      unsigned long size)
{
}
#endif

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
 * kexec_purgatory_exchange() - replace an image, and what sysfs tells of it
 * @dest: &kexec_image or &kexec_crash_image
 * @image: image to take its place, or NULL
 *
 * Context: kexec_lock is held.
 * Return: the image that was there before, or NULL.
 */
struct kimage *kexec_purgatory_exchange(struct kimage **dest, struct kimage *image);

/**
 * kexec_purgatory_sysfs_init() - add verify_* to /sys/kernel/kexec/
 * @kobj: that folder
 *
 * Return: 0 or a negative errno.
 */
int kexec_purgatory_sysfs_init(struct kobject *kobj);
#ifdef CONFIG_KEXEC_PURGATORY_RUST
#define arch_kexec_exchange kexec_purgatory_exchange
#define arch_kexec_sysfs_init kexec_purgatory_sysfs_init
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
 * @verify: its decision; not asked about crash images
 *
 * Ends by itself when the module goes that has the code of @verify.
 *
 * Context: may sleep.
 * Return: 0, or -EBUSY if a module decides already.
 */
int kexec_purgatory_policy_register(struct module *owner,
				    kexec_purgatory_policy_fn *verify);

/**
 * kexec_purgatory_policy_unregister() - decide no more
 * @verify: what was registered; if it is not, nothing happens
 *
 * Images that were loaded keep what was decided about them.
 *
 * Context: may sleep; waits for a decision that is being taken.
 */
void kexec_purgatory_policy_unregister(kexec_purgatory_policy_fn *verify);

/**
 * kexec_purgatory_policy_ask() - have the registered module decide
 * @image: image being loaded; &kexec_purgatory.policy is set
 *
 * Context: kexec_lock is held; may sleep.
 * Return: 1 to verify @image, 0 not to, -ENOENT if no module is registered.
 */
int kexec_purgatory_policy_ask(struct kimage *image);

/**
 * kexec_purgatory_show_policy() - have sysfs tell which module decides
 * @name: its name, or "" if none does
 *
 * Context: calls are serialised by the caller.
 */
void kexec_purgatory_show_policy(const char *name);

/* Parameter of kexec_purgatory_verify.ko; for that module only. */
extern bool kexec_verify_spared;
#endif

#endif /* __ASSEMBLER__ */

#endif /* _ASM_X86_KEXEC_PURGATORY_H */
