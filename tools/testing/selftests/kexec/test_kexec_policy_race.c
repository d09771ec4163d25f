// SPDX-License-Identifier: GPL-2.0-only
/*
 * CONFIG_KEXEC_PURGATORY_VERIFY=m: modules are loaded and unloaded while images are
 * loaded and sysfs is read
 *
 * At any time, an image has a decision that was in force while it was loaded, and
 * at most one policy is in force. Most useful on a kernel with
 * CONFIG_PROVE_LOCKING and CONFIG_KASAN.
 *
 * Loads images and modules, enters no image. Needs root. See kexec_image.h and
 * kexec_module.h for the environment.
 */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <sys/wait.h>

#include "kexec_image.h"
#include "kexec_module.h"

/* Number of refused modules, of unloads, and of load and unload cycles */
#define REFUSALS	100
#define UNLOADS		30
#define CYCLES		150

#define NO_MODULE	"direct: KEXEC_PURGATORY_VERIFY=m and no policy module is loaded"
#define BY_VERIFY	"verified: policy of " VERIFY_MODULE
/* The sample verifies images with a small initramfs, or none. */
#define BY_SAMPLE	" policy of " SAMPLE_MODULE

/* Memory that the processes, which run at the same time, share */
static struct {
	atomic_int cycles[2];		/* loads and unloads of each module */
	atomic_int refused;		/* modules refused, as the other one was loaded */
	atomic_int loads;		/* loads of images */
	atomic_int verified, direct;	/* decisions about these images */
	atomic_int reads;		/* reads of sysfs */
	atomic_int wrong;
	atomic_bool stop;
} *shared;

static int verify_fd, sample_fd;

/* Starts a process that calls @step until all processes have to stop. */
static pid_t start(void (*step)(void))
{
	pid_t pid = fork();

	if (pid < 0)
		ksft_exit_fail_perror("fork");
	if (pid)
		return pid;
	while (!shared->stop)
		step();
	_exit(0);
}

/* Reports a failure, to standard output, from any of the processes. */
static void wrong(const char *what, const char *found)
{
	shared->wrong++;
	ksft_print_msg("%s: %s\n", what, found);
}

/* Loads a module and unloads it again, unless it is refused because of the other one. */
static void cycle(int index, int fd, const char *name)
{
	int error = insert_module(fd);

	switch (error) {
	case 0:
		error = remove_module(name);
		if (error)
			wrong(name, strerrorname_np(error));
		break;
	case EBUSY:
		shared->refused++;
		break;
	default:
		wrong(name, strerrorname_np(error));
	}
	shared->cycles[index]++;
}

static void cycle_verify(void)
{
	cycle(0, verify_fd, VERIFY_MODULE);
}

static void cycle_sample(void)
{
	cycle(1, sample_fd, SAMPLE_MODULE);
}

static bool is_decision(const char *text)
{
	return !strcmp(text, NO_MODULE) || !strcmp(text, BY_VERIFY) ||
	       !strcmp(text, "verified:" BY_SAMPLE) || !strcmp(text, "direct:" BY_SAMPLE);
}

static void load_image(void)
{
	const char *decision;
	int error = load(0);

	decision = sysfs("verify_loaded");
	if (error)
		wrong("load", strerrorname_np(error));
	else if (!is_decision(decision))
		wrong("verify_loaded", decision);
	else if (has_prefix(decision, "verified"))
		shared->verified++;
	else
		shared->direct++;
	shared->loads++;
}

static void read_sysfs(void)
{
	const char *policy = sysfs("verify_policy");
	const char *decision = sysfs("verify_loaded");

	if (strcmp(policy, NO_MODULE) && strcmp(policy, "policy: " VERIFY_MODULE) &&
	    strcmp(policy, "policy: " SAMPLE_MODULE))
		wrong("verify_policy", policy);
	if (!is_decision(decision))
		wrong("verify_loaded", decision);
	shared->reads++;
}

static void test_second(void)
{
	int others = 0;

	if (insert_module(verify_fd))
		ksft_exit_fail_perror(VERIFY_MODULE);
	for (int i = 0; i < REFUSALS; i++)
		others += insert_module(sample_fd) != EBUSY;
	ksft_test_result(!others && !strcmp(sysfs("verify_policy"), "policy: " VERIFY_MODULE),
			 "the second module gets EBUSY, %d times\n", REFUSALS);
	remove_module(VERIFY_MODULE);
}

static void test_unload(void)
{
	int others = 0;

	for (int i = 0; i < UNLOADS; i++) {
		if (insert_module(verify_fd) || load(0) || remove_module(VERIFY_MODULE))
			others++;
		else if (strcmp(sysfs("verify_loaded"), BY_VERIFY) ||
			 strcmp(sysfs("verify_policy"), NO_MODULE))
			others++;
	}
	ksft_test_result(!others, "an image stays verified without the module, %d times\n",
			 UNLOADS);
}

static void test_race(void)
{
	void (*const steps[])(void) = { cycle_verify, cycle_sample, load_image, read_sysfs };
	pid_t pids[ARRAY_SIZE(steps)];
	int status, died = 0, said = 0;

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		pids[i] = start(steps[i]);
	/* Go on until everything has happened, however slow the machine is. */
	while (shared->cycles[0] < CYCLES || shared->cycles[1] < CYCLES || !shared->refused ||
	       !shared->verified || !shared->direct) {
		if (shared->cycles[0] / 50 > said) {
			said++;
			ksft_print_msg("%d cycles, %d loads\n", shared->cycles[0], shared->loads);
		}
		if (waitpid(-1, &status, WNOHANG) > 0) {
			died++;
			break;
		}
		usleep(100000);
	}
	shared->stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		if (waitpid(pids[i], &status, 0) == pids[i])
			died += status != 0;
	}
	ksft_print_msg("%d and %d cycles, %d refused\n", shared->cycles[0], shared->cycles[1],
		       shared->refused);
	ksft_print_msg("%d loads, %d verified, %d direct; %d reads\n", shared->loads,
		       shared->verified, shared->direct, shared->reads);
	ksft_test_result(!died && !shared->wrong,
			 "modules come and go while images are loaded\n");
	ksft_test_result(!strcmp(sysfs("verify_policy"), NO_MODULE), "and no policy is left\n");
}

int main(void)
{
	ksft_print_header();
	open_image();
	if (strcmp(sysfs("verify_policy"), NO_MODULE))
		ksft_exit_skip("the policy is not to be chosen, but '%s'\n",
			       sysfs("verify_policy"));
	verify_fd = open_verify_module();
	sample_fd = open_sample_module();
	if (verify_fd < 0 || sample_fd < 0)
		ksft_exit_skip("%s or %s is missing, set MODULES\n", VERIFY_MODULE, SAMPLE_MODULE);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED)
		ksft_exit_fail_perror("mmap");

	ksft_set_plan(4);
	test_second();
	test_unload();
	test_race();
	unload(0);
	ksft_finished();
}
