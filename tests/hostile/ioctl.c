// SPDX-License-Identifier: GPL-2.0
/*
 * A launcher that attacks the module: wrong arguments, wrong memory, wrong
 * thread, wrong process, wrong moment.  It prints "wrong: ..." where the
 * module takes what it should refuse, and at the end how far it came; the
 * rest is for the host's log to say.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lguest.h"

#define FRAMES	LG_MIN_FRAMES
#define SIZE	((FRAMES + 1UL) << 12)

static int bad;

static void wrong(const char *what, long value)
{
	printf("wrong: %s (%ld, errno %d)\n", what, value, errno);
	bad = 1;
}

static int device(void)
{
	int fd = open("/dev/lguest", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		perror("/dev/lguest");
		exit(1);
	}
	return fd;
}

/* A guest that spins: four tables, frames 1 to 4, and one page of code. */
static void fill(unsigned char *m)
{
	unsigned long *t = (unsigned long *)m;
	int i;

	t[512] = 0x2007;
	t[1024] = 0x3007;
	t[1536] = 0x4007;
	for (i = 0; i < 512; i++)
		t[2048 + i] = (unsigned long)i << 12 | 7;
	memcpy(m + 0x5000, "\xeb\xfe", 2);
}

static unsigned char *memory(void)
{
	unsigned char *m = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	fill(m);
	return m;
}

static struct lg_create good(void *m)
{
	return (struct lg_create){
		.api = LG_API, .vcpus = 1, .base = (unsigned long)m,
		.frames = FRAMES, .rip = 0x5000, .rsp = 0x8000, .cr3 = 1,
	};
}

static volatile int stop;

static void on_alarm(int sig)
{
	(void)sig;
}

/* Run for some milliseconds; the errno, or 0 and how it ended in *r. */
static int run_for(int fd, struct lg_run *r, int ms)
{
	struct timespec t = { 0, ms * 1000000L };
	struct sigevent e = { .sigev_notify = SIGEV_SIGNAL,
			      .sigev_signo = SIGALRM };
	struct itimerspec when = { .it_value = t, .it_interval = t };
	timer_t timer;
	int ret;

	timer_create(CLOCK_MONOTONIC, &e, &timer);
	timer_settime(timer, 0, &when, NULL);
	memset(r, 0, sizeof(*r));
	ret = ioctl(fd, LG_RUN, r) ? errno : 0;
	timer_delete(timer);
	return ret;
}

static void arguments(void)
{
	static const unsigned long wild[] = {
		0, 1, 2, 4095, 4097, 1UL << 20, 1UL << 31, 1UL << 32, 1UL << 46,
		(1UL << 47) - 4096, 1UL << 47, 1UL << 63, -4096UL, -1UL,
		0xffff800000000000, 0xffffffff80000000,
	};
	unsigned char *m = memory();
	struct lg_create c;
	struct lg_run r;
	unsigned int i, k;
	int fd;

	for (i = 0; i < sizeof(wild) / sizeof(wild[0]); i++)
		for (k = 0; k < 8; k++) {
			c = good(m);
			switch (k) {
			case 0: c.api = wild[i]; break;
			case 1: c.vcpus = wild[i]; break;
			case 2: c.base = wild[i]; break;
			case 3: c.frames = wild[i]; break;
			case 4: c.rip = wild[i]; break;
			case 5: c.rsp = wild[i]; break;
			case 6: c.cr3 = wild[i]; break;
			case 7: c.rsi = wild[i]; break;
			}
			fd = device();
			if (!ioctl(fd, LG_CREATE, &c)) {
				if (k == 0 && wild[i] != LG_API)
					wrong("another api was taken", c.api);
				if (k == 1 && c.vcpus - 1 >= LG_MAX_VCPUS)
					wrong("this many vcpus", c.vcpus);
				run_for(fd, &r, 2);
				if (ioctl(fd, LG_CREATE, &c) != -1)
					wrong("created twice", k);
			}
			close(fd);
		}
	fd = device();
	for (i = 0; i < sizeof(wild) / sizeof(wild[0]); i++)
		for (k = 0; k < 256; k++)
			if (k < 8)
				ioctl(fd, _IOC(k & 3, 'L', k, 48), wild[i]);
			else
				ioctl(fd, _IOC(3, 'L', k, i), wild[i]);
	if (run_for(fd, &r, 2) == 0)
		wrong("a guest ran that was never created", 0);
	close(fd);
	munmap(m, SIZE);
}

