// SPDX-License-Identifier: GPL-2.0
/*
 * The straight road of switcher.S, executed here: the module's own text is
 * mapped in this process and entered as the processor would, and what a
 * program may not do (mov to cr3, swapgs, wrmsr, the iretq at its end) is done
 * by a signal handler.  So each of its instructions can be looked at, and an
 * NMI sent to each boundary between two.  tests/t/road builds and runs it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include "offsets.h"		/* the module's */
#include "symbols.h"		/* AT_label, from switcher.o */

typedef uint8_t u8;
typedef uint64_t u64;

#define BLOCK	0x10000000UL
#define DATA	(BLOCK + 9 * 4096)
#define INFO	0x2f000000UL
#define LOWEST	0x20000000UL	/* stands for the end of the slots */
#define GUEST	0x30000000UL	/* two pages, and a hole behind them */
#define HOLE	(GUEST + 8192)
#define LINEAR	0x100000000000UL	/* stands for slot 257 */
#define VA	0x7f1234567123UL	/* its leaf has a page there */
#define LEAF	(LINEAR + (VA >> 12) * 8)
#define FIELD(type, off)	(*(type *)(DATA + (off)))
#define D(off)	FIELD(u64, off)
#define D8(off)	FIELD(u8, off)
#define MASK	(*(u8 *)(INFO + LG_I_MASK))
#define PENDING	(*(u8 *)(INFO + LG_I_PENDING))
#define ENTRY(n)	(LG_D_ENTRIES + (n) * 16)

#define HANDLER	0xffffffff81000000
#define RIP	0x400002UL
#define FLAGS	0x40246UL
#define STACK	(GUEST + 4096 + 24)
#define FRAME	((STACK & ~15UL) - 56)

static const char *what;
static int wrong;

#define IS(a, b) is(#a, a, b, __LINE__)
static void is(const char *name, u64 a, u64 b, int line)
{
	if (a == b)
		return;
	wrong++;
	printf("%s, line %d: %s is %lx, not %lx\n", what, line, name, a, b);
}

/* ---- a processor ---- */

static greg_t in[23], out[23];
static int to_guest;		/* how it ended: iretq, or off_road */
static int swaps, faults, bases;
static u64 cr2, cr3, base[64][2];
static int steps = -1;		/* until an NMI; -1: none */
static int vector, sent;
static sigjmp_buf back;

static void push(greg_t *g, u64 value)
{
	g[REG_RSP] -= 8;
	*(u64 *)g[REG_RSP] = value;
}

/* Interrupt ring 0: rip goes to the stub of the vector. */
static void interrupt(greg_t *g, u64 stack, int n)
{
	u64 rsp = g[REG_RSP];

	g[REG_RSP] = stack & ~15UL;
	push(g, 0xe010);
	push(g, rsp);
	push(g, g[REG_EFL] & ~0x100);
	push(g, 0xe008);
	push(g, g[REG_RIP]);
	if (n == 14)
		push(g, 0);
	g[REG_RIP] = BLOCK + n * 16;
	g[REG_EFL] &= ~0x100;
}

static void step(greg_t *g)
{
	if (steps < 0 || g[REG_RIP] == BLOCK + AT_off_road || steps-- > 0)
		return;
	sent = 1;
	interrupt(g, DATA + (vector == 2 ? 2048 : 2600), vector);
}

static void start(int sig, siginfo_t *info, void *context)
{
	memcpy(((ucontext_t *)context)->uc_mcontext.gregs, in,
	       18 * sizeof(in[0]));
	(void)sig, (void)info;
}

static void end(greg_t *g, int how)
{
	memcpy(out, g, sizeof(out));
	to_guest = how;
	siglongjmp(back, 1);
}

static void trapped(int sig, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)sig;
	if (info->si_code == TRAP_TRACE)
		step(g);
	else if (g[REG_RIP] == BLOCK + AT_off_road + 1)
		end(g, 0);
}

