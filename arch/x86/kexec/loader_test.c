// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the loader:
 * - errors that no file can cause in kexec_file_load(): too many segments, no room,
 *   and segments that wrap or overlap
 * - an ELF core header that changes after the image was loaded
 * - crash memory, the entry point for a mismatch, pages in CMA, and the record for
 *   the next kernel
 */

#include <kunit/test.h>
#include <linux/bits.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/kexec.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include <asm/bootparam.h>
#include <asm/kexec-loader.h>
#include <asm/tsc.h>

/*
 * Physical addresses above the 64 TiB of memory that a kernel with four levels of paging
 * can have. load_elfcorehdr() loads the purgatory to allocated memory, which may lie
 * anywhere in these 64 TiB and must not overlap a segment.
 */
#define BOOT_PARAMS	BIT(51)
#define ELFCOREHDR	(BOOT_PARAMS + SZ_1M)
#define ENTRY		(BOOT_PARAMS + SZ_16M + 0x200)

/* The two segments that the purgatory requires: a kernel and boot_params. */
enum { KERNEL, PARAMS, NR_SEGMENTS };

struct loader_test {
	struct kimage *image;
	u8 *data;
	u8 *elfcorehdr;
};

static void set_segment(struct loader_test *priv, int i, unsigned long mem, unsigned long memsz)
{
	priv->image->segment[i] = (struct kexec_segment) {
		.kbuf = priv->data + i * PAGE_SIZE,
		.bufsz = PAGE_SIZE,
		.mem = mem,
		.memsz = memsz,
	};
}

/* Places the purgatory; its address does not matter. */
static int place(struct loader_test *priv)
{
	return kexec_purgatory_place(priv->image, ENTRY, BOOT_PARAMS);
}

static void expect_unchanged(struct kunit *test, int segments)
{
	struct loader_test *priv = test->priv;

	KUNIT_EXPECT_EQ(test, priv->image->nr_segments, segments);
	KUNIT_EXPECT_NULL(test, priv->image->purgatory_info.purgatory_buf);
	KUNIT_EXPECT_EQ(test, priv->image->start, 0);
	KUNIT_EXPECT_EQ(test, priv->image->arch.purgatory.decision, 0);
}

static void test_good(struct kunit *test)
{
	struct loader_test *priv = test->priv;

	KUNIT_ASSERT_EQ(test, place(priv), 0);
	KUNIT_EXPECT_EQ(test, priv->image->nr_segments, NR_SEGMENTS + 1);
	KUNIT_EXPECT_EQ(test, kexec_purgatory_seal(priv->image), 0);
}

static void test_too_many_segments(struct kunit *test)
{
	struct loader_test *priv = test->priv;
	int i;

	for (i = NR_SEGMENTS; i < KEXEC_SEGMENT_MAX; i++)
		priv->image->segment[i] = priv->image->segment[PARAMS];
	priv->image->nr_segments = KEXEC_SEGMENT_MAX;

	KUNIT_EXPECT_EQ(test, place(priv), -EINVAL);
	expect_unchanged(test, KEXEC_SEGMENT_MAX);
}

static void test_no_room(struct kunit *test)
{
	struct loader_test *priv = test->priv;

	set_segment(priv, PARAMS, 0, ULONG_MAX);

	KUNIT_EXPECT_EQ(test, place(priv), -EADDRNOTAVAIL);
	expect_unchanged(test, NR_SEGMENTS);
}

static void test_placed_twice(struct kunit *test)
{
	struct loader_test *priv = test->priv;

	KUNIT_ASSERT_EQ(test, place(priv), 0);
	KUNIT_EXPECT_EQ(test, place(priv), -EINVAL);
	KUNIT_EXPECT_EQ(test, priv->image->nr_segments, NR_SEGMENTS + 1);
}

static void test_not_placed(struct kunit *test)
{
	struct loader_test *priv = test->priv;

	KUNIT_EXPECT_EQ(test, kexec_purgatory_seal(priv->image), -EINVAL);
}

static void test_segment_wraps(struct kunit *test)
{
	struct loader_test *priv = test->priv;

	KUNIT_ASSERT_EQ(test, place(priv), 0);
	priv->image->segment[KERNEL].mem = -(PAGE_SIZE / 2);
	KUNIT_EXPECT_EQ(test, kexec_purgatory_seal(priv->image), -EINVAL);
}

