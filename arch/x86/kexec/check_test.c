// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the check of loaded images: a normal image in separate pages, with
 * a page list as kimage_add_page() makes it, and images that are loaded in place
 */

#include <kunit/test.h>
#include <linux/kexec.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include <asm/kexec-loader.h>

#define LEAF_SIZE	KEXEC_PURGATORY_LEAF_SIZE

/* Bytes of the two segments. The kernel's has an odd number of leaves and a tail. */
#define KERNEL_SIZE	(3 * LEAF_SIZE + 100)
#define PARAMS_SIZE	(PAGE_SIZE + 1)
#define MEMORY		SZ_256K

/* Destinations of the segments of an image that is not in place; never written to */
#define KERNEL_ADDR	SZ_16M
#define PARAMS_ADDR	SZ_1M

enum { KERNEL, PARAMS, NR_SEGMENTS };

struct check_test {
	struct kimage *image;
	/* Contents of the segments */
	u8 *data;
	/* Memory of the loaded image: its pages, or its segments in place */
	u8 *memory;
	/* The page list, in two consecutive pages */
	kimage_entry_t *list;
	unsigned int entries;
	char text[64];
};

static int check(struct kunit *test)
{
	struct check_test *priv = test->priv;

	return kexec_purgatory_check_image(priv->image, priv->text, sizeof(priv->text));
}

static void expect_intact(struct kunit *test)
{
	struct check_test *priv = test->priv;

	KUNIT_EXPECT_EQ(test, check(test), 0);
	KUNIT_EXPECT_STREQ(test, priv->text, "intact");
}

static void expect_damaged(struct kunit *test, const char *text)
{
	struct check_test *priv = test->priv;

	KUNIT_EXPECT_EQ(test, check(test), -EIO);
	KUNIT_EXPECT_STREQ(test, priv->text, text);
}

static void free_memory(void *memory)
{
	free_pages_exact(memory, 4 * MEMORY);
}

static void seal(struct kunit *test)
{
	struct check_test *priv = test->priv;
	struct kimage *image = priv->image;

	KUNIT_ASSERT_EQ(test, kexec_purgatory_place(image, image->segment[KERNEL].mem + 0x200,
						    image->segment[PARAMS].mem), 0);
	KUNIT_ASSERT_EQ(test, kexec_purgatory_seal(image), 0);
	KUNIT_ASSERT_EQ(test, image->nr_segments,
			NR_SEGMENTS + image->arch.purgatory.verified);
}

static void add_entry(struct kunit *test, kimage_entry_t entry)
{
	struct check_test *priv = test->priv;
	const unsigned int last = PAGE_SIZE / sizeof(entry) - 1;

	/* The list continues in the second page early, to have an indirection. */
	if (priv->entries == 20) {
		priv->list[20] = virt_to_phys(priv->list + last + 1) | IND_INDIRECTION;
		priv->entries = last + 1;
	}
	priv->list[priv->entries++] = entry;
}

/* Loads the segments to pages in reverse order, from the end of the memory. */
static void load_pages(struct kunit *test)
{
	struct check_test *priv = test->priv;
	struct kimage *image = priv->image;
	u8 *page = priv->memory + 4 * MEMORY;

	seal(test);
	image->head = virt_to_phys(priv->list) | IND_INDIRECTION;
	for (int i = 0; i < image->nr_segments; i++) {
		const struct kexec_segment *segment = &image->segment[i];

		add_entry(test, segment->mem | IND_DESTINATION);
		for (size_t done = 0; done < segment->bufsz; done += PAGE_SIZE) {
			page -= PAGE_SIZE;
			memcpy(page, segment->kbuf + done,
			       min(segment->bufsz - done, PAGE_SIZE));
			add_entry(test, virt_to_phys(page) | IND_SOURCE);
		}
	}
	add_entry(test, IND_DONE);
	KUNIT_ASSERT_LE(test, priv->entries * sizeof(*priv->list), 2 * PAGE_SIZE);
	KUNIT_ASSERT_TRUE(test, page > priv->memory);
}