static void faulted(int sig, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	u64 at = g[REG_RIP] - BLOCK;
	u8 *code = (u8 *)g[REG_RIP];
	int length = 3;

	(void)sig, (void)info;
	if (at == AT_to_guest)
		end(g, 1);
	if (at >= 8192) {
		printf("%s: lost at %llx\n", what, g[REG_RIP]);
		exit(1);
	}
	if (!memcmp(code, "\x0f\x22\xd8", 3)) {		/* mov %rax, %cr3 */
		cr3 = g[REG_RAX];
	} else if (!memcmp(code, "\x0f\x20\xd2", 3)) {	/* mov %cr2, %rdx */
		g[REG_RDX] = cr2;
	} else if (!memcmp(code, "\x0f\x22\xd0", 3)) {	/* mov %rax, %cr2 */
		cr2 = g[REG_RAX];
	} else if (!memcmp(code, "\x0f\x01\xf8", 3)) {	/* swapgs */
		swaps++;
	} else if (!memcmp(code, "\x0f\x30", 2)) {	/* wrmsr */
		base[bases][0] = (uint32_t)g[REG_RCX];
		base[bases++][1] = (u64)g[REG_RDX] << 32 |
				   (uint32_t)g[REG_RAX];
		length = 2;
	} else if (!memcmp(code, "\x0f\x32", 2)) {	/* rdmsr */
		g[REG_RAX] = 0x55667788;
		g[REG_RDX] = (uint32_t)g[REG_RCX];
		bases++;
		length = 2;
	} else {
		faults++;
		cr2 = 0xbad;
		interrupt(g, g[REG_RSP], 14);
		return;
	}
	g[REG_RIP] += length;
	step(g);
}

static void run(u64 entry)
{
	to_guest = swaps = faults = bases = sent = cr3 = 0;
	in[REG_RIP] = BLOCK + entry;
	in[REG_EFL] = steps >= 0 ? 0x302 : 0x202;
	if (!sigsetjmp(back, 1))
		raise(SIGUSR1);
}

/* ---- what is expected ---- */

static void fresh(int user)
{
	static const int set[] = { REG_RDI, REG_RSI, REG_RDX, REG_RAX, REG_RBX,
		REG_RBP, REG_R8, REG_R9, REG_R10, REG_R12, REG_R13, REG_R14,
		REG_R15 };

	for (unsigned int i = 0; i < sizeof(set) / sizeof(set[0]); i++)
		in[set[i]] = 0x1111111100000000L * (i % 7 + 1) + i;
	in[REG_RCX] = RIP;
	in[REG_R11] = FLAGS;
	in[REG_RSP] = 0x7fff1238;
	memset((void *)DATA, 0xee, LG_D_REGS_END);
	D8(LG_D_ROAD) = 1;
	D8(LG_D_USER) = user;
	D(LG_D_KERNEL_ROOT) = 0xaaa000;
	D(LG_D_USER_ROOT) = 0xbbb000;
	D(LG_D_KEEP) = 0;
	D(LG_D_INFO) = INFO;
	D(LG_D_KERNEL_SP) = STACK;
	FIELD(uint32_t, LG_D_CALLS) = 77;
	FIELD(uint16_t, LG_D_VERW) = 0;
	FIELD(uint16_t, LG_D_NMI) = 0;
	D8(LG_D_IN_STEP) = 1;
	D8(LG_D_FLUSHED) = 0;
	D(LG_D_CR2) = 0;
	D(INFO - DATA + LG_I_CR2) = 0xcccc;
	memset((void *)(DATA + LG_D_ENTRIES), 0, 34 * 16);
	D(ENTRY(32)) = HANDLER;
	D8(ENTRY(32) + LG_ENTRY_FLAGS) = LG_ENTRY_MASK;
	MASK = PENDING = 0;
	memset((void *)GUEST, 0x55, 8192);
}

static void call(u64 nr, u64 a, u64 b)
{
	fresh(0);
	in[REG_RAX] = nr;
	in[REG_RDI] = a;
	in[REG_RSI] = b;
	run(AT_syscall64);
}

static void iret(u64 rsp, const u64 *frame, int bytes)
{
	fresh(0);
	in[REG_RAX] = 23;
	in[REG_RSP] = rsp;
	memcpy((void *)rsp, frame, bytes);
}

/* All registers as they were, but rip, rsp, flags, and those of the mask. */
static void same(u64 but)
{
	but |= 1UL << REG_RIP | 1UL << REG_RSP | 1UL << REG_EFL;
	for (int i = 0; i < 17; i++)
		if (!(but >> i & 1))
			IS(out[i], in[i]);
}

