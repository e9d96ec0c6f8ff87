// SPDX-License-Identifier: GPL-2.0
/*
 * ops.c - what "make bench" measures.  Static, needs a kernel and nothing else.
 *
 *	ops all [ROW]...	the rows of the table below
 *	ops time ROW CMD...	a command	ops tsc		the time-stamp counter
 *	ops disk DEVICE		ops serve PORT	ops net ADDRESS PORT
 *	ops up			row boot_to_init: this kernel's uptime
 *	ops watch CMD...	run a launcher; add its module's counts
 *	(called as "true": nothing, for fork and exec)
 *
 * Each row is "ROW NAME VALUE UNIT N": time-stamp counter ticks an operation
 * (under QEMU's -icount: instructions) in UNIT of a 1 GHz clock, and how many
 * operations there were.  "MARK" comes before it.  Both are followed by a
 * pause in which "watch" reads the counts, and the timed part stands between
 * two no-ops that events.so sees.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>
#include "../../extracted/include/lguest.h"

#define PAGE	4096l
#define MIB	(1l << 20)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)
#define SEEN(c)	asm volatile(".byte 0x0f, 0x1f, 0x80, 'g', 'u', 'e', " c ::: "memory")

static void fail(const char *what)
{
	printf("FAIL: ops: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t began;
static int unseen;		/* a first run, so that caches and tables are warm */

static void begin(void)
{
	if (unseen)
		return;
	printf("MARK\n");
	usleep(20000);
	SEEN("'0'");
	began = __rdtsc();
}

static void end(const char *row, double per, const char *unit, long n)
{
	uint64_t t = __rdtsc() - began;

	if (unseen)
		return;
	SEEN("'1'");
	printf("ROW %s %.2f %s %ld\n", row, t / per / n, unit, n);
	usleep(20000);
}

static char *pages(long n, int flags, int fd)
{
	char *p = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		fail("mmap");
	madvise(p, n * PAGE, MADV_NOHUGEPAGE);
	return p;
}

static void touch(volatile char *p, long n, int write)
{
	for (; n--; p += PAGE)
		if (write)
			*p = 1;
		else
			(void)*p;
}

/* Each runs its operation n times; first and last bracket the timed part. */
struct row {
	const char *name;
	void (*fn)(const struct row *);
	long n;
	double per;
	const char *unit;
};
static void last(const struct row *r) { end(r->name, r->per, r->unit, r->n); }
#define LOOP(r, ...) do {						\
		begin();						\
		for (long i_ = 0; i_ < (r)->n; i_++) { __VA_ARGS__; }	\
		last(r);						\
	} while (0)

static void nothing(const struct row *r) { LOOP(r, ); }
static void null_syscall(const struct row *r) { LOOP(r, syscall(SYS_getppid)); }

/* One exit and back, with a read of guest memory: Xen's forced cpuid. */
static void xen_cpuid(const struct row *r)
{
	if (access("/sys/hypervisor/type", F_OK))
		return;
	LOOP(r, ({ unsigned int a_ = 0x40000000, b_, c_, d_;
		asm volatile(".byte 0x0f,0x0b,0x78,0x65,0x6e,0x0f,0xa2"
			     : "+a" (a_), "=b" (b_), "=c" (c_), "=d" (d_)); }));
}

static void clock_get(const struct row *r)
{
	struct timespec t;

	LOOP(r, clock_gettime(CLOCK_MONOTONIC, &t));
}

static void ignore(int s) { (void)s; }

static void signals(const struct row *r)
{
	pid_t me = getpid();

	signal(SIGUSR1, ignore);
	LOOP(r, syscall(SYS_kill, me, SIGUSR1));
}

static char *page;

static void unprotect(int s)
{
	(void)s;
	mprotect(page, PAGE, PROT_READ | PROT_WRITE);
}

static void prot_fault(const struct row *r)
{
	page = pages(1, ANON, -1);
	touch(page, 1, 1);
	signal(SIGSEGV, unprotect);
	LOOP(r, mprotect(page, PAGE, PROT_READ); touch(page, 1, 1));
	signal(SIGSEGV, SIG_DFL);
	munmap(page, PAGE);
}

static void mprotect_flip(const struct row *r)
{
	char *p = pages(1, ANON, -1);

	touch(p, 1, 1);
	LOOP(r, mprotect(p, PAGE, PROT_READ); touch(p, 1, 0);
	     mprotect(p, PAGE, PROT_READ | PROT_WRITE); touch(p, 1, 1));
	munmap(p, PAGE);
}

