// SPDX-License-Identifier: GPL-2.0-only
/*
 * Crashes the kernel in the context that is written to the parameter "crash",
 * while the other processors do what the parameter "others" says.  Pages with
 * known contents show whether a dump is right; the parameter "pattern" has
 * their physical addresses.  Writing a physical address to the parameter
 * "damage" inverts one bit of the byte there.
 */

#include <linux/atomic.h>
#include <linux/cpu.h>
#include <linux/gfp.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nmi.h>
#include <linux/proc_fs.h>
#include <linux/reboot.h>
#include <linux/syscore_ops.h>
#include <linux/vmalloc.h>
#include <asm/apic.h>
#include <asm/fpu/api.h>
#include <asm/nmi.h>

#define PAGES		4
/* A physical address in hexadecimal digits, and the separator after it. */
#define ADDRESS		17

static char *others = "idle";
module_param(others, charp, 0444);

static unsigned long pages[PAGES];
static char pattern[PAGES * ADDRESS];
module_param_string(pattern, pattern, sizeof(pattern), 0444);

static void __noreturn die(const char *where)
{
	panic("crash_contexts: %s", where);
}

static void tasklet_function(struct tasklet_struct *tasklet)
{
	die(in_softirq() ? "softirq" : "no softirq");
}

/* A timer might not expire: jiffies may stop with a processor that hangs. */
static DECLARE_TASKLET(tasklet, tasklet_function);

static void work_function(struct irq_work *work)
{
	die(in_hardirq() ? "hardirq" : "no hardirq");
}

static DEFINE_IRQ_WORK(work, work_function);

static int nmi_function(unsigned int type, struct pt_regs *regs)
{
	die(in_nmi() ? "nmi" : "no nmi");
	return NMI_HANDLED;
}

/* Sends this processor an NMI, through the local APIC's register. */
static void send_nmi(void)
{
	void __iomem *registers = ioremap(APIC_DEFAULT_PHYS_BASE, PAGE_SIZE);

	if (registers)
		writel(APIC_DEST_SELF | APIC_DM_NMI, registers + APIC_ICR);
}

/* Each call takes a part of the stack, and the last one more than is left. */
static noinline unsigned long overflow(unsigned long depth)
{
	volatile char part[512];

	part[depth % sizeof(part)] = depth;
	return overflow(depth + 1) + part[0];
}

static int reboot_function(struct notifier_block *block, unsigned long action,
			   void *data)
{
	die("reboot notifier");
	return NOTIFY_DONE;
}

static struct notifier_block reboot_block = { .notifier_call = reboot_function };

static void shutdown_function(void *data)
{
	die("syscore shutdown");
}

/* Reads a file that kexec_file_load() takes for a kernel. */
static ssize_t load_function(struct kiocb *iocb, struct iov_iter *to)
{
	die("load");
}

static const struct proc_ops load_ops = { .proc_read_iter = load_function };

static int make_file(void)
{
	struct proc_dir_entry *file = proc_create("crash_contexts", 0400, NULL,
						  &load_ops);

	if (!file)
		return -ENOMEM;
	proc_set_size(file, PAGE_SIZE);
	return 0;
}

static const struct syscore_ops shutdown_ops = { .shutdown = shutdown_function };
static struct syscore shutdown = { .ops = &shutdown_ops };

/* How many other processors do their work. */
static atomic_t at_work;

/* The work of another processor: it never ends. */
static int other(void *data)
{
	bool first = true;

	if (!strcmp(others, "hung")) {
		local_irq_disable();
		atomic_inc(&at_work);
		for (;;)
			cpu_relax();
	}
	for (;;) {
		if (!strcmp(others, "avx"))
			kernel_fpu_begin();
		if (first)
			atomic_inc(&at_work);
		first = false;
		if (!strcmp(others, "avx")) {
			for (int i = 0; i < 100000; i++)
				asm volatile("vpaddd %%ymm1, %%ymm0, %%ymm0" ::: "memory");
			kernel_fpu_end();
		} else {
			for (int i = 0; i < 100000; i++)
				cpu_relax();
		}
		cond_resched();
	}
	return 0;
}

