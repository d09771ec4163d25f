// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the registration of policies
 */

#include <kunit/test.h>
#include <linux/kernel.h>
#include <linux/kexec.h>

#include <asm/kexec-loader.h>

/* What an attempt to register a policy returned, while another one ran */
static int registered;

static bool other_policy(struct kimage *image)
{
	return true;
}

/* Registers another policy, as the module does that a policy may load. */
static bool registering_policy(struct kimage *image)
{
	registered = kexec_purgatory_policy_register(NULL, other_policy);
	/* As that module may do when it fails */
	kexec_purgatory_policy_unregister(other_policy);
	return false;
}

static void test_one_at_a_time(struct kunit *test)
{
	struct kimage *image = kunit_kzalloc(test, sizeof(*image), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, image);
	KUNIT_EXPECT_EQ(test, kexec_purgatory_policy_ask(image), -ENOENT);
	KUNIT_ASSERT_EQ(test, kexec_purgatory_policy_register(NULL, other_policy), 0);
	KUNIT_EXPECT_EQ(test, kexec_purgatory_policy_register(NULL, registering_policy), -EBUSY);
	KUNIT_EXPECT_EQ(test, kexec_purgatory_policy_ask(image), 1);
	/* Nothing happens, as it is not registered. */
	kexec_purgatory_policy_unregister(registering_policy);
	KUNIT_EXPECT_EQ(test, kexec_purgatory_policy_ask(image), 1);
	kexec_purgatory_policy_unregister(other_policy);
	KUNIT_EXPECT_EQ(test, kexec_purgatory_policy_ask(image), -ENOENT);
}

static void test_registers_while_it_runs(struct kunit *test)
{
	struct kimage *image = kunit_kzalloc(test, sizeof(*image), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, image);
	registered = 0;
	KUNIT_ASSERT_EQ(test, kexec_purgatory_policy_register(NULL, registering_policy), 0);
	KUNIT_EXPECT_EQ(test, kexec_purgatory_policy_ask(image), 0);
	KUNIT_EXPECT_EQ(test, registered, -EBUSY);
	kexec_purgatory_policy_unregister(registering_policy);
}

static int policy_test_init(struct kunit *test)
{
	/* Once there is user space, a module may be registered, and a load may ask it. */
	if (system_state >= SYSTEM_RUNNING)
		kunit_skip(test, "modules may use the policy");
	return 0;
}

static struct kunit_case policy_test_cases[] = {
	KUNIT_CASE(test_one_at_a_time),
	KUNIT_CASE(test_registers_while_it_runs),
	{}
};

static struct kunit_suite policy_test_suite = {
	.name = "kexec_purgatory_policy",
	.init = policy_test_init,
	.test_cases = policy_test_cases,
};

kunit_test_suite(policy_test_suite);