/* The exit goes to the host as if there were no road. */
static void slow(int user)
{
	IS(to_guest, 0);
	same(0);
	IS(out[REG_RSP], DATA + LG_D_TRAP);
	IS(D(LG_D_TRAP), 0x100);
	IS(D(LG_D_ERROR), 0);
	IS(D(LG_D_RIP), RIP);
	IS(D(LG_D_RFLAGS), FLAGS);
	IS(D(LG_D_RSP), in[REG_RSP]);
	IS(D(LG_D_CS), 0xe033);
	IS(D(LG_D_SS), 0xe02b);
	IS(D8(LG_D_USER), user);
	IS(swaps, 0);
}

static void frame_is(u64 rip, u64 cs, u64 flags, u64 rsp, u64 ss)
{
	u64 *w = (u64 *)FRAME;

	IS(w[0], in[REG_RCX]);
	IS(w[1], in[REG_R11]);
	IS(w[2], rip);
	IS(w[3], cs);
	IS(w[4], flags);
	IS(w[5], rsp);
	IS(w[6], ss);
}

/* ---- the ways ---- */

static void system_calls(void)
{
	static const u64 stacks[] = { 0, 8, 56, LOWEST - 1, LOWEST,
		LOWEST + 55, ~0UL, -8UL, -200UL, DATA + 400, 1UL << 63 };
	u64 keep;

	what = "system call";
	for (keep = 0; keep <= 1UL << 63; keep += 1UL << 63) {
		fresh(1);
		D(LG_D_KEEP) = keep;
		run(AT_syscall64);
		IS(to_guest, 1);
		same(0);
		frame_is(RIP, 0xe033, FLAGS, in[REG_RSP], 0xe02b);
		IS(cr3, 0xaaa000);
		IS(D(LG_D_KERNEL_ROOT), 0xaaa000 | keep);
		IS(swaps, 1);
		IS(D8(LG_D_USER), 0);
		IS(D(LG_D_RIP), HANDLER);
		IS(D(LG_D_CS), 0xe033);
		IS(D(LG_D_SS), 0xe02b);
		IS(D(LG_D_RSP), FRAME);
		IS(D(LG_D_RFLAGS), FLAGS & ~0x54500UL);
		IS(out[REG_RSP], DATA + LG_D_RIP);
		IS(MASK, 1);
		if (keep)
			break;
	}
	what = "32-bit system call, events not masked";
	fresh(1);
	D(ENTRY(33)) = 0x1234;
	run(AT_syscall32);
	IS(to_guest, 1);
	frame_is(RIP, 0xe023, FLAGS, in[REG_RSP], 0xe02b);
	IS(D(LG_D_RIP), 0x1234);
	IS(MASK, 0);
	what = "no entry";
	fresh(1);
	D(ENTRY(32)) = 0;
	run(AT_syscall64);
	slow(1);
	what = "no road";
	fresh(1);
	D8(LG_D_ROAD) = 0;
	run(AT_syscall64);
	slow(1);
	what = "events masked";
	fresh(1);
	MASK = 1;
	run(AT_syscall64);
	slow(1);
	IS(MASK, 1);
	what = "a stack that ends in a hole";
	for (int k = 16; k < 200; k += 8) {
		fresh(1);
		D(LG_D_KERNEL_SP) = HOLE + k;
		run(AT_syscall64);
		slow(1);
		IS(faults, 1);
		IS(MASK, 0);
	}
	what = "a stack elsewhere";
	for (unsigned int k = 0; k < sizeof(stacks) / 8; k++) {
		fresh(1);
		D(LG_D_KERNEL_SP) = stacks[k];
		run(AT_syscall64);
		slow(1);
	}
}