static void map_at(const struct row *r, void *where)
{
	LOOP(r, char *p = mmap(where, 16 * PAGE, PROT_READ | PROT_WRITE, ANON, -1, 0);
	     touch(p, 1, 1);
	     munmap(p, 16 * PAGE));
}
static void mmap_munmap(const struct row *r) { map_at(r, NULL); }
/* Nothing else is near, so its page tables come and go. */
static void mmap_alone(const struct row *r) { map_at(r, (void *)(3l << 40)); }

static void fault_in(const struct row *r, char *p, int write)
{
	begin();
	touch(p, r->n, write);
	last(r);
	munmap(p, r->n * PAGE);
}
static void pf_anon(const struct row *r) { fault_in(r, pages(r->n, ANON, -1), 1); }

static char *of_file(const struct row *r)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	char *p = pages(1, ANON, -1);

	memset(p, 1, PAGE);
	for (long i = 0; i < r->n; i++)
		if (write(fd, p, PAGE) != PAGE)
			fail("a file in /tmp");
	munmap(p, PAGE);
	p = pages(r->n, MAP_SHARED, fd);
	close(fd);
	return p;
}
static void pf_file_read(const struct row *r) { fault_in(r, of_file(r), 0); }
static void pf_file_write(const struct row *r) { fault_in(r, of_file(r), 1); }

static void pf_cow(const struct row *r)
{
	char *p = pages(r->n, ANON, -1);

	touch(p, r->n, 1);
	if (!fork()) {
		fault_in(r, p, 1);
		exit(0);
	}
	wait(NULL);
	munmap(p, r->n * PAGE);
}

static void forks(const struct row *r)
{
	LOOP(r, if (!fork()) _exit(0); wait(NULL));
}

static void fork_32m(const struct row *r)
{
	char *p = pages(32 * MIB / PAGE, ANON, -1);

	touch(p, 32 * MIB / PAGE, 1);
	forks(r);
	munmap(p, 32 * MIB);
}

static void child_true(pid_t pid)
{
	int s;

	if (!pid) {
		execl("/proc/self/exe", "true", NULL);
		_exit(127);
	}
	if (wait(&s) < 0 || s)
		fail("exec");
}
static void fork_exec(const struct row *r) { LOOP(r, child_true(fork())); }
static void vfork_exec(const struct row *r) { LOOP(r, child_true(vfork())); }

static void ctx_pipe(const struct row *r)
{
	int to[2], from[2];
	char c = 0;

	if (pipe(to) || pipe(from))
		fail("pipe");
	if (!fork()) {
		close(to[1]);
		while (read(to[0], &c, 1) == 1 && write(from[1], &c, 1) == 1)
			;
		_exit(0);
	}
	LOOP(r, if (write(to[1], &c, 1) != 1 || read(from[0], &c, 1) != 1) fail("pipe"));
	close(to[0]); close(to[1]); close(from[0]); close(from[1]);
	wait(NULL);
}

static int turn;

static void pass(int from, int to)
{
	while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != from)
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, !from, NULL, NULL, 0);
	__atomic_store_n(&turn, to, __ATOMIC_RELEASE);
	syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *partner(void *n)
{
	for (long i = *(long *)n; i; i--)
		pass(1, 0);
	return NULL;
}

static void futex_rt(const struct row *r)
{
	pthread_t t;
	long n = r->n;

	turn = 0;
	if (pthread_create(&t, NULL, partner, &n))
		fail("pthread_create");
	LOOP(r, pass(0, 1));
	pthread_join(t, NULL);
}

static const struct row rows[] = {
	{ "nothing", nothing, 1, 1, "ns" },
	{ "null_syscall", null_syscall, 20000, 1, "ns" },
	{ "xen_cpuid", xen_cpuid, 20000, 1, "ns" },
	{ "clock_gettime", clock_get, 20000, 1, "ns" },
	{ "signal", signals, 5000, 1, "ns" },
	{ "prot_fault_sig", prot_fault, 2000, 1, "ns" },
	{ "mprotect_flip", mprotect_flip, 4000, 1, "ns" },
	{ "mmap_munmap", mmap_munmap, 4000, 1, "ns" },
	{ "mmap_alone", mmap_alone, 2000, 1, "ns" },
	{ "pf_anon", pf_anon, 4096, 1, "ns/page" },
	{ "pf_file_read", pf_file_read, 4096, 1, "ns/page" },
	{ "pf_file_write", pf_file_write, 4096, 1, "ns/page" },
	{ "pf_cow", pf_cow, 4096, 1, "ns/page" },
	{ "fork_small", forks, 200, 1e3, "us" },
	{ "fork_32m", fork_32m, 20, 1e3, "us" },
	{ "fork_exec", fork_exec, 100, 1e3, "us" },
	{ "vfork_exec", vfork_exec, 100, 1e3, "us" },
	{ "ctx_pipe_rt", ctx_pipe, 5000, 1e3, "us" },
	{ "futex_rt", futex_rt, 5000, 1e3, "us" },
};