/* What should be memory is something else, or goes away. */
static void mappings(void)
{
	struct lg_create c;
	struct lg_run r;
	int fd, kind, ret, file = -1;

	for (kind = 0; kind < 9; kind++) {
		unsigned char *m = memory();

		switch (kind) {
		case 0: mprotect(m, SIZE, PROT_READ); break;
		case 1: mprotect(m, SIZE, PROT_NONE); break;
		case 2: munmap(m + 0x3000, SIZE - 0x3000); break;
		case 3: munmap(m + SIZE - 4096, 4096); break;
		case 4:
			file = open("/etc/passwd", O_RDONLY);
			mmap(m, SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED,
			     file, 0);
			close(file);
			break;
		case 5:
			file = memfd_create("guest", 0);
			if (ftruncate(file, 0x6000))
				perror("ftruncate");
			mmap(m, SIZE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_FIXED, file, 0);
			fill(m);
			close(file);
			break;
		case 7:		/* allowed: nothing is behind its pages */
			file = memfd_create("guest", 0);
			break;
		case 8:		/* refused: a file system is */
			mkdir("/tmp/ramfs", 0700);
			if (mount("ramfs", "/tmp/ramfs", "ramfs", 0, NULL))
				perror("ramfs");
			file = open("/tmp/ramfs/file", O_RDWR | O_CREAT, 0600);
			break;
		}
		if (kind > 6) {
			if (ftruncate(file, SIZE))
				perror("ftruncate");
			mmap(m, SIZE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_FIXED, file, 0);
			fill(m);
		}
		c = good(m);
		fd = device();
		if (kind > 6 && !ioctl(fd, LG_CREATE, &c) != (kind == 7))
			wrong(kind == 7 ? "a memfd was refused" :
			      "a file's page was taken", kind);
		if (kind == 7) {	/* it runs; take the pages away */
			run_for(fd, &r, 3);
			if (fallocate(file, FALLOC_FL_PUNCH_HOLE |
				      FALLOC_FL_KEEP_SIZE, 0, SIZE / 2))
				perror("fallocate");
			/* Pinned pages stay; followed ones are zeroes now. */
			ret = run_for(fd, &r, 3);
			if (ret != EINTR && (ret || r.exit != LG_EXIT_DEAD))
				wrong("the hole's guest neither ran nor died", ret);
			memset(m, 0xff, SIZE / 2);
			if (ftruncate(file, 0))
				perror("ftruncate");
			run_for(fd, &r, 3);
			ioctl(fd, LG_EVENT, 3);
		}
		if (kind > 6)
			close(file);
		else if (!ioctl(fd, LG_CREATE, &c)) {
			run_for(fd, &r, 3);
			if (kind == 6) {	/* it runs; take all away */
				munmap(m, SIZE);
				run_for(fd, &r, 3);
				ioctl(fd, LG_EVENT, 3);
				run_for(fd, &r, 3);
			}
		}
		munmap(m, SIZE);
		close(fd);
	}
}

static void events(int fd)
{
	struct lg_notify n;
	int ev = eventfd(0, EFD_NONBLOCK), pipes[2], i;

	if (pipe(pipes))
		perror("pipe");
	for (i = -3; i < 4000; i += 1 + (i > 1100) * 97) {
		n.port = i;
		n.fd = ev;
		ioctl(fd, LG_NOTIFY, &n);
		ioctl(fd, LG_NOTIFY, &n);
		n.fd = pipes[0];
		if (!ioctl(fd, LG_NOTIFY, &n))
			wrong("a pipe for an eventfd", i);
		n.fd = 999;
		ioctl(fd, LG_NOTIFY, &n);
		n.fd = i & 1 ? -1 : ev;
		ioctl(fd, LG_NOTIFY, &n);
		ioctl(fd, LG_EVENT, (long)i);
		ioctl(fd, LG_EVENT, (long)i << 32 | 3);
	}
	close(ev);
	close(pipes[0]);
	close(pipes[1]);
}

