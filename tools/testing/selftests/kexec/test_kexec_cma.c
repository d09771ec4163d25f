// SPDX-License-Identifier: GPL-2.0-only
/*
 * kexec_file_load(): memory of an image in CMA is freed
 *
 * Loads images, enters none. Needs root, memory for CMA (cma=), and a kernel with
 * CONFIG_DMA_CMA and CONFIG_CMA_SYSFS. See kexec_image.h for the environment.
 */
#define _GNU_SOURCE
#include <glob.h>

#include "kexec_image.h"

#define CMA	"/sys/kernel/mm/cma/*/"

/* Returns the sum of the numbers in all files that match, -1 if no file matches. */
static long sum(const char *pattern)
{
	char line[32];
	long sum = 0;
	glob_t found;

	if (glob(pattern, 0, NULL, &found))
		return -1;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		if (!read_line(found.gl_pathv[i], line, sizeof(line)))
			ksft_exit_fail_perror(found.gl_pathv[i]);
		sum += strtol(line, NULL, 10);
	}
	globfree(&found);
	return sum;
}

/* Number of pages that are allocated in CMA, by any user of it */
static long cma_pages(void)
{
	return sum(CMA "alloc_pages_success") - sum(CMA "release_pages_success");
}

int main(void)
{
	long before, loaded;
	int error;

	ksft_print_header();
	open_image();
	if (sum(CMA "alloc_pages_success") < 0)
		ksft_exit_skip("no CMA, or the kernel has no CONFIG_CMA_SYSFS\n");

	ksft_set_plan(4);
	unload(0);
	before = cma_pages();

	if (load(0))
		ksft_exit_fail_msg("cannot load the image\n");
	loaded = cma_pages();
	ksft_test_result(loaded > before, "an image has %ld pages in CMA\n", loaded - before);
	unload(0);
	ksft_test_result(cma_pages() == before, "they come back when it is unloaded\n");

	/* boot_params gets its place first; then there is none for the kernel. */
	error = load_beyond_memory();
	ksft_test_result(error == EADDRNOTAVAIL && cma_pages() == before,
			 "a kernel that asks for 4 GiB beyond memory leaves %ld pages behind\n",
			 cma_pages() - before);

	error = load(KEXEC_FILE_NO_CMA);
	ksft_test_result(!error && cma_pages() == before, "KEXEC_FILE_NO_CMA uses none\n");
	unload(0);
	ksft_finished();
}
