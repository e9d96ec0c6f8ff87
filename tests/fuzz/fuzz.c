// SPDX-License-Identifier: GPL-2.0
/*
 * The devices of the launcher against a guest made of random bytes.
 *
 * The input is a program: what a hostile driver does with ports and memory,
 * step by step (see step()).  The launcher's files are the real ones; behind
 * them stand a fake module (ioctl) and a fake libvdeslirp that sends each frame
 * back, so that nothing leaves this process.  The guest's memory is one
 * allocation with the sanitizer's red zones around it.
 *
 * Beside what the sanitizers find it is an error
 *   - that a device hands back a chain that was never offered,
 *   - that it writes to the guest's memory after its reset,
 *   - that it does not work for an honest driver after a reset,
 *   - that the launcher exits.
 */
#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__clang__)
#include <sanitizer/lsan_interface.h>
#else
#define __lsan_disable()
#define __lsan_enable()
#endif

#include "launcher.h"
#ifdef HAVE_PORT
#include "session.h"
#endif
#ifdef HAVE_NET
#include <slirp/libvdeslirp.h>
#endif

#define FRAMES	64
#define MEMORY	((size_t)FRAMES << PAGE_SHIFT)
#define MODULE	0x7ffffff0		/* the fake module's descriptor */
#define CHECK(x) do { if (!(x)) { \
	fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x); \
	abort(); } } while (0)

/* Where the guest has its rings: a page for each queue, then buffers. */
#define DESC(q)		((uint64_t)(1 + (q)) << PAGE_SHIFT)
#define AVAIL(q, size)	(DESC(q) + 16 * (size))
#define USED(q, size)	((AVAIL(q, size) + 6 + 2 * (size) + 3) & ~3UL)
#define TABLE		((uint64_t)5 << PAGE_SHIFT)
#define BUFFERS		((uint64_t)6 << PAGE_SHIFT)

void console_restore(void) { }

static struct options opt;
static struct guest guest;
static uint8_t *mem;
static uint32_t isr[LG_NR_DEVICES];
static int bell[LG_NR_DEVICES][LG_NR_QUEUES];
static int devices;			/* on the bus, behind the bridge */
static int tap[2] = { -1, -1 };		/* the device's end, and ours */

/* ---- the fake module ---- */

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	const struct lg_notify *b;
	unsigned long arg;
	unsigned int n;
	va_list ap;

	va_start(ap, request);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	if (fd != MODULE && (fd < 0 || fd != tap[0]))
		return __real_ioctl(fd, request, arg);
	if (fd != MODULE)
		return 0;
	switch (request) {
	case LG_NOTIFY:
		b = (const void *)arg;
		CHECK(b->port >= LG_BELL(0, 0) && b->port < LG_BELL(LG_NR_DEVICES, 0));
		n = b->port - LG_BELL(0, 0);
		bell[n / LG_NR_QUEUES][n % LG_NR_QUEUES] = b->fd;
		return 0;
	case LG_IRQ:
		n = arg & 0xff;
		CHECK(n > 0 && n < LG_NR_DEVICES && !(arg >> 16));
		if (arg >> 8) {
			isr[n] |= arg >> 8;
			return 0;
		}
		arg = isr[n];
		isr[n] = 0;
		return arg;
	}
	CHECK(!"an ioctl that the devices have no business with");
}

/* Every second disk finds a host without io_uring, and works by its thread. */
int __real_io_uring_queue_init(unsigned int n, struct io_uring *ring,
			       unsigned int flags);
int __wrap_io_uring_queue_init(unsigned int n, struct io_uring *ring,
			       unsigned int flags)
{
	static int calls;

	return calls++ & 1 ? -EPERM : __real_io_uring_queue_init(n, ring, flags);
}

#ifdef HAVE_NET
/* ---- networks whose other end sends back what it gets ---- */

static int user[2];

struct vdeslirp *__wrap_vdeslirp_open(SlirpConfig *cfg)
{
	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, user));
	return (struct vdeslirp *)user;
}

int __wrap_vdeslirp_fd(struct vdeslirp *s)
{
	return user[0];
}

static void serve_user(void)
{
	static uint8_t frame[70000];
	ssize_t n;

	while ((n = recv(user[1], frame, sizeof(frame), MSG_DONTWAIT)) > 0) {
		CHECK(n >= 14);
		send(user[1], frame, n, MSG_DONTWAIT);
	}
}

