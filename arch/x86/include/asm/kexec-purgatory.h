/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_X86_KEXEC_PURGATORY_H
#define _ASM_X86_KEXEC_PURGATORY_H

#ifndef __ASSEMBLER__

#include <linux/stddef.h>
#include <linux/types.h>

struct kexec_buf;
struct kimage;
struct kobject;

/* Most regions of an image: KEXEC_SEGMENT_MAX, which is defined after this file */
#define KEXEC_PURGATORY_REGIONS	16

/**
 * struct kexec_purgatory_region - the digest of a segment's loaded bytes
 * @kind:	what the segment holds, see arch/x86/kexec/regions.rs; 0 if no digest was
 *		recorded
 * @len:	number of bytes that the digest covers, from the start of the segment
 * @digest:	digest as LEAF_SIZE of arch/x86/purgatory/rust/abi.rs defines it
 */
struct kexec_purgatory_region {
	u8 kind;
	unsigned long len;
	u8 digest[32];
};

/**
 * struct kexec_registers - registers that kimage::start is entered with
 * @rsi:	For a next kernel that is entered directly: physical address of its struct
 *		boot_params. For the purgatory: struct Handoff of
 *		arch/x86/purgatory/rust/abi.rs, whose low 32 bits are 0 until
 *		kexec_handoff() fills in panic_timeout. Otherwise 0
 * @rdx:	For the purgatory, without &kexec_purgatory.no_io: the time stamp counter
 *		at the jump. Otherwise 0
 * @rcx:	For the purgatory of a normal image: kimage::start of the crash image, to
 *		enter if the image or the purgatory is damaged; 0 if kexec_mismatch_crash
 *		is off. Otherwise 0
 *
 * KEXEC_READ_REGISTERS uses the offsets of the fields.
 */
struct kexec_registers {
	unsigned long rsi;
	unsigned long rdx;
	unsigned long rcx;
};

/* Size of a buffer for the result of a check, NUL included; a longer result is cut off */
#define KEXEC_CHECK_LEN		128

/* Size of a buffer for the name of a module, NUL included */
#define KEXEC_POLICY_NAME_LEN	64

/**
 * struct kexec_purgatory - decision about an image, and what follows from it
 * @decision:		enum Decision of rust/kernel/kexec/decision.rs; 0 for
 *			an image that kexec_load() loaded
 * @verified:		kimage::start is the purgatory, which verifies the image
 *			before it enters the next kernel
 * @no_io:		I/O and reads of the time stamp counter may raise exceptions,
 *			which nothing handles between two kernels
 * @registers:		registers that kimage::start is entered with
 * @kernel:		physical address of the next kernel's segment, of which
 *			only the file's bytes are loaded, except in CMA; 0 for an
 *			image that kexec_load() loaded
 * @boot_params:	physical address of the next kernel's struct boot_params; 0 for
 *			an image that kexec_load() loaded
 * @record:		offset of a struct setup_data with the record for the next kernel
 *			in the segment of @boot_params; 0 if there is none
 * @left:		where kexec_handoff() writes the time stamp counter to the record
 *			of an image that is entered directly; NULL for any other image,
 *			and with @no_io
 * @engine:		name of the engine that computes the digests between the two
 *			kernels; NULL for an image that is not verified
 * @verify_regions:	number of regions that the purgatory verifies
 * @verify_bytes:	number of bytes in these regions
 * @check:		result of the last check, "" if there was none
 * @check_time:		time of that check, in seconds since 1970
 * @regions:		digests that kexec_purgatory_check() compares, by segment index
 * @policy:		name of the module that decided, "" if none did
 *
 * Empty if CONFIG_KEXEC_PURGATORY_RUST is off.
 */
struct kexec_purgatory {
#ifdef CONFIG_KEXEC_PURGATORY_RUST
	u8 decision;
	bool verified;
	bool no_io;
	struct kexec_registers registers;
	unsigned long kernel;
	unsigned long boot_params;
	unsigned long record;
	u64 *left;
	const char *engine;
	unsigned int verify_regions;
	unsigned long verify_bytes;
	char check[KEXEC_CHECK_LEN];
	s64 check_time;
	struct kexec_purgatory_region regions[KEXEC_PURGATORY_REGIONS];
#endif
#ifdef CONFIG_KEXEC_PURGATORY_VERIFY_MODULE
	char policy[KEXEC_POLICY_NAME_LEN];
#endif
};

#ifdef CONFIG_KEXEC_PURGATORY_RUST
/**
 * kexec_purgatory_add_record() - reserve room for the record for the next kernel
 * @image: image being loaded
 * @size: bytes of the segment with its struct boot_params, without the record
 *
 * Reserves nothing for a kernel that kexec_purgatory_takes_record() is false for.
 *
 * Return: the size of that segment with the record at its end, in bytes.
 */
unsigned long kexec_purgatory_add_record(struct kimage *image, unsigned long size);

