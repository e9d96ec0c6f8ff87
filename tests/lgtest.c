// SPDX-License-Identifier: GPL-2.0
/*
 * The rig's test programs in one static binary, for guest and host:
 *
 *	lgtest vectors SEED SECONDS [avx]
 *		Fill the x87, SSE and AVX registers and MXCSR with patterns, let
 *		time and system calls pass, see that they are unchanged.
 *	lgtest clock SECONDS CLOCK
 *		Regress a clock (monotonic, raw) on the TSC, which guest and
 *		host share; watch for steps back.
 *	lgtest tsc
 *		Print the TSC: with QEMU's -icount shift=0 it counts instructions.
 *	lgtest kvm SECONDS
 *		A guest under KVM that counts by port output, checked.
 *	lgtest call PID NUMBER [ARGUMENT]...
 *		Have another process, asleep in a system call, make this one;
 *		a child that it makes is held until our standard input ends.
 *	lgtest advise PID START LENGTH ADVICE
 *		process_madvise.
 *	lgtest migrate PID FROM TO
 *		migrate_pages, from nodes to nodes (masks).
 *	lgtest times FILE OTHER
 *		Give a file another's time of modification, to the nanosecond.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static uint64_t rdtsc(void)
{
	uint32_t a, d;

	asm volatile("lfence; rdtsc" : "=a"(a), "=d"(d) : : "memory");
	return (uint64_t)d << 32 | a;
}

static uint64_t random_state;

static uint64_t rnd(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	return random_state ^= random_state << 17;
}

/* The XSAVE image: legacy area, header, AVX's upper halves (standard form). */
static uint8_t want[4096] __attribute__((aligned(64)));
static uint8_t got[4096] __attribute__((aligned(64)));
static int avx, avx_at;

static void fill(void)
{
	int i;

	memset(want, 0, sizeof(want));
	/* x87: rounding and precision vary; exceptions stay masked */
	*(uint16_t *)want = 0x007f | (rnd() & 0x0f00);
	want[4] = 0xff;				/* all eight registers in use */
	*(uint32_t *)(want + 24) = 0x1f80 | (rnd() & 0xe000);	/* MXCSR */
	for (i = 0; i < 8; i++) {
		uint64_t m = rnd() | 1ull << 63;	/* a normal number */

		memcpy(want + 32 + 16 * i, &m, 8);
		*(uint16_t *)(want + 40 + 16 * i) = 0x3f00 + (rnd() & 0xff);
	}
	for (i = 0; i < 32; i++)
		((uint64_t *)(want + 160))[i] = rnd();
	want[512] = avx ? 7 : 3;
	for (i = 0; avx && i < 32; i++)
		((uint64_t *)(want + avx_at))[i] = rnd();
}

/* Nothing between restore and save touches a vector register. */
static void pass_time(unsigned long loops, int calls)
{
	long n;

#define SPIN	"1:	mov	%[loops], %%rdx\n"			\
		"2:	dec	%%rdx\n"				\
		"	jnz	2b\n"					\
		"	dec	%[calls]\n"				\
		"	js	3f\n"					\
		"	mov	%[nr], %%eax\n"				\
		"	syscall\n"					\
		"	jmp	1b\n"					\
		"3:\n"
	if (avx)
		asm volatile("mov $7, %%eax; xor %%edx, %%edx; xrstor64 %[want]\n"
			     SPIN
			     "mov $7, %%eax; xor %%edx, %%edx; xsave64 %[got]\n"
			     : [got] "+m"(got), [calls] "+r"(calls), "=&a"(n)
			     : [want] "m"(want), [loops] "r"(loops),
			       [nr] "i"(SYS_sched_yield)
			     : "rdx", "rcx", "r11", "memory", "cc");
	else
		asm volatile("fxrstor64 %[want]\n" SPIN "fxsave64 %[got]\n"
			     : [got] "+m"(got), [calls] "+r"(calls), "=&a"(n)
			     : [want] "m"(want), [loops] "r"(loops),
			       [nr] "i"(SYS_sched_yield)
			     : "rdx", "rcx", "r11", "memory", "cc");
}

static int differ(const char *name, int at, int size)
{
	int i;

	if (!memcmp(want + at, got + at, size))
		return 0;
	for (i = 0; want[at + i] == got[at + i]; i++)
		;
	printf("vectors: %s changed: byte %d is %02x, not %02x\n", name, i,
	       got[at + i], want[at + i]);
	return 1;
}