static void test_more_data_than_memory(struct kunit *test)
{
	struct loader_test *priv = test->priv;

	KUNIT_ASSERT_EQ(test, place(priv), 0);
	priv->image->segment[KERNEL].memsz = PAGE_SIZE - 1;
	KUNIT_EXPECT_EQ(test, kexec_purgatory_seal(priv->image), -EINVAL);
}

static void test_segments_overlap(struct kunit *test)
{
	struct loader_test *priv = test->priv;

	KUNIT_ASSERT_EQ(test, place(priv), 0);
	priv->image->segment[KERNEL].mem = BOOT_PARAMS + PAGE_SIZE - 1;
	KUNIT_EXPECT_EQ(test, kexec_purgatory_seal(priv->image), -EINVAL);
}

static void test_overlaps_purgatory(struct kunit *test)
{
	struct loader_test *priv = test->priv;

	KUNIT_ASSERT_EQ(test, place(priv), 0);
	priv->image->segment[KERNEL].mem = priv->image->segment[NR_SEGMENTS].mem;
	KUNIT_EXPECT_EQ(test, kexec_purgatory_seal(priv->image), -EINVAL);
}

static void test_entry_not_verified(struct kunit *test)
{
	struct loader_test *priv = test->priv;

	KUNIT_ASSERT_EQ(test, kexec_purgatory_place(priv->image, BOOT_PARAMS, BOOT_PARAMS), 0);
	KUNIT_EXPECT_EQ(test, kexec_purgatory_seal(priv->image), -EINVAL);
}

static void free_purgatory(void *memory)
{
	free_pages_exact(memory, SZ_1M);
}

/*
 * Seals the crash image with an ELF core header of @size bytes, and loads its purgatory
 * to allocated memory. Returns that memory.
 */
static u8 *load_elfcorehdr(struct kunit *test, size_t size)
{
	struct loader_test *priv = test->priv;
	struct kimage *image = priv->image;
	struct kexec_segment *purgatory = &image->segment[NR_SEGMENTS + 1];
	unsigned long entry;
	u8 *memory;

	memory = alloc_pages_exact(SZ_1M, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, memory);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_purgatory, memory), 0);

	image->segment[NR_SEGMENTS] = (struct kexec_segment) {
		.kbuf = priv->elfcorehdr,
		.bufsz = size,
		.mem = ELFCOREHDR,
		.memsz = PAGE_SIZE,
	};
	image->elf_load_addr = ELFCOREHDR;
	image->nr_segments = NR_SEGMENTS + 1;
	KUNIT_ASSERT_EQ(test, place(priv), 0);
	KUNIT_ASSERT_LE(test, purgatory->memsz, SZ_1M);

	entry = image->start - purgatory->mem;
	purgatory->mem = virt_to_phys(memory);
	image->start = purgatory->mem + entry;
	KUNIT_ASSERT_EQ(test, kexec_purgatory_seal(image), 0);
	memcpy(memory, purgatory->kbuf, purgatory->bufsz);
	return memory;
}

/* The purgatory must be as if the new header had been loaded with the image. */
static void test_elfcorehdr_changes(struct kunit *test)
{
	struct loader_test *priv = test->priv;
	struct kimage *image = priv->image;
	const struct kexec_segment *purgatory = &image->segment[NR_SEGMENTS + 1];
	const size_t sizes[] = { 64, 64, 400, 120 };
	u8 *memory = load_elfcorehdr(test, 256);
	struct kexec_purgatory *changed;
	unsigned int khz;
	u8 fill = 0;

	changed = kunit_kmalloc(test, sizeof(*changed), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, changed);
	for (int i = 0; i < ARRAY_SIZE(sizes); i++) {
		/* tsc_khz is one of the parameters. Try again if it is refined. */
		do {
			khz = READ_ONCE(tsc_khz);
			KUNIT_ASSERT_EQ(test, kexec_purgatory_seal(image), 0);
			memcpy(memory, purgatory->kbuf, purgatory->bufsz);

			memset(priv->elfcorehdr, ++fill, sizes[i]);
			kexec_purgatory_elfcorehdr(image, priv->elfcorehdr, sizes[i]);
			*changed = image->arch.purgatory;
			KUNIT_EXPECT_MEMNEQ(test, memory, purgatory->kbuf, purgatory->bufsz);

			image->segment[NR_SEGMENTS].bufsz = sizes[i];
			KUNIT_ASSERT_EQ(test, kexec_purgatory_seal(image), 0);
		} while (READ_ONCE(tsc_khz) != khz);

		KUNIT_EXPECT_MEMEQ(test, memory, purgatory->kbuf, purgatory->bufsz);
		KUNIT_EXPECT_EQ(test, changed->verify_bytes,
				image->arch.purgatory.verify_bytes);
		for (int j = 0; j < image->nr_segments; j++) {
			const struct kexec_purgatory_region *now = &changed->regions[j];
			const struct kexec_purgatory_region *sealed =
				&image->arch.purgatory.regions[j];

			KUNIT_EXPECT_EQ(test, now->kind, sealed->kind);
			KUNIT_EXPECT_EQ(test, now->len, sealed->len);
			KUNIT_EXPECT_MEMEQ(test, now->digest, sealed->digest,
					   sizeof(now->digest));
		}
	}
}

