// SPDX-License-Identifier: GPL-2.0-only
/*
 * kexec_file_load() with too little memory: each of its allocations fails once
 *
 * Such a load ends with an errno, keeps the image that was loaded before, logs the
 * reason at most once, and leaks nothing.
 *
 * The test makes the n-th allocation of a load fail through /proc/self/fail-nth, for
 * n from 1 until a load makes fewer than n allocations. An image is copied page by
 * page, so this takes at least as many loads as it has pages: use a small image.
 *
 * Loads images, enters none. Needs root, a kernel with CONFIG_FAILSLAB,
 * CONFIG_FAIL_PAGE_ALLOC and CONFIG_FAULT_INJECTION_DEBUG_FS, and debugfs. With
 * CONFIG_DEBUG_KMEMLEAK it also looks for leaked objects, and with CONFIG_PAGE_OWNER
 * and page_owner=on for leaked pages of images. See kexec_image.h and
 * kexec_module.h for the environment, and
 *   KEEP_IMAGE  if set, the image that survived stays loaded, for kexec -e
 */
#define _GNU_SOURCE
#include "kexec_image.h"
#include "kexec_module.h"

#define DEBUGFS		"/sys/kernel/debug/"
#define FAIL_NTH	"/proc/self/fail-nth"
#define KMEMLEAK	DEBUGFS "kmemleak"
#define PAGE_OWNER	DEBUGFS "page_owner_stacks/show_stacks"

/* More allocations than any load makes */
#define NO_FAULT	1000000000

/* Failing loads in a row that the image left at the end has to survive */
#define SURVIVED	20

/* Seconds to wait: kmemleak does not report objects that are younger than 5 s. */
#define KMEMLEAK_AGE	6

/* The functions that can be made to fail. */
struct allocator {
	const char *name;
	/* Files in its debugfs directory, and what to write to turn failures on or off */
	struct {
		const char *file, *on, *off;
	} settings[4];
};

static const struct allocator allocators[] = {
	{ "failslab", {
		{ "verbose", "0", "2" },
		{ "ignore-gfp-wait", "N", "Y" },
	} },
	{ "fail_page_alloc", {
		{ "verbose", "0", "2" },
		{ "ignore-gfp-wait", "N", "Y" },
		{ "ignore-gfp-highmem", "N", "Y" },
		{ "min-order", "0", "1" },
	} },
};

static const struct kind {
	const char *name;
	unsigned long flags;
} normal = { "normal", 0 }, crash = { "crash", KEXEC_FILE_ON_CRASH };

/* Results of the loads of one sweep */
struct sweep {
	unsigned int loads;
	unsigned int failed;
	unsigned int succeeded;		/* although an allocation failed */
	unsigned int allocations;	/* of a load that succeeds */
	unsigned int out_of_memory;	/* failed with ENOMEM */
	unsigned int other_errno;	/* failed with an errno not about memory */
	int last_other_errno;
	unsigned int lost;		/* the image loaded before was lost */
	unsigned int said;		/* the purgatory's loader logged an error */
	unsigned int said_twice;
};

static int fail_nth_fd, kmsg_fd;

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

static void set_failing(const struct allocator *allocator, bool on)
{
	char path[128];

	for (int i = 0; i < 4 && allocator->settings[i].file; i++) {
		snprintf(path, sizeof(path), DEBUGFS "%s/%s", allocator->name,
			 allocator->settings[i].file);
		if (!write_text(path, on ? allocator->settings[i].on : allocator->settings[i].off))
			ksft_exit_fail_perror(path);
	}
}

/* Makes the @nth allocation of this thread fail; 0 for none. */
static void set_fail_nth(unsigned int nth)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", nth);
	if (pwrite(fail_nth_fd, text, strlen(text), 0) < 0)
		ksft_exit_fail_perror(FAIL_NTH);
}

/* Returns the number of allocations left until one fails, 0 if one has failed. */
static unsigned int fail_nth_left(void)
{
	char text[16] = "";

	if (pread(fail_nth_fd, text, sizeof(text) - 1, 0) <= 0)
		ksft_exit_fail_perror(FAIL_NTH);
	return strtoul(text, NULL, 10);
}

/* Counts the errors of the purgatory's loader in the log since the log was last read. */
static unsigned int complaints(void)
{
	unsigned int count = 0;
	char record[2048];
	ssize_t n;

	for (;;) {
		n = read(kmsg_fd, record, sizeof(record) - 1);
		if (n < 0 && errno == EPIPE)	/* overwritten before it was read */
			continue;
		if (n <= 0)
			return count;
		record[n] = '\0';
		if (strstr(record, ";kexec: cannot "))
			count++;
	}
}