unsigned int __wrap_if_nametoindex(const char *name) { return 1; }

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	if (strcmp(path, "/dev/net/tun"))
		return __real_open(path, flags, 0600);
	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
			  0, tap));
	return tap[0];
}

static void serve_cables(void)
{
	static uint8_t frame[70000];
	ssize_t n;

	while ((n = recv(tap[1], frame, sizeof(frame), MSG_DONTWAIT)) > 0) {
		CHECK(n >= 12 + 14);
		send(tap[1], frame, n, MSG_DONTWAIT);
		if (n > 100 && frame[12] & 1)	/* and one that ends too soon */
			send(tap[1], frame, n & 63, MSG_DONTWAIT);
	}
	serve_user();
}
#else
static void serve_cables(void) { }
#endif

/* ---- devices whose rings another program reads: none here ---- */

bool storage_wants(const char *spec) { return false; }
void storage_add(struct guest *g, const char *spec) { }
void storage_check(const char *path, int fd, uint64_t size) { }
void shares_open(struct guest *g) { }

#ifdef HAVE_PORT
/* ---- a session of commands that answers all it is told ---- */

static size_t told;

void session_begin(void)
{
	port_send(0, OPEN, 0, "a job", 5);
}

void session_take(void *arg, const struct message *m, const uint8_t *body)
{
	CHECK(m->length <= BODY_MAX);
	for (uint32_t i = 0; i < m->length; i++)
		told += body[i];
	if (m->length < 64)
		port_send(m->session, ACK, m->stream, body, m->length);
}
#endif

/* ---- the guest's hands ---- */

static uint32_t port(unsigned int at, unsigned int size, bool write,
		     uint32_t value)
{
	unsigned int n = (at - LG_BAR(0)) / 0x100, offset = at & 0xff;
	struct lg_run run = { .port = at, .size = size, .write = write };

	value &= ~0U >> (32 - 8 * size);
	/* what the module answers by itself */
	if (at >= LG_BAR(0) && write && offset >= LG_BAR_NOTIFY &&
	    offset < LG_BAR_CONFIG) {
		unsigned int queue = (offset - LG_BAR_NOTIFY) / 2;

		if (queue < LG_NR_QUEUES && bell[n][queue])
			eventfd_write(bell[n][queue], 1);
		return 0;
	}
	if (at >= LG_BAR(0) && !write && offset == LG_BAR_ISR) {
		value = isr[n];
		isr[n] = 0;
		return value;
	}
	run.value = value;
	device_io(&run);
	return run.value;
}

static void out(unsigned int at, unsigned int size, uint32_t value)
{
	port(at, size, true, value);
}

static uint32_t in(unsigned int at, unsigned int size)
{
	return port(at, size, false, 0);
}

static uint32_t pci(unsigned int n, unsigned int at, unsigned int size)
{
	out(0xcf8, 4, 0x80000000 | n << 11 | (at & 0xfc));
	return in(0xcfc + (at & 3), size);
}

static void put16(uint64_t at, uint16_t value)
{
	memcpy(mem + at % (MEMORY - 2), &value, 2);
}

static uint16_t get16(uint64_t at)
{
	uint16_t value;

	memcpy(&value, mem + at % (MEMORY - 2), 2);
	return value;
}

extern int loop_fd;

/*
 * One thread is all there is, so that a run can be had again: the launcher gets
 * none for a disk, and its loop turns in here, where it is waited for.
 */
int fuzz_thread(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *),
		void *arg)
{
	return fn == loop ? 0 : EAGAIN;
}

int fuzz_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
	pthread_mutex_unlock(m);
	loop_work();
	return pthread_mutex_lock(m);
}

/* Let the loop work; patiently: until nothing has moved for a while. */
static void work(bool patient)
{
	struct pollfd p = { loop_fd, POLLIN, 0 };

	for (int i = 0; i < 100 && poll(&p, 1, patient ? 1 : 0) > 0; i++) {
		loop_work();
		serve_cables();
	}
}

/* ---- a driver in short words ---- */

static uint16_t ring_size[4];
static uint16_t offered[4];

static void set_address(unsigned int bar, unsigned int at, uint64_t where)
{
	out(bar + at, 4, where);
	out(bar + at + 4, 4, where >> 32);
}