/* The byte of the image that has the physical address @address after the copy */
static u8 *byte_at(struct kunit *test, unsigned long address)
{
	struct check_test *priv = test->priv;
	struct kimage *image = priv->image;
	u8 *page = priv->memory + 4 * MEMORY;

	for (int i = 0; i < image->nr_segments; i++) {
		const struct kexec_segment *segment = &image->segment[i];
		unsigned long offset = address - segment->mem;
		unsigned long pages = DIV_ROUND_UP(segment->bufsz, PAGE_SIZE);

		if (offset < pages * PAGE_SIZE)
			return page - (offset / PAGE_SIZE + 1) * PAGE_SIZE + offset % PAGE_SIZE;
		page -= pages * PAGE_SIZE;
	}
	KUNIT_FAIL_AND_ABORT(test, "no segment has %lx", address);
	return NULL;
}

static void test_pages_intact(struct kunit *test)
{
	load_pages(test);
	expect_intact(test);
}

static void test_pages_damaged(struct kunit *test)
{
	struct check_test *priv = test->priv;
	static const unsigned int offsets[] = {
		0, PAGE_SIZE - 1, LEAF_SIZE - 1, LEAF_SIZE, 2 * LEAF_SIZE, 3 * LEAF_SIZE - 1,
		3 * LEAF_SIZE, KERNEL_SIZE - 1,
	};
	u8 *kernel, *params;

	load_pages(test);
	for (int i = 0; i < ARRAY_SIZE(offsets); i++) {
		kernel = byte_at(test, KERNEL_ADDR + offsets[i]);
		*kernel ^= 1;
		expect_damaged(test, "damaged: kernel");
		*kernel ^= 1;
	}

	params = byte_at(test, PARAMS_ADDR + PARAMS_SIZE - 1);
	*params ^= 0x80;
	expect_damaged(test, "damaged: boot_params");
	*kernel ^= 1;
	expect_damaged(test, "damaged: kernel, boot_params");
	*params ^= 0x80;
	*kernel ^= 1;
	/* Bytes after the loaded ones are not checked. */
	params[1] ^= 1;
	expect_intact(test);

	if (priv->image->arch.purgatory.verified) {
		*byte_at(test, priv->image->segment[NR_SEGMENTS].mem) ^= 1;
		expect_damaged(test, "damaged: purgatory");
	}
}

/* A page whose memory error is known counts as damaged, and is not read. */
static void test_page_poisoned(struct kunit *test)
{
	struct page *page;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "CONFIG_MEMORY_FAILURE is off");

	load_pages(test);
	page = virt_to_page(byte_at(test, KERNEL_ADDR + LEAF_SIZE));
	SetPageHWPoison(page);
	expect_damaged(test, "damaged: kernel");
	ClearPageHWPoison(page);
	expect_intact(test);
}

/* A damaged page list is reported as damage, and has no other effect. */
static void test_list_damaged(struct kunit *test)
{
	struct check_test *priv = test->priv;
	const kimage_entry_t entries[] = {
		/* An end, no flag, two flags, and a list that never ends */
		IND_DONE, 0, IND_SOURCE | IND_DESTINATION,
		virt_to_phys(priv->list) | IND_INDIRECTION,
		/* An address without memory, and two beyond the physical address space */
		BIT(51) | IND_SOURCE, GENMASK(63, 12) | IND_SOURCE, BIT(62) | IND_INDIRECTION,
		/* A wrong destination, and a wrong source page */
		(KERNEL_ADDR + PAGE_SIZE) | IND_DESTINATION,
		virt_to_phys(priv->memory) | IND_SOURCE,
	};

	load_pages(test);
	for (int i = 0; i < ARRAY_SIZE(entries); i++) {
		kimage_entry_t entry = priv->list[5];
		int ret;

		priv->list[5] = entries[i];
		ret = check(test);
		KUNIT_EXPECT_EQ_MSG(test, ret, -EIO, "entry %lx", entries[i]);
		KUNIT_EXPECT_TRUE_MSG(test, strstarts(priv->text, "damaged: kernel"),
				      "entry %lx: %s", entries[i], priv->text);
		priv->list[5] = entry;
	}
	expect_intact(test);
}

/* Loads the segments in place: their destinations are in the test's memory. */
static void load_in_place(struct kunit *test)
{
	struct check_test *priv = test->priv;
	struct kimage *image = priv->image;

	for (int i = 0; i < NR_SEGMENTS; i++)
		image->segment[i].mem = virt_to_phys(priv->memory + i * MEMORY);
	seal(test);
	for (int i = 0; i < NR_SEGMENTS; i++)
		memcpy(priv->memory + i * MEMORY, image->segment[i].kbuf,
		       image->segment[i].bufsz);
}

