// SPDX-License-Identifier: GPL-2.0-only
/*
 * kexec_file_load() of kernels whose setup header is damaged
 *
 * Such a kernel is loaded if the damage does not matter. Otherwise it is refused
 * with an errno that fits, and the image that was loaded before stays loaded. Each
 * byte of the header is inverted once; then a few random bytes at a time are replaced.
 *
 * Loads images, without their initramfs, and enters none. Needs root. See
 * kexec_image.h for the environment, and
 *   RUNS  number of loads with replaced bytes, default 200
 *   SEED  seed of the random replacements, default the time
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <time.h>

#include "kexec_image.h"

/* Offsets of the setup header and of its latest end: Documentation/arch/x86/boot.rst */
#define HEADER		0x1f1
#define HEADER_LAST	0x280

/* Offset of the length of the protected-mode code, which is in units of 16 bytes */
#define SYSSIZE		0x1f4

/*
 * Bytes of protected-mode code that are loaded, which the test writes to the header. A
 * load does not look at the code.
 */
#define PROTECTED_MODE	65536

/* Most bytes that are replaced at a time */
#define REPLACED	4

/* A file with the start of the kernel, whose header is replaced */
static char *path;
static unsigned int header_end;
static unsigned int loaded, refused, bad;

/* Loads the kernel with its header replaced by @header. */
static void load_header(const unsigned char *header, const char *decision)
{
	const char *line = image.cmdline;
	int fd, error;

	fd = open(path, O_WRONLY);
	if (fd < 0 || pwrite(fd, header, header_end - HEADER, HEADER) < 0)
		ksft_exit_fail_perror(path);
	/* The kernel does not read a file that is open for writing. */
	close(fd);
	fd = open(path, O_RDONLY);
	error = load_fd(fd, -1, line, strlen(line) + 1, 0);
	close(fd);

	switch (error) {
	case 0:
		loaded++;
		break;
	case ENOEXEC:		/* not a kernel, or one that kexec cannot enter */
	case EINVAL:		/* command line too long, or over half of the memory */
	case ENOMEM:
	case EADDRNOTAVAIL:	/* does not fit where it has to be */
		refused++;
		break;
	default:
		bad++;
		ksft_print_msg("%s\n", strerror(error));
	}
	if (strcmp(sysfs("loaded"), "1") || strcmp(sysfs("verify_loaded"), decision)) {
		bad++;
		ksft_print_msg("%s, loaded %s, verify_loaded '%s'\n",
			       error ? strerror(error) : "success", sysfs("loaded"),
			       sysfs("verify_loaded"));
	}
}

int main(void)
{
	const unsigned int seed = atoi(getenv("SEED") ?: "0") ?: time(NULL);
	const unsigned int runs = atoi(getenv("RUNS") ?: "200");
	unsigned char header[HEADER_LAST - HEADER];
	const uint32_t paragraphs = PROTECTED_MODE / 16;
	unsigned char sound[HEADER_LAST - HEADER];
	char file[] = "/tmp/kexec.XXXXXX";
	unsigned int length;
	size_t size;
	char decision[256];
	int fd;

	ksft_print_header();
	open_image();
	if (image.kernel_size < HEADER_LAST)
		ksft_exit_skip("the kernel is no bzImage\n");
	/* The kernel has a jump over the header at 0x200. */
	header_end = 0x202 + image.kernel[0x201];
	if (header_end > HEADER_LAST)
		header_end = HEADER_LAST;
	length = header_end - HEADER;
	memcpy(sound, image.kernel + HEADER, length);
	memcpy(sound + SYSSIZE - HEADER, &paragraphs, sizeof(paragraphs));

	size = ((image.kernel[0x1f1] ?: 4) + 1) * 512 + PROTECTED_MODE;
	if (size > image.kernel_size)
		ksft_exit_skip("the kernel has less than %u bytes of code\n", PROTECTED_MODE);
	path = file;
	fd = mkstemp(path);
	if (fd < 0 || write(fd, image.kernel, size) != (ssize_t)size)
		ksft_exit_fail_perror("cannot make a file");
	close(fd);

	ksft_set_plan(3);
	ksft_print_msg("SEED=%u\n", seed);
	srand(seed);
	if (load_fd(image.kernel_fd, -1, image.cmdline, strlen(image.cmdline) + 1, 0))
		ksft_exit_fail_perror("cannot load the image");
	snprintf(decision, sizeof(decision), "%s", sysfs("verify_loaded"));

	for (unsigned int i = 0; i < length; i++) {
		memcpy(header, sound, length);
		header[i] ^= 0xff;
		load_header(header, decision);
	}
	ksft_print_msg("%u loaded, %u refused\n", loaded, refused);
	ksft_test_result(loaded && refused && !bad, "each byte inverted\n");

	loaded = 0;
	refused = 0;
	bad = 0;
	for (unsigned int i = 0; i < runs; i++) {
		static const unsigned char edges[] = { 0, 1, 0x7f, 0x80, 0xff };

		memcpy(header, sound, length);
		for (int j = rand() % REPLACED; j >= 0; j--)
			header[rand() % length] = rand() % 2 ? rand() : edges[rand() % 5];
		load_header(header, decision);
	}
	ksft_print_msg("%u loaded, %u refused\n", loaded, refused);
	ksft_test_result(loaded + refused == runs && !bad, "bytes replaced\n");

	loaded = 0;
	load_header(sound, decision);
	ksft_test_result(loaded, "and the sound one is loaded\n");
	unlink(path);
	unload(0);
	ksft_finished();
}