static void up(unsigned int n, uint64_t features, unsigned int size)
{
	unsigned int bar = LG_BAR(n);

	out(bar + 20, 1, 0);
	CHECK(in(bar + 20, 1) == 0);
	out(bar + 20, 1, 3);
	for (unsigned int i = 0; i < 2; i++) {
		out(bar, 4, i);
		out(bar + 8, 4, i);
		out(bar + 12, 4, in(bar + 4, 4) & features >> 32 * i);
	}
	out(bar + 20, 1, 11);
	for (unsigned int q = 0; q < in(bar + 18, 2) && q < 4; q++) {
		memset(mem + DESC(q), 0, PAGE_SIZE);
		out(bar + 22, 2, q);
		out(bar + 24, 2, size);
		set_address(bar, 32, DESC(q));
		set_address(bar, 40, AVAIL(q, size));
		set_address(bar, 48, USED(q, size));
		out(bar + 28, 2, 1);
		ring_size[q] = size;
		offered[q] = 0;
	}
	out(bar + 20, 1, 15);
}

static void set_desc(uint64_t table, unsigned int i, uint64_t addr, uint32_t len,
		     uint16_t flags, uint16_t next)
{
	struct vring_desc d = { addr, len, flags, next };

	memcpy(mem + (table + 16 * i) % (MEMORY - 16), &d, 16);
}

static void offer(unsigned int q, uint16_t head)
{
	uint16_t size = ring_size[q] ? ring_size[q] : 1;

	put16(AVAIL(q, size) + 4 + 2 * (offered[q] % size), head);
	put16(AVAIL(q, size) + 2, ++offered[q]);
}

static void ring(unsigned int n, unsigned int q)
{
	out(LG_BAR(n) + LG_BAR_NOTIFY + 2 * q, 2, q);
}

static uint16_t used(unsigned int q)
{
	return get16(USED(q, ring_size[q]) + 2);
}

/* The disk's first sector is asked for, by a chain that begins at HEAD. */
static void ask_disk(unsigned int n, unsigned int head)
{
	uint64_t b = BUFFERS;

	up(n, ~0ULL & ~(1ULL << 29), 16);
	memset(mem + b, 0, 64);
	set_desc(DESC(0), head, b, 16, 1, head + 1);
	set_desc(DESC(0), head + 1, b + 512, 512, 3, head + 2);
	set_desc(DESC(0), head + 2, b + 16, 1, 2, 0);
	mem[b + 16] = 0xff;
}

/*
 * An honest request; the device must answer it, and not one that a disk was
 * asked for before its reset: that has begun, and its answer is not fetched.
 */
static void honest(unsigned int n)
{
	unsigned int type = pci(n, 2, 2) - 0x1040, q = type == 1 || type == 3;
	uint64_t b = BUFFERS;

	if (type == 2) {
		ask_disk(n, 3);
		work(false);
		offer(0, 3);
		ring(n, 0);
		loop_work();
		out(LG_BAR(n) + 20, 1, 0);
		ask_disk(n, 0);
	} else {
		up(n, ~0ULL & ~(1ULL << 29), 16);
		memset(mem + b, 0, 64);
		set_desc(DESC(q), 0, b, 64, type == 4 ? 2 : 0, 0);
	}
	offer(q, 0);
	ring(n, q);
	for (int i = 0; i < 1000 && !used(q); i++)
		work(true);
	CHECK(!(in(LG_BAR(n) + 20, 1) & 0x40));
	CHECK(used(q) == 1);
	CHECK(!get16(USED(q, 16) + 4));
	CHECK(type != 2 || mem[b + 16] == 0);
	CHECK(in(LG_BAR(n) + LG_BAR_ISR, 1) == 1);
	out(LG_BAR(n) + 20, 1, 0);
}

/*
 * Registers that a driver cannot change, and reads across two registers, which
 * show those two or nothing, never what stands beside them in the launcher.
 */
static void check_registers(unsigned int n)
{
	unsigned int bar = LG_BAR(n), queues = in(bar + 18, 2);
	unsigned int type = pci(n, 2, 2) - 0x1040;

	CHECK(queues == (type == 1 ? 2 : type == 3 ? 4 : 1));
	for (unsigned int q = 0; q < queues; q++) {
		uint32_t want, got;

		out(bar + 22, 2, q);
		CHECK(in(bar + 30, 2) == q);
		for (unsigned int at = 17; at < 28; at++) {
			got = in(bar + at, 4);
			want = 0;
			for (unsigned int i = 0; i < 4; i++)
				want |= in(bar + at + i, 1) << 8 * i;
			CHECK(!got || got == ~0U || got == want);
		}
	}
}

