/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface between the files of arch/x86/kexec, and to rust/kernel/kexec.  The rest
 * of the kernel uses asm/kexec-purgatory.h.
 */
#ifndef _ASM_X86_KEXEC_LOADER_H
#define _ASM_X86_KEXEC_LOADER_H

#include <linux/types.h>

#include <asm/setup_data.h>

struct kimage;
struct kobject;
struct module;

/* Bytes of struct Record of arch/x86/purgatory/rust/record.rs */
#define KEXEC_RECORD_SIZE	336

/* Offset of Record::left there */
#define KEXEC_RECORD_LEFT	256

/* Bytes in a leaf: LEAF_SIZE of arch/x86/purgatory/rust/abi.rs */
#define KEXEC_PURGATORY_LEAF_SIZE	(32 * 1024 + 64)

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

/**
 * kexec_purgatory_takes_record() - whether a kernel can get a record
 * @kernel: a bzImage
 * @size: its size in bytes
 *
 * Kernels before 6.9 mark the memory of each setup_data node that they do not know as
 * reserved in the map that they pass on, so that the map grows with each of their kexecs.
 *
 * Return: true if the version in the setup header is 6.9 or later.
 */
bool kexec_purgatory_takes_record(const void *kernel, unsigned long size);

/**
 * kexec_purgatory_reseal() - record the digest of a new ELF core header
 * @image: crash image, while kexec_crash_image does not point to it
 * @elfcorehdr: copy of the bytes just written to the memory of its ELF core header
 * @size: number of these bytes, not 0
 *
 * Context: kexec_lock is held, and the memory of @image is writable.
 * Return: 0, or -EIO if the purgatory in the memory of @image is damaged or cannot be
 * read, which is logged. The purgatory then refuses the image.
 */
int kexec_purgatory_reseal(struct kimage *image, const void *elfcorehdr, size_t size);

/* The release of this kernel, as uname -r prints it */
const char *kexec_purgatory_release(void);

/**
 * struct kexec_entered - how the previous kernel entered this one
 * @release:		release of the previous kernel
 * @decision:		its decision about the image of this kernel
 * @engine:		engine of the purgatory, "" if there was no purgatory
 * @mismatch:		what was damaged in the normal image, "" if nothing was
 * @regions:		number of regions to verify, when the image was loaded
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
 * mapped, or if the memory has an error. An error that the kernel does not know yet
 * needs a processor with ERMS that reports it as recoverable; on others it is a fatal
 * machine check.
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
 * Context: may sleep; does not wait for a decision in progress, which may load the module
 * that calls this.
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
 * Context: may sleep; waits for a decision in progress, if @verify is registered. Not to
 * be called by @verify itself.
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

#endif /* _ASM_X86_KEXEC_LOADER_H */