static void exceptions(void)
{
	what = "exception";
	for (int n = 0; n < 256; n++) {
		u64 *sp = &D(LG_D_REGS_END);
		int open = n < 32;

		/* those with an error code, or a stack of their own */
		if (n == 1 || n == 2 || n == 8 || (n >= 10 && n <= 14) ||
		    n == 17 || n == 18 || n == 21 || n == 29 || n == 30)
			continue;
		for (; open >= 0; open--) {
			fresh(1);
			if (open)
				D(ENTRY(n)) = 0x5000 + n;
			sp[-1] = 0x2b;
			sp[-2] = 0x7fff0000;
			sp[-3] = 0x246;
			sp[-4] = 0x33;
			sp[-5] = 0x400100;
			in[REG_RSP] = (u64)(sp - 5);
			run(n * 16);
			same(0);
			IS(to_guest, open);
			IS(D(LG_D_RIP), open ? 0x5000UL + n : 0x400100);
			if (open)
				frame_is(0x400100, 0x33, 0x246, 0x7fff0000,
					 0x2b);
			else
				IS(D(LG_D_TRAP), n);
		}
	}
}

static void returns(void)
{
	u64 f[] = { 0xa0a0, 0x1111a, 0xccc0, 0, 0x401234, 0xe033, 0x202,
		    0x7ffee000, 0x12340000e028 };
	static const u64 nowhere[] = { 0, 8, LOWEST - 8, ~0UL, -255UL,
				       DATA + 300 };

	what = "iret";
	for (int i = 0; i < 8; i++) {
		int kernel = i & 1, irqs = i & 2, verw = i & 4;

		f[5] = kernel ? 0xf00000000000e030 : 0xf00000000000e033;
		f[6] = irqs ? ~0UL : ~0x200UL;
		iret(GUEST + 4096 - 40, f, sizeof(f));
		FIELD(uint16_t, LG_D_VERW) = verw ? 0x2b : 0;
		MASK = 7;
		run(AT_syscall64);
		IS(to_guest, 1);
		same(1UL << REG_RAX | 1UL << REG_RCX | 1UL << REG_R11);
		IS(out[REG_RAX], f[0]);
		IS(out[REG_R11], f[1]);
		IS(out[REG_RCX], f[2]);
		IS(D(LG_D_RIP), f[4]);
		IS(D(LG_D_CS), 0xe033);
		IS(D(LG_D_SS), 0xe02b);
		IS(D(LG_D_RSP), f[7]);
		IS(D(LG_D_RFLAGS), 0x254fd7);
		IS(MASK, !irqs);
		IS(D8(LG_D_USER), !kernel);
		IS(swaps, !kernel);
		IS(cr3, kernel ? 0 : 0xbbb000);
	}
	f[5] = 0xe033;
	f[6] = 0x202;
	what = "iret with an event pending";
	iret(GUEST, f, sizeof(f));
	MASK = PENDING = 1;
	run(AT_syscall64);
	slow(0);
	IS(MASK, 1);
	what = "iret that promises sysret";
	f[3] = 0x100;
	iret(GUEST, f, sizeof(f));
	run(AT_syscall64);
	slow(0);
	f[3] = 0;
	what = "half a frame";
	for (int k = 8; k < 72; k += 4) {
		iret(HOLE - k, f, k);
		run(AT_syscall64);
		IS(to_guest, 0);
		IS(faults, 1);
		IS(swaps, 0);
		IS(D8(LG_D_USER), 0);
		IS(D(LG_D_RSP), in[REG_RSP]);
		IS(MASK, 0);
		same(1UL << REG_RCX | 1UL << REG_R11);
	}
	what = "a frame elsewhere";
	for (unsigned int k = 0; k < sizeof(nowhere) / 8; k++) {
		iret(GUEST, f, sizeof(f));
		in[REG_RSP] = nowhere[k];
		run(AT_syscall64);
		slow(0);
		IS(faults, 0);
	}
}

/* A program's page fault, with this leaf and this error code. */
static void page_fault(u64 va, u64 leaf, u64 error)
{
	u64 *sp = &D(LG_D_REGS_END);

	fresh(1);
	D(ENTRY(14)) = HANDLER;
	D8(ENTRY(14) + LG_ENTRY_FLAGS) = LG_ENTRY_MASK;
	*(u64 *)LEAF = leaf;
	cr2 = va;
	sp[-1] = 0x2b;
	sp[-2] = 0x7fff0000;
	sp[-3] = 0x246;
	sp[-4] = 0x33;
	sp[-5] = 0x400100;
	sp[-6] = error;
	in[REG_RSP] = (u64)(sp - 6);
}

