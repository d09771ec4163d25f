// SPDX-License-Identifier: GPL-2.0-only
/* The record for the next kernel */

#include <linux/align.h>
#include <linux/kexec.h>
#include <linux/utsname.h>

#include <asm/kexec-loader.h>

/* Alignment of a record in its segment. Segments begin at multiples of it. */
#define RECORD_ALIGN	16

unsigned long kexec_purgatory_add_record(struct kimage *image, unsigned long size)
{
	image->arch.purgatory.record = ALIGN(size, RECORD_ALIGN);

	return image->arch.purgatory.record + sizeof(struct setup_data) + KEXEC_RECORD_SIZE;
}

const char *kexec_purgatory_release(void)
{
	return init_utsname()->release;
}
