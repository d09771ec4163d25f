// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's decompressor for zstd, for a process
 *
 * Compiled with the flags of arch/x86/boot/compressed and with what its misc.c gives
 * the decompressor, which is part of it.
 */
/* Set whatever compression the kernel that it is compiled with uses. */
#define CONFIG_KERNEL_ZSTD 1

#include "misc.h"
#include "error.h"

#define STATIC static
#define MALLOC_VISIBLE
#include <linux/decompress/mm.h>

#define memzero(s, n) memset((s), 0, (n))
#define memmove memmove
void *memmove(void *dest, const void *src, size_t n);

memptr free_mem_ptr, free_mem_end_ptr;

#include "../../../../lib/decompress_unzstd.c"

static char boot_heap[BOOT_HEAP_SIZE] __aligned(8);

/* The caller uses the return value instead. */
static void ignore(char *message)
{
}

/* string.c calls this about overlapping copies. */
void warn(const char *message)
{
}

/*
 * Decompresses @in_size bytes at @in to @out, which has room for @out_size bytes.
 * Returns 0, or -1 if they are damaged.
 */
__attribute__((visibility("default")))
int decompress(unsigned char *in, long in_size, unsigned char *out, long out_size)
{
	free_mem_ptr = (memptr)boot_heap;
	free_mem_end_ptr = (memptr)boot_heap + sizeof(boot_heap);
	malloc_ptr = 0;
	malloc_count = 0;
	return __decompress(in, in_size, NULL, NULL, out, out_size, NULL, ignore);
}