static struct task_struct *tasks[NR_CPUS];

/* Starts the work of the others, and waits until it has begun. */
static int start_others(void)
{
	unsigned int here = get_cpu(), started = 0, cpu;

	put_cpu();
	if (!strcmp(others, "idle"))
		return 0;
	/* On another processor, this task would wait for one that never ends. */
	if (set_cpus_allowed_ptr(current, cpumask_of(here)))
		return -EBUSY;
	/* All are made first: one that hangs may keep others from being made. */
	for_each_online_cpu(cpu) {
		if (cpu == here)
			continue;
		tasks[cpu] = kthread_create_on_cpu(other, NULL, cpu, "other/%u");
		if (IS_ERR(tasks[cpu]))
			return PTR_ERR(tasks[cpu]);
		started++;
	}
	for_each_online_cpu(cpu) {
		if (cpu != here)
			wake_up_process(tasks[cpu]);
	}
	while (atomic_read(&at_work) < started)
		cpu_relax();
	return 0;
}

static int crash_set(const char *value, const struct kernel_param *param)
{
	int error = start_others();

	if (error)
		return error;
	if (sysfs_streq(value, "process")) {
		die("process");
	} else if (sysfs_streq(value, "oops")) {
		*(volatile int *)8 = 0;
	} else if (sysfs_streq(value, "irqs-off")) {
		local_irq_disable();
		die("interrupts off");
	} else if (sysfs_streq(value, "softirq")) {
		tasklet_schedule(&tasklet);
	} else if (sysfs_streq(value, "hardirq")) {
		irq_work_queue(&work);
	} else if (sysfs_streq(value, "nmi")) {
		register_nmi_handler(NMI_LOCAL, nmi_function, NMI_FLAG_FIRST,
				     "crash_contexts");
		send_nmi();
	} else if (sysfs_streq(value, "stack")) {
		return overflow(0);
	} else if (sysfs_streq(value, "softlockup")) {
		pr_emerg("crash_contexts: softlockup\n");
		preempt_disable();
		for (;;)
			cpu_relax();
	} else if (sysfs_streq(value, "load")) {
		return make_file();
	} else if (sysfs_streq(value, "notifier")) {
		return register_reboot_notifier(&reboot_block);
	} else if (sysfs_streq(value, "syscore")) {
		register_syscore(&shutdown);
	} else {
		return -EINVAL;
	}
	return 0;
}

static const struct kernel_param_ops crash_ops = { .set = crash_set };
module_param_cb(crash, &crash_ops, NULL, 0200);

static int damage_set(const char *value, const struct kernel_param *param)
{
	unsigned long address;
	struct page *page;
	char *mapped;
	int error = kstrtoul(value, 0, &address);

	if (error)
		return error;
	if (!pfn_valid(PHYS_PFN(address)))
		return -EINVAL;
	/* The kernel's own mapping of a crash image is read-only. */
	page = pfn_to_page(PHYS_PFN(address));
	mapped = vmap(&page, 1, VM_MAP, PAGE_KERNEL);
	if (!mapped)
		return -ENOMEM;
	mapped[offset_in_page(address)] ^= 1;
	vunmap(mapped);
	return 0;
}

static const struct kernel_param_ops damage_ops = { .set = damage_set };
module_param_cb(damage, &damage_ops, NULL, 0200);

static int __init crash_contexts_init(void)
{
	char *end = pattern;

	for (int i = 0; i < PAGES; i++) {
		char address[ADDRESS];

		pages[i] = __get_free_page(GFP_KERNEL);
		if (!pages[i])
			return -ENOMEM;
		snprintf(address, sizeof(address), "%016lx", __pa(pages[i]));
		for (int at = 0; at < PAGE_SIZE; at += ADDRESS - 1)
			memcpy((char *)pages[i] + at, address, ADDRESS - 1);
		end += sprintf(end, "%s%s", i ? "," : "", address);
	}
	return 0;
}
module_init(crash_contexts_init);

MODULE_DESCRIPTION("Crashes the kernel in many contexts, and damages memory");
MODULE_LICENSE("GPL");
