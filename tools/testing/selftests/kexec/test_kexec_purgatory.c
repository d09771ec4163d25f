// SPDX-License-Identifier: GPL-2.0-only
/*
 * kexec_file_load(): the decision about an image; a load that fails changes nothing
 *
 * Loads and unloads images, enters none. Needs root. See kexec_image.h for the
 * environment.
 *
 * Without CONFIG_KEXEC_PURGATORY_RUST, tests only what does not depend on it.
 */
#define _GNU_SOURCE
#include <stdint.h>

#include "kexec_image.h"

/* Loads the kernel with an initramfs of @size zero bytes. */
static int load_initrd(off_t size, unsigned long flags)
{
	int fd = new_file(0, size, 0, "", 0);
	int ret;

	ret = load_fd(image.kernel_fd, fd, image.cmdline, strlen(image.cmdline) + 1, flags);
	close(fd);
	return ret;
}

static void expect(int found, int expected, const char *what)
{
	ksft_test_result(found == expected, "%s: %s\n", what,
			 expected ? strerrorname_np(expected) : "loaded");
	if (found != expected)
		ksft_print_msg("found %s\n", found ? strerror(found) : "success");
}

/* Whether the kernel has IMA_KEXEC: normal images then have the IMA list as a segment. */
static bool has_ima_list(void)
{
	FILE *symbols = fopen("/proc/kallsyms", "r");
	char line[512];
	bool found = false;

	while (symbols && !found && fgets(line, sizeof(line), symbols))
		found = strstr(line, " ima_add_kexec_buffer");
	if (symbols)
		fclose(symbols);
	return found;
}

/* Returns the number of segments that a load with KEXEC_FILE_DEBUG logs, < 0 if none. */
static int logged_segments(unsigned long flags)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	char record[1024];
	int segments = -1;
	ssize_t n;

	if (fd < 0)
		ksft_exit_fail_perror("/dev/kmsg");
	lseek(fd, 0, SEEK_END);
	if (load(flags | KEXEC_FILE_DEBUG))
		segments = -2;
	while ((n = read(fd, record, sizeof(record) - 1)) > 0) {
		char *at;

		record[n] = '\0';
		at = strstr(record, "nr_segments = ");
		if (at)
			segments = atoi(at + strlen("nr_segments = "));
	}
	close(fd);
	return segments;
}

static void test_failing_loads(void)
{
	static char long_line[1 << 16];
	const unsigned int setup_bytes = ((image.kernel[0x1f1] ?: 4) + 1) * 512;
	/* The length of the protected-mode code, in units of 16 bytes */
	const size_t code_bytes = 16UL * *(const uint32_t *)(image.kernel + 0x1f4);
	const char *line = image.cmdline;
	const size_t size = image.kernel_size, len = strlen(line) + 1;
	const int kernel = image.kernel_fd, initrd = image.initrd_fd;
	const int folder = open("/", O_RDONLY);
	const char *before;

	memset(long_line, 'x', sizeof(long_line) - 1);
	expect(load(0), 0, "a bzImage");
	before = sysfs("verify_loaded");

	expect(load_changed(1000, 0, "", 0), ENOEXEC, "less than two sectors");
	expect(load_changed(setup_bytes - 1, 0, "", 0), ENOEXEC, "truncated in the setup code");
	expect(load_changed(setup_bytes + code_bytes - 1, 0, "", 0), ENOEXEC,
	       "truncated by a byte in the code");
	expect(load_changed(setup_bytes + code_bytes, 0, "", 0), 0, "without a signature");
	expect(load_changed(size, 0x202, "XXXX", 4), ENOEXEC, "no bzImage");
	expect(load_changed(size, 0x1fe, "\0", 2), ENOEXEC, "no boot flag");
	expect(load_changed(size, 0x206, "\x0b\x02", 2), ENOEXEC, "an old boot protocol");
	expect(load_changed(size, 0x211, "\0", 1), ENOEXEC, "not to be loaded high");
	expect(load_changed(size, 0x236, "\0", 2), ENOEXEC, "no 64-bit entry point");
	expect(load_changed(size, 0x238, "\4\0\0\0", 4), EINVAL,
	       "a command line over what the kernel takes");
	expect(load_beyond_memory(), EADDRNOTAVAIL, "a kernel that asks for 4 GiB beyond memory");
	expect(load_changed(size, 0x260, "\xff\xff\xff\xff", 4), EINVAL,
	       "a kernel whose size wraps");
	expect(load_changed(0, 0, "", 0), EINVAL, "an empty kernel");
	expect(load_initrd(0, 0), EINVAL, "an empty initramfs");
	expect(load_initrd(1L << 40, 0), EFBIG, "an initramfs of 1 TiB");
	expect(load_fd(folder, initrd, line, len, 0), EINVAL, "a folder for a kernel");
	expect(load_fd(kernel, folder, line, len, 0), EINVAL, "a folder for an initramfs");
	close(folder);
	expect(load_fd(kernel, initrd, long_line, sizeof(long_line), 0), EINVAL,
	       "a command line over the limit");
	expect(load_fd(kernel, initrd, line, len - 1, 0), EINVAL,
	       "a command line that does not end");
	expect(load_fd(kernel, BAD_FD, line, len, 0), EBADF, "a missing initramfs");
	expect(load_fd(-1, initrd, line, len, 0), EBADF, "a missing kernel");
	expect(load(1UL << 31), EINVAL, "an unknown flag");

	ksft_test_result(!strcmp(sysfs("loaded"), "1") && !strcmp(sysfs("verify_loaded"), before),
			 "the image that was loaded before is still loaded\n");
	expect(unload(0), 0, "unload");
}

