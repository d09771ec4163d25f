// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/kexec/verify_*: which images are verified, and why
 *
 * A read takes no lock. Whoever holds the kexec lock keeps a crash from
 * entering its image and makes a load fail, so that the decisions are copied
 * here when an image is replaced.
 */

#include <linux/kexec.h>
#include <linux/kobject.h>
#include <linux/preempt.h>
#include <linux/seqlock.h>
#include <linux/sprintf.h>
#include <linux/string.h>
#include <linux/sysfs.h>

/* A line of text that can be read while it is replaced. */
struct line {
	seqcount_t seq;
	char text[128 + KEXEC_POLICY_NAME_LEN];
};

static struct line loaded = { .seq = SEQCNT_ZERO(loaded.seq), .text = "none" };
static struct line crash = { .seq = SEQCNT_ZERO(crash.seq), .text = "none" };
/* "" while no module decides */
static struct line policy = { .seq = SEQCNT_ZERO(policy.seq) };

/* Replaces @line by @text and @name; callers serialise that. */
static void set_line(struct line *line, const char *text, const char *name)
{
	char new[sizeof(line->text)];

	scnprintf(new, sizeof(new), "%s%s%s", text, name[0] ? " " : "", name);

	/* A reader that interrupts the copy would wait for ever. */
	preempt_disable();
	write_seqcount_begin(&line->seq);
	memcpy(line->text, new, sizeof(new));
	write_seqcount_end(&line->seq);
	preempt_enable();
}

static void get_line(struct line *line, char *text)
{
	unsigned int seq;

	do {
		seq = read_seqcount_begin(&line->seq);
		memcpy(text, line->text, sizeof(line->text));
	} while (read_seqcount_retry(&line->seq, seq));
}

static ssize_t show_line(struct line *line, char *buf)
{
	char text[sizeof(line->text)];

	get_line(line, text);
	return sysfs_emit(buf, "%s\n", text);
}

struct kimage *kexec_purgatory_exchange(struct kimage **dest, struct kimage *image)
{
	struct line *line = dest == &kexec_image ? &loaded : &crash;
	const char *name = "";

	if (!image) {
		set_line(line, "none", name);
	} else if (!image->file_mode) {
		set_line(line, "unknown: loaded with kexec_load()", name);
	} else {
#ifdef CONFIG_KEXEC_PURGATORY_VERIFY_MODULE
		name = image->arch.purgatory.policy;
#endif
		set_line(line, kexec_purgatory_decision(image->arch.purgatory.decision), name);
	}
	return xchg(dest, image);
}

#ifdef CONFIG_KEXEC_PURGATORY_VERIFY_MODULE
void kexec_purgatory_show_policy(const char *name)
{
	set_line(&policy, name[0] ? "policy:" : "", name);
}
#endif

static ssize_t verify_loaded_show(struct kobject *kobj,
				  struct kobj_attribute *attr, char *buf)
{
	return show_line(&loaded, buf);
}

static ssize_t verify_crash_show(struct kobject *kobj,
				 struct kobj_attribute *attr, char *buf)
{
	return show_line(&crash, buf);
}

static ssize_t verify_policy_show(struct kobject *kobj,
				  struct kobj_attribute *attr, char *buf)
{
	char text[sizeof(policy.text)];

	get_line(&policy, text);
	return sysfs_emit(buf, "%s\n", text[0] ? text : kexec_purgatory_policy());
}

static struct kobj_attribute verify_loaded_attr = __ATTR_RO(verify_loaded);
static struct kobj_attribute verify_crash_attr = __ATTR_RO(verify_crash);
static struct kobj_attribute verify_policy_attr = __ATTR_RO(verify_policy);

static const struct attribute * const attrs[] = {
	&verify_loaded_attr.attr,
	&verify_crash_attr.attr,
	&verify_policy_attr.attr,
	NULL
};

int kexec_purgatory_sysfs_init(struct kobject *kobj)
{
	return sysfs_create_files(kobj, attrs);
}
