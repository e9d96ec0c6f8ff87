// SPDX-License-Identifier: GPL-2.0
/*
 * What several processors must keep true, tried from user mode:
 *
 *	lgsmp TEST SECONDS
 *
 * One thread on each processor.  The first changes translations, the others
 * use them all the while; whoever sees what was so before a change that has
 * returned ends the test with status 1.
 *
 *	map	a page is mapped over: nobody reads the page that was there
 *	protect	a page becomes read-only: nobody writes to it any more
 *	drop	a page is dropped: nobody reads what it held
 *	fork	a page is shared with a child: no thread writes to the child's
 *	barrier	membarrier, and futexes from thread to thread, counted
 *	clock	the clock, read in turn on all processors, never steps back
 *	locks	processes that fork, map and exit on all processors
 *
 *	lgsmp rate-cpu|rate-fork SECONDS
 *
 * How much two processes do in that time, of the same each: tests/bench/scaling.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGES	8	/* of the file that "map" maps from */

static volatile uint64_t *page;		/* the page that is changed */
static volatile uint64_t *stamps;	/* all of the file, for the stamps */
static _Atomic uint64_t phase;
static _Atomic bool stop;
static _Atomic uint64_t uses;
static int cpus, file;
static double seconds;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static _Noreturn void wrong(const char *what, uint64_t is, uint64_t should)
{
	printf("%s: %lu, should be %lu\n", what, is, should);
	fflush(stdout);
	_exit(1);
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % cpus, &set);
	sched_setaffinity(0, sizeof(set), &set);	/* it may be off-line */
}

static void wait_a_little(void)
{
	for (int i = 0; i < 200; i++)
		asm volatile("pause");
}

/* A write or read that may fault. */
static __thread sigjmp_buf back;

static void faulted(int sig)
{
	siglongjmp(back, sig);
}

static void map_use(void)
{
	uint64_t before = phase, is = *page;

	if (is < before)
		wrong("a page that was mapped over", is, before);
}

static void map_change(uint64_t g)
{
	stamps[g % PAGES * 512] = g;
	if (mmap((void *)page, 4096, PROT_READ | PROT_WRITE, MAP_SHARED |
		 MAP_FIXED, file, g % PAGES * 4096) == MAP_FAILED)
		wrong("mmap", 0, 1);
	phase = g;
}

static void protect_use(void)
{
	if (!sigsetjmp(back, 1))
		++*page;
	else
		sched_yield();
}

static void protect_change(uint64_t g)
{
	uint64_t was;

	(void)g;
	if (mprotect((void *)page, 4096, PROT_READ))
		wrong("mprotect", 0, 1);
	was = *page;
	wait_a_little();
	if (*page != was)
		wrong("a read-only page", *page, was);
	mprotect((void *)page, 4096, PROT_READ | PROT_WRITE);
	wait_a_little();
}

/* phase % 4: 1, it holds nothing; 2, it holds the phase; 0 or 3, it changes. */
static void drop_use(void)
{
	uint64_t before = phase, is = *page;

	if (before == phase && before % 4 % 3 && is != (before % 4 == 1 ? 0 : before))
		wrong("a page that was dropped or written", is, before);
}

static void drop_change(uint64_t g)
{
	phase = 4 * g;
	*page = 4 * g + 2;
	phase = 4 * g + 2;
	wait_a_little();
	phase = 4 * g + 3;
	madvise((void *)page, 4096, MADV_DONTNEED);
	phase = 4 * g + 5;
	wait_a_little();
}

static void fork_use(void)
{
	++*page;
}

