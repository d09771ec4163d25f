// SPDX-License-Identifier: GPL-2.0-only
/* The record for the next kernel */

#include <linux/align.h>
#include <linux/kexec.h>
#include <linux/sprintf.h>
#include <linux/string.h>
#include <linux/utsname.h>

#include <asm/bootparam.h>
#include <asm/kexec-loader.h>

/* Alignment of a record in its segment. Segments begin at multiples of it. */
#define RECORD_ALIGN	16

bool kexec_purgatory_takes_record(const void *kernel, unsigned long size)
{
	const struct boot_params *params = kernel;
	unsigned int major, minor;
	unsigned long offset;
	char release[16];

	if (size < sizeof(*params) || !params->hdr.kernel_version)
		return false;
	/* See Documentation/arch/x86/boot.rst, where the field is an offset from 0x200. */
	offset = params->hdr.kernel_version + 0x200UL;
	if (offset + sizeof(release) > size)
		return false;

	memcpy(release, kernel + offset, sizeof(release));
	release[sizeof(release) - 1] = '\0';
	if (sscanf(release, "%u.%u", &major, &minor) != 2)
		return false;
	return major > 6 || (major == 6 && minor >= 9);
}

unsigned long kexec_purgatory_add_record(struct kimage *image, unsigned long size)
{
	if (!kexec_purgatory_takes_record(image->kernel_buf, image->kernel_buf_len))
		return size;

	image->arch.purgatory.record = ALIGN(size, RECORD_ALIGN);

	return image->arch.purgatory.record + sizeof(struct setup_data) + KEXEC_RECORD_SIZE;
}

const char *kexec_purgatory_release(void)
{
	return init_utsname()->release;
}
