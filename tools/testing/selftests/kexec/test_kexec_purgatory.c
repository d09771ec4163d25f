// SPDX-License-Identifier: GPL-2.0-only
/*
 * kexec_file_load(): what is decided about an image, and that a load that
 * fails changes nothing
 *
 * Loads images and unloads them; does not enter any. Needs root.
 *
 * Environment:
 *   KEXEC_KERNEL  bzImage to load, default /boot/vmlinuz-$(uname -r)
 *   KEXEC_INITRD  initramfs to load with it, default none
 *
 * Without CONFIG_KEXEC_PURGATORY_RUST it tests what must be the same there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../kselftest.h"

#ifndef KEXEC_FILE_DEBUG
#define KEXEC_FILE_DEBUG	0x00000008
#endif
#ifndef KEXEC_FILE_NO_CMA
#define KEXEC_FILE_NO_CMA	0x00000010
#endif

#define SYSFS	"/sys/kernel/kexec/"

static const char cmdline[] = "console=ttyS0";
static int kernel_fd, initrd_fd = -1;
static size_t kernel_size;
static unsigned char *kernel;

static bool read_line(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "r");
	bool ok;

	if (!f)
		return false;
	ok = fgets(buf, size, f);
	fclose(f);
	if (ok)
		buf[strcspn(buf, "\n")] = '\0';
	return ok;
}

/* The line in a file below /sys/kernel/kexec, "" if there is none. */
static const char *sysfs(const char *name)
{
	static char lines[4][256];
	static int next;
	char *line = lines[next++ % 4];
	char path[128];

	snprintf(path, sizeof(path), SYSFS "%s", name);
	if (!read_line(path, line, sizeof(lines[0])))
		line[0] = '\0';
	return line;
}

