/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_X86_KEXEC_PURGATORY_H
#define _ASM_X86_KEXEC_PURGATORY_H

#ifndef __ASSEMBLER__

#include <linux/stddef.h>
#include <linux/types.h>

#include <asm/setup_data.h>

struct kexec_buf;
struct kimage;
struct kobject;
struct module;

/* Of an image: KEXEC_SEGMENT_MAX, which is defined behind this file */
#define KEXEC_PURGATORY_REGIONS	16

/**
 * struct kexec_purgatory_region - the bytes of a segment as they were loaded
 * @kind:	what they are, see arch/x86/kexec/at_rest.rs; 0 if there is no digest to
 *		compare them with
 * @len:	number of bytes, from the start of the segment
 * @digest:	their digest, LEAF_SIZE of arch/x86/purgatory/rust/abi.rs
 */
struct kexec_purgatory_region {
	u8 kind;
	unsigned long len;
	u8 digest[32];
};

/**
 * struct kexec_registers - what kimage::start finds in registers
 * @rsi:	The next kernel itself gets the physical address of its struct
 *		boot_params. The purgatory gets struct Handoff of
 *		arch/x86/purgatory/rust/abi.rs, whose low 32 bits are panic_timeout:
 *		0 when the image is loaded, filled in at the time of the jump. Else 0
 * @rdx:	For the purgatory, the time stamp counter at the time of the jump. Else 0
 * @rcx:	For the purgatory of a normal image, kimage::start of the crash image,
 *		to enter if a region does not match. Else 0
 *
 * arch/x86/kernel/relocate_kernel_64.S knows the offsets.
 */
struct kexec_registers {
	unsigned long rsi;
	unsigned long rdx;
	unsigned long rcx;
};

/* Bytes of struct Record of arch/x86/purgatory/rust/record.rs */
#define KEXEC_RECORD_SIZE	336

/* Offset of Record::left in a struct setup_data with a record */
#define KEXEC_RECORD_LEFT	(sizeof(struct setup_data) + 256)

/* Room for the name of a module, with its NUL. */
#define KEXEC_POLICY_NAME_LEN	64

/**
 * struct kexec_purgatory - what was decided about an image when it was loaded
 * @decision:		enum Decision of rust/kernel/kexec/decision.rs; 0 for
 *			an image that kexec_load() loaded
 * @verified:		kimage::start is the purgatory, which checks the image
 *			before it enters the next kernel
 * @no_io:		I/O and the time stamp counter may raise exceptions that nothing
 *			handles between two kernels
 * @registers:		for kimage::start
 * @kernel:		physical address of the next kernel's segment, of which
 *			only the file's bytes are loaded; 0 for an image that
 *			kexec_load() loaded
 * @boot_params:	physical address of the next kernel's struct boot_params; 0 for
 *			an image that kexec_load() loaded
 * @record:		offset of a struct setup_data with the record for the next kernel
 *			in the segment of @boot_params; 0 if there is none
 * @left:		where the record of an image that is entered directly gets the time
 *			stamp counter at the time of the jump; NULL for any other image
 * @engine:		name of what computes the digests between the two kernels; NULL
 *			for an image that is not verified
 * @verify_regions:	number of regions that are verified
 * @verify_bytes:	number of their bytes
 * @check:		result of the last check, "" if there was none
 * @check_time:		when that was, in seconds since 1970
 * @regions:		what kexec_purgatory_check() checks, by the segment's index
 * @policy:		name of the module that decided, "" if none did
 *
 * Empty where CONFIG_KEXEC_PURGATORY_RUST is off.
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
	char check[128];
	s64 check_time;
	struct kexec_purgatory_region regions[KEXEC_PURGATORY_REGIONS];
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
 * kexec_purgatory_add_record() - make room for the record for the next kernel
 * @image: image being loaded
 * @size: bytes of the segment with its struct boot_params
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
 * Sets kimage::start. Adds the purgatory as a segment if the image is to be
 * verified, and no segment if it is not.
 *
 * Context: kexec_lock is held; may sleep.
 * Return: 0 or a negative errno, which is logged.
 */