/* Whether everybody can read a file in /sys/kernel/kexec. */
static bool for_everybody(const char *name)
{
	struct stat st;
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/kexec/%s", name);
	return !stat(path, &st) && (st.st_mode & 0777) == 0444;
}

/* Loads an image that no policy module decides about; @policy is what verify_policy shows. */
static void test_configured(const char *policy)
{
	bool verified = has_prefix(policy, "verified: ");
	int with_initrd = image.initrd_fd >= 0;
	int expected;

	ksft_test_result(verified || has_prefix(policy, "direct: "), "policy is '%s'\n", policy);

	/* boot_params, kernel, initramfs and IMA list if any, purgatory if verified */
	expected = 2 + with_initrd + has_ima_list() + verified;
	ksft_test_result(logged_segments(KEXEC_FILE_NO_CMA) == expected,
			 "%s purgatory is loaded\n", verified ? "a" : "no");
	ksft_test_result(!strcmp(sysfs("verify_loaded"), policy),
			 "the image gets what the policy says\n");
}

static void test_decisions(void)
{
	const char *policy = sysfs("verify_policy");

	if (!policy[0]) {
		for (int i = 0; i < 8; i++)
			ksft_test_result_skip("the kernel has no CONFIG_KEXEC_PURGATORY_RUST\n");
		return;
	}

	ksft_test_result(for_everybody("verify_loaded") && for_everybody("verify_crash") &&
			 for_everybody("verify_policy"), "everybody can read the decisions\n");
	ksft_test_result(!strcmp(sysfs("verify_loaded"), "none"), "no image, no decision\n");
	if (has_prefix(policy, "policy: ")) {
		for (int i = 0; i < 3; i++)
			ksft_test_result_skip("a policy module is loaded\n");
		expect(load(KEXEC_FILE_NO_CMA), 0, "an image that the module decides about");
	} else {
		test_configured(policy);
		expect(load(KEXEC_FILE_NO_CMA), 0, "an image in place of it");
	}
	expect(unload(0), 0, "unload");
	ksft_test_result(!strcmp(sysfs("verify_loaded"), "none"), "and has no decision then\n");
}

static void test_crash_image(void)
{
	const char *decision, *before;
	int ret;

	if (!has_crash_memory()) {
		for (int i = 0; i < 5; i++)
			ksft_test_result_skip("no memory is reserved, see crashkernel=\n");
		return;
	}

	ret = load(KEXEC_FILE_ON_CRASH);
	expect(ret, 0, "a crash image");
	decision = sysfs("verify_crash");
	if (sysfs("verify_policy")[0])
		ksft_test_result(!strcmp(decision, "verified: crash image"),
				 "a crash image is verified ('%s')\n", decision);
	else
		ksft_test_result_skip("the kernel has no CONFIG_KEXEC_PURGATORY_RUST\n");
	expect(unload(KEXEC_FILE_ON_CRASH), 0, "unload the crash image");

	load(0);
	before = sysfs("verify_loaded");
	expect(load_initrd(strtoul(sysfs("crash_size"), NULL, 10), KEXEC_FILE_ON_CRASH),
	       EADDRNOTAVAIL, "an initramfs that takes all memory of the crash kernel");
	ksft_test_result(!strcmp(sysfs("crash_loaded"), "0") && !strcmp(sysfs("loaded"), "1") &&
			 !strcmp(sysfs("verify_loaded"), before),
			 "which leaves the normal image\n");
	unload(0);
}

int main(void)
{
	ksft_print_header();
	open_image();

	ksft_set_plan(25 + 8 + 5);
	test_decisions();
	test_failing_loads();
	test_crash_image();
	ksft_finished();
}
