// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files in /sys/kernel/kexec/:
 * - verify_*: which images are verified, and why
 * - check_*: checks of loaded images
 * - mismatch_crash: whether a mismatch in a normal image enters the crash image
 *
 * A read takes no lock: while the kexec lock is held, a crash cannot enter its image and
 * a load fails. Therefore the decisions are copied here when an image is replaced.
 */

#include <linux/array_size.h>
#include <linux/container_of.h>
#include <linux/init.h>
#include <linux/kexec.h>
#include <linux/kobject.h>
#include <linux/kstrtox.h>
#include <linux/preempt.h>
#include <linux/seqlock.h>
#include <linux/sprintf.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/time64.h>

#include <asm/kexec-loader.h>

/* Room for a decision or a result with the name of a module */
#define TEXT_SIZE	(KEXEC_CHECK_LEN + KEXEC_POLICY_NAME_LEN)

/* What sysfs shows of an image */
struct details {
	char decision[TEXT_SIZE];
	const char *engine;
	unsigned int regions;
	unsigned long bytes;
	char check[TEXT_SIZE];
	/* Time of the check, 0 if there was none */
	time64_t check_time;
};

/* Details that can be read while they are replaced. */
struct image {
	seqcount_t seq;
	struct details details;
};

#define NO_IMAGE {			\
	.decision = "none",		\
	.engine = "none",		\
	.check = "none",		\
}

static struct image loaded = { .seq = SEQCNT_ZERO(loaded.seq), .details = NO_IMAGE };
static struct image crash = { .seq = SEQCNT_ZERO(crash.seq), .details = NO_IMAGE };

/* Name of the module that decides, "" if none does; read under policy_seq */
static seqcount_t policy_seq = SEQCNT_ZERO(policy_seq);
static char policy[KEXEC_POLICY_NAME_LEN];

/* Most tries of a check before a reboot: a try fails if the image is replaced */
#define CHECK_TRIES	10

/* Whether the normal image is checked before it is entered */
static bool check_reboot;

/* Replaces the @size bytes at @to by those at @from; callers serialize calls. */
static void replace(seqcount_t *seq, void *to, const void *from, size_t size)
{
	/* A reader that preempts the copy on this CPU could wait forever. */
	preempt_disable();
	write_seqcount_begin(seq);
	memcpy(to, from, size);
	write_seqcount_end(seq);
	preempt_enable();
}

/* Copies @size bytes that replace() may replace meanwhile. */
static void get(seqcount_t *seq, void *to, const void *from, size_t size)
{
	unsigned int start;

	do {
		start = read_seqcount_begin(seq);
		memcpy(to, from, size);
	} while (read_seqcount_retry(seq, start));
}

void kexec_purgatory_show_image(bool is_crash, const struct kimage *image)
{
	struct image *shown = is_crash ? &crash : &loaded;
	struct details new = NO_IMAGE;
	const char *name = "";

	if (image && !image->file_mode) {
		strscpy(new.decision, "unknown: loaded with kexec_load()");
		strscpy(new.check, new.decision);
	} else if (image) {
		const struct kexec_purgatory *purgatory = &image->arch.purgatory;

#ifdef CONFIG_KEXEC_PURGATORY_VERIFY_MODULE
		name = purgatory->policy;
#endif
		scnprintf(new.decision, sizeof(new.decision), "%s%s%s",
			  kexec_purgatory_decision(purgatory->decision),
			  name[0] ? " " : "", name);
		if (purgatory->engine) {
			new.engine = purgatory->engine;
			new.regions = purgatory->verify_regions;
			new.bytes = purgatory->verify_bytes;
		}
		strscpy(new.check, purgatory->check[0] ? purgatory->check : "not checked");
		new.check_time = purgatory->check_time;
	}
	replace(&shown->seq, &shown->details, &new, sizeof(new));
}

#ifdef CONFIG_KEXEC_PURGATORY_VERIFY_MODULE
void kexec_purgatory_show_policy(const char *name)
{
	char new[sizeof(policy)];

	strscpy_pad(new, name);
	replace(&policy_seq, policy, new, sizeof(new));
}
#endif

static ssize_t verify_policy_show(struct kobject *kobj,
				  struct kobj_attribute *attr, char *buf)
{
	char name[sizeof(policy)];

	get(&policy_seq, name, policy, sizeof(name));
	if (name[0])
		return sysfs_emit(buf, "policy: %s\n", name);
	return sysfs_emit(buf, "%s\n", kexec_purgatory_policy());
}

enum what {
	DECISION,
	ENGINE,
	REGIONS,
	BYTES,
	CHECK,
	CHECK_TIME,
};

/* A file that shows one of the details of an image */
struct image_attribute {
	struct kobj_attribute attr;
	struct image *image;
	enum what what;
};