static bool has_prefix(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

/* Returns 0 or a positive errno. */
static int load_fd(int fd, int initrd, const char *line, size_t len, unsigned long flags)
{
	if (initrd < 0 && initrd != -2)
		flags |= KEXEC_FILE_NO_INITRAMFS;
	if (syscall(SYS_kexec_file_load, fd, initrd, len, line, flags))
		return errno;
	return 0;
}

static int load(unsigned long flags)
{
	return load_fd(kernel_fd, initrd_fd, cmdline, sizeof(cmdline), flags);
}

static int unload(unsigned long flags)
{
	return load_fd(-1, -1, NULL, 0, flags | KEXEC_FILE_UNLOAD);
}

/* Loads the kernel's first @size bytes, with @len bytes at @at replaced. */
static int load_changed(size_t size, size_t at, const void *bytes, size_t len)
{
	char path[] = "/tmp/bzImage.XXXXXX";
	int fd = mkstemp(path);
	int ret;

	if (fd < 0 || write(fd, kernel, size) != (ssize_t)size ||
	    pwrite(fd, bytes, len, at) != (ssize_t)len)
		ksft_exit_fail_perror("cannot make a changed bzImage");
	/* The kernel does not read a file that is open for writing. */
	close(fd);
	fd = open(path, O_RDONLY);
	unlink(path);
	ret = load_fd(fd, initrd_fd, cmdline, sizeof(cmdline), 0);
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

/* How many segments the image has that a load with KEXEC_FILE_DEBUG logs. */
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
	const unsigned int setup_bytes = ((kernel[0x1f1] ?: 4) + 1) * 512;
	const char *before;

	memset(long_line, 'x', sizeof(long_line) - 1);
	expect(load(0), 0, "a bzImage");
	before = sysfs("verify_loaded");

	expect(load_changed(1000, 0, "", 0), ENOEXEC, "less than two sectors");
	expect(load_changed(setup_bytes - 1, 0, "", 0), ENOEXEC, "truncated in the setup code");
	expect(load_changed(kernel_size, 0x202, "XXXX", 4), ENOEXEC, "no bzImage");
	expect(load_changed(kernel_size, 0x1fe, "\0", 2), ENOEXEC, "no boot flag");
	expect(load_changed(kernel_size, 0x206, "\x0b\x02", 2), ENOEXEC, "an old boot protocol");
	expect(load_changed(kernel_size, 0x236, "\0", 2), ENOEXEC, "no 64-bit entry point");
	expect(load_fd(kernel_fd, initrd_fd, long_line, sizeof(long_line), 0), EINVAL,
	       "a command line over the limit");
	expect(load_fd(kernel_fd, initrd_fd, cmdline, sizeof(cmdline) - 1, 0), EINVAL,
	       "a command line that does not end");
	expect(load_fd(kernel_fd, -2, cmdline, sizeof(cmdline), 0), EBADF,
	       "a missing initramfs");
	expect(load_fd(-1, initrd_fd, cmdline, sizeof(cmdline), 0), EBADF, "a missing kernel");
	expect(load(1UL << 31), EINVAL, "an unknown flag");

	ksft_test_result(!strcmp(sysfs("loaded"), "1") && !strcmp(sysfs("verify_loaded"), before),
			 "the image that was loaded before is still loaded\n");
	expect(unload(0), 0, "unload");
}

static void test_decisions(void)
{
	const char *policy = sysfs("verify_policy");
	bool verified = has_prefix(policy, "verified: ");
	int with_initrd = initrd_fd >= 0;

	if (!policy[0]) {
		for (int i = 0; i < 6; i++)
			ksft_test_result_skip("the kernel has no CONFIG_KEXEC_PURGATORY_RUST\n");
		return;
	}

	ksft_test_result(verified || has_prefix(policy, "direct: "), "policy is '%s'\n", policy);
	ksft_test_result(!strcmp(sysfs("verify_loaded"), "none"), "no image, no decision\n");

	/* boot_params and kernel, and the purgatory only if it is to run */
	ksft_test_result(logged_segments(KEXEC_FILE_NO_CMA) == 2 + with_initrd + verified,
			 "%s purgatory is loaded\n", verified ? "a" : "no");
	ksft_test_result(!strcmp(sysfs("verify_loaded"), policy),
			 "the image gets what the policy says\n");
	expect(unload(0), 0, "unload");
	ksft_test_result(!strcmp(sysfs("verify_loaded"), "none"), "and has no decision then\n");
}

static void test_crash_image(void)
{
	const char *decision;
	int ret;

	if (!strcmp(sysfs("crash_size"), "0") || !sysfs("crash_size")[0]) {
		for (int i = 0; i < 3; i++)
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
}

static void open_images(void)
{
	const char *kernel_path = getenv("KEXEC_KERNEL");
	const char *initrd_path = getenv("KEXEC_INITRD");
	static char default_path[256];
	struct utsname name;
	struct stat st;

	if (!kernel_path) {
		uname(&name);
		snprintf(default_path, sizeof(default_path), "/boot/vmlinuz-%s", name.release);
		kernel_path = default_path;
	}
	kernel_fd = open(kernel_path, O_RDONLY);
	if (kernel_fd < 0)
		ksft_exit_skip("%s is missing, set KEXEC_KERNEL\n", kernel_path);
	if (fstat(kernel_fd, &st))
		ksft_exit_fail_perror(kernel_path);
	kernel_size = st.st_size;
	kernel = mmap(NULL, kernel_size, PROT_READ, MAP_PRIVATE, kernel_fd, 0);
	if (kernel == MAP_FAILED)
		ksft_exit_fail_perror(kernel_path);

	if (initrd_path) {
		initrd_fd = open(initrd_path, O_RDONLY);
		if (initrd_fd < 0)
			ksft_exit_skip("%s is missing\n", initrd_path);
	}
}

int main(void)
{
	ksft_print_header();
	if (geteuid())
		ksft_exit_skip("must be root\n");
	open_images();
	if (unload(0))
		ksft_exit_skip("the kernel has no CONFIG_KEXEC_FILE\n");

	ksft_set_plan(14 + 6 + 3);
	test_decisions();
	test_failing_loads();
	test_crash_image();
	ksft_finished();
}
