// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/kexec/entered_*: the record of the previous kernel
 */

#include <linux/array_size.h>
#include <linux/cache.h>
#include <linux/container_of.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/kobject.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/sched/clock.h>
#include <linux/sysfs.h>
#include <linux/time64.h>

#include <asm/kexec-loader.h>
#include <asm/setup.h>
#include <asm/tsc.h>

static struct kexec_entered entered __ro_after_init;

/* Time stamp counter when local_clock() was 0, or 0 if that is not known */
static u64 __init clock_start(void)
{
	u64 now = rdtsc();

	if (!tsc_khz)
		return 0;
	return now - min(now, mul_u64_u32_div(local_clock(), tsc_khz, USEC_PER_SEC));
}

/* Maps a node of the setup_data list; the caller must call memunmap(). */
static struct setup_data * __init map_node(u64 address, size_t size)
{
	return memremap(address, sizeof(struct setup_data) + size, MEMREMAP_WB);
}

/* Reads the first record in the list. Returns whether there is one and it is valid. */
static bool __init read_record(void)
{
	u64 address = boot_params.hdr.setup_data;

	while (address) {
		struct setup_data *node = map_node(address, 0);
		struct setup_data head;
		bool good;

		if (!node)
			return false;
		head = *node;
		memunmap(node);

		if (head.type != SETUP_KEXEC_RECORD) {
			address = head.next;
			continue;
		}

		/* A record of another version, which is refused, may be larger. */
		head.len = min(head.len, KEXEC_RECORD_SIZE);
		node = map_node(address, head.len);
		if (!node)
			return false;
		good = kexec_purgatory_read_record(node->data, head.len, clock_start(), &entered);
		memunmap(node);
		return good;
	}
	return false;
}

/* A file that shows a text or a number of struct kexec_entered */
struct entered_attribute {
	struct kobj_attribute attr;
	const char *text;
	const s64 *number;
};

static ssize_t entered_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	const struct entered_attribute *file = container_of(attr, struct entered_attribute, attr);

	if (file->text)
		return sysfs_emit(buf, "%s\n", file->text[0] ? file->text : "none");
	return sysfs_emit(buf, "%lld\n", *file->number);
}

static ssize_t entered_regions_show(struct kobject *kobj, struct kobj_attribute *attr,
				    char *buf)
{
	return sysfs_emit(buf, "%u\n", entered.regions);
}

static ssize_t entered_bytes_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", entered.bytes);
}

#define ENTERED_ATTR(_name, _what, _value) {					\
	.attr = __ATTR(_name, 0444, entered_show, NULL),			\
	._what = _value,							\
}

static struct entered_attribute entered_attrs[] = {
	ENTERED_ATTR(entered_by, text, entered.release),
	ENTERED_ATTR(entered_decision, text, entered.decision),
	ENTERED_ATTR(entered_engine, text, entered.engine),
	ENTERED_ATTR(entered_mismatch, text, entered.mismatch),
	ENTERED_ATTR(entered_copy_ns, number, &entered.copy_ns),
	ENTERED_ATTR(entered_verify_ns, number, &entered.verify_ns),
	ENTERED_ATTR(entered_handoff_ns, number, &entered.handoff_ns),
	ENTERED_ATTR(entered_total_ns, number, &entered.total_ns),
};

static struct kobj_attribute entered_regions_attr = __ATTR_RO(entered_regions);
static struct kobj_attribute entered_bytes_attr = __ATTR_RO(entered_bytes);

int __init kexec_purgatory_record_init(struct kobject *kobj)
{
	const struct attribute *attrs[ARRAY_SIZE(entered_attrs) + 3] = {};
	int i;

	if (!read_record())
		return 0;

	for (i = 0; i < ARRAY_SIZE(entered_attrs); i++)
		attrs[i] = &entered_attrs[i].attr.attr;
	attrs[i++] = &entered_regions_attr.attr;
	attrs[i++] = &entered_bytes_attr.attr;

	return sysfs_create_files(kobj, attrs);
}
