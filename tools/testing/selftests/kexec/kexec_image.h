/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Code that the tests of kexec_file_load() share: load an image, and read what
 * sysfs shows of it
 *
 * Environment:
 *   KEXEC_KERNEL   bzImage to load, default /boot/vmlinuz-$(uname -r)
 *   KEXEC_INITRD   initramfs to load with it, default none
 *   KEXEC_CMDLINE  its command line, default console=ttyS0
 */
#ifndef KEXEC_IMAGE_H
#define KEXEC_IMAGE_H

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

/* A file descriptor that is not open */
#define BAD_FD	(-2)

/* What open_image() found. */
static struct {
	int kernel_fd;
	int initrd_fd;		/* -1 without an initramfs */
	const char *cmdline;
	unsigned char *kernel;	/* content of kernel_fd */
	size_t kernel_size;
} image;

static inline bool read_line(const char *path, char *buf, size_t size)
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

/* Returns the line in a file in /sys/kernel/kexec, "" if there is none. */
static inline const char *sysfs(const char *name)
{
	static char lines[4][256];
	static int next;
	char *line = lines[next++ % 4];
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/kexec/%s", name);
	if (!read_line(path, line, sizeof(lines[0])))
		line[0] = '\0';
	return line;
}

static inline bool has_prefix(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

/* Whether memory is reserved for a crash kernel. */
static inline bool has_crash_memory(void)
{
	const char *size = sysfs("crash_size");

	return size[0] && strcmp(size, "0");
}

/* Returns 0 or a positive errno. */
static inline int load_fd(int fd, int initrd, const char *line, size_t len,
			  unsigned long flags)
{
	if (initrd < 0 && initrd != BAD_FD)
		flags |= KEXEC_FILE_NO_INITRAMFS;
	if (syscall(SYS_kexec_file_load, fd, initrd, len, line, flags))
		return errno;
	return 0;
}

/* Loads the image. Returns 0 or a positive errno. */
static inline int load(unsigned long flags)
{
	return load_fd(image.kernel_fd, image.initrd_fd, image.cmdline,
		       strlen(image.cmdline) + 1, flags);
}

/* Returns 0 or a positive errno. */
static inline int unload(unsigned long flags)
{
	return load_fd(-1, -1, NULL, 0, flags | KEXEC_FILE_UNLOAD);
}

/* Opens the files of the environment; skips all tests if something needed is missing. */
static inline void open_image(void)
{
	const char *kernel = getenv("KEXEC_KERNEL");
	const char *initrd = getenv("KEXEC_INITRD");
	static char default_path[256];
	struct utsname name;
	struct stat st;

	if (geteuid())
		ksft_exit_skip("must be root\n");
	if (!kernel) {
		uname(&name);
		snprintf(default_path, sizeof(default_path), "/boot/vmlinuz-%s", name.release);
		kernel = default_path;
	}
	image.kernel_fd = open(kernel, O_RDONLY);
	if (image.kernel_fd < 0)
		ksft_exit_skip("%s is missing, set KEXEC_KERNEL\n", kernel);
	if (fstat(image.kernel_fd, &st))
		ksft_exit_fail_perror(kernel);
	image.kernel_size = st.st_size;
	image.kernel = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, image.kernel_fd, 0);
	if (image.kernel == MAP_FAILED)
		ksft_exit_fail_perror(kernel);

	image.initrd_fd = -1;
	if (initrd && initrd[0]) {
		image.initrd_fd = open(initrd, O_RDONLY);
		if (image.initrd_fd < 0)
			ksft_exit_skip("%s is missing\n", initrd);
	}
	image.cmdline = getenv("KEXEC_CMDLINE") ?: "console=ttyS0";

	if (unload(0))
		ksft_exit_skip("the kernel has no CONFIG_KEXEC_FILE\n");
}

/*
 * Makes a file of @size bytes: the first @copied bytes of the kernel, with @len bytes at
 * offset @at replaced. Returns a file descriptor.
 */
static inline int new_file(size_t copied, off_t size, size_t at, const void *bytes,
			   size_t len)
{
	char path[] = "/tmp/kexec.XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0 || write(fd, image.kernel, copied) != (ssize_t)copied ||
	    pwrite(fd, bytes, len, at) != (ssize_t)len || ftruncate(fd, size))
		ksft_exit_fail_perror("cannot make a file");
	/* The kernel does not read a file that is open for writing. */
	close(fd);
	fd = open(path, O_RDONLY);
	unlink(path);
	return fd;
}

/* Loads the kernel's first @size bytes, with @len bytes at offset @at replaced. */
static inline int load_changed(size_t size, size_t at, const void *bytes, size_t len)
{
	int fd = new_file(size, size, at, bytes, len);
	int ret;

	ret = load_fd(fd, image.initrd_fd, image.cmdline, strlen(image.cmdline) + 1, 0);
	close(fd);
	return ret;
}

/*
 * Loads the kernel with a header that asks for 4 GiB of memory (init_size) at an address
 * beyond all memory (pref_address).
 */
static inline int load_beyond_memory(void)
{
	return load_changed(image.kernel_size, 0x258, "\0\0\0\0\0\0\xff\0\0\xf0\xff\xff", 12);
}

#endif /* KEXEC_IMAGE_H */
