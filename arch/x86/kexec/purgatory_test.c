// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the purgatory's digests
 *
 * They compare the digests with those of lib/crypto. They run the machine code of
 * the purgatory: an executable copy of an image that is linked from the same
 * compiled crate as the purgatory.
 */

#include <crypto/sha2.h>
#include <kunit/test.h>
#include <linux/kexec.h>
#include <linux/prandom.h>
#include <linux/set_memory.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>
#include <asm/fpu/api.h>
#include <asm/kexec-loader.h>

#define LEAF_SIZE	KEXEC_PURGATORY_LEAF_SIZE

/* REGIONS_MAX and struct Region of arch/x86/purgatory/rust/abi.rs */
#define REGIONS_MAX	16

struct region {
	u64 start;
	u64 len;
	u32 kind;
	u32 reserved;
	u8 digest[SHA256_DIGEST_SIZE];
};

/* A row of the table in arch/x86/purgatory/rust/digest/engines.rs */
struct engine {
	unsigned int row;
	const char *name;
	u32 number;
	bool usable;
};

/* See arch/x86/purgatory/rust/purgatory_test.rs */
typedef void digests_fn(u32 engine, const struct region *regions, size_t count,
			u8 (*digests)[SHA256_DIGEST_SIZE]);

struct purgatory_test {
	digests_fn *digests;
	u8 *data;
};

/* Room for up to 49 leaves: three batches of the widest engine, and one leaf more */
#define DATA_SIZE	(49 * LEAF_SIZE)

static void reference_digest(const u8 *start, size_t len, u8 *out)
{
	__le64 le_len = cpu_to_le64(len);
	u8 leaf[SHA256_DIGEST_SIZE];
	struct sha256_ctx ctx;
	size_t done, n;

	sha256_init(&ctx);
	for (done = 0; done < len; done += n) {
		n = min_t(size_t, len - done, LEAF_SIZE);
		sha256(start + done, n, leaf);
		sha256_update(&ctx, leaf, sizeof(leaf));
	}
	sha256_update(&ctx, (const u8 *)&le_len, sizeof(le_len));
	sha256_final(&ctx, out);
}

/* The purgatory is built without control flow integrity. */
static __nocfi void purgatory_digest(const struct purgatory_test *priv,
				     const struct engine *engine,
				     const u8 *start, size_t len, u8 *out)
{
	const struct region region = { .start = (uintptr_t)start, .len = len };
	u8 digests[REGIONS_MAX][SHA256_DIGEST_SIZE] = {};

	kernel_fpu_begin();
	priv->digests(engine->number, &region, 1, digests);
	kernel_fpu_end();
	memcpy(out, digests[0], sizeof(digests[0]));
}

static void check(struct kunit *test, const struct engine *engine, size_t offset,
		  size_t len)
{
	const struct purgatory_test *priv = test->priv;
	u8 expected[SHA256_DIGEST_SIZE], found[SHA256_DIGEST_SIZE];

	reference_digest(priv->data + offset, len, expected);
	purgatory_digest(priv, engine, priv->data + offset, len, found);
	KUNIT_ASSERT_MEMEQ_MSG(test, found, expected, sizeof(found),
			       "engine %s, offset %zu, length %zu",
			       engine->name, offset, len);
}

static void test_short_lengths(struct kunit *test)
{
	const struct engine *engine = test->param_value;
	size_t len;

	for (len = 0; len <= SZ_4K; len++)
		check(test, engine, len % 67, len);
}

static void test_leaf_edges(struct kunit *test)
{
	const struct engine *engine = test->param_value;
	size_t leaves;

	for (leaves = 1; leaves * LEAF_SIZE + 64 < DATA_SIZE; leaves++) {
		check(test, engine, 0, leaves * LEAF_SIZE - 1);
		check(test, engine, 1, leaves * LEAF_SIZE);
		check(test, engine, 63, leaves * LEAF_SIZE + 1);
	}
}

/* A flipped bit in the last byte of any whole leaf changes the digest. */
static void test_every_leaf_counts(struct kunit *test)
{
	const struct purgatory_test *priv = test->priv;
	const struct engine *engine = test->param_value;
	u8 before[SHA256_DIGEST_SIZE], after[SHA256_DIGEST_SIZE];
	size_t len = 33 * LEAF_SIZE + 5, at;

	purgatory_digest(priv, engine, priv->data, len, before);
	for (at = LEAF_SIZE - 1; at < len; at += LEAF_SIZE) {
		priv->data[at] ^= 0x80;
		purgatory_digest(priv, engine, priv->data, len, after);
		priv->data[at] ^= 0x80;
		KUNIT_ASSERT_MEMNEQ_MSG(test, after, before, sizeof(after),
					"engine %s, byte %zu", engine->name, at);
	}
}

static const void *engine_gen_params(struct kunit *test, const void *prev, char *desc)
{
	static struct engine engine;

	engine.row = prev ? engine.row + 1 : 0;
	engine.name = kexec_purgatory_engine(engine.row, &engine.number, &engine.usable);
	if (!engine.name)
		return NULL;
	strscpy(desc, engine.name, KUNIT_PARAM_DESC_SIZE);
	return &engine;
}

static void free_data(void *data)
{
	vfree(data);
}

static void free_code(void *code)
{
	size_t size = kexec_purgatory_test_end - kexec_purgatory_test_start;
	size_t pages = DIV_ROUND_UP(size, PAGE_SIZE);

	set_memory_nx((unsigned long)code, pages);
	set_memory_rw((unsigned long)code, pages);
	vfree(code);
}

static int purgatory_test_init(struct kunit *test)
{
	size_t size = kexec_purgatory_test_end - kexec_purgatory_test_start;
	const struct engine *engine = test->param_value;
	struct purgatory_test *priv;
	struct rnd_state rnd;
	void *code;
	int ret;

	if (!engine->usable)
		kunit_skip(test, "this CPU does not have what %s needs", engine->name);

	priv = kunit_kzalloc(test, sizeof(*priv), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, priv);
	test->priv = priv;

	priv->data = vmalloc(DATA_SIZE);
	KUNIT_ASSERT_NOT_NULL(test, priv->data);
	ret = kunit_add_action_or_reset(test, free_data, priv->data);
	KUNIT_ASSERT_EQ(test, ret, 0);
	prandom_seed_state(&rnd, 7);
	prandom_bytes_state(&rnd, priv->data, DATA_SIZE);

	code = vmalloc(size);
	KUNIT_ASSERT_NOT_NULL(test, code);
	memcpy(code, kexec_purgatory_test_start, size);
	priv->digests = code;
	set_memory_rox((unsigned long)code, DIV_ROUND_UP(size, PAGE_SIZE));
	return kunit_add_action_or_reset(test, free_code, code);
}

static struct kunit_case purgatory_test_cases[] = {
	KUNIT_CASE_PARAM(test_short_lengths, engine_gen_params),
	KUNIT_CASE_PARAM(test_leaf_edges, engine_gen_params),
	KUNIT_CASE_PARAM(test_every_leaf_counts, engine_gen_params),
	{}
};

static struct kunit_suite purgatory_test_suite = {
	.name = "kexec_purgatory_digest",
	.init = purgatory_test_init,
	.test_cases = purgatory_test_cases,
};

kunit_test_suite(purgatory_test_suite);
