/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Functions for tests that load and unload the modules that decide which images
 * are verified
 *
 * Environment:
 *   MODULES  directory with kexec_purgatory_verify.ko and rust_kexec_policy.ko,
 *            default: that of the running kernel's modules
 */
#ifndef KEXEC_MODULE_H
#define KEXEC_MODULE_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define VERIFY_MODULE	"kexec_purgatory_verify"
#define SAMPLE_MODULE	"rust_kexec_policy"

/* Opens the file of a module whose source is in @folder. Returns -1 if it is missing. */
static inline int open_module(const char *folder, const char *name)
{
	const char *modules = getenv("MODULES");
	char path[PATH_MAX];
	struct utsname u;

	if (modules) {
		snprintf(path, sizeof(path), "%s/%s.ko", modules, name);
	} else {
		uname(&u);
		snprintf(path, sizeof(path), "/lib/modules/%s/kernel/%s/%s.ko", u.release, folder,
			 name);
	}
	return open(path, O_RDONLY | O_CLOEXEC);
}

static inline int open_verify_module(void)
{
	return open_module("arch/x86/kexec", VERIFY_MODULE);
}

static inline int open_sample_module(void)
{
	return open_module("samples/rust", SAMPLE_MODULE);
}

/* Returns 0 or a positive errno. */
static inline int insert_module(int fd)
{
	return syscall(SYS_finit_module, fd, "", 0) ? errno : 0;
}

/* Returns 0 or a positive errno. */
static inline int remove_module(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? errno : 0;
}

#endif /* KEXEC_MODULE_H */
