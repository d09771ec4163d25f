// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/kexec/check_*: the running kernel checks loaded images
 *
 * The images here are intact. Other tests damage images from outside of the
 * machine.
 *
 * Loads images without an initramfs, enters none. Needs root. See kexec_image.h
 * for the environment, and:
 *   KEXEC_CHECKS   checks while images are replaced, default 50
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "kexec_image.h"

/* Address of the segment of an image for kexec_load() */
#define SEGMENT_ADDR	0x1000000

/* One of the two images that can be loaded, and the files that show it */
struct kind {
	const char *name;
	const char *time;
	const char *decision, *engine, *regions, *bytes;
	unsigned long flags;	/* of kexec_file_load() */
};

static const struct kind normal = {
	.name = "check_loaded",
	.time = "check_loaded_time",
	.decision = "verify_loaded",
	.engine = "verify_loaded_engine",
	.regions = "verify_loaded_regions",
	.bytes = "verify_loaded_bytes",
};

static const struct kind crash = {
	.name = "check_crash",
	.time = "check_crash_time",
	.decision = "verify_crash",
	.engine = "verify_crash_engine",
	.regions = "verify_crash_regions",
	.bytes = "verify_crash_bytes",
	.flags = KEXEC_FILE_ON_CRASH,
};

/* Checks while images are replaced: the number wanted, and their results */
static int wanted = 50;
static atomic_int checks, ended, damaged, failed;
static atomic_bool stop;

/* Writes to a file in /sys/kernel/kexec. Returns 0 or a positive errno. */
static int write_sysfs(const char *name, const char *text)
{
	char path[128];
	int fd, ret = 0;

	snprintf(path, sizeof(path), "/sys/kernel/kexec/%s", name);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = errno;
	close(fd);
	return ret;
}

static bool shows(const char *name, const char *text)
{
	return !strcmp(sysfs(name), text);
}

/* Whether the files say that nothing is verified between the two kernels. */
static bool verifies_nothing(const struct kind *kind)
{
	return shows(kind->engine, "none") && shows(kind->regions, "0") &&
	       shows(kind->bytes, "0");
}

/* Whether the files show what is verified of a loaded image. */
static bool shows_details(const struct kind *kind)
{
	if (!has_prefix(sysfs(kind->decision), "verified: "))
		return verifies_nothing(kind);

	/* At least the kernel and boot_params */
	return !shows(kind->engine, "none") && atoi(sysfs(kind->regions)) >= 2 &&
	       (size_t)atoll(sysfs(kind->bytes)) > image.kernel_size / 2;
}

#define TESTS_OF_KIND	9

static void test_kind(const struct kind *kind)
{
	const char *name = kind->name;
	long long before, checked;

	unload(kind->flags);
	ksft_test_result(shows(name, "none") && write_sysfs(name, "1") == ENOENT &&
			 verifies_nothing(kind), "%s: there is no image\n", name);

	if (load(kind->flags))
		ksft_exit_fail_perror("cannot load the image");
	ksft_test_result(shows(name, "not checked"), "%s: an image that was loaded\n", name);
	ksft_test_result(write_sysfs(name, "0") == EINVAL &&
			 write_sysfs(name, "check") == EINVAL && shows(name, "not checked"),
			 "%s: only 1 is a request\n", name);
	ksft_print_msg("%s: %s regions, %s bytes, engine %s\n", kind->decision,
		       sysfs(kind->regions), sysfs(kind->bytes), sysfs(kind->engine));
	ksft_test_result(shows_details(kind), "%s: regions, bytes and engine\n",
			 kind->decision);
	ksft_test_result(shows(kind->time, "0"), "%s: there was no check\n", kind->time);
	before = time(NULL);
	ksft_test_result(!write_sysfs(name, "1\n") && shows(name, "intact"),
			 "%s: an image that was checked\n", name);
	checked = atoll(sysfs(kind->time));
	ksft_print_msg("%s: %lld\n", kind->time, checked);
	ksft_test_result(before <= checked && checked <= time(NULL),
			 "%s: the check was now\n", kind->time);

	if (load(kind->flags))
		ksft_exit_fail_perror("cannot load the image");
	ksft_test_result(shows(name, "not checked"), "%s: another image\n", name);
	ksft_test_result(!write_sysfs(name, "1") && shows(name, "intact"),
			 "%s: another image that was checked\n", name);
}

