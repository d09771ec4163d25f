// SPDX-License-Identifier: GPL-2.0-only
/*
 * The loaded images: replace one, pin it, and read it on several CPUs; what the
 * normal image and the crash image need of each other
 */

#include <linux/atomic.h>
#include <linux/bug.h>
#include <linux/cc_platform.h>
#include <linux/container_of.h>
#include <linux/cpufeature.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/io.h>
#include <linux/kexec.h>
#include <linux/memory_hotplug.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include <asm/kexec-loader.h>

/* One of the two images that can be loaded */
struct slot {
	/* Held while the image is pinned, and while it is replaced */
	struct mutex lock;
	/* Number of loads that wait for the lock */
	atomic_t waiting;
};

static struct slot normal = { .lock = __MUTEX_INITIALIZER(normal.lock) };
static struct slot crash = { .lock = __MUTEX_INITIALIZER(crash.lock) };

static struct slot *slot(bool is_crash)
{
	return is_crash ? &crash : &normal;
}

struct kimage *kexec_purgatory_pin(bool is_crash)
{
	struct kimage *image = NULL;

	/* With SME, crash images are written and read through different mappings. */
	if (is_crash && cc_platform_has(CC_ATTR_HOST_MEM_ENCRYPT))
		return ERR_PTR(-EOPNOTSUPP);

	mutex_lock(&slot(is_crash)->lock);

	if (!is_crash)
		image = kexec_image;
#ifdef CONFIG_CRASH_DUMP
	else
		image = kexec_crash_image;
#endif
	if (image && image->file_mode)
		return image;

	kexec_purgatory_unpin(is_crash);
	return ERR_PTR(image ? -EOPNOTSUPP : -ENOENT);
}

void kexec_purgatory_unpin(bool is_crash)
{
	mutex_unlock(&slot(is_crash)->lock);
}

bool kexec_purgatory_pin_ends(bool is_crash)
{
	return atomic_read(&slot(is_crash)->waiting);
}

/* Records the result of a check of @image, which is pinned or not loaded. */
static void set_check(struct kimage *image, const char *text)
{
	strscpy(image->arch.purgatory.check, text);
	image->arch.purgatory.check_time = ktime_get_real_seconds();
}

void kexec_purgatory_show_check(struct kimage *image, const char *text)
{
	set_check(image, text);
	kexec_purgatory_show_image(image->type == KEXEC_TYPE_CRASH, image);
}

void kexec_purgatory_elfcorehdr(struct kimage *image, const void *elfcorehdr,
				unsigned long size)
{
	/* The caller puts the image back, which shows this. */
	if (kexec_purgatory_reseal(image, elfcorehdr, size))
		set_check(image, "damaged: purgatory");
}

bool kexec_mismatch_crash = true;
unsigned long kexec_mismatch_entry;

/*
 * Sets the address at which the purgatory of a normal image can enter the crash image.
 * Only a purgatory from this kernel's loader understands the registers that it gets. With
 * SME, the memory of a crash image is encrypted differently from that of a normal image.
 * With crashkernel=,cma the crash kernel uses memory that devices may still write to for
 * this kernel: __crash_kexec() waits for them, but the purgatory does not.
 */
static void update_mismatch_entry(const struct kimage *crash_image)
{
	kexec_mismatch_entry = 0;
	if (crash_image && crash_image->arch.purgatory.verified &&
	    !crash_image->arch.purgatory.no_io && !crashk_cma_cnt &&
	    !cc_platform_has(CC_ATTR_HOST_MEM_ENCRYPT))
		kexec_mismatch_entry = crash_image->start;
}

#ifdef CONFIG_CRASH_DUMP
static bool overlaps(const struct resource *reserved, unsigned long start, unsigned long end)
{
	return reserved->end && start <= reserved->end && end >= reserved->start;
}
#endif

int kexec_purgatory_excluded(const struct kimage *image, unsigned long start,
			     unsigned long end)
{
#ifdef CONFIG_CRASH_DUMP
	return image->type != KEXEC_TYPE_CRASH &&
	       (overlaps(&crashk_res, start, end) || overlaps(&crashk_low_res, start, end));
#else
	return 0;
#endif
}

/* Finds where kexec_handoff() writes the time for an image that is entered directly. */
static void find_left(struct kimage *image)
{
	struct kexec_purgatory *purgatory = &image->arch.purgatory;
	phys_addr_t address, page;

	if (!purgatory->record || purgatory->verified || purgatory->no_io)
		return;

	address = purgatory->boot_params + purgatory->record +
		  sizeof(struct setup_data) + KEXEC_RECORD_LEFT;
	page = kexec_purgatory_source(image, address & PAGE_MASK);
	if (page)
		purgatory->left = phys_to_virt(page + offset_in_page(address));
}

struct kimage *kexec_purgatory_exchange(struct kimage **dest, struct kimage *image)
{
	bool is_crash = dest != &kexec_image;
	struct kimage *old;

	if (image && !is_crash)
		find_left(image);

	atomic_inc(&slot(is_crash)->waiting);
	mutex_lock(&slot(is_crash)->lock);
	atomic_dec(&slot(is_crash)->waiting);

	kexec_purgatory_show_image(is_crash, image);
	old = xchg(dest, image);
	if (is_crash)
		update_mismatch_entry(image);

	kexec_purgatory_unpin(is_crash);
	return old;
}

bool kexec_purgatory_read(void *to, phys_addr_t address, size_t size)
{
	const void *memory = phys_to_virt(address);
	struct page *page = pfn_to_online_page(PHYS_PFN(address));

	/* Memory with a known error may still be mapped, and must not be read. */
	if (!page || is_page_hwpoison(page) || !copy_from_kernel_nofault_allowed(memory, size))
		return false;

	/* Survives a memory error if the processor reports it as recoverable. */
	if (cpu_feature_enabled(X86_FEATURE_ERMS))
		return !copy_mc_to_kernel(to, memory, size);
	return !copy_from_kernel_nofault(to, memory, size);
}

/* One of the calls that kexec_purgatory_run() makes */
struct call {
	struct work_struct work;
	void (*call)(void *data, unsigned int number);
	void *data;
	unsigned int number;
};

static void run_call(struct work_struct *work)
{
	struct call *call = container_of(work, struct call, work);

	call->call(call->data, call->number);
}

unsigned int kexec_purgatory_run_cpus(void)
{
	return umin(num_online_cpus(), KEXEC_PURGATORY_CPUS);
}

void kexec_purgatory_run(void (*call)(void *data, unsigned int number), void *data,
			 unsigned int count)
{
	struct call calls[KEXEC_PURGATORY_CPUS];
	unsigned int i;

	if (WARN_ON_ONCE(count > KEXEC_PURGATORY_CPUS))
		return;

	for (i = 0; i < count; i++) {
		calls[i].call = call;
		calls[i].data = data;
		calls[i].number = i;
		INIT_WORK_ONSTACK(&calls[i].work, run_call);
		queue_work(system_dfl_wq, &calls[i].work);
	}
	for (i = 0; i < count; i++) {
		/* If no other CPU has started the call, make it here and do not wait. */
		if (cancel_work(&calls[i].work))
			call(data, i);
		else
			flush_work(&calls[i].work);
		destroy_work_on_stack(&calls[i].work);
	}
}