static struct image_attribute *to_image_attribute(struct kobj_attribute *attr)
{
	return container_of(attr, struct image_attribute, attr);
}

static ssize_t image_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	const struct image_attribute *file = to_image_attribute(attr);
	struct details details;

	get(&file->image->seq, &details, &file->image->details, sizeof(details));
	switch (file->what) {
	case DECISION:
		return sysfs_emit(buf, "%s\n", details.decision);
	case ENGINE:
		return sysfs_emit(buf, "%s\n", details.engine);
	case REGIONS:
		return sysfs_emit(buf, "%u\n", details.regions);
	case BYTES:
		return sysfs_emit(buf, "%lu\n", details.bytes);
	case CHECK:
		return sysfs_emit(buf, "%s\n", details.check);
	case CHECK_TIME:
		return sysfs_emit(buf, "%lld\n", details.check_time);
	}
	return -EINVAL;
}

/* Checks an image if @buf is "1". */
static ssize_t check_store(struct kobject *kobj, struct kobj_attribute *attr,
			   const char *buf, size_t count)
{
	bool check;
	int ret;

	ret = kstrtobool(buf, &check);
	if (ret || !check)
		return -EINVAL;

	return kexec_purgatory_check(to_image_attribute(attr)->image == &crash) ?: count;
}

/* A file that shows and sets a switch */
struct switch_attribute {
	struct kobj_attribute attr;
	bool *value;
};

static bool *switch_value(struct kobj_attribute *attr)
{
	return container_of(attr, struct switch_attribute, attr)->value;
}

static ssize_t switch_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", READ_ONCE(*switch_value(attr)));
}

static ssize_t switch_store(struct kobject *kobj, struct kobj_attribute *attr,
			    const char *buf, size_t count)
{
	bool value;
	int ret;

	ret = kstrtobool(buf, &value);
	if (ret)
		return ret;

	WRITE_ONCE(*switch_value(attr), value);
	return count;
}

int kexec_purgatory_check_reboot(void)
{
	int tries = CHECK_TRIES, ret;

	if (!READ_ONCE(check_reboot))
		return 0;
	do {
		ret = kexec_purgatory_check(false);
	} while (ret == -EAGAIN && --tries);

	/* An image that cannot be checked is entered, as if check_reboot were 0. */
	return ret == -EIO ? ret : 0;
}

#define IMAGE_ATTR(_name, _mode, _store, _image, _what) {		\
	.attr = __ATTR(_name, _mode, image_show, _store),		\
	.image = &(_image),						\
	.what = _what,							\
}

static struct image_attribute image_attrs[] = {
	IMAGE_ATTR(verify_loaded, 0444, NULL, loaded, DECISION),
	IMAGE_ATTR(verify_loaded_engine, 0444, NULL, loaded, ENGINE),
	IMAGE_ATTR(verify_loaded_regions, 0444, NULL, loaded, REGIONS),
	IMAGE_ATTR(verify_loaded_bytes, 0444, NULL, loaded, BYTES),
	IMAGE_ATTR(check_loaded, 0644, check_store, loaded, CHECK),
	IMAGE_ATTR(check_loaded_time, 0444, NULL, loaded, CHECK_TIME),
	IMAGE_ATTR(verify_crash, 0444, NULL, crash, DECISION),
	IMAGE_ATTR(verify_crash_engine, 0444, NULL, crash, ENGINE),
	IMAGE_ATTR(verify_crash_regions, 0444, NULL, crash, REGIONS),
	IMAGE_ATTR(verify_crash_bytes, 0444, NULL, crash, BYTES),
	IMAGE_ATTR(check_crash, 0644, check_store, crash, CHECK),
	IMAGE_ATTR(check_crash_time, 0444, NULL, crash, CHECK_TIME),
};

static struct kobj_attribute verify_policy_attr = __ATTR_RO(verify_policy);

static struct switch_attribute check_reboot_attr = {
	.attr = __ATTR(check_reboot, 0644, switch_show, switch_store),
	.value = &check_reboot,
};

static struct switch_attribute mismatch_crash_attr = {
	.attr = __ATTR(mismatch_crash, 0644, switch_show, switch_store),
	.value = &kexec_mismatch_crash,
};

int __init kexec_purgatory_sysfs_init(struct kobject *kobj)
{
	const struct attribute *attrs[ARRAY_SIZE(image_attrs) + 4] = {};
	int i;

	for (i = 0; i < ARRAY_SIZE(image_attrs); i++)
		attrs[i] = &image_attrs[i].attr.attr;
	attrs[i++] = &verify_policy_attr.attr;
	attrs[i++] = &check_reboot_attr.attr.attr;
	attrs[i++] = &mismatch_crash_attr.attr.attr;

	return sysfs_create_files(kobj, attrs) ?: kexec_purgatory_record_init(kobj);
}