static void test_kexec_load(void)
{
	static char page[4096];
	struct kexec_segment segment = {
		.buf = page,
		.bufsz = sizeof(page),
		.mem = (void *)SEGMENT_ADDR,
		.memsz = sizeof(page),
	};

	unload(0);
	if (syscall(SYS_kexec_load, SEGMENT_ADDR, 1, &segment, KEXEC_ARCH_DEFAULT)) {
		ksft_test_result_skip("the kernel has no CONFIG_KEXEC\n");
		return;
	}
	ksft_test_result(write_sysfs("check_loaded", "1") == EOPNOTSUPP &&
			 shows("check_loaded", "unknown: loaded with kexec_load()"),
			 "check_loaded: kexec_load() loaded the image\n");
	syscall(SYS_kexec_load, 0, 0, NULL, KEXEC_ARCH_DEFAULT);
}

/* Tests the switch @name, whose first value is @first: "0" or "1". */
static void test_switch(const char *name, const char *first)
{
	const char *other = first[0] == '0' ? "1" : "0";

	ksft_test_result(shows(name, first), "%s is %s\n", name, first);
	ksft_test_result(!write_sysfs(name, other) && shows(name, other) &&
			 write_sysfs(name, "x") == EINVAL && shows(name, other) &&
			 !write_sysfs(name, first) && shows(name, first),
			 "%s can be set\n", name);
}

static void *check_image(void *arg)
{
	const struct kind *kind = arg;

	while (!stop) {
		switch (write_sysfs(kind->name, "1")) {
		case 0:
			checks++;
			break;
		case EIO:
			checks++;
			damaged++;
			break;
		case EAGAIN:
			ended++;
			break;
		case ENOENT:
			break;
		default:
			failed++;
			return NULL;
		}
	}
	return NULL;
}

/*
 * Loads and unloads images until enough checks are done and a load or an unload has ended one.
 * Gives up after many loads. Returns their number.
 */
static int replace_images(bool has_crash)
{
	int loads = 0;

	while ((checks < wanted || !ended) && loads < 100 * wanted && !failed) {
		if (load(0) || (has_crash && load(KEXEC_FILE_ON_CRASH)))
			ksft_exit_fail_perror("cannot load an image");
		loads++;
		/* Give the checks some time after every other load. */
		if (loads % 2)
			usleep(100000);
		else
			unload(loads % 4 ? 0 : KEXEC_FILE_ON_CRASH);
	}
	stop = true;
	return loads;
}

static void test_replaced(bool has_crash)
{
	const struct kind *kinds[] = { &normal, &normal, has_crash ? &crash : &normal };
	pthread_t threads[ARRAY_SIZE(kinds)];
	int loads;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (pthread_create(&threads[i], NULL, check_image, (void *)kinds[i]))
			ksft_exit_fail_msg("no thread\n");
	}
	loads = replace_images(has_crash);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		pthread_join(threads[i], NULL);
	ksft_print_msg("%d of %d checks during %d loads find damage, %d fail, %d more are ended\n",
		       damaged, checks, loads, failed, ended);
	ksft_test_result(!failed && !damaged && ended && checks >= wanted,
			 "images are replaced while they are checked\n");
}

int main(void)
{
	const char *number = getenv("KEXEC_CHECKS");
	bool has_crash;

	ksft_print_header();
	open_image();
	/* To be quick */
	image.initrd_fd = -1;
	if (number)
		wanted = atoi(number);
	if (!sysfs("check_loaded")[0])
		ksft_exit_skip("the kernel has no CONFIG_KEXEC_PURGATORY_RUST\n");
	has_crash = has_crash_memory();

	ksft_set_plan((has_crash ? 2 : 1) * TESTS_OF_KIND + 6);
	test_kind(&normal);
	if (has_crash)
		test_kind(&crash);
	test_kexec_load();
	test_switch("check_reboot", "0");
	test_switch("mismatch_crash", "1");
	test_replaced(has_crash);
	unload(KEXEC_FILE_ON_CRASH);
	unload(0);
	ksft_finished();
}