/**
 * kexec_purgatory_place() - decide about an image and place the purgatory
 * @image: image being loaded, with every other segment in place
 * @entry: physical address of the next kernel's 64-bit entry point
 * @boot_params: physical address of its struct boot_params
 *
 * Sets kimage::start. Adds the purgatory as a segment if the image is to be verified.
 *
 * Context: kexec_lock is held; may sleep.
 * Return: 0, -EINVAL if the image has a purgatory already or no free segment,
 * -EADDRNOTAVAIL if there is no room, -ENOEXEC if the purgatory is not of this build,
 * or -ENOMEM. An error is logged.
 */
int kexec_purgatory_place(struct kimage *image, unsigned long entry,
			  unsigned long boot_params);

/**
 * kexec_purgatory_seal() - record the digests of an image
 * @image: image that kexec_purgatory_place() prepared, whose segments are final
 *
 * Records them for kexec_purgatory_check(), and in the purgatory of an image that
 * is verified.
 *
 * Context: kexec_lock is held; may sleep.
 * Return: 0, -EINVAL if @image was not prepared or if its purgatory would refuse it, or
 * -ENOEXEC if the purgatory is not of this build. An error is logged.
 */
int kexec_purgatory_seal(struct kimage *image);

/**
 * kexec_purgatory_elfcorehdr() - record the digest of a new ELF core header
 * @image: crash image, while kexec_crash_image does not point to it
 * @elfcorehdr: copy of the bytes just written to the memory of its ELF core header
 * @size: number of these bytes, not 0
 *
 * An error is logged, and recorded as the result of a check; the purgatory then refuses
 * the image.
 *
 * Context: kexec_lock is held, and the memory of @image is writable.
 */
void kexec_purgatory_elfcorehdr(struct kimage *image, const void *elfcorehdr,
				unsigned long size);

/* This kernel has no ELF purgatory: these functions have nothing to load or to set up. */
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
static inline unsigned long kexec_purgatory_add_record(struct kimage *image,
						       unsigned long size)
{
	return size;
}

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
 * kexec_purgatory_load_size() - get the size of the part of a segment to load
 * @image: image being loaded, by either system call
 * @idx: index of one of its segments
 *
 * A kernel's segment is several times as large as the kernel's file: it has room for the
 * kernel to decompress itself (init_size in Documentation/arch/x86/boot.rst). That room
 * may hold anything, so it is not loaded.
 *
 * Return: the size in bytes, a multiple of the page size.
 */
size_t kexec_purgatory_load_size(const struct kimage *image, int idx);
#ifdef CONFIG_KEXEC_PURGATORY_RUST
#define arch_kexec_load_size kexec_purgatory_load_size
#endif

/**
 * kexec_purgatory_excluded() - keep normal images out of crash memory
 * @image: image being loaded
 * @start: physical address of a range that a segment may get
 * @end: physical address of the last byte of that range
 *
 * A normal image does not get memory that is reserved for the crash image: after a
 * mismatch, its purgatory enters the crash image.
 *
 * Return: 1 if the segment must not lie there, else 0.
 */
int kexec_purgatory_excluded(const struct kimage *image, unsigned long start,
			     unsigned long end);
#ifdef CONFIG_KEXEC_PURGATORY_RUST
#define arch_check_excluded_range kexec_purgatory_excluded
#endif

/**
 * kexec_purgatory_exchange() - replace an image, and what sysfs shows of it
 * @dest: &kexec_image or &kexec_crash_image
 * @image: new image, or NULL
 *
 * Ends a running check of the old image.
 *
 * Context: kexec_lock is held; may sleep until such a check ends, which takes the time
 * to hash two leaves.
 * Return: the old image, or NULL.
 */
struct kimage *kexec_purgatory_exchange(struct kimage **dest, struct kimage *image);

/* Whether the purgatory of a damaged normal image enters the crash image, if any */
extern bool kexec_mismatch_crash;

/*
 * kimage::start of the crash image, for the purgatory of the normal one; 0 if there is no
 * crash image, or none that this purgatory may enter. Written under the kexec lock.
 */
extern unsigned long kexec_mismatch_entry;

/**
 * kexec_purgatory_sysfs_init() - add the files of the purgatory to /sys/kernel/kexec/
 * @kobj: that directory
 *
 * Return: 0 or a negative errno.
 */
int kexec_purgatory_sysfs_init(struct kobject *kobj);

/**
 * kexec_purgatory_check_reboot() - check the normal image before it is entered
 *
 * Does nothing unless /sys/kernel/kexec/check_reboot is 1.
 *
 * Context: kexec_lock is not held; may sleep.
 * Return: -EIO if the image is damaged, which is logged; 0 if it is intact or cannot be
 * checked.
 */
int kexec_purgatory_check_reboot(void);
#ifdef CONFIG_KEXEC_PURGATORY_RUST
#define arch_kexec_exchange kexec_purgatory_exchange
#define arch_kexec_sysfs_init kexec_purgatory_sysfs_init
#define arch_kexec_check_reboot kexec_purgatory_check_reboot
#endif

#endif /* __ASSEMBLER__ */

#endif /* _ASM_X86_KEXEC_PURGATORY_H */
