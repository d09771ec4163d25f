// SPDX-License-Identifier: GPL-2.0-only
/*
 * The images that are loaded: how one is replaced, kept meanwhile, and read on
 * several CPUs
 */

#include <linux/atomic.h>
#include <linux/bug.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/kexec.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/workqueue.h>

/* Held while an image is pinned, and while one is replaced */
static DEFINE_MUTEX(pin_lock);
/* Loads that wait for it */
static atomic_t waiting = ATOMIC_INIT(0);

struct kimage *kexec_purgatory_pin(bool crash)
{
	struct kimage *image = NULL;

	if (mutex_lock_interruptible(&pin_lock))
		return ERR_PTR(-EINTR);

	if (!crash)
		image = kexec_image;
#ifdef CONFIG_CRASH_DUMP
	else
		image = kexec_crash_image;
#endif
	if (image && image->file_mode)
		return image;

	mutex_unlock(&pin_lock);
	return ERR_PTR(image ? -EOPNOTSUPP : -ENOENT);
}

void kexec_purgatory_unpin(void)
{
	mutex_unlock(&pin_lock);
}

bool kexec_purgatory_pin_ends(void)
{
	cond_resched();
	return atomic_read(&waiting);
}

struct kimage *kexec_purgatory_exchange(struct kimage **dest, struct kimage *image)
{
	struct kimage *old;

	atomic_inc(&waiting);
	mutex_lock(&pin_lock);
	atomic_dec(&waiting);

	kexec_purgatory_show_image(dest != &kexec_image, image);
	old = xchg(dest, image);

	mutex_unlock(&pin_lock);
	return old;
}

/* One call of kexec_purgatory_run() */
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
		flush_work(&calls[i].work);
		destroy_work_on_stack(&calls[i].work);
	}
}