/* The exit goes to the host, with the address of the fault. */
static void its_own_not(u64 va)
{
	run(14 * 16);
	IS(to_guest, 0);
	same(0);
	IS(D(LG_D_TRAP), 14);
	IS(D(LG_D_RIP), 0x400100);
	IS(D8(LG_D_USER), 1);
	IS(swaps, 0);
	IS(MASK, 0);
	IS(cr2, va);
	IS(D(INFO - DATA + LG_I_CR2), 0xcccc);
}

static void page_faults(void)
{
	static const u64 far[] = { 1UL << 47, VA | 1UL << 50, ~0UL, -4096UL,
		0xffff888000001000, 0xffff808000000000 };
	u64 *w = (u64 *)(FRAME - 8), error, leaf;

	what = "page fault";
	for (error = 0; error < 64; error++)
		for (int n = 0; n < 128; n++) {
			int k = n & 63, rw = k & 2, own = k & 8, ask = k == 24;
			int loose = n & 64;

			/* present, rw, user; own, asked, accessed */
			leaf = (k & 7) | (k & 8 ? LG_OWN : 0) |
			       (k & 16 ? LG_ASK : 0) | (k & 32);
			page_fault(VA, leaf, error);
			D8(LG_D_IN_STEP) = loose ? 2 : 1;
			if (ask ? error != 6 :
			    leaf ? !(k & 1) || rw || !own || error != 7 :
			    loose || error & ~0x16UL) {
				its_own_not(VA);
				continue;
			}
			run(14 * 16);
			IS(to_guest, 1);
			same(0);
			IS(w[0], in[REG_RCX]);
			IS(w[1], in[REG_R11]);
			IS(*(u64 *)LEAF, loose ? LG_ASK : leaf);
			IS(w[2], ask ? 7 : error);
			IS(w[3], 0x400100);
			IS(w[4], 0x33);
			IS(w[5], 0x246);
			IS(w[6], 0x7fff0000);
			IS(w[7], 0x2b);
			IS(D(LG_D_RSP), (u64)w);
			IS(D(LG_D_RIP), HANDLER);
			IS(D(INFO - DATA + LG_I_CR2), VA);
			IS(MASK, 1);
			IS(swaps, 1);
			IS(cr3, 0xaaa000);
			IS(D8(LG_D_USER), 0);
		}
	what = "page fault that the road does not believe";
	page_fault(VA, 0, 4);
	D8(LG_D_IN_STEP) = 0;
	its_own_not(VA);
	page_fault(VA, 0, 4);
	MASK = 1;
	run(14 * 16);
	IS(to_guest, 0);
	IS(cr2, VA);
	page_fault(VA, 0, 4);
	D(ENTRY(14)) = 0;
	its_own_not(VA);
	for (unsigned int k = 0; k < sizeof(far) / 8; k++) {
		page_fault(far[k], 0, 4);
		its_own_not(far[k]);
		IS(faults, 0);
	}
	what = "page fault without a leaf table";
	page_fault(VA + (1UL << 21), 0, 4);
	its_own_not(VA + (1UL << 21));
	IS(faults, 1);
	what = "page fault without a stack";
	for (int k = 16; k < 200; k += 8) {
		page_fault(VA, 0, 6);
		D(LG_D_KERNEL_SP) = HOLE + k;
		its_own_not(VA);
		IS(faults, 1);
	}
}