/* A damaged purgatory must not get a new digest that hides the damage. */
static void test_elfcorehdr_damaged(struct kunit *test)
{
	struct loader_test *priv = test->priv;
	struct kimage *image = priv->image;
	const struct kexec_segment *purgatory = &image->segment[NR_SEGMENTS + 1];
	u8 *memory = load_elfcorehdr(test, 256);
	/* The last byte belongs to the parameters, which no verified region contains. */
	u8 *damaged = memory + purgatory->bufsz - 1;
	struct kexec_purgatory *sealed;
	u8 *before;

	sealed = kunit_kmalloc(test, sizeof(*sealed), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, sealed);
	*sealed = image->arch.purgatory;
	before = kunit_kmalloc(test, purgatory->bufsz, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, before);
	*damaged ^= 1;
	memcpy(before, memory, purgatory->bufsz);
	priv->elfcorehdr[0] ^= 1;
	KUNIT_EXPECT_STREQ(test, image->arch.purgatory.check, "");
	kexec_purgatory_elfcorehdr(image, priv->elfcorehdr, 128);
	KUNIT_EXPECT_MEMEQ(test, memory, before, purgatory->bufsz);
	KUNIT_EXPECT_STREQ(test, image->arch.purgatory.check, "damaged: purgatory");
	/* What is shown and checked is what the purgatory compares. */
	KUNIT_EXPECT_EQ(test, image->arch.purgatory.verify_bytes, sealed->verify_bytes);
	KUNIT_EXPECT_MEMEQ(test, image->arch.purgatory.regions, sealed->regions,
			   sizeof(sealed->regions));

	*damaged ^= 1;

	/* A byte of the code */
	damaged = memory + purgatory->bufsz / 2;
	*damaged ^= 1;
	memcpy(before, memory, purgatory->bufsz);
	kexec_purgatory_elfcorehdr(image, priv->elfcorehdr, 256);
	KUNIT_EXPECT_MEMEQ(test, memory, before, purgatory->bufsz);

	*damaged ^= 1;
	kexec_purgatory_elfcorehdr(image, priv->elfcorehdr, 256);
	KUNIT_EXPECT_MEMNEQ(test, memory, before, purgatory->bufsz);
}

/* A purgatory in memory with a known error is not read. */
static void test_elfcorehdr_poisoned(struct kunit *test)
{
	struct loader_test *priv = test->priv;
	struct kimage *image = priv->image;
	u8 *memory, *before;
	struct page *page;
	size_t size;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "CONFIG_MEMORY_FAILURE is off");

	memory = load_elfcorehdr(test, 256);
	size = image->segment[NR_SEGMENTS + 1].bufsz;
	before = kunit_kmalloc(test, size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, before);
	memcpy(before, memory, size);

	/* The last page of the purgatory */
	page = virt_to_page(memory + size - 1);
	priv->elfcorehdr[0] ^= 1;
	SetPageHWPoison(page);
	kexec_purgatory_elfcorehdr(image, priv->elfcorehdr, 256);
	ClearPageHWPoison(page);
	KUNIT_EXPECT_MEMEQ(test, memory, before, size);
	KUNIT_EXPECT_STREQ(test, image->arch.purgatory.check, "damaged: purgatory");
}