/* Excludes the purgatory, if there is one: nothing is written to its memory. */
static void leave_out_purgatory(struct kunit *test)
{
	struct check_test *priv = test->priv;

	priv->image->arch.purgatory.regions[NR_SEGMENTS].kind = 0;
}

static void expect_in_place(struct kunit *test)
{
	struct check_test *priv = test->priv;

	expect_intact(test);
	priv->memory[KERNEL_SIZE - 1] ^= 1;
	expect_damaged(test, "damaged: kernel");
	priv->memory[KERNEL_SIZE - 1] ^= 1;
	priv->memory[MEMORY] ^= 1;
	expect_damaged(test, "damaged: boot_params");
	priv->memory[MEMORY] ^= 1;
	expect_intact(test);
}

static void test_crash_image(struct kunit *test)
{
	struct check_test *priv = test->priv;

	if (!crashk_res.end)
		kunit_skip(test, "no memory is reserved, see crashkernel=");

	priv->image->type = KEXEC_TYPE_CRASH;
	load_in_place(test);
	leave_out_purgatory(test);
	expect_in_place(test);
}

/* Any page marks a segment as loaded to CMA; nothing reads that page. */
static void test_cma(struct kunit *test)
{
	struct check_test *priv = test->priv;

	for (int i = 0; i < NR_SEGMENTS; i++)
		priv->image->segment_cma[i] = virt_to_page(priv->memory);
	load_in_place(test);
	leave_out_purgatory(test);
	expect_in_place(test);
}

/* A check of an image without digests finds no damage. */
static void test_nothing_to_check(struct kunit *test)
{
	expect_intact(test);
}

static int check_test_init(struct kunit *test)
{
	struct check_test *priv;
	struct kimage *image;

	priv = kunit_kzalloc(test, sizeof(*priv), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, priv);
	image = kunit_kzalloc(test, sizeof(*image), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, image);
	priv->image = image;
	priv->data = kunit_kzalloc(test, 2 * MEMORY, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, priv->data);
	get_random_bytes(priv->data, 2 * MEMORY);
	priv->list = kunit_kzalloc(test, 2 * PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, priv->list);
	priv->memory = alloc_pages_exact(4 * MEMORY, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, priv->memory);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_memory, priv->memory), 0);
	test->priv = priv;

	/* As do_kimage_alloc_init() does */
	INIT_LIST_HEAD(&image->control_pages);
#ifdef CONFIG_CRASH_HOTPLUG
	image->elfcorehdr_index = -1;
#endif
	image->file_mode = 1;
	image->type = KEXEC_TYPE_DEFAULT;
	/* Keep the purgatory out of CMA: nothing would free that memory. */
	image->no_cma = 1;
	image->kernel_buf = priv->data;
	image->kernel_buf_len = KERNEL_SIZE;
	image->nr_segments = NR_SEGMENTS;
	image->segment[KERNEL] = (struct kexec_segment) {
		.kbuf = priv->data,
		.bufsz = KERNEL_SIZE,
		.mem = KERNEL_ADDR,
		.memsz = MEMORY,
	};
	image->segment[PARAMS] = (struct kexec_segment) {
		.kbuf = priv->data + MEMORY,
		.bufsz = PARAMS_SIZE,
		.mem = PARAMS_ADDR,
		.memsz = MEMORY,
	};
	return 0;
}

static void check_test_exit(struct kunit *test)
{
	struct check_test *priv = test->priv;

	if (priv)
		vfree(priv->image->purgatory_info.purgatory_buf);
}

static struct kunit_case check_test_cases[] = {
	KUNIT_CASE(test_pages_intact),
	KUNIT_CASE(test_pages_damaged),
	KUNIT_CASE(test_page_poisoned),
	KUNIT_CASE(test_list_damaged),
	KUNIT_CASE(test_crash_image),
	KUNIT_CASE(test_cma),
	KUNIT_CASE(test_nothing_to_check),
	{}
};

static struct kunit_suite check_test_suite = {
	.name = "kexec_purgatory_check",
	.init = check_test_init,
	.exit = check_test_exit,
	.test_cases = check_test_cases,
};

kunit_test_suite(check_test_suite);