/* ---- the program ---- */

static const uint8_t *input, *end;

static uint64_t take(int bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < bytes && input < end; i++)
		value |= (uint64_t)*input++ << 8 * i;
	return value;
}

/* Mostly good addresses: a few bits choose among the interesting ones. */
static uint64_t address(void)
{
	unsigned int how = take(1);

	switch (how >> 5) {
	case 0:
		return MEMORY - (how & 31);
	case 1:
		return take(8);
	case 2:
		return DESC(how & 3) + 16 * take(1);
	case 3:
		return TABLE + 16 * (how & 31);
	default:
		return BUFFERS + (how & 127) * 1024;
	}
}

static uint32_t length(void)
{
	static const uint32_t some[] = { 0, 1, 2, 11, 12, 13, 16, 17, 20, 48, 54,
		64, 511, 512, 513, 1024, 1526, 2048, 4096, 8192, 65536, 65550,
		0x7fffffff, 0xffffffff };
	unsigned int how = take(1);

	return how < sizeof(some) / sizeof(*some) ? some[how] :
		how < 128 ? how : how < 254 ? take(2) : take(4);
}

/* A chain: its shape from the input, its links in order. */
static void chain(unsigned int n)
{
	unsigned int how = take(1), q = how & 3, head = take(1);
	unsigned int links = 1 + (how >> 2 & 7), size = ring_size[q];
	bool indirect = how & 0x20;
	uint64_t table = indirect ? TABLE + 16 * (head & 31) : DESC(q);
	unsigned int first = indirect ? 0 : size ? head % size : 0;
	uint32_t len;

	for (unsigned int i = 0; i < links; i++) {
		unsigned int flags = take(1), next = first + i + 1;
		uint64_t addr = address();
		int bytes = flags >> 4 & 15;

		if (!indirect && size)
			next %= size;
		if (flags & 8)			/* a link that leads away */
			next = take(2);
		len = length();
		set_desc(table, first + i, addr, len,
			 (flags & 6) | (i + 1 < links || flags & 1), next);
		if (bytes == 15)
			bytes = 24;
		for (int k = 0; k < bytes; k++)
			mem[(addr + k) % MEMORY] = take(1);
		if (!indirect && size)
			first = i + 1 < links ? first : first;
	}
	if (indirect)
		set_desc(DESC(q), size ? head % size : 0, table,
			 how & 0x40 ? length() : links * 16, 4, 0);
	offer(q, size ? head % size : head);
	if (how & 0x80) {
		ring(n, q);
		work(false);
	}
}

static void step(unsigned int *n)
{
	static const uint8_t sizes[] = { 1, 2, 4, 2 };
	unsigned int op = take(1), q, at, size = sizes[op >> 4 & 3];
	unsigned int bar = LG_BAR(*n);

	switch (op & 15) {
	case 0:					/* a port of the device */
		at = take(1);
		out(bar + at, size, take(size));
		break;
	case 1:
		in(bar + take(1), size);
		break;
	case 2:					/* any port of ours */
		at = take(2);
		at = at & 0x8000 ? LG_BAR(0) + (at & 0x1fff) : 0xcf8 + (at & 7);
		if (op & 0x80)
			in(at, size);
		else
			out(at, size, take(size));
		break;
	case 3:					/* configuration space */
		at = take(1);
		pci(op & 0x40 ? take(1) & 31 : *n, at, size > 2 ? 4 : size);
		if (op & 0x80)
			out(0xcfc + (at & 3), size, take(size));
		break;
	case 4:					/* the window in it */
		pci(*n, 0x84 + 4, 4);
		out(0xcfc, 1, op & 0x40 ? take(1) : 0);
		pci(*n, 0x84 + 8, 4);
		out(0xcfc, 4, op & 0x80 ? take(4) : take(1));
		pci(*n, 0x84 + 12, 4);
		out(0xcfc, 4, size);
		pci(*n, 0x84 + 16, 4);
		out(0xcfc, 4, take(4));
		break;
	case 5:					/* bring it up */
		at = take(1);
		up(*n, at & 1 ? ~0ULL : at & 2 ? ~0ULL & ~(1ULL << 29) :
		   at & 4 ? 1ULL << 32 : at & 8 ? take(8) :
		   1ULL << 32 | 1ULL << 28, 1U << (op >> 4 & 7));
		break;
	case 6: case 7: case 8: case 9:
		chain(*n);
		break;
	case 10:				/* scribble */
		at = take(2);
		for (q = op >> 4; q; q--)
			mem[(at + q) % MEMORY] = take(1);
		break;
	case 11:				/* the rings' own words */
		q = op >> 4 & 3;
		at = take(1);
		if (op & 0x40)
			put16(AVAIL(q, ring_size[q]) + 2 * at, take(2));
		else
			put16(USED(q, ring_size[q]) + 2 * at, take(2));
		break;
	case 12:
		ring(*n, op >> 4);
		break;
	case 13:
		work(op & 0x80);
		break;
	case 14:				/* another device */
		*n = 1 + (op >> 4) % 8 % devices;
		memset(ring_size, 0, sizeof(ring_size));
		memset(offered, 0, sizeof(offered));
		break;
	case 15:				/* the guest boots anew */
		devices_reset();
		pthread_mutex_unlock(&devices_lock);
		break;
	}
}