static void flushes(void)
{
	static const struct { u64 at, count, done; uint32_t cmd; u8 step, good; } f[] = {
		{ GUEST + 4092, 1, 0, 6, 1, 1 }, { HOLE - 24, 1, 0, 7, 1, 1 },
		{ GUEST, 1, 0, 5, 1, 0 }, { GUEST, 1, 0, 8, 1, 0 },
		{ GUEST, 1, 0, 9, 1, 0 }, { GUEST, 1, 0, 10, 1, 0 },
		{ GUEST, 1, 0, 0, 1, 0 }, { GUEST, 1, 0, ~0U, 1, 0 },
		{ GUEST, 0, 0, 6, 1, 0 }, { GUEST, 2, 0, 6, 1, 0 },
		{ GUEST, 1UL << 32 | 1, 0, 6, 1, 0 }, { GUEST, 1, 8, 6, 1, 0 },
		{ GUEST, 1, 0, 6, 0, 0 }, { GUEST, 1, 0, 7, 0, 0 },
		{ HOLE - 23, 1, 0, 6, 1, 0 }, { HOLE - 3, 1, 0, 6, 1, 0 },
		{ HOLE, 1, 0, 6, 1, 0 }, { LOWEST - 8, 1, 0, 6, 1, 0 },
		{ DATA, 1, 0, 6, 1, 0 }, { LINEAR, 1, 0, 6, 1, 0 },
		{ ~0UL, 1, 0, 6, 1, 0 }, { 1UL << 63, 1, 0, 6, 1, 0 },
	};
	u64 *e = (u64 *)(GUEST + 64);

	what = "a flush";
	for (unsigned int k = 0; k < sizeof(f) / sizeof(f[0]); k++) {
		for (int list = 0; list < 2; list++) {
			fresh(0);
			if (f[k].at >= GUEST && f[k].at <= HOLE - 4)
				*(uint32_t *)f[k].at = f[k].cmd;
			if (f[k].cmd == 7)	/* a half of its own is forgotten */
				*(u64 *)(f[k].at + 8) = list ? VA : ~0UL;
			D8(LG_D_IN_STEP) = f[k].step;
			memset(e, 0, 64);
			e[0] = in[REG_RAX] = 26;
			e[2] = in[REG_RDI] = f[k].at;
			e[3] = in[REG_RSI] = f[k].count;
			e[4] = in[REG_RDX] = f[k].done;
			if (list) {
				in[REG_RAX] = 13;
				in[REG_RDI] = (u64)e;
				in[REG_RSI] = 1;
			}
			run(AT_syscall64);
			IS(D8(LG_D_FLUSHED), f[k].good << (f[k].cmd == 7 && list));
			if (!f[k].good) {
				slow(0);
				continue;
			}
			IS(to_guest, 1);
			IS(out[REG_RAX], 0);
			same(1UL << REG_RAX);
			IS(bases | cr3 | swaps, 0);
		}
	}
}

static void rdmsr(u64 rip, u64 reg, u64 code)
{
	u64 *sp = &D(LG_D_REGS_END);

	fresh(0);
	*(u64 *)(GUEST + 4088) = code << 48;	/* the two bytes before 4096 */
	*(u64 *)(HOLE - 8) = code << 48;
	sp[-1] = 0xe02b;
	sp[-2] = 0x7fff0000;
	sp[-3] = FLAGS;
	sp[-4] = 0xe033;
	sp[-5] = rip;
	sp[-6] = 0;
	in[REG_RCX] = reg;
	in[REG_RSP] = (u64)(sp - 6);
	run(13 * 16);
	IS(D(LG_D_RSP), 0x7fff0000);
	IS(D(LG_D_RFLAGS), FLAGS);
	IS(swaps, 0);
}

static void base_reads(void)
{
	static const u64 not[][3] = {	/* rip, register, bytes */
		{ HOLE - 2, 0xc00000ff, 0x320f }, { HOLE - 2, 0x10, 0x320f },
		{ HOLE - 2, 0xc0000103, 0x320f }, { HOLE - 2, 0xc0000102, 0x300f },
		{ HOLE - 2, 0xc0000100, 0x320f }, { HOLE - 2, 0xc0000101, 0x320f },
		{ HOLE - 2, 0xc0000102, 0x3266 }, { HOLE - 1, 0xc0000102, 0x320f },
		{ HOLE, 0xc0000102, 0x320f }, { LOWEST - 2, 0xc0000102, 0x320f },
		{ DATA, 0xc0000102, 0x320f }, { ~0UL, 0xc0000102, 0x320f },
	};

	what = "a base is read";
	rdmsr(GUEST + 4094, 0xc0000102 | 7UL << 32, 0x320f);
	IS(to_guest, 1);
	same(1UL << REG_RAX | 1UL << REG_RDX);
	IS(out[REG_RAX], 0x55667788);
	IS(out[REG_RDX], 0xc0000102);
	IS(bases, 1);
	IS(D(LG_D_RIP), GUEST + 4096);
	what = "a base is not read";
	for (unsigned int k = 0; k < sizeof(not) / 24; k++) {
		rdmsr(not[k][0], not[k][1], not[k][2]);
		IS(to_guest, 0);
		same(0);
		IS(bases, 0);
		IS(D(LG_D_TRAP), 13);
		IS(D(LG_D_RIP), not[k][0]);
	}
}

