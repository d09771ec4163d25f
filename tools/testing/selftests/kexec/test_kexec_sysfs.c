// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/kexec/verify_*: reads take no lock that a load or a crash needs
 *
 * While a load holds the kexec lock, no other load starts and no crash enters its
 * image. This test makes a load wait for its command line, in a page that
 * userfaultfd withholds, and reads the files meanwhile. If a read took the lock, it
 * would wait as well, until an alarm ends the test. A load that found the lock
 * taken by a read would fail with EBUSY.
 *
 * Loads images, enters none. Needs root and a kernel with CONFIG_USERFAULTFD. See
 * kexec_image.h for the environment.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>

#include "kexec_image.h"

/* Seconds until an alarm ends a test whose reads wait */
#define STUCK	300

/* Number of images to load while the files are read */
#define LOADS	10

static const char * const files[] = { "verify_policy", "verify_loaded", "verify_crash" };

static long page_size;
/* The address of the command line, in a page that is missing */
static char *withheld;
static atomic_bool given, stop;
static atomic_int reads;

static void *load_withheld(void *result)
{
	*(int *)result = load_fd(image.kernel_fd, image.initrd_fd, withheld,
				 strlen(image.cmdline) + 1, 0);
	/* Nothing else ends wait_for_read(). */
	if (!given)
		ksft_exit_fail_msg("the load does not read its command line\n");
	return NULL;
}

/* Maps a page whose readers wait until give_page(). Returns the userfaultfd. */
static int withhold_page(void)
{
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		ksft_exit_skip("the kernel has no CONFIG_USERFAULTFD\n");
	withheld = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	range.range.start = (unsigned long)withheld;
	range.range.len = page_size;
	if (withheld == MAP_FAILED || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &range))
		ksft_exit_fail_perror("userfaultfd");
	return fd;
}

static void wait_for_read(int fd)
{
	struct uffd_msg msg;

	if (read(fd, &msg, sizeof(msg)) != sizeof(msg) || msg.event != UFFD_EVENT_PAGEFAULT)
		ksft_exit_fail_perror("userfaultfd");
}

/* Puts the command line into the page. */
static void give_page(int fd)
{
	struct uffdio_copy copy = { .dst = (unsigned long)withheld, .len = page_size };
	char *page = calloc(1, page_size);

	if (!page)
		ksft_exit_fail_perror("calloc");
	snprintf(page, page_size, "%s", image.cmdline);
	copy.src = (unsigned long)page;
	given = true;
	if (ioctl(fd, UFFDIO_COPY, &copy))
		ksft_exit_fail_perror("UFFDIO_COPY");
	free(page);
}

static void test_during_load(void)
{
	char before[ARRAY_SIZE(files)][256];
	int fd = withhold_page(), result = -1;
	pthread_t loader;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		snprintf(before[i], sizeof(before[i]), "%s", sysfs(files[i]));
	if (pthread_create(&loader, NULL, load_withheld, &result))
		ksft_exit_fail_msg("no thread\n");
	wait_for_read(fd);

	alarm(STUCK);
	ksft_test_result(load(0) == EBUSY, "the load holds the kexec lock\n");
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		const char *now = sysfs(files[i]);

		ksft_test_result(now[0] && !strcmp(now, before[i]), "%s is '%s' meanwhile\n",
				 files[i], now);
	}
	alarm(0);

	give_page(fd);
	pthread_join(loader, NULL);
	close(fd);
	ksft_test_result(!result, "the load succeeds\n");
}

static void *read_files(void *unused)
{
	while (!stop) {
		for (size_t i = 0; i < ARRAY_SIZE(files); i++)
			sysfs(files[i]);
		reads++;
	}
	return NULL;
}

static void test_during_reads(void)
{
	pthread_t reader;
	int failed = 0, loads;

	if (pthread_create(&reader, NULL, read_files, NULL))
		ksft_exit_fail_msg("no thread\n");
	/* Go on until the files were read, however slow the machine is. */
	for (loads = 0; loads < LOADS || !reads; loads++)
		failed += load(0) != 0;
	stop = true;
	pthread_join(reader, NULL);
	ksft_test_result(!failed, "%d of %d loads fail while the files are read\n", failed, loads);
}

int main(void)
{
	ksft_print_header();
	open_image();
	if (!sysfs("verify_policy")[0])
		ksft_exit_skip("the kernel has no CONFIG_KEXEC_PURGATORY_RUST\n");
	page_size = sysconf(_SC_PAGESIZE);
	if (strlen(image.cmdline) >= (size_t)page_size)
		ksft_exit_skip("KEXEC_CMDLINE is longer than a page\n");

	ksft_set_plan(2 + ARRAY_SIZE(files) + 1);
	if (load(0) || (has_crash_memory() && load(KEXEC_FILE_ON_CRASH)))
		ksft_exit_fail_perror("cannot load the images");
	test_during_load();
	test_during_reads();
	unload(KEXEC_FILE_ON_CRASH);
	unload(0);
	ksft_finished();
}