/*
 * Whether the images that were loaded before are still loaded. The reserved memory
 * holds only one crash image, so that loading another one ends the first.
 */
static bool image_is_kept(const char *decision, bool of_crash)
{
	return !strcmp(sysfs("loaded"), "1") && !strcmp(sysfs("verify_loaded"), decision) &&
	       (of_crash || !has_crash_memory() ||
		!strcmp(sysfs("verify_crash"), "verified: crash image"));
}

/* Loads the image with the @nth allocation failing. Returns false if there are fewer. */
static bool one_load(const struct kind *kind, unsigned int nth, const char *decision,
		     struct sweep *sweep)
{
	unsigned int left, said;
	int error;

	set_fail_nth(nth);
	error = load(kind->flags);
	left = fail_nth_left();
	set_fail_nth(0);
	said = complaints();

	if (left) {
		if (error)
			ksft_exit_fail_msg("%s load without a fault: %s\n", kind->name,
					   strerror(error));
		sweep->allocations = nth - left;
		return false;
	}

	sweep->loads++;
	if (error)
		sweep->failed++;
	else
		sweep->succeeded++;
	switch (error) {
	case 0:
		break;
	case ENOMEM:
		sweep->out_of_memory++;
		break;
	case EADDRNOTAVAIL:
		/* kexec_locate_mem_hole() also returns this if it cannot list memory. */
		break;
	default:
		sweep->other_errno++;
		sweep->last_other_errno = error;
	}
	sweep->said += said > 0;
	sweep->said_twice += said > 1;
	if (!image_is_kept(decision, kind == &crash)) {
		sweep->lost++;
		ksft_print_msg("lost at %u: loaded %s, verify_loaded %s, verify_crash %s\n", nth,
			       sysfs("loaded"), sysfs("verify_loaded"), sysfs("verify_crash"));
	}
	if (nth % 100 == 0)
		ksft_print_msg("%u of %u allocations\n", nth, sweep->allocations);
	return true;
}

/* Makes each allocation of a load fail once. */
static void sweep(const struct kind *kind, const struct allocator *allocator)
{
	const char *now = sysfs("verify_loaded");
	char decision[256], name[64];
	struct sweep done = {};

	snprintf(decision, sizeof(decision), "%s", now);
	snprintf(name, sizeof(name), "%s image, %s", kind->name, allocator->name);
	set_failing(allocator, true);

	one_load(kind, NO_FAULT, decision, &done);
	for (unsigned int nth = 1; one_load(kind, nth, decision, &done);)
		nth++;

	set_failing(allocator, false);

	ksft_print_msg("%s: %u allocations, %u loads, %u failed, %u with ENOMEM, %u said why\n",
		       name, done.allocations, done.loads, done.failed, done.out_of_memory,
		       done.said);
	ksft_test_result(done.out_of_memory && !done.other_errno, "%s: ENOMEM\n", name);
	if (done.other_errno)
		ksft_print_msg("%u were not, the last was %s\n", done.other_errno,
			       strerrorname_np(done.last_other_errno));
	ksft_test_result(!done.lost, "%s: the image before is kept\n", name);
	ksft_test_result(done.said && !done.said_twice, "%s: one line in the log\n", name);
}

/*
 * Counts the pages that hold images, which kmemleak does not track. If @print, prints
 * the traces of their allocations. The kernel lists each trace with the number of
 * pages that are still allocated from there.
 */
static unsigned long image_pages(bool print)
{
	char line[256], trace[4096] = "";
	unsigned long pages = 0, n;
	FILE *f;

	f = fopen(PAGE_OWNER, "r");
	if (!f)
		ksft_exit_fail_perror(PAGE_OWNER);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "nr_base_pages: %lu", &n) != 1) {
			if (strlen(trace) + strlen(line) < sizeof(trace))
				strcat(trace, line);
			continue;
		}
		/* Slab pages stay allocated, and other code uses them as well. */
		if (strstr(trace, " kimage_") && !strstr(trace, "slab") &&
		    !strstr(trace, "kmalloc")) {
			pages += n;
			if (print)
				ksft_print_msg("%lu pages:\n%s", n, trace);
		}
		trace[0] = '\0';
	}
	fclose(f);
	return pages;
}