int kexec_purgatory_place(struct kimage *image, unsigned long entry,
			  unsigned long boot_params);

/**
 * kexec_purgatory_seal() - take the digests of an image
 * @image: image whose segments have their final content
 *
 * Records them for kexec_purgatory_check(), and in the purgatory of an image that
 * is verified.
 *
 * Context: kexec_lock is held; may sleep.
 * Return: 0 or a negative errno, which is logged.
 */
int kexec_purgatory_seal(struct kimage *image);

/**
 * kexec_purgatory_elfcorehdr() - take the digest of a new ELF core header
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
 * kexec_purgatory_excluded() - keep images out of memory
 * @image: image being loaded
 * @start: physical address that a segment may get
 * @end: its last byte
 *
 * A normal image does not get the memory of the crash image, which may have to be
 * entered when the normal one lies in its place.
 *
 * Return: 1 if the segment must not lie there, else 0.
 */
int kexec_purgatory_excluded(const struct kimage *image, unsigned long start,
			     unsigned long end);
#ifdef CONFIG_KEXEC_PURGATORY_RUST
#define arch_check_excluded_range kexec_purgatory_excluded
#endif

/**
 * kexec_purgatory_exchange() - replace an image, and what sysfs tells of it
 * @dest: &kexec_image or &kexec_crash_image
 * @image: image to take its place, or NULL
 *
 * Ends a check of the image that is replaced.
 *
 * Context: kexec_lock is held; may sleep, until a check noticed this: for the time
 * to hash two leaves.
 * Return: the image that was there before, or NULL.
 */
struct kimage *kexec_purgatory_exchange(struct kimage **dest, struct kimage *image);

/* Whether a normal image that is damaged ends in the crash image, if there is one. */
extern bool kexec_mismatch_crash;

/*
 * kimage::start of the crash image, for the purgatory of the normal one; 0 if there is
 * none, or none that it can enter. Changes with the images, under the kexec lock.
 */
extern unsigned long kexec_mismatch_entry;

/**
 * kexec_purgatory_source() - find a page of a loaded image
 * @image: normal image, loaded with kexec_file_load()
 * @destination: physical address of a page of one of its segments
 *
 * Context: @image does not change.
 * Return: the physical address where the page lies until it is copied, or 0.
 */
phys_addr_t kexec_purgatory_source(const struct kimage *image, phys_addr_t destination);

/* The release of this kernel, as uname -r prints it */
const char *kexec_purgatory_release(void);

/**
 * struct kexec_entered - what the previous kernel tells of how it left
 * @release:		its release
 * @decision:		what it decided about the image of this kernel
 * @engine:		engine of the purgatory, "" if there was none
 * @mismatch:		what was damaged in the normal image, "" if nothing was
 * @regions:		number of regions that were verified
 * @bytes:		number of their bytes
 * @copy_ns:		time to copy the image, in nanoseconds, or -1 if it is not known
 * @verify_ns:		time to verify it, the same
 * @handoff_ns:		time from machine_kexec() to the end of the purgatory, the same
 * @total_ns:		time from machine_kexec() until the clock of this kernel
 *			started, the same
 *
 * Texts end with a NUL.
 */
struct kexec_entered {
	char release[65];
	char decision[97];
	char engine[17];
	char mismatch[17];
	u32 regions;
	u64 bytes;
	s64 copy_ns;
	s64 verify_ns;
	s64 handoff_ns;
	s64 total_ns;
};

/**
 * kexec_purgatory_read_record() - read what the previous kernel tells
 * @data: data of the struct setup_data
 * @size: its size in bytes
 * @clock: time stamp counter when the clock of this kernel started, or 0
 * @entered: gets it
 *
 * Logs a line about it, or about why it is not used.
 *
 * Return: whether it can be relied on.
 */
bool kexec_purgatory_read_record(const void *data, size_t size, u64 clock,
				 struct kexec_entered *entered);

/**
 * kexec_purgatory_record_init() - read the record of the previous kernel
 * @kobj: folder that gets files entered_* if there is one
 *
 * Return: 0 or a negative errno.
 */