static int vectors(int argc, char **argv)
{
	unsigned int a, b, c, d, i;
	double end;
	long rounds = 0;
	int bad = 0;

	random_state = strtoul(argv[2], NULL, 0) * 0x9e3779b97f4a7c15ull + 1;
	end = now() + atof(argv[3]);
	__cpuid(1, a, b, c, d);
	if (c & bit_OSXSAVE && c & bit_AVX) {
		uint32_t lo, hi;

		asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
		avx = (lo & 7) == 7;
		__cpuid_count(13, 2, a, b, c, d);
		avx_at = b;
		if (avx && (a != 256 || avx_at + 256 > (int)sizeof(want))) {
			printf("vectors: CPUID 0xd,2 says %u at %u\n", a, b);
			return 1;
		}
	}
	if (argc > 4 && !avx) {
		printf("vectors: no AVX here\n");
		return 1;
	}
	do {
		fill();
		memset(got, 0xcc, sizeof(got));
		pass_time(rnd() % 400000, rnd() % 4);
		bad |= differ("x87 control word", 0, 2);
		bad |= differ("MXCSR", 24, 4);
		for (i = 0; i < 8; i++)
			bad |= differ("an x87 register", 32 + 16 * i, 10);
		bad |= differ("xmm", 160, 256);
		if (avx)
			bad |= differ("ymm's upper half", avx_at, 256);
		rounds++;
	} while (!bad && now() < end);
	printf("vectors: %ld rounds with %s: %s\n", rounds,
	       avx ? "x87, SSE, AVX" : "x87, SSE", bad ? "CHANGED" : "intact");
	return bad;
}