/* Counts and prints the leaks that kmemleak finds. */
static unsigned int leaks(void)
{
	unsigned int count = 0;
	char line[256];
	FILE *f;

	/* The second scan finds objects that a register still pointed to in the first. */
	for (int i = 0; i < 2; i++) {
		sleep(KMEMLEAK_AGE);
		if (!write_text(KMEMLEAK, "scan"))
			ksft_exit_fail_perror(KMEMLEAK);
	}
	f = fopen(KMEMLEAK, "r");
	while (f && fgets(line, sizeof(line), f)) {
		count += has_prefix(line, "unreferenced object");
		ksft_print_msg("%s", line);
	}
	if (f)
		fclose(f);
	return count;
}

/* Makes sure that normal images are verified. Returns whether that took a module. */
static bool verify_normal_images(void)
{
	const char *policy = sysfs("verify_policy");
	int fd;

	if (!policy[0])
		ksft_exit_skip("the kernel has no CONFIG_KEXEC_PURGATORY_RUST\n");
	if (has_prefix(policy, "verified: "))
		return false;
	fd = open_verify_module();
	if (fd < 0 || insert_module(fd))
		ksft_exit_skip("normal images are not verified (%s), and there is no %s\n", policy,
			       VERIFY_MODULE);
	close(fd);
	return true;
}

int main(void)
{
	const struct kind *kinds[] = { &normal, &crash };
	bool kmemleak, page_owner, crash_memory, module;
	unsigned long loaded_pages = 0, left_pages;
	struct sweep survived = {};
	char decision[256];

	ksft_print_header();
	open_image();

	fail_nth_fd = open(FAIL_NTH, O_RDWR);
	if (fail_nth_fd < 0)
		ksft_exit_skip("the kernel has no CONFIG_FAULT_INJECTION\n");
	for (size_t i = 0; i < ARRAY_SIZE(allocators); i++) {
		char path[128];

		snprintf(path, sizeof(path), DEBUGFS "%s", allocators[i].name);
		if (access(path, F_OK))
			ksft_exit_skip("%s is missing, see the top of this test\n", path);
	}
	kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	if (kmsg_fd < 0)
		ksft_exit_fail_perror("/dev/kmsg");
	lseek(kmsg_fd, 0, SEEK_END);

	module = verify_normal_images();
	crash_memory = has_crash_memory();
	kmemleak = !access(KMEMLEAK, W_OK);
	page_owner = !access(PAGE_OWNER, R_OK);
	ksft_set_plan(2 * 2 * 3 + 1 + 2);

	/* Ignore earlier leaks. */
	if (kmemleak) {
		leaks();
		write_text(KMEMLEAK, "clear");
	}

	if (load(0) || (crash_memory && load(KEXEC_FILE_ON_CRASH)))
		ksft_exit_fail_perror("cannot load the images");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(allocators); j++) {
			if (kinds[i] == &normal || crash_memory) {
				sweep(kinds[i], &allocators[j]);
				continue;
			}
			for (int k = 0; k < 3; k++)
				ksft_test_result_skip("no memory is reserved, see crashkernel=\n");
		}
	}

	/* A sweep ends with a load that succeeds. */
	if (page_owner) {
		loaded_pages = image_pages(false);
		unload(KEXEC_FILE_ON_CRASH);
		unload(0);
		left_pages = image_pages(true);
		ksft_print_msg("pages of images: %lu, none loaded: %lu\n", loaded_pages,
			       left_pages);
		ksft_test_result(loaded_pages && !left_pages, "no page is lost\n");
	} else {
		ksft_test_result_skip("no CONFIG_PAGE_OWNER, or no page_owner=on\n");
	}

	/* The image that is left at the end has survived failing loads. */
	if (load(0) || (crash_memory && load(KEXEC_FILE_ON_CRASH)))
		ksft_exit_fail_perror("cannot load the images");
	snprintf(decision, sizeof(decision), "%s", sysfs("verify_loaded"));
	set_failing(&allocators[1], true);
	for (unsigned int nth = 1; survived.failed < SURVIVED; nth++) {
		if (!one_load(&normal, nth, decision, &survived))
			break;
		if (survived.succeeded)
			survived = (struct sweep){};
	}
	set_failing(&allocators[1], false);
	ksft_test_result(survived.failed == SURVIVED && !survived.lost &&
			 has_prefix(decision, "verified: "), "a verified image is left\n");

	if (crash_memory)
		unload(KEXEC_FILE_ON_CRASH);
	if (!getenv("KEEP_IMAGE"))
		unload(0);
	if (module)
		remove_module(VERIFY_MODULE);
	if (kmemleak)
		ksft_test_result(!leaks(), "no leaks\n");
	else
		ksft_test_result_skip("the kernel has no CONFIG_DEBUG_KMEMLEAK\n");
	ksft_finished();
}
