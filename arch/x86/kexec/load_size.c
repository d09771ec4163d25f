// SPDX-License-Identifier: GPL-2.0-only

#include <linux/kexec.h>
#include <linux/mm.h>

size_t kexec_purgatory_load_size(const struct kimage *image, int idx)
{
	const struct kexec_segment *segment = &image->segment[idx];
	unsigned long kernel = image->arch.purgatory.kernel;

	if (kernel && segment->mem == kernel)
		return PAGE_ALIGN(segment->bufsz);

	return segment->memsz;
}