/* Nothing may be written after a reset. */
static void check_silence(void)
{
	static uint8_t before[FRAMES << PAGE_SHIFT];

	memcpy(before, mem, MEMORY);
	usleep(500);
	work(false);
	CHECK(!memcmp(before, mem, MEMORY));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned int runs;
	unsigned int n = 1;

	input = data;
	end = data + size;
	memset(mem, 0, MEMORY);
	memset(ring_size, 0, sizeof(ring_size));
	memset(offered, 0, sizeof(offered));
	if (size)
		n = 1 + take(1) % 8 % devices;
	for (int i = 0; i < 200 && input < end; i++)
		step(&n);
	work(false);
	check_registers(n);
	for (int i = 1; i <= devices; i++)
		out(LG_BAR(i) + 20, 1, 0);
	runs++;
	if (runs % 64 == 0)
		check_silence();
	if (runs % 16 == 0)
		honest(1 + runs / 16 % devices);
	return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static char path[3][64], *disks[4];

	quiet = true;
	opt.rng = true;
	opt.block = disks;
	for (int i = 0; i < 3; i++) {
		snprintf(path[i], sizeof(path[i]), "/proc/self/fd/%d",
			 memfd_create("disk", 0));
		CHECK(!truncate(path[i], (16 >> i) * 65536));
		if (i == 2)
			strcat(path[i], ",ro");
		disks[i] = path[i];
	}
#ifdef HAVE_NET
	opt.net = "user";
#endif
	guest.opt = &opt;
	guest.fd = MODULE;
	guest.dom.frames = FRAMES;
	mem = aligned_alloc(PAGE_SIZE, MEMORY);
	guest.dom.mem = mem;
	__lsan_disable();		/* what lives as long as the launcher */
	devices_open(&guest);
	pthread_mutex_unlock(&devices_lock);
#ifdef HAVE_NET
	net_add(&guest, "tap=fuzz");
#endif
#ifdef HAVE_PORT
	port_add(&guest);
#endif
	__lsan_enable();
	devices_connect(&guest);
	while (devices < LG_NR_DEVICES - 1 && pci(devices + 1, 0, 2) == 0x1af4)
		devices++;
	CHECK(devices >= 3);
	for (int i = 1; i <= devices; i++)
		honest(i);
	fprintf(stderr, "%d devices:", devices);
	for (int i = 1; i <= devices; i++)
		fprintf(stderr, " type %u", pci(i, 2, 2) - 0x1040);
	fprintf(stderr, "\n");
	return 0;
}

#ifdef REPLAY
/* Run the files named, without a fuzzer: for debugging and for coverage. */
int main(int argc, char **argv)
{
	static uint8_t data[1 << 20];

	LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		size_t n = f ? fread(data, 1, sizeof(data), f) : 0;
		uint8_t *copy = malloc(n ? n : 1);

		CHECK(f && copy);
		fclose(f);
		memcpy(copy, data, n);
		LLVMFuzzerTestOneInput(copy, n);
		free(copy);
	}
	return 0;
}
#endif