static void all(char **names)
{
	for (const struct row *r = rows; r < rows + sizeof(rows) / sizeof(*rows); r++) {
		char **w = names;

		while (*w && strcmp(*w, r->name))
			w++;
		if (*names && !*w)
			continue;
		struct row warm = *r;

		warm.n = r->n / 20 + 2;
		unseen = 1;
		warm.fn(&warm);
		unseen = 0;
		r->fn(r);
	}
}

static void command(char **argv)
{
	pid_t pid;
	int s;

	begin();
	pid = fork();
	if (!pid) {
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	if (waitpid(pid, &s, 0) != pid || s)
		fail(argv[0]);
	end(argv[0], 1e6, "ms", 1);
}

static void disk(const char *device)
{
	static const char *const name[2][2] = { { "blk_seq_read", "blk_seq_write" },
		{ "blk_rand4k_read", "blk_rand4k_write" } };
	int fd = open(device, O_RDWR | O_DIRECT);
	char *p = pages(MIB / PAGE, ANON, -1);
	off_t size = lseek(fd, 0, SEEK_END);
	uint64_t x = 88172645463325252;

	if (fd < 0 || size < 64 * MIB)
		fail(device);
	memset(p, 0x5a, MIB);
	for (int small = 0; small < 2; small++) {
		for (int write = 1; write >= 0; write--) {
			long n = small ? 1000 : 64, len = small ? PAGE : MIB;

			begin();
			for (long i = 0; i < n; i++) {
				off_t at = i * len;

				x ^= x << 13; x ^= x >> 7; x ^= x << 17;
				if (small)
					at = x % (size / PAGE) * PAGE;
				if ((write ? pwrite(fd, p, len, at) :
				     pread(fd, p, len, at)) != len)
					fail(device);
			}
			if (write && !small)
				fsync(fd);
			end(name[small][write], 1e3, small ? "us" : "us/MiB", n);
		}
	}
}

/* A request is how many bytes the client sends, and how many it gets. */
static void move(int fd, long n, int out)
{
	static char buf[65536];

	while (n) {
		size_t k = n < (long)sizeof(buf) ? n : (long)sizeof(buf);
		ssize_t r = out ? send(fd, buf, k, MSG_NOSIGNAL) : recv(fd, buf, k, 0);

		if (r <= 0)
			fail("connection");
		n -= r;
	}
}

static int tcp(const char *address, int port, struct sockaddr_in *a)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*a = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
	if (fd < 0 || inet_pton(AF_INET, address, &a->sin_addr) != 1)
		fail(address);
	return fd;
}

static void serve(int port)
{
	struct sockaddr_in a;
	int fd = tcp("0.0.0.0", port, &a), one = 1, c;
	long want[2];

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (void *)&a, sizeof(a)) || listen(fd, 4))
		fail("listen");
	for (; (c = accept(fd, NULL, NULL)) >= 0; close(c)) {
		setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		while (recv(c, want, sizeof(want), MSG_WAITALL) == sizeof(want)) {
			move(c, want[0], 0);
			move(c, want[1], 1);
		}
	}
}

static void request(int fd, long out, long in)
{
	long want[2] = { out, in };

	move(fd, 0, 1);
	if (send(fd, want, sizeof(want), out ? MSG_MORE : 0) != sizeof(want))
		fail("send");
	move(fd, out, 1);
	move(fd, in, 0);
}