static void *second_runner(void *arg)
{
	int fd = (long)arg;
	struct lg_run r;

	while (!stop)
		run_for(fd, &r, 1);
	return NULL;
}

static void *mapper(void *arg)
{
	unsigned char *m = arg;

	while (!stop) {
		madvise(m + 0x10000, 0x100000, MADV_DONTNEED);
		mprotect(m + 0x8000, 0x4000, PROT_READ);
		mprotect(m + 0x8000, 0x4000, PROT_READ | PROT_WRITE);
	}
	return NULL;
}

/* Other threads, other processes, and death in the middle. */
static void company(void)
{
	unsigned char *m = memory();
	struct lg_create c = good(m), c2;
	struct lg_stats st;
	struct lg_run r;
	pthread_t t[3];
	int fd = device(), fd2 = device(), i, status;

	if (ioctl(fd, LG_CREATE, &c))
		return wrong("an honest guest was refused", 0);
	if (run_for(fd, &r, 20) != EINTR)
		wrong("a spinning guest ended", r.exit);
	c2 = good(memory());
	if (!ioctl(fd2, LG_CREATE, &c2))	/* allowed where LA57 is on */
		run_for(fd2, &r, 5);
	stop = 0;
	pthread_create(&t[0], NULL, second_runner, (void *)(long)fd);
	pthread_create(&t[1], NULL, second_runner, (void *)(long)fd);
	pthread_create(&t[2], NULL, mapper, m);
	for (i = 0; i < 50; i++) {
		run_for(fd, &r, 1);
		ioctl(fd, LG_STATS, &st);
		if (i == 25)
			events(fd);
	}
	stop = 1;
	for (i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	if (!fork()) {			/* the guest is not the child's */
		if (!ioctl(fd, LG_RUN, &r) || errno != EPERM)
			wrong("a child runs its parent's guest", r.exit);
		fflush(stdout);
		_exit(bad);
	}
	wait(&status);
	bad |= status != 0;
	for (i = 0; i < 40; i++) {
		pid_t p = fork();

		if (!p) {		/* each dies in its own way */
			unsigned char *mem = memory();
			int f = device();

			c = good(mem);
			if (ioctl(f, LG_CREATE, &c))
				_exit(1);
			stop = 0;
			pthread_create(&t[0], NULL, second_runner,
				       (void *)(long)f);
			usleep(1000 * (i % 7));
			switch (i % 5) {
			case 0: close(f); break;
			case 1: munmap(mem, SIZE); break;
			case 2: execl("/bin/true", "true", NULL); break;
			case 3: _exit(0);
			case 4: if (!fork()) { usleep(3000); _exit(0); } break;
			}
			pause();
			_exit(0);
		}
		usleep(1000 * (i % 11));
		kill(p, i % 3 ? SIGKILL : SIGTERM);
		waitpid(p, &status, 0);
	}
	while (wait(&status) > 0)
		;
	close(fd2);
	close(fd);
}

/* ioctl [arguments] [mappings] [company]: all of them, or those named. */
int main(int argc, char **argv)
{
	static const struct { const char *name; void (*run)(void); } parts[] = {
		{ "arguments", arguments }, { "mappings", mappings },
		{ "company", company },
	};
	struct sigaction sa = { .sa_handler = on_alarm };
	int i, k;

	sigaction(SIGALRM, &sa, NULL);
	for (i = 0; i < 3; i++)
		for (k = argc > 1 ? 1 : 0; k < argc; k++)
			if (!k || !strcmp(argv[k], parts[i].name)) {
				parts[i].run();
				printf("%s done\n", parts[i].name);
			}
	return bad;
}