/* A normal image must not lie in crash memory. The crash image has no other place. */
static void test_crash_memory_excluded(struct kunit *test)
{
	struct loader_test *priv = test->priv;
	const unsigned long start = crashk_res.start, end = crashk_res.end;

	KUNIT_EXPECT_EQ(test, arch_check_excluded_range(priv->image, start, end), 0);
	priv->image->type = KEXEC_TYPE_DEFAULT;
	KUNIT_EXPECT_EQ(test, arch_check_excluded_range(priv->image, start, end), 1);
	KUNIT_EXPECT_EQ(test, arch_check_excluded_range(priv->image, start - 1, start), 1);
	KUNIT_EXPECT_EQ(test, arch_check_excluded_range(priv->image, end, end + 1), 1);
	KUNIT_EXPECT_EQ(test, arch_check_excluded_range(priv->image, start - 2, start - 1), 0);
	KUNIT_EXPECT_EQ(test, arch_check_excluded_range(priv->image, end + 1, end + 2), 0);
}

/* Nor in memory below 4 GiB that is reserved beside memory above */
static void test_low_crash_memory_excluded(struct kunit *test)
{
	struct loader_test *priv = test->priv;
	const unsigned long start = crashk_res.end + 1, end = start + PAGE_SIZE - 1;

	/* The test must not change what a load by user space would see. */
	if (crashk_low_res.end || system_state >= SYSTEM_RUNNING)
		kunit_skip(test, "the system uses crashk_low_res");

	priv->image->type = KEXEC_TYPE_DEFAULT;
	KUNIT_EXPECT_EQ(test, arch_check_excluded_range(priv->image, start, end), 0);
	crashk_low_res.start = start;
	crashk_low_res.end = end;
	KUNIT_EXPECT_EQ(test, arch_check_excluded_range(priv->image, start, end), 1);
	crashk_low_res.start = 0;
	crashk_low_res.end = 0;
}

/* Where the purgatory of a normal image can enter the crash image */
static void test_mismatch_entry(struct kunit *test)
{
	struct loader_test *priv = test->priv;
	struct kimage *image = priv->image;

	/* Once there is user space, it could crash or load an image meanwhile. */
	if (kexec_crash_image || crashk_cma_cnt || system_state >= SYSTEM_RUNNING)
		kunit_skip(test, "the system uses kexec_crash_image or crashkernel=,cma");

	KUNIT_ASSERT_EQ(test, place(priv), 0);
	KUNIT_ASSERT_EQ(test, kexec_purgatory_seal(image), 0);
	KUNIT_EXPECT_EQ(test, kexec_mismatch_entry, 0);
	KUNIT_EXPECT_NULL(test, kexec_purgatory_exchange(&kexec_crash_image, image));
	KUNIT_EXPECT_EQ(test, kexec_mismatch_entry, image->start);
	KUNIT_EXPECT_PTR_EQ(test, kexec_purgatory_exchange(&kexec_crash_image, NULL), image);
	KUNIT_EXPECT_EQ(test, kexec_mismatch_entry, 0);

	/* As for an image of kexec_load() */
	image->arch.purgatory.verified = false;
	kexec_purgatory_exchange(&kexec_crash_image, image);
	KUNIT_EXPECT_EQ(test, kexec_mismatch_entry, 0);
	kexec_purgatory_exchange(&kexec_crash_image, NULL);
	image->arch.purgatory.verified = true;

	image->arch.purgatory.no_io = true;
	kexec_purgatory_exchange(&kexec_crash_image, image);
	KUNIT_EXPECT_EQ(test, kexec_mismatch_entry, 0);
	kexec_purgatory_exchange(&kexec_crash_image, NULL);
	image->arch.purgatory.no_io = false;

#ifdef CRASHKERNEL_CMA
	crashk_cma_cnt = 1;
	kexec_purgatory_exchange(&kexec_crash_image, image);
	KUNIT_EXPECT_EQ(test, kexec_mismatch_entry, 0);
	kexec_purgatory_exchange(&kexec_crash_image, NULL);
	crashk_cma_cnt = 0;
#endif
}