static void fork_change(uint64_t g)
{
	pid_t pid = fork();
	int status;

	(void)g;
	if (!pid) {
		uint64_t was = *page;

		wait_a_little();
		_exit(*page != was);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
		wrong("a child's page changed: status", status, 0);
}

static void clock_use(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static double last;

	pthread_mutex_lock(&lock);
	double t = now();

	if (t < last)
		wrong("the clock stepped back, in ns", (last - t) * 1e9, 0);
	last = t;
	pthread_mutex_unlock(&lock);
}

static void clock_change(uint64_t g)
{
	(void)g;
	clock_use();
}

/* A ring of threads: each waits for its turn and hands it on. */
static _Atomic uint32_t turn;

static void pass(uint32_t me)
{
	uint32_t t = turn;

	if (t % cpus == me) {
		turn = t + 1;
		uses++;
		syscall(SYS_futex, &turn, FUTEX_WAKE, 64, NULL, NULL, 0);
	} else {
		syscall(SYS_futex, &turn, FUTEX_WAIT, t, NULL, NULL, 0);
	}
}

static void barrier_change(uint64_t g)
{
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0))
		wrong("membarrier", g, 0);
	pass(0);
}

static void locks_use(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		char *m = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		memset(m, 1, 1 << 16);
		munmap(m, 1 << 16);
		_exit(7);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 7 << 8)
		wrong("a child's status", status, 7 << 8);
}

static void locks_change(uint64_t g)
{
	(void)g;
	locks_use();
}

static const struct test {
	const char *name;
	void (*change)(uint64_t g), (*use)(void);
} tests[] = {
	{ "map", map_change, map_use },
	{ "protect", protect_change, protect_use },
	{ "drop", drop_change, drop_use },
	{ "fork", fork_change, fork_use },
	{ "barrier", barrier_change, NULL },
	{ "clock", clock_change, clock_use },
	{ "locks", locks_change, locks_use },
}, *test;

static void *user(void *arg)
{
	uint32_t me = (uintptr_t)arg;

	run_on(me);
	while (!stop) {
		if (!test->use) {
			pass(me);
			continue;
		}
		test->use();
		uses++;
	}
	return NULL;
}

/* Two processes, however many processors there are. */
static int rate(bool forks)
{
	volatile uint64_t *done = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double end = now() + seconds;

	for (int i = 0; i < 2; i++) {
		if (fork())
			continue;
		while (now() < end) {
			if (forks)
				locks_use();
			else
				for (volatile int n = 0; n < 100000; n++)
					;
			done[i * 512]++;
		}
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
	printf("%lu done\n", done[0] + done[512]);
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = faulted, .sa_flags = SA_NODEFER };
	pthread_t thread[64];
	uint64_t g = 0;

	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	seconds = argc > 2 ? atof(argv[2]) : 1;
	if (argc > 1 && !strncmp(argv[1], "rate-", 5))
		return rate(!strcmp(argv[1], "rate-fork"));
	for (test = tests; argc > 1 && strcmp(test->name, argv[1]); test++)
		if (test == tests + sizeof(tests) / sizeof(*tests) - 1)
			return 2;
	sigaction(SIGSEGV, &act, NULL);
	file = memfd_create("pages", 0);
	if (ftruncate(file, PAGES * 4096))
		return 2;
	stamps = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
		      file, 0);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!strcmp(test->name, "map"))
		map_change(++g);
	if (!strcmp(test->name, "drop"))
		phase = 1;
	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	for (uintptr_t i = 1; i < (uintptr_t)cpus; i++)
		if (pthread_create(&thread[i], NULL, user, (void *)i))
			return 2;
	run_on(0);
	for (double end = now() + seconds; now() < end; )
		test->change(++g);
	stop = true;
	if (!test->use) {			/* wake whoever waits for a turn */
		turn++;
		for (int i = 0; i < 1000; i++) {
			syscall(SYS_futex, &turn, FUTEX_WAKE, 64, NULL, NULL, 0);
			turn++;
			usleep(1000);
		}
	}
	for (int i = 1; i < cpus; i++)
		pthread_join(thread[i], NULL);
	printf("%s: %d processors, %lu changes, %lu uses\n", test->name, cpus,
	       g, (unsigned long)uses);
	return 0;
}