int kexec_purgatory_record_init(struct kobject *kobj);

/**
 * kexec_purgatory_sysfs_init() - add verify_* and check_* to /sys/kernel/kexec/
 * @kobj: that folder
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
 * Return: 0, or -EIO if the image is damaged, which is logged.
 */
int kexec_purgatory_check_reboot(void);
#ifdef CONFIG_KEXEC_PURGATORY_RUST
#define arch_kexec_exchange kexec_purgatory_exchange
#define arch_kexec_sysfs_init kexec_purgatory_sysfs_init
#define arch_kexec_check_reboot kexec_purgatory_check_reboot
#endif

/**
 * kexec_purgatory_check() - compare a loaded image with its digests
 * @crash: the crash image, not the normal one
 *
 * Takes no lock that a crash needs; a load that replaces the image ends the
 * check. Logs the result, and shows it in sysfs.
 *
 * Context: may sleep.
 * Return: 0 if the image is as it was loaded, -EIO if it is not, -ENOENT if there
 * is none, -EOPNOTSUPP if kexec_load() loaded it or if it is a crash image on a host
 * with SME, -EAGAIN if it was replaced meanwhile, or -ENOMEM.
 */
int kexec_purgatory_check(bool crash);

/**
 * kexec_purgatory_check_image() - the same for an image that nothing else accesses
 * @image: it, in file mode, with what kexec_purgatory_seal() records
 * @text: gets the result as shown in sysfs
 * @size: room there, in bytes
 *
 * Only with CONFIG_KEXEC_PURGATORY_KUNIT_TEST.
 *
 * Context: may sleep.
 * Return: 0, -EIO, or -ENOMEM.
 */
int kexec_purgatory_check_image(const struct kimage *image, char *text, size_t size);

/**
 * kexec_purgatory_pin() - keep an image from being replaced
 * @is_crash: the crash image, not the normal one
 *
 * A load that wants to replace it waits, with the kexec lock held. To keep that
 * short, ask kexec_purgatory_pin_ends(), and do not allocate memory meanwhile.
 *
 * Context: may sleep.
 * Return: the image, which kexec_purgatory_unpin() has to follow, or an error:
 * -ENOENT, -EOPNOTSUPP as for kexec_purgatory_check().
 */
struct kimage *kexec_purgatory_pin(bool is_crash);
void kexec_purgatory_unpin(bool is_crash);

/* Whether a load waits for kexec_purgatory_unpin(). */
bool kexec_purgatory_pin_ends(bool is_crash);

/**
 * kexec_purgatory_read() - read memory that may be damaged
 * @to: gets what is there
 * @address: physical address, of anything
 * @size: bytes, all of them in one page
 *
 * Return: false if @address is no memory, if it is not mapped, or, where the
 * processor has ERMS, if the memory has an error.
 */
bool kexec_purgatory_read(void *to, phys_addr_t address, size_t size);

/**
 * kexec_purgatory_show_image() - have sysfs tell what was decided about an image
 * @crash: the crash image, not the normal one
 * @image: it, or NULL
 *
 * Context: kexec_lock is held, and the image cannot be pinned.
 */
void kexec_purgatory_show_image(bool crash, const struct kimage *image);

/**
 * kexec_purgatory_show_check() - record the result of a check
 * @image: image that was checked
 * @text: result
 *
 * It stays with the image, and sysfs tells it while the image is loaded.
 *
 * Context: @image is pinned.
 */
void kexec_purgatory_show_check(struct kimage *image, const char *text);

/* The most calls of kexec_purgatory_run() */
#define KEXEC_PURGATORY_CPUS	8

/* How many of them run at a time, at least 1. */
unsigned int kexec_purgatory_run_cpus(void);

/**
 * kexec_purgatory_run() - run a function on several CPUs, this one among them
 * @call: function, called with each number below @count once
 * @data: its first argument
 * @count: number of calls, not above KEXEC_PURGATORY_CPUS
 *
 * Returns when all calls have returned.
 *
 * Context: may sleep.
 */
void kexec_purgatory_run(void (*call)(void *data, unsigned int number), void *data,
			 unsigned int count);

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