/* Pages of a normal image in CMA are in place, also those after the loaded bytes. */
static void test_source_in_cma(struct kunit *test)
{
	struct loader_test *priv = test->priv;
	struct kimage *image = priv->image;

	set_segment(priv, PARAMS, BOOT_PARAMS, 2 * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, place(priv), 0);
	KUNIT_ASSERT_EQ(test, kexec_purgatory_seal(image), 0);
	image->type = KEXEC_TYPE_DEFAULT;
	KUNIT_EXPECT_EQ(test, kexec_purgatory_source(image, BOOT_PARAMS + PAGE_SIZE), 0);
	image->segment_cma[PARAMS] = virt_to_page(priv->data);
	KUNIT_EXPECT_EQ(test, kexec_purgatory_source(image, BOOT_PARAMS + PAGE_SIZE),
			BOOT_PARAMS + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, kexec_purgatory_source(image, BOOT_PARAMS + 2 * PAGE_SIZE), 0);
}

/* Gives the kernel's setup header a version. Its string lies behind struct setup_header. */
static void set_version(struct loader_test *priv, const char *release)
{
	struct boot_params *kernel = (void *)priv->data;

	kernel->hdr.kernel_version = SZ_1K - 0x200;
	strscpy(priv->data + SZ_1K, release, SZ_1K);
}

/* Which kernels get a record */
static void test_record_version(struct kunit *test)
{
	struct loader_test *priv = test->priv;
	struct boot_params *kernel = (void *)priv->data;
	static const struct {
		const char *release;
		bool takes;
	} kernels[] = {
		{ "6.8.12-amd64 (debian-kernel@lists.debian.org)", false },
		{ "5.15.0", false },
		{ "6.9.0-rc1", true },
		{ "6.12.9", true },
		{ "7.0", true },
		{ "10.1.2", true },
		{ "6.", false },
		{ "linux", false },
		{ "", false },
	};

	for (int i = 0; i < ARRAY_SIZE(kernels); i++) {
		set_version(priv, kernels[i].release);
		KUNIT_EXPECT_EQ_MSG(test, kexec_purgatory_takes_record(kernel, PAGE_SIZE),
				    kernels[i].takes, "%s", kernels[i].release);
	}

	set_version(priv, "7.0");
	KUNIT_EXPECT_FALSE(test, kexec_purgatory_takes_record(kernel, sizeof(*kernel) - 1));
	kernel->hdr.kernel_version = PAGE_SIZE - 0x200;
	KUNIT_EXPECT_FALSE(test, kexec_purgatory_takes_record(kernel, PAGE_SIZE));
	kernel->hdr.kernel_version = U16_MAX;
	KUNIT_EXPECT_FALSE(test, kexec_purgatory_takes_record(kernel, PAGE_SIZE));
	kernel->hdr.kernel_version = 0;
	KUNIT_EXPECT_FALSE(test, kexec_purgatory_takes_record(kernel, PAGE_SIZE));

	KUNIT_EXPECT_EQ(test, kexec_purgatory_add_record(priv->image, SZ_1K), SZ_1K);
	KUNIT_EXPECT_EQ(test, priv->image->arch.purgatory.record, 0);
}

/* The record in the setup_data list, and how the next kernel reads it */
static void test_record(struct kunit *test)
{
	struct loader_test *priv = test->priv;
	struct kimage *image = priv->image;
	struct boot_params *params = (void *)priv->data + PARAMS * PAGE_SIZE;
	const unsigned long size = PAGE_SIZE - SZ_512, next = BOOT_PARAMS + SZ_64K;
	struct kexec_entered entered = {};
	struct setup_data *node;

	set_version(priv, "7.3.4");
	image->segment[PARAMS].bufsz = kexec_purgatory_add_record(image, size);
	KUNIT_ASSERT_LE(test, image->segment[PARAMS].bufsz, PAGE_SIZE);
	node = (void *)params + image->arch.purgatory.record;
	params->hdr.setup_data = next;

	KUNIT_ASSERT_EQ(test, place(priv), 0);
	KUNIT_ASSERT_EQ(test, kexec_purgatory_seal(image), 0);
	KUNIT_EXPECT_EQ(test, params->hdr.setup_data,
			BOOT_PARAMS + image->arch.purgatory.record);
	KUNIT_EXPECT_EQ(test, node->next, next);
	KUNIT_EXPECT_EQ(test, node->type, SETUP_KEXEC_RECORD);
	KUNIT_EXPECT_EQ(test, node->len, KEXEC_RECORD_SIZE);
	/* The digest leaves out the record, which changes when the image is entered. */
	KUNIT_EXPECT_EQ(test, image->arch.purgatory.regions[PARAMS].len,
			size + sizeof(*node));

	KUNIT_ASSERT_TRUE(test, kexec_purgatory_read_record(node->data, node->len, 0, &entered));
	KUNIT_EXPECT_STREQ(test, entered.release, kexec_purgatory_release());
	KUNIT_EXPECT_STREQ(test, entered.decision,
			   kexec_purgatory_decision(image->arch.purgatory.decision));
	KUNIT_EXPECT_STREQ(test, entered.engine, image->arch.purgatory.engine);
	KUNIT_EXPECT_STREQ(test, entered.mismatch, "");
	KUNIT_EXPECT_EQ(test, entered.regions, NR_SEGMENTS);
	KUNIT_EXPECT_EQ(test, entered.bytes, image->arch.purgatory.verify_bytes);
	/* No time was written. */
	KUNIT_EXPECT_EQ(test, entered.copy_ns, -1);
	KUNIT_EXPECT_EQ(test, entered.total_ns, -1);

	for (int i = 0; i < KEXEC_RECORD_SIZE; i += 8) {
		node->data[i] ^= 0x10;
		KUNIT_EXPECT_FALSE(test, kexec_purgatory_read_record(node->data, node->len, 0,
								     &entered));
		node->data[i] ^= 0x10;
		KUNIT_EXPECT_FALSE(test, kexec_purgatory_read_record(node->data, i, 0, &entered));
	}
}

