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

/* Most regions of an image: KEXEC_SEGMENT_MAX, which is defined after this file */
#define KEXEC_PURGATORY_REGIONS	16

/**
 * struct kexec_purgatory_region - the digest of a segment's loaded bytes
 * @kind:	what the segment holds, see arch/x86/kexec/at_rest.rs; 0 if no digest was
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

/* Bytes of struct Record of arch/x86/purgatory/rust/record.rs */
#define KEXEC_RECORD_SIZE	336

/* Offset of Record::left there */
#define KEXEC_RECORD_LEFT	256

/* Bytes in a leaf: LEAF_SIZE of arch/x86/purgatory/rust/abi.rs */
#define KEXEC_PURGATORY_LEAF_SIZE	(32 * 1024 + 64)

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
 *			only the file's bytes are loaded; 0 for an image that
 *			kexec_load() loaded
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

/* The purgatory, see arch/x86/purgatory/rust/abi.rs for its layout. */
extern const u8 kexec_purgatory_start[];
extern const u8 kexec_purgatory_end[];

/*
 * The purgatory's digests, only with CONFIG_KEXEC_PURGATORY_KUNIT_TEST; see
 * arch/x86/purgatory/rust/purgatory_test.rs.
 */
extern const u8 kexec_purgatory_test_start[];
extern const u8 kexec_purgatory_test_end[];

/**
 * kexec_purgatory_engine() - read the table of engines
 * @row: row of the table in arch/x86/purgatory/rust/digest/engines.rs
 * @number: gets the engine's number
 * @usable: gets whether this machine can run the engine
 *
 * Only with CONFIG_KEXEC_PURGATORY_KUNIT_TEST.
 *
 * Return: the engine's name, or NULL after the last row.
 */
const char *kexec_purgatory_engine(u32 row, u32 *number, bool *usable);

#ifdef CONFIG_KEXEC_PURGATORY_RUST
/**
 * kexec_purgatory_add_record() - reserve room for the record for the next kernel
 * @image: image being loaded
 * @size: bytes of the segment with its struct boot_params, without the record
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
 * An error is logged; the purgatory then refuses the image.
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
 * crash image, or none that this purgatory can enter. Written under the kexec lock.
 */
extern unsigned long kexec_mismatch_entry;

/**
 * kexec_purgatory_source() - find a page of a loaded image
 * @image: normal image, loaded with kexec_file_load()
 * @destination: physical address that the page has after the copy
 *
 * Context: @image does not change.
 * Return: the physical address of the page before the copy, or 0 if @image has no such
 * page.
 */
phys_addr_t kexec_purgatory_source(const struct kimage *image, phys_addr_t destination);

/* The release of this kernel, as uname -r prints it */
const char *kexec_purgatory_release(void);

/**
 * struct kexec_entered - how the previous kernel entered this one
 * @release:		release of the previous kernel
 * @decision:		its decision about the image of this kernel
 * @engine:		engine of the purgatory, "" if there was no purgatory
 * @mismatch:		what was damaged in the normal image, "" if nothing was
 * @regions:		number of regions that the purgatory verified
 * @bytes:		number of bytes in these regions
 * @copy_ns:		time to copy the image
 * @verify_ns:		time to verify the image
 * @handoff_ns:		time from machine_kexec() to the end of the purgatory
 * @total_ns:		time from machine_kexec() until the clock of this kernel started
 *
 * Texts end with a NUL. Times are in nanoseconds, or -1 if they are not known.
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
 * kexec_purgatory_read_record() - decode the record of the previous kernel
 * @data: the record, which is the data of a struct setup_data
 * @size: size of @data in bytes
 * @clock: time stamp counter when the clock of this kernel started, or 0 if not known
 * @entered: gets the contents of a valid record
 *
 * Logs a line about the record, or why it is not used.
 *
 * Return: whether the record is valid.
 */
bool kexec_purgatory_read_record(const void *data, size_t size, u64 clock,
				 struct kexec_entered *entered);

/**
 * kexec_purgatory_record_init() - find and read the record of the previous kernel
 * @kobj: directory that gets the files entered_* if there is a valid record
 *
 * Return: 0 or a negative errno.
 */
int kexec_purgatory_record_init(struct kobject *kobj);

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

/**
 * kexec_purgatory_check() - compare a loaded image with its digests
 * @crash: true for the crash image, false for the normal one
 *
 * Takes no lock that a crash needs. A load that replaces the image ends the check. Logs
 * the result, and shows it in sysfs.
 *
 * Context: may sleep.
 * Return: 0 if the image is intact, -EIO if it is damaged, -ENOENT if no image is
 * loaded, -EOPNOTSUPP if kexec_load() loaded it or if it is a crash image on a host with
 * SME, -EAGAIN if it was replaced meanwhile, or -ENOMEM.
 */
int kexec_purgatory_check(bool crash);