static int64_t ns(clockid_t id, int vdso)
{
	struct timespec t;

	if (vdso)
		clock_gettime(id, &t);
	else
		syscall(SYS_clock_gettime, id, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

#define SAMPLES	4096

static int clocks(char **argv)
{
	static struct { uint64_t tsc, window; int64_t ns; } s[SAMPLES];
	clockid_t id = strcmp(argv[3], "raw") ? CLOCK_MONOTONIC : CLOCK_MONOTONIC_RAW;
	int64_t last = 0, t, back = 0, end, start, step;
	int n = 0, i, used = 0;
	long double sx = 0, sy = 0, sxx = 0, sxy = 0, slope, off, worst = 0;
	static uint64_t windows[SAMPLES];
	uint64_t limit;
	unsigned long reads = 0;

	start = last = ns(id, 1);
	end = start + atol(argv[2]) * 1000000000ll;
	step = (end - start) / (SAMPLES - 1);
	do {
		uint64_t a, b;

		a = rdtsc();
		t = ns(id, reads % 16 != 0);	/* one in 16 by system call */
		b = rdtsc();
		reads++;
		if (t - last < back)
			back = t - last;
		last = t;
		if (n < SAMPLES && t >= start + n * step) {
			s[n].tsc = a + (b - a) / 2;
			s[n].window = b - a;
			s[n++].ns = t;
		} else if (n && b - a < s[n - 1].window &&
			   t < start + (n - 1) * step + step / 4) {
			s[n - 1].tsc = a + (b - a) / 2;	/* a sharper one */
			s[n - 1].window = b - a;
			s[n - 1].ns = t;
		} else if (n < SAMPLES && t < start + n * step &&
			   t > start + (n - 1) * step + step / 4) {
			/* No sharper one now: let others run. */
			int64_t rest = start + n * step - t;

			nanosleep(&(struct timespec) { .tv_nsec = rest }, NULL);
		}
	} while (t < end);

	/* Only samples that nothing interrupted: at most twice the median. */
	for (i = 0; i < n; i++)
		windows[i] = s[i].window;
	qsort(windows, n, sizeof(*windows), by_size);
	limit = 2 * windows[n / 2];
	for (i = 0; i < n; i++) {
		long double x = s[i].tsc - s[0].tsc, y = s[i].ns - s[0].ns;

		if (s[i].window > limit)
			continue;
		used++;
		sx += x; sy += y; sxx += x * x; sxy += x * y;
	}
	slope = (used * sxy - sx * sy) / (used * sxx - sx * sx);
	off = (sy - slope * sx) / used;
	for (i = 0; i < n; i++) {
		long double e = s[i].ns - s[0].ns - off - slope * (s[i].tsc - s[0].tsc);

		if (s[i].window <= limit && (e < 0 ? -e : e) > worst)
			worst = e < 0 ? -e : e;
	}
	printf("clock %s: %.12Lf ns a tick, %d of %d samples, %.1f s, %lu reads, "
	       "off the line by at most %.0Lf ns, steps back %lld ns\n", argv[3],
	       slope, used, n, (s[n - 1].ns - s[0].ns) * 1e-9, reads, worst,
	       (long long)back);
	return back < 0;
}

#define CHECK(what)	do { if ((long)(what) < 0) {			\
	perror("kvm: " #what); return 1; } } while (0)

/* Real mode: mov $16, %dx; xor %ax, %ax; 1: inc %ax; out %ax, %dx; jmp 1b */
static const uint8_t real_mode[] = {
	0xba, 0x10, 0x00, 0x31, 0xc0, 0x40, 0xef, 0xeb, 0xfc,
};

static int kvm(char **argv)
{
	struct kvm_userspace_memory_region region = { .memory_size = 4096 };
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rflags = 2 };
	struct kvm_run *run;
	int kvm, vm, cpu, size;
	uint16_t count = 0;
	unsigned long exits = 0;
	double end = now() + atof(argv[2]);
	void *mem;

	CHECK(kvm = open("/dev/kvm", O_RDWR));
	CHECK(vm = ioctl(kvm, KVM_CREATE_VM, 0));
	mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		   -1, 0);
	memcpy(mem, real_mode, sizeof(real_mode));
	region.userspace_addr = (uintptr_t)mem;
	CHECK(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region));
	CHECK(cpu = ioctl(vm, KVM_CREATE_VCPU, 0));
	CHECK(size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	CHECK(ioctl(cpu, KVM_GET_SREGS, &sregs));
	sregs.cs.base = sregs.cs.selector = 0;
	CHECK(ioctl(cpu, KVM_SET_SREGS, &sregs));
	CHECK(ioctl(cpu, KVM_SET_REGS, &regs));
	do {
		uint16_t v;

		CHECK(ioctl(cpu, KVM_RUN, 0));
		if (run->exit_reason != KVM_EXIT_IO || run->io.port != 0x10) {
			printf("kvm: unexpected exit %u\n", run->exit_reason);
			return 1;
		}
		memcpy(&v, (char *)run + run->io.data_offset, 2);
		if (v != ++count) {
			printf("kvm: the guest said %u, not %u\n", v, count);
			return 1;
		}
		exits++;
	} while (now() < end);
	printf("kvm: %lu exits, each with the right count\n", exits);
	return 0;
}

#define TRY(x) do { if ((long)(x) == -1) { perror("call: " #x); return 1; } } while (0)

/*
 * The process sleeps in a system call, so the instruction before its rip is
 * "syscall".  When it is let go, it makes its own call again.
 */
static int call(int argc, char **argv)
{
	struct user_regs_struct own, r;
	unsigned long child = 0;
	pid_t pid = atoi(argv[2]);
	unsigned long long *args[] = { &r.rax, &r.rdi, &r.rsi, &r.rdx, &r.r10 };
	int i, status;

	TRY(ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEFORK));
	TRY(ptrace(PTRACE_INTERRUPT, pid, 0, 0));
	TRY(waitpid(pid, &status, __WALL));
	TRY(ptrace(PTRACE_GETREGS, pid, 0, &own));
	r = own;
	r.orig_rax = -1;	/* nothing to restart */
	r.rip -= 2;
	for (i = 3; i < argc && i < 8; i++)
		*args[i - 3] = strtoull(argv[i], NULL, 0);
	TRY(ptrace(PTRACE_SETREGS, pid, 0, &r));
	TRY(ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
	TRY(waitpid(pid, &status, __WALL));
	if (status >> 8 == (SIGTRAP | PTRACE_EVENT_FORK << 8)) {
		TRY(ptrace(PTRACE_GETEVENTMSG, pid, 0, &child));
		TRY(ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
		TRY(waitpid(pid, &status, __WALL));
	}
	TRY(ptrace(PTRACE_GETREGS, pid, 0, &r));
	own.rip -= own.orig_rax == ~0ULL ? 0 : 2;
	if (own.orig_rax != ~0ULL)
		own.rax = own.orig_rax;
	own.orig_rax = -1;
	TRY(ptrace(PTRACE_SETREGS, pid, 0, &own));
	TRY(ptrace(PTRACE_DETACH, pid, 0, 0));
	printf("%lld\n", (long long)r.rax);
	fflush(stdout);
	if (child) {
		while (read(0, &status, 1) > 0)
			;
		TRY(kill(child, SIGKILL));
		TRY(waitpid(child, &status, __WALL));
	}
	return (long long)r.rax < 0;
}

static int advise(char **argv)
{
	struct iovec v = { (void *)strtoull(argv[3], NULL, 0),
			   strtoull(argv[4], NULL, 0) };
	int pidfd = syscall(SYS_pidfd_open, atoi(argv[2]), 0);
	ssize_t n;

	TRY(pidfd);
	n = syscall(SYS_process_madvise, pidfd, &v, 1, atoi(argv[5]), 0);
	if (n < 0)
		perror("advise");
	else
		printf("%zd\n", n);
	return n < 0;
}

static int migrate(char **argv)
{
	unsigned long from = atoi(argv[3]), to = atoi(argv[4]);

	TRY(syscall(SYS_migrate_pages, atoi(argv[2]), 8, &from, &to));
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "migrate"))
		return migrate(argv);
	if (argc >= 4 && !strcmp(argv[1], "call"))
		return call(argc, argv);
	if (argc == 4 && !strcmp(argv[1], "times")) {
		struct stat st;

		return stat(argv[3], &st) ||
			utimensat(AT_FDCWD, argv[2], (struct timespec[2]) {
				st.st_atim, st.st_mtim }, 0);
	}
	if (argc == 6 && !strcmp(argv[1], "advise"))
		return advise(argv);
	if (argc >= 4 && !strcmp(argv[1], "vectors"))
		return vectors(argc, argv);
	if (argc == 4 && !strcmp(argv[1], "clock"))
		return clocks(argv);
	if (argc == 3 && !strcmp(argv[1], "kvm"))
		return kvm(argv);
	if (argc == 2 && !strcmp(argv[1], "tsc"))
		return printf("%llu\n", (unsigned long long)rdtsc()) < 0;
	fprintf(stderr, "lgtest tsc | vectors SEED SECONDS [avx] | clock SECONDS "
		"monotonic|raw | kvm SECONDS\n");
	return 2;
}
