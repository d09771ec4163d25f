// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the decision about a normal image, of how much of its segments is
 * loaded, of the time that its record gets, and of the CPUs whose copy loop uses the
 * cache
 */

#include <kunit/test.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/kexec.h>
#include <linux/kexec_handover.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include <asm/kexec-handoff.h>
#include <asm/kexec-loader.h>
#include <asm/setup.h>

/* Physical addresses; nothing is written there. */
#define KERNEL_ADDR	SZ_16M
#define ENTRY		(KERNEL_ADDR + 0x200)
#define BOOT_PARAMS	SZ_1M

/* Bytes from boot_params to the record */
#define RECORD		64

/* Loaded bytes of a segment, and the memory that it occupies */
#define FILE_SIZE	(PAGE_SIZE + 1)
#define KERNEL_MEMORY	(8 * PAGE_SIZE)

#define CMA_TEXT	"direct: every segment is in CMA"

enum { KERNEL, PARAMS, NR_SEGMENTS };

static const char *decision(const struct kimage *image)
{
	return kexec_purgatory_decision(image->arch.purgatory.decision);
}

static void place(struct kunit *test)
{
	struct kimage *image = test->priv;

	KUNIT_ASSERT_EQ(test, kexec_purgatory_place(image, ENTRY, BOOT_PARAMS), 0);
	KUNIT_EXPECT_EQ(test, image->arch.purgatory.verified,
			!strncmp(decision(image), "verified: ", 10));
	KUNIT_EXPECT_EQ(test, image->nr_segments,
			NR_SEGMENTS + image->arch.purgatory.verified);
	if (!image->arch.purgatory.verified)
		KUNIT_EXPECT_EQ(test, image->start, ENTRY);
}

/* Any page marks a segment as loaded to CMA; nothing reads that page. */
static void set_cma(struct kunit *test, int segment)
{
	struct kimage *image = test->priv;

	image->segment_cma[segment] = virt_to_page(image);
}

static void test_all_in_cma(struct kunit *test)
{
	if (kho_is_enabled())
		kunit_skip(test, "kexec handover is on, which decides");

	set_cma(test, KERNEL);
	set_cma(test, PARAMS);
	place(test);
	KUNIT_EXPECT_STREQ(test, decision(test->priv), CMA_TEXT);
}

static void test_some_in_cma(struct kunit *test)
{
	set_cma(test, KERNEL);
	place(test);
	KUNIT_EXPECT_STRNEQ(test, decision(test->priv), CMA_TEXT);
}

static void test_none_in_cma(struct kunit *test)
{
	place(test);
	KUNIT_EXPECT_STRNEQ(test, decision(test->priv), CMA_TEXT);
}

static void test_load_size(struct kunit *test)
{
	struct kimage *image = test->priv;

	KUNIT_EXPECT_EQ(test, kexec_purgatory_load_size(image, KERNEL), KERNEL_MEMORY);
	place(test);
	KUNIT_EXPECT_EQ(test, kexec_purgatory_load_size(image, KERNEL), PAGE_ALIGN(FILE_SIZE));
	KUNIT_EXPECT_EQ(test, kexec_purgatory_load_size(image, PARAMS),
			image->segment[PARAMS].memsz);
}

/* Where kexec_handoff() writes the time for an image that is entered directly */
static void test_time_in_record(struct kunit *test)
{
	struct kimage *image = test->priv;
	struct kexec_purgatory *purgatory = &image->arch.purgatory;

	/* Once there is user space, it could load an image meanwhile. */
	if (kexec_image || system_state >= SYSTEM_RUNNING)
		kunit_skip(test, "the system uses kexec_image");

	/* In CMA, the pages of a segment are in place. */
	set_cma(test, PARAMS);
	purgatory->boot_params = BOOT_PARAMS;
	purgatory->record = RECORD;
	kexec_purgatory_exchange(&kexec_image, image);
	KUNIT_EXPECT_PTR_EQ(test, (void *)purgatory->left,
			    phys_to_virt(BOOT_PARAMS + RECORD + sizeof(struct setup_data) +
					 KEXEC_RECORD_LEFT));

	/* Where I/O raises exceptions, so may reading the time stamp counter. */
	purgatory->left = NULL;
	purgatory->no_io = true;
	kexec_purgatory_exchange(&kexec_image, image);
	KUNIT_EXPECT_NULL(test, purgatory->left);

	purgatory->no_io = false;
	purgatory->verified = true;
	kexec_purgatory_exchange(&kexec_image, image);
	KUNIT_EXPECT_NULL(test, purgatory->left);
	kexec_purgatory_exchange(&kexec_image, NULL);
}

static void test_copies_cached(struct kunit *test)
{
	struct cpuinfo_x86 *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, c);
	KUNIT_EXPECT_FALSE(test, kexec_copies_cached(c));
	c->x86_vfm = INTEL_SAPPHIRERAPIDS_X;
	KUNIT_EXPECT_TRUE(test, kexec_copies_cached(c));
	c->x86_vfm = INTEL_EMERALDRAPIDS_X;
	KUNIT_EXPECT_TRUE(test, kexec_copies_cached(c));
	c->x86_vfm = INTEL_GRANITERAPIDS_X;
	KUNIT_EXPECT_FALSE(test, kexec_copies_cached(c));
	set_cpu_cap(c, X86_BUG_TDX_PW_MCE);
	KUNIT_EXPECT_TRUE(test, kexec_copies_cached(c));
}

static int image_test_init(struct kunit *test)
{
	struct kimage *image;
	u8 *data;
	int i;

	image = kunit_kzalloc(test, sizeof(*image), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, image);
	data = kunit_kzalloc(test, NR_SEGMENTS * FILE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, data);
	test->priv = image;

	/* As do_kimage_alloc_init() does */
	INIT_LIST_HEAD(&image->control_pages);
#ifdef CONFIG_CRASH_HOTPLUG
	image->elfcorehdr_index = -1;
#endif
	image->file_mode = 1;
	image->type = KEXEC_TYPE_DEFAULT;
	/* Keep the purgatory out of CMA: nothing would free that memory. */
	image->no_cma = 1;
	image->kernel_buf = data;
	image->kernel_buf_len = FILE_SIZE;
	image->nr_segments = NR_SEGMENTS;
	for (i = 0; i < NR_SEGMENTS; i++) {
		image->segment[i] = (struct kexec_segment) {
			.kbuf = data + i * FILE_SIZE,
			.bufsz = FILE_SIZE,
			.mem = i == KERNEL ? KERNEL_ADDR : BOOT_PARAMS,
			.memsz = KERNEL_MEMORY,
		};
	}
	return 0;
}

static void image_test_exit(struct kunit *test)
{
	struct kimage *image = test->priv;

	if (image)
		vfree(image->purgatory_info.purgatory_buf);
}

static struct kunit_case image_test_cases[] = {
	KUNIT_CASE(test_all_in_cma),
	KUNIT_CASE(test_some_in_cma),
	KUNIT_CASE(test_none_in_cma),
	KUNIT_CASE(test_load_size),
	KUNIT_CASE(test_time_in_record),
	KUNIT_CASE(test_copies_cached),
	{}
};

static struct kunit_suite image_test_suite = {
	.name = "kexec_purgatory_image",
	.init = image_test_init,
	.exit = image_test_exit,
	.test_cases = image_test_cases,
};

kunit_test_suite(image_test_suite);