static const u64 good[][4] = {	/* call, arguments, register of the base */
	{ 3, 0xe02b, 0x777, 0 }, { 25, 0, 0x12345678abcd, 0xc0000100 },
	{ 25, 1, 0xffff888812345678, 0xc0000102 },
};
static const u64 refused[][3] = {
	{ 25, 2, 5 }, { 25, 3, 0 }, { 25, 4, 0 }, { 25, 1UL << 32, 0 }, { 25, ~0UL, 0 },
	{ 25, 0, 0x800000000000 }, { 25, 1, 0xff7fffffffffffff },
	{ 5, 0, 9 }, { 5, 1, 0 }, { 17, 0, 0 },
	{ 1UL << 32 | 3, 0, 0 }, { 1UL << 32 | 23, 0, 0 }, { 13, GUEST, 0 },
	{ 13, GUEST, 33 }, { 13, GUEST, 1UL << 32 | 1 }, { 13, 0x100, 1 },
	{ 13, ~0UL, 1 }, { 13, DATA, 1 },
};

static void calls(void)
{
	what = "a call";
	for (int k = 0; k < 3; k++) {
		call(good[k][0], good[k][1], good[k][2]);
		IS(to_guest, 1);
		same(1UL << REG_RAX);
		IS(out[REG_RAX], 0);
		IS(bases, good[k][0] == 25);
		IS(bases ? base[0][0] : 0, good[k][3]);
		IS(bases ? base[0][1] : good[k][2], good[k][2]);
		IS(D(LG_D_KERNEL_SP), k ? STACK : 0x777);
		IS(D(LG_D_RIP), RIP);
		IS(D(LG_D_RSP), in[REG_RSP]);
		IS(cr3 | swaps, 0);
	}
	what = "a call that is not for the road";
	for (unsigned int k = 0; k < sizeof(refused) / 24; k++) {
		call(refused[k][0], refused[k][1], refused[k][2]);
		slow(0);
		IS(bases, 0);
	}
}

static void lists(void)
{
	u64 *e;

	what = "a list";
	for (int n = 1; n <= 32; n++) {
		fresh(0);
		e = (u64 *)(GUEST + 4);
		for (int k = 0; k < n; k++) {
			memset(e + 8 * k, 0xff, 64);
			e[8 * k] = good[k % 3][0];
			e[8 * k + 2] = good[k % 3][1];
			e[8 * k + 3] = good[k % 3][2];
		}
		in[REG_RAX] = 13;
		in[REG_RDI] = (u64)e;
		in[REG_RSI] = n;
		run(AT_syscall64);
		IS(to_guest, 1);
		same(1UL << REG_RAX);
		IS(out[REG_RAX], 0);
		for (int k = 0; k < n; k++)
			IS(e[8 * k + 1], 0);
		IS(D(LG_D_KERNEL_SP), 0x777);
		IS(D(LG_D_RSP), in[REG_RSP]);
	}
	what = "half a list";
	for (int k = 1; k < 192; k++) {
		fresh(0);
		for (int j = 0; j < k; j++)
			*(u8 *)(HOLE - k + j) = j % 64 ? 0 : 3;
		in[REG_RAX] = 13;
		in[REG_RDI] = HOLE - k;
		in[REG_RSI] = 3;
		run(AT_syscall64);
		slow(0);
		IS(faults, 1);
	}
}

/* ---- an NMI, and a machine check, at every boundary ---- */

enum { SYSCALL, TO_USER, TO_KERNEL, LIST, FAULT, WAYS };