static void net(const char *address, int port)
{
	struct sockaddr_in a;
	int fd, one = 1, tries = 50;

	while (connect(fd = tcp(address, port, &a), (void *)&a, sizeof(a))) {
		if (!tries--)
			fail("connect");
		close(fd);
		usleep(100000);
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (int i = 0; i < 20; i++)
		request(fd, 1, 1);
	begin();
	for (int i = 0; i < 500; i++)
		request(fd, 1, 1);
	end("net_tcp_rr", 1e3, "us", 500);
	begin();
	request(fd, 32 * MIB, 1);
	end("net_tcp_tx", 1e3, "us/MiB", 32);
	begin();
	request(fd, 1, 32 * MIB);
	end("net_tcp_rx", 1e3, "us/MiB", 32);
}

/* The launcher's open file of /dev/lguest, taken from its table. */
static int guest_of(pid_t pid)
{
	int at = syscall(SYS_pidfd_open, pid, 0);
	char link[64], to[64];

	for (int fd = 3; fd < 256; fd++) {
		snprintf(link, sizeof(link), "/proc/%d/fd/%d", pid, fd);
		ssize_t n = readlink(link, to, sizeof(to) - 1);

		to[n < 0 ? 0 : n] = 0;
		if (!strcmp(to, "/dev/lguest"))
			return syscall(SYS_pidfd_getfd, at, fd, 0);
	}
	return -1;
}

static int watch(char **argv)
{
	static const char *const names[] = { "exits", "hypercalls", "faults", "fills",
		"irqs", "events", "emulated", "flushes" };
	union { struct lg_stats st; __u64 n[sizeof(struct lg_stats) / 8]; } was = { .n = { 0 } }, is;
	char line[4096], row[64];
	int fd = -1, s, p[2];
	pid_t pid;
	FILE *f;

	if (pipe(p))
		fail("pipe");
	pid = fork();
	if (!pid) {
		dup2(p[1], 1);
		close(p[0]); close(p[1]);
		execvp(argv[0], argv);
		fail(argv[0]);
	}
	close(p[1]);
	f = fdopen(p[0], "r");
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\r\n")] = 0;
		puts(line);
		if (strcmp(line, "MARK") && sscanf(line, "ROW %63s", row) != 1)
			continue;
		if (fd < 0)
			fd = guest_of(pid);
		if (fd < 0 || ioctl(fd, LG_STATS, &is.st))
			continue;	/* not lguest, or a module without counts */
		if (*line == 'M') {
			was = is;
			continue;
		}
		printf("STATS %s", row);
		for (int i = 0; i < 8; i++)
			printf(" %s %llu", names[i], is.n[i] - was.n[i]);
		printf("\nWHY %s", row);
		for (unsigned int i = 9; i < sizeof(is) / 8; i++) {
			static const char *const more[] = { "zaps", "ports", "runs" };
			static const unsigned int from = offsetof(struct lg_stats, reasons) / 8,
				calls = offsetof(struct lg_stats, calls) / 8,
				others = offsetof(struct lg_stats, zaps) / 8;
			__u64 n = is.n[i] - was.n[i];

			if (i < others && n)
				printf(" %s_%u %llu", i < calls ? "exit" : "call",
				       i - (i < calls ? from : calls), n);
			else if (i >= others)
				printf(" %s %llu", more[i - others], n);
		}
		printf("\n");
	}
	waitpid(pid, &s, 0);
	return WIFEXITED(s) ? WEXITSTATUS(s) : 128 + WTERMSIG(s);
}

int main(int argc, char **argv)
{
	const char *self = strrchr(argv[0], '/'), *what = argc > 1 ? argv[1] : "";
	struct timespec t;

	if (!strcmp(self ? self + 1 : argv[0], "true"))
		return 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(what, "all"))
		all(argv + 2);
	else if (!strcmp(what, "time") && argc > 3)
		command(argv + 2);
	else if (!strcmp(what, "disk") && argc == 3)
		disk(argv[2]);
	else if (!strcmp(what, "serve") && argc == 3)
		serve(atoi(argv[2]));
	else if (!strcmp(what, "net") && argc == 4)
		net(argv[2], atoi(argv[3]));
	else if (!strcmp(what, "watch") && argc > 2)
		return watch(argv + 2);
	else if (!strcmp(what, "tsc") && argc > 2) {
		SEEN("'1'");
		printf("%llu\n", __rdtsc());
	} else if (!strcmp(what, "tsc")) {
		SEEN("'0'");
		printf("%llu\n", __rdtsc());
	} else if (!strcmp(what, "up") && !clock_gettime(CLOCK_BOOTTIME, &t)) {
		SEEN("'1'");
		printf("ROW boot_to_init %.2f ms 1\n", t.tv_sec * 1e3 + t.tv_nsec / 1e6);
	} else
		fail("usage: see ops.c");
	return 0;
}