/**
 * kexec_purgatory_check_image() - compare an image that nothing else accesses
 * @image: image in file mode, sealed by kexec_purgatory_seal()
 * @text: gets the result as sysfs shows it
 * @size: size of @text in bytes, not 0
 *
 * Only with CONFIG_KEXEC_PURGATORY_KUNIT_TEST.
 *
 * Context: may sleep.
 * Return: 0 if the image is intact, -EIO if it is damaged, or -ENOMEM.
 */
int kexec_purgatory_check_image(const struct kimage *image, char *text, size_t size);

/**
 * kexec_purgatory_pin() - keep an image from being replaced
 * @is_crash: true for the crash image, false for the normal one
 *
 * A load that replaces the image waits for kexec_purgatory_unpin(), with the kexec lock
 * held. To keep that wait short, poll kexec_purgatory_pin_ends() and do not allocate
 * memory while the image is pinned.
 *
 * Context: may sleep.
 * Return: the image, for which the caller must call kexec_purgatory_unpin(), or
 * ERR_PTR(): -ENOENT or -EOPNOTSUPP as for kexec_purgatory_check().
 */
struct kimage *kexec_purgatory_pin(bool is_crash);
void kexec_purgatory_unpin(bool is_crash);

/* Whether a load waits for kexec_purgatory_unpin(). */
bool kexec_purgatory_pin_ends(bool is_crash);

/**
 * kexec_purgatory_read() - read memory that may be damaged
 * @to: gets the bytes
 * @address: any physical address
 * @size: number of bytes, all of them in one page
 *
 * Return: true if the memory was read; false if @address is no memory, if it is not
 * mapped, or, where the processor has ERMS, if the memory has an error.
 */
bool kexec_purgatory_read(void *to, phys_addr_t address, size_t size);

/**
 * kexec_purgatory_show_image() - show an image in sysfs
 * @crash: true for the crash image, false for the normal one
 * @image: that image, or NULL if none is loaded
 *
 * Context: the lock that kexec_purgatory_pin() takes is held.
 */
void kexec_purgatory_show_image(bool crash, const struct kimage *image);

/**
 * kexec_purgatory_show_check() - record the result of a check
 * @image: image that was checked
 * @text: result
 *
 * The result stays with the image, and sysfs shows it while the image is loaded.
 *
 * Context: @image is pinned.
 */
void kexec_purgatory_show_check(struct kimage *image, const char *text);

/* Most calls that kexec_purgatory_run() makes */
#define KEXEC_PURGATORY_CPUS	8

/* Number of calls into which work is best split: online CPUs, at most KEXEC_PURGATORY_CPUS */
unsigned int kexec_purgatory_run_cpus(void);

/**
 * kexec_purgatory_run() - run a function on several CPUs, including this one
 * @call: function, called once with each number below @count
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

/* Describes the decision that a normal image would get now if no module decided */
const char *kexec_purgatory_policy(void);

#ifdef CONFIG_KEXEC_PURGATORY_VERIFY_MODULE
/**
 * typedef kexec_purgatory_policy_fn - decide about a normal image
 * @image: image being loaded, with every segment except the purgatory in place
 *
 * Context: kexec_lock is held; may sleep.
 * Return: whether to verify @image.
 */
typedef bool kexec_purgatory_policy_fn(struct kimage *image);

/**
 * kexec_purgatory_policy_register() - let a module decide about normal images
 * @owner: module that decides, whose name the log and sysfs show
 * @verify: called for every normal image, and for no crash image
 *
 * The registration ends when the module with the code of @verify is unloaded.
 *
 * Context: may sleep.
 * Return: 0, or -EBUSY if another module is registered.
 */
int kexec_purgatory_policy_register(struct module *owner,
				    kexec_purgatory_policy_fn *verify);

/**
 * kexec_purgatory_policy_unregister() - stop deciding about normal images
 * @verify: registered function; nothing happens if it is not registered
 *
 * Images that are loaded keep their decision.
 *
 * Context: may sleep; waits for a decision in progress.
 */
void kexec_purgatory_policy_unregister(kexec_purgatory_policy_fn *verify);

/**
 * kexec_purgatory_policy_ask() - ask the registered module about an image
 * @image: image being loaded; &kexec_purgatory.policy gets the module's name
 *
 * Context: kexec_lock is held; may sleep.
 * Return: 1 to verify @image, 0 not to, -ENOENT if no module is registered.
 */
int kexec_purgatory_policy_ask(struct kimage *image);

/**
 * kexec_purgatory_show_policy() - show in sysfs which module decides
 * @name: its name, or "" if none does
 *
 * Context: the caller serializes calls.
 */
void kexec_purgatory_show_policy(const char *name);

/* Parameter verify_spared of kexec_purgatory_verify.ko; for that module only */
extern bool kexec_verify_spared;
#endif

#endif /* __ASSEMBLER__ */

#endif /* _ASM_X86_KEXEC_PURGATORY_H */