static void prepare(int way)
{
	u64 f[] = { 23, FLAGS, RIP, 0, 0x401234,
		    way == TO_USER ? 0xe033 : 0xe030, 0x202, 0x7ffee000,
		    0xe02b };
	u64 *e = (u64 *)GUEST;

	if (way == SYSCALL)
		fresh(1);
	else if (way == FAULT)
		page_fault(VA, 0, 6);
	else if (way != LIST)
		iret(GUEST + 4096 - 40, f, sizeof(f));
	if (way != LIST)
		return;
	fresh(0);
	memset(e, 0, 128);
	e[0] = 3;
	e[3] = 0x777;
	e[8] = 25;
	in[REG_RAX] = 13;
	in[REG_RDI] = GUEST;
	in[REG_RSI] = 2;
}

/* The whole way has been gone, but it ends as an exit without a meaning. */
static void turned(int way)
{
	int nmi = vector == 2;

	IS(to_guest, 0);
	same(way == LIST ? 1UL << REG_RAX : 0);
	IS(D8(LG_D_NMI), nmi);
	IS(D8(LG_D_MCE), !nmi);
	IS(D(LG_D_TRAP), 0x102);
	IS(out[REG_RSP], DATA + LG_D_TRAP);
	IS(D8(LG_D_USER), way == TO_USER);
	IS(swaps, way != TO_KERNEL && way != LIST);
	IS(D(LG_D_RIP), way == SYSCALL || way == FAULT ? HANDLER :
	   way == LIST ? RIP : 0x401234);
	IS(D(LG_D_RSP), way == SYSCALL ? FRAME : way == FAULT ? FRAME - 8 :
	   way == LIST ? 0x7fff1238 : 0x7ffee000);
	if (way == LIST)
		IS(D(LG_D_KERNEL_SP), 0x777);
}

static int boundaries(void)
{
	int n = 0, k;

	what = "NMI at each boundary";
	for (vector = 2; vector <= 18; vector += 16)
		for (int way = 0; way < WAYS; way++)
			for (k = 0; !wrong; k++, n++) {
				prepare(way);
				steps = k;
				run(way == FAULT ? 14 * 16 : AT_syscall64);
				steps = -1;
				if (!sent) {
					IS(to_guest, 1);
					break;
				}
				turned(way);
				if (wrong)
					printf("way %d, step %d\n", way, k);
			}
	return n;
}

static void map_at(u64 at, size_t size, int prot)
{
	if (mmap((void *)at, size, prot, MAP_PRIVATE | MAP_ANONYMOUS |
		 MAP_FIXED, -1, 0) == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
}

static void on(int sig, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction a = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	a.sa_sigaction = handler;
	sigaction(sig, &a, NULL);
}

/* The end of the slots is moved down into this process. */
static int load(const char *file)
{
	const u64 lowest = LG_ROAD_LOWEST, mine = LOWEST;
	const u64 linear = LG_LINEAR, leaves = LINEAR;
	int found = 0, fd = open(file, O_RDONLY);

	if (read(fd, (void *)BLOCK, 8192) != 8192)
		return 0;
	for (u8 *p = (u8 *)BLOCK; p < (u8 *)BLOCK + 8184; p++) {
		if (!memcmp(p, &linear, 8))
			memcpy(p, &leaves, 8);
		if (!memcmp(p, &lowest, 8)) {
			memcpy(p, &mine, 8);
			found++;
		}
	}
	*(u8 *)(BLOCK + AT_off_road) = 0xcc;
	return found;
}

int main(int argc, char **argv)
{
	stack_t st = { .ss_sp = malloc(65536), .ss_size = 65536 };
	int n;

	map_at(BLOCK, 65536, PROT_READ | PROT_WRITE | PROT_EXEC);
	map_at(GUEST, 8192, PROT_READ | PROT_WRITE);
	map_at(INFO, 4096, PROT_READ | PROT_WRITE);
	map_at(LEAF & ~4095UL, 4096, PROT_READ | PROT_WRITE);
	if (argc != 2 || !load(argv[1])) {
		fprintf(stderr, "usage: road TEXT\n");
		return 2;
	}
	sigaltstack(&st, NULL);
	on(SIGUSR1, start);
	on(SIGTRAP, trapped);
	on(SIGSEGV, faulted);
	on(SIGBUS, faulted);
	system_calls();
	exceptions();
	returns();
	page_faults();
	flushes();
	base_reads();
	calls();
	lists();
	n = boundaries();
	if (!wrong)
		printf("= the road, and %d boundaries\n", n);
	return wrong != 0;
}