/* Makes a crash image, which every configuration verifies. Segments may lie anywhere. */
static int loader_test_init(struct kunit *test)
{
	struct loader_test *priv;

	if (!crashk_res.end)
		kunit_skip(test, "no memory is reserved, see crashkernel=");

	priv = kunit_kzalloc(test, sizeof(*priv), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, priv);
	priv->image = kunit_kzalloc(test, sizeof(*priv->image), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, priv->image);
	priv->data = kunit_kzalloc(test, NR_SEGMENTS * PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, priv->data);
	priv->elfcorehdr = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, priv->elfcorehdr);
	test->priv = priv;

	/* As do_kimage_alloc_init() does */
	INIT_LIST_HEAD(&priv->image->control_pages);
#ifdef CONFIG_CRASH_HOTPLUG
	priv->image->elfcorehdr_index = -1;
#endif
	priv->image->file_mode = 1;
	priv->image->type = KEXEC_TYPE_CRASH;
	priv->image->kernel_buf = priv->data;
	priv->image->kernel_buf_len = PAGE_SIZE;
	priv->image->nr_segments = NR_SEGMENTS;
	set_segment(priv, KERNEL, ENTRY - 0x200, PAGE_SIZE);
	set_segment(priv, PARAMS, BOOT_PARAMS, PAGE_SIZE);
	return 0;
}

static void loader_test_exit(struct kunit *test)
{
	struct loader_test *priv = test->priv;

	if (priv)
		vfree(priv->image->purgatory_info.purgatory_buf);
}

static struct kunit_case loader_test_cases[] = {
	KUNIT_CASE(test_good),
	KUNIT_CASE(test_too_many_segments),
	KUNIT_CASE(test_no_room),
	KUNIT_CASE(test_placed_twice),
	KUNIT_CASE(test_not_placed),
	KUNIT_CASE(test_segment_wraps),
	KUNIT_CASE(test_more_data_than_memory),
	KUNIT_CASE(test_segments_overlap),
	KUNIT_CASE(test_overlaps_purgatory),
	KUNIT_CASE(test_entry_not_verified),
	KUNIT_CASE(test_elfcorehdr_changes),
	KUNIT_CASE(test_elfcorehdr_damaged),
	KUNIT_CASE(test_elfcorehdr_poisoned),
	KUNIT_CASE(test_crash_memory_excluded),
	KUNIT_CASE(test_low_crash_memory_excluded),
	KUNIT_CASE(test_mismatch_entry),
	KUNIT_CASE(test_source_in_cma),
	KUNIT_CASE(test_record_version),
	KUNIT_CASE(test_record),
	{}
};

static struct kunit_suite loader_test_suite = {
	.name = "kexec_purgatory_loader",
	.init = loader_test_init,
	.exit = loader_test_exit,
	.test_cases = loader_test_cases,
};

kunit_test_suite(loader_test_suite);
