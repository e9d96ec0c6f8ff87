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
#define TEXT	(3 * 4096)
#define DATA	(BLOCK + 9 * 4096)
#define INFO	0x2f000000UL
#define LOWEST	LG_ROAD_LOWEST	/* stands for the end of the slots */
#define GUEST	0x30000000UL	/* two pages, and a hole behind them */
#define HOLE	(GUEST + 8192)
#define LINEAR	LG_LINEAR	/* stands for slot 257; the others likewise */
#define VA	0x7f1234567123UL	/* its leaf has a page there */
#define LEAF	(LINEAR + (VA >> 12) * 8)
#define FRAMES	40		/* the last frame's number */
#define ROOT	3		/* of the tables of VA: frames 3 to 6, the leaf's last */
#define LEAVES	6
#define AT(level)	((u64)(LEAVES - (level)) << 12 | (VA >> (12 + 9 * (level)) & 511) * 8)
#define GUESTS(at)	(*(u64 *)(LG_FRAMES + (at)))
#define SHADOW(at)	(*(u64 *)(LG_TABLES + (at)))
#define GIB(n)		((u64 *)(LG_MAPS + ((u64)(n) << 30)))
#define PAGES		GIB(0)
#define TABLES		GIB(1)
#define NOTES		GIB(2)
#define SHADOWED	(GIB(3)[1])	/* of 41 frames: a word for each map */
#define WRITES		(GIB(3)[2])
#define IS_TABLE	(*GIB(4))
#define LG_D_TABLE	(LG_D_NEAR + 8)
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
static u64 cr2, cr3, invlpg, base[64][2];
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
	if (at >= TEXT) {
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
	} else if (!memcmp(code, "\x0f\x01\x3e", 3)) {	/* invlpg (%rsi) */
		invlpg = g[REG_RSI];
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
	to_guest = swaps = faults = bases = sent = cr3 = invlpg = 0;
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
	D8(LG_D_STALE) = 0;
	D8(LG_D_ALONE) = 1;
	D(LG_D_NEAR) = FRAMES;
	D(LG_D_TABLE) = ROOT;
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

/* What the windows show: each frame's page is known, and VA has its tables. */
static u64 page_of(int gfn)
{
	return 0x8000000000000063 | (u64)(gfn + 1000) << 12;
}

static void windows(u64 upper, u64 leaf)
{
	memset((void *)LG_FRAMES, 0x33, (FRAMES + 1) * 4096);
	memset((void *)LG_TABLES, 0, (FRAMES + 1) * 4096);
	memset(TABLES, 0, 4096);
	memset(NOTES, 0, 4096);
	for (int i = 0; i <= FRAMES; i++)
		PAGES[i] = page_of(i);
	for (int level = 3; level; level--)
		GUESTS(AT(level)) = upper | (LEAVES - level + 1) << 12;
	GUESTS(AT(0)) = leaf;
	TABLES[LEAVES] = 0x8000000000777063;
	IS_TABLE = SHADOWED = 15 << ROOT;
	WRITES = 0;
}

/* A program's page fault, with this error code. */
static void page_fault(u64 va, u64 error)
{
	u64 *sp = &D(LG_D_REGS_END);

	fresh(1);
	D(ENTRY(14)) = HANDLER;
	D8(ENTRY(14) + LG_ENTRY_FLAGS) = LG_ENTRY_MASK;
	cr2 = va;
	sp[-1] = 0x2b;
	sp[-2] = 0x7fff0000;
	sp[-3] = 0x246;
	sp[-4] = 0xf033;	/* iretq would take a program's own */
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

/* Handed on, with this error code. */
static void handed_on(u64 error)
{
	u64 *w = (u64 *)(FRAME - 8);

	IS(to_guest, 1);
	same(0);
	IS(w[0], in[REG_RCX]);
	IS(w[1], in[REG_R11]);
	IS(w[2], error);
	IS(w[3], 0x400100);
	IS(w[4], 0xf033);
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

/* The program goes on where it was. */
static void goes_on(void)
{
	IS(to_guest, 1);
	same(0);
	IS(D(LG_D_RIP), 0x400100);
	IS(D(LG_D_RSP), 0x7fff0000);
	IS(D8(LG_D_USER), 1);
	IS(swaps, 0);
	IS(cr3, 0xbbb000);
	IS(MASK, 0);
}

enum { P = 1, RW = 2, U = 4, A = 32, DIRTY = 64, PS = 128, KERNEL = 512 };
#define NX	(1UL << 63)

/* The leaf of an entry, said once more and in another way. */
static u64 leaf_of(u64 e, int kernel)
{
	u64 to = e << 12 >> 24, page = to <= FRAMES ? PAGES[to] : 0;
	int writable = e & page & RW && e & DIRTY && !(IS_TABLE >> to & 1);

	if (!(e & P) || !(e & A) || !page || !(kernel || e & U))
		return 0;
	return (page & 0xffffffffff000) | (e & NX) | P | U | A | (writable ? RW | DIRTY : 0);
}

static void page_faults(void)
{
	static const u64 far[] = { 1UL << 47, VA | 1UL << 50, ~0UL, -4096UL,
		0xffff888000001000, 0xffff808000000000 };
	static const u64 bits[] = { P, RW, U, A, DIRTY, NX };
	static const u64 uppers[] = { P | RW | U | A, P | U | A, P | RW | A,
		P | RW | U, P | RW | U | A | NX, RW | U | A, P | RW | U | A | PS };
	static const u8 errors[] = { 4, 5, 6, 7, 0x14, 0x15 };
	u64 leaf, up, all, need, now, want, old;

	what = "page fault";
	for (int n = 0; n < 6 * 64 * 7 * 8; n++) {
		int error = errors[n % 6], odd = n / 6 / 64 / 7, k;

		leaf = 20 << 12;
		for (k = 0; k < 6; k++)
			leaf |= n / 6 >> k & 1 ? bits[k] : 0;
		up = uppers[n / 6 / 64 % 7];
		windows(up, leaf);
		/* what may be odd: the page, the frame, the shadow, the table */
		PAGES[20] = odd == 1 ? 0 : odd == 2 ? page_of(20) & ~RW : page_of(20);
		IS_TABLE |= odd == 3 ? 1 << 20 : 0;
		TABLES[LEAVES] = odd == 4 ? 0 : TABLES[LEAVES];
		old = SHADOW(AT(0)) = odd == 5 ? 0x123 : odd == 6 ? leaf_of(leaf | A | (error & 2 ? DIRTY : 0), 0) : 0;
		page_fault(VA, error);
		D8(LG_D_ALONE) = odd != 7;
		run(14 * 16);
		all = (up & leaf & (P | RW | U)) | (~(up | leaf) & NX);
		need = U | (error & 2 ? RW : 0) | (error & 16 ? NX : 0);
		want = leaf | A | (error & 2 ? DIRTY : 0);
		now = leaf_of(want, 0);
		if (!(up & P) || (!(up & PS) && !(leaf & P))) {
			handed_on(error & ~1);
			IS(SHADOW(AT(0)), old);
		} else if (up & PS) {
			IS(to_guest, 0);
			IS(GUESTS(AT(0)), leaf);
		} else if (need & ~all) {
			handed_on(error | 1);
			IS(SHADOW(AT(0)), old);
			IS(GUESTS(AT(0)), leaf);
			IS(D8(LG_D_STALE), 0);
		} else if (odd == 4 || odd == 7 || !now || now == old ||
			   (error & 2 && !(now & RW))) {
			IS(to_guest, 0);
			IS(swaps, 0);
			IS(cr2, VA);
			IS(D(LG_D_TRAP), 14);
			IS(D(LG_D_ERROR), error);
			IS(GUESTS(AT(0)), leaf);
			IS(SHADOW(AT(0)), old);
		} else {
			goes_on();
			for (k = 3; k; k--)
				IS(GUESTS(AT(k)), up | A | (LEAVES - k + 1) << 12);
			IS(GUESTS(AT(0)), want);
			IS(SHADOW(AT(0)), now);
			IS(NOTES[20 * 3], AT(0) | 1);
			IS(WRITES, now & RW ? 1 << 20 : 0);
			IS(D8(LG_D_STALE), old & P);
		}
		if (wrong) {
			printf("leaf %lx, upper %lx, error %x, odd %d\n", leaf, up, error, odd);
			return;
		}
	}
	what = "page fault with bad tables";
	for (int level = 0; level < 4; level++)
		for (int k = 0; k < 4; k++) {
			windows(P | RW | U | A, 20 << 12 | P | U);
			if (k == 0 && level < 3)
				GUESTS(AT(level + 1)) = P | RW | U | A | (u64)(FRAMES + 1) << 12;
			else if (k == 1)
				PAGES[LEAVES - level] &= ~RW;
			else if (k == 2)
				PAGES[LEAVES - level] = 0;
			else
				IS_TABLE &= ~(1 << (LEAVES - level));
			page_fault(VA, 4);
			its_own_not(VA);
		}
	for (u64 far = FRAMES + 1; far; far <<= 1) {
		windows(P | RW | U | A, (far << 12 & 0xffffffffff000) | P | RW | U | A | DIRTY);
		page_fault(VA, 4);
		if (far << 24)
			its_own_not(VA);
		GUESTS(AT(0)) &= ~U;
		page_fault(VA, 4);
		if (far << 24)
			its_own_not(VA);
		page_fault(VA, 4);
		D(LG_D_TABLE) = far;
		its_own_not(VA);
	}
	what = "page fault that is not for the road";
	windows(P | RW | U | A, 0);
	page_fault(VA, 4);
	D(LG_D_NEAR) = 0;
	its_own_not(VA);
	page_fault(VA, 4);
	MASK = 1;
	run(14 * 16);
	IS(to_guest, 0);
	IS(cr2, VA);
	page_fault(VA, 4);
	D(ENTRY(14)) = 0;
	its_own_not(VA);
	for (unsigned int k = 0; k < sizeof(far) / 8; k++) {
		page_fault(far[k], 4);
		its_own_not(far[k]);
		IS(faults, 0);
	}
	what = "page fault without a leaf table";
	page_fault(VA + (1UL << 21), 4);
	GUESTS(AT(1) + 8) = P | RW | U | A | LEAVES << 12;
	GUESTS(AT(0)) = 20 << 12 | P | U;
	its_own_not(VA + (1UL << 21));
	IS(faults, 1);
	what = "page fault without a stack";
	for (int k = 16; k < 200; k += 8) {
		windows(P | RW | U | A, 0);
		page_fault(VA, 6);
		D(LG_D_KERNEL_SP) = HOLE + k;
		its_own_not(VA);
		IS(faults, 1);
	}
}

/* Entries of tables: what a write leaves in the table, its leaf, and the notes. */
static void writes(void)
{
	u64 *list = (u64 *)(GUEST + 4096 - 24), val, now, old, e;
	static const u64 bits[] = { P, RW, U, A, DIRTY, NX };

	what = "an entry is written";
	for (int n = 0; n < 64 * 4 * 12; n++) {
		int how = n / 64 % 4, odd = n / 256;
		u64 at = LEAVES << 12 | 8 * (n % 512), ptr = at | how;

		windows(P, 0);
		for (int k = 0; k < 6; k++)
			val = (k ? val : 20 << 12) | (n >> k & 1 ? bits[k] : 0);
		e = GUESTS(at) = 0x1000 | (odd & 1 ? A : DIRTY);
		old = SHADOW(at) = odd == 1 ? 0x5555001 : 0;
		PAGES[20] &= odd == 2 ? 0 : odd == 3 ? ~RW : ~0;
		TABLES[LEAVES] = odd == 4 ? 0 : TABLES[LEAVES] | (odd >= 7 ? KERNEL : 0);
		IS_TABLE |= odd == 5 || odd == 7 ? 1 << 20 : 0;
		PAGES[LEAVES] &= odd == 6 ? ~RW : ~0;
		SHADOWED &= odd == 8 ? 0 : ~0;
		TABLES[LEAVES] = odd == 8 ? 0 : TABLES[LEAVES];
		NOTES[60] = odd == 9 ? 2 : odd == 10 ? 5 << 12 | 1 : 0;
		val |= odd == 11 ? (u64)(FRAMES + 1) << 12 : 0;
		call(1, (u64)list, 1);
		list[0] = ptr, list[1] = val;
		in[REG_RDX] = 0;
		run(AT_syscall64);
		if (how == 2)
			val |= e & (A | DIRTY);
		now = leaf_of(val, odd >= 7);
		if (how == 1 || odd == 4 || odd == 6 ||
		    (odd == 7 && (val & 3) == 3)) {
			slow(0);
			IS(GUESTS(at), e);
			IS(SHADOW(at), old);
			continue;
		}
		IS(to_guest, 1);
		same(1UL << REG_RAX);
		IS(out[REG_RAX], 0);
		IS(GUESTS(at), val);
		IS(SHADOW(at), odd == 8 ? 0 : now);
		IS(D8(LG_D_STALE), odd == 1);
		IS(D(LG_D_USER_ROOT), 0xbbb000);
		IS(NOTES[60], odd == 9 ? 2 : odd != 8 && now ? at | 1 : odd == 10 ? 5 << 12 | 1 : 0);
		IS(WRITES, odd != 8 && now & RW ? 1 << 20 : 0);
		if (wrong) {
			printf("value %lx, way %d, odd %d\n", val, how, odd);
			return;
		}
	}
	what = "places of a frame";
	windows(P, 0);
	for (int k = 0; k < 5; k++) {
		call(1, (u64)list, 1);
		list[0] = LEAVES << 12 | 8 * k, list[1] = 20 << 12 | P | U | A;
		in[REG_RDX] = 0;
		if (k == 2)		/* the second one has gone meanwhile */
			SHADOW(LEAVES << 12 | 8) = 0;
		run(AT_syscall64);
		IS(to_guest, 1);
		IS(NOTES[60], k == 4 ? 2UL : LEAVES << 12 | 1);
		IS(NOTES[61], k == 0 ? 0UL : LEAVES << 12 | (k == 1 ? 8 : 16) | 1);
		IS(NOTES[62], k < 3 ? 0UL : LEAVES << 12 | 24 | 1);
	}
	what = "a present leaf is replaced";
	windows(P, 0);
	SHADOW(LEAVES << 12) = 0x5555001;
	call(1, (u64)list, 1);
	list[0] = LEAVES << 12, list[1] = 0;
	in[REG_RDX] = 0;
	D(LG_D_USER_ROOT) = 1UL << 63 | 0xbbb000;
	run(AT_syscall64);
	IS(D(LG_D_USER_ROOT), 0xbbb000);
	IS(D8(LG_D_STALE), 1);
	what = "entries that are not for the road";
	for (int k = 0; k < 10; k++) {
		windows(P, 0);
		list = (u64 *)(k < 3 ? HOLE - 16 * (k + 1) : GUEST + 32);
		fresh(0);
		for (int n = 0; n <= k && n < 3; n++)
			list[2 * n] = LEAVES << 12 | 4096, list[2 * n + 1] = P;
		if (k > 7)
			list[0] = k == 8 ? (u64)(FRAMES + 1) << 12 : ~7UL;
		in[REG_RAX] = 1;
		in[REG_RDI] = (u64)list;
		in[REG_RSI] = k < 3 ? k + 2 : k == 3 ? 0 : k == 4 ? 33 :
			      k == 5 ? 1L << 32 | 1 : 1;
		in[REG_RDX] = k == 6 ? GUEST : 0;
		D8(LG_D_ALONE) = k != 7;
		run(AT_syscall64);
		slow(0);
		IS(faults, k < 3);
	}
	what = "a list of entries";
	for (int n = 1; n <= 33; n++) {
		windows(P, 0);
		fresh(0);
		list = (u64 *)(HOLE - 16 * n);
		for (int k = 0; k < n; k++)
			list[2 * k] = LEAVES << 12 | 8 * k, list[2 * k + 1] = 20 << 12 | P | U | A | (u64)k << 52;
		in[REG_RAX] = 1, in[REG_RDI] = (u64)list, in[REG_RSI] = n, in[REG_RDX] = 0;
		run(AT_syscall64);
		if (n == 33) {
			slow(0);
			break;
		}
		IS(to_guest, 1);
		same(1UL << REG_RAX);
		for (int k = 0; k < n; k++)
			IS(GUESTS(LEAVES << 12 | 8 * k), list[2 * k + 1]);
	}
	what = "lists of entries in a list";
	for (int n = 1; n <= 3; n++) {
		u64 *e = (u64 *)(GUEST + 4096);

		windows(P, 0);
		fresh(0);
		list = (u64 *)GUEST;
		for (int k = 0; k < n; k++)
			list[2 * k] = LEAVES << 12 | 8 * k, list[2 * k + 1] = 20 << 12;
		memset(e, 0, 64);
		e[0] = 1, e[2] = GUEST, e[3] = n;
		in[REG_RAX] = 13, in[REG_RDI] = (u64)e, in[REG_RSI] = 1;
		run(AT_syscall64);
		if (n == 3)
			slow(0);
		IS(to_guest, n < 3);
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
	u64 *e = (u64 *)(GUEST + 64), stale;

	what = "a flush";
	for (unsigned int k = 0; k < sizeof(f) / sizeof(f[0]); k++) {
		for (int list = 0; list < 4; list++) {
			stale = list / 2;
			fresh(0);
			D8(LG_D_STALE) = stale;
			if (f[k].at >= GUEST && f[k].at <= HOLE - 4)
				*(uint32_t *)f[k].at = f[k].cmd;
			if (f[k].cmd == 7)	/* a half of its own is forgotten */
				*(u64 *)(f[k].at + 8) = list & 1 ? VA : ~0UL;
			D8(LG_D_IN_STEP) = f[k].step;
			memset(e, 0, 64);
			e[0] = in[REG_RAX] = 26;
			e[2] = in[REG_RDI] = f[k].at;
			e[3] = in[REG_RSI] = f[k].count;
			e[4] = in[REG_RDX] = f[k].done;
			if (list & 1) {
				in[REG_RAX] = 13;
				in[REG_RDI] = (u64)e;
				in[REG_RSI] = 1;
			}
			run(AT_syscall64);
			if (!f[k].good) {
				slow(0);
				continue;
			}
			IS(to_guest, 1);
			IS(out[REG_RAX], 0);
			same(1UL << REG_RAX);
			IS(bases | swaps, 0);
			/* one address, or all of the root in use */
			IS(invlpg, stale && f[k].cmd == 7 && list & 1 ? VA : 0);
			IS(cr3, stale && !invlpg ? 0xaaa000 : 0);
			IS(D8(LG_D_STALE), stale && invlpg);
		}
	}
}

/* Flushes while leaf tables are loose, and while a root is kept in the TLB. */
static void more_flushes(void)
{
	static const u64 keep = 1UL << 63;
	const int size = 4096, prot = PROT_READ | PROT_WRITE;
	u64 *other = (u64 *)(LEAF | 1UL << 40), at[2] = { 7, VA };

	mmap((void *)((u64)other & ~4095UL), size, prot,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	what = "a flush of an address whose table is loose";
	for (int k = 0; k < 3; k++) {
		fresh(0);
		at[1] = k == 2 ? VA + (1UL << 21) : VA;
		memcpy((void *)GUEST, at, sizeof(at));
		*(u64 *)LEAF = *other = 0x1234067;
		D8(LG_D_IN_STEP) = k == 1 ? 0 : 2;
		D(LG_D_USER_ROOT) = keep | 0xbbb000;
		in[REG_RAX] = 26, in[REG_RDI] = GUEST, in[REG_RSI] = 1, in[REG_RDX] = 0;
		run(AT_syscall64);
		if (k)
			slow(0);
		IS(to_guest, !k);
		IS(*(u64 *)LEAF, k ? 0x1234067 : 0);
		IS(*other, k ? 0x1234067 : 0);
		IS(invlpg, k ? 0 : VA);
		IS(D(LG_D_USER_ROOT), k ? keep | 0xbbb000 : 0xbbb000);
	}
	what = "a flush of all";
	for (int k = 0; k < 3; k++) {
		fresh(0);
		at[0] = 6;
		memcpy((void *)GUEST, at, sizeof(at));
		D8(LG_D_IN_STEP) = k == 2 ? 2 : 1;
		D8(LG_D_STALE) = k;
		D(LG_D_KERNEL_ROOT) = keep | 0xaaa000;
		in[REG_RAX] = 26, in[REG_RDI] = GUEST, in[REG_RSI] = 1, in[REG_RDX] = 0;
		run(AT_syscall64);
		IS(to_guest, k < 2);
		IS(cr3, k == 1 ? 0xaaa000 : 0);
		IS(D8(LG_D_STALE), k == 2 ? 2 : 0);
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

enum { SYSCALL, TO_USER, TO_KERNEL, LIST, FAULT, FILL, WRITE, WAYS };

static void prepare(int way)
{
	u64 f[] = { 23, FLAGS, RIP, 0, 0x401234,
		    way == TO_USER ? 0xe033 : 0xe030, 0x202, 0x7ffee000,
		    0xe02b };
	u64 *e = (u64 *)GUEST;

	windows(P | RW | U | A, way == FILL ? 20 << 12 | P | RW | U : 0);
	if (way == WRITE) {
		call(1, GUEST, 1);
		e[0] = LEAVES << 12;
		e[1] = 20 << 12 | P | U | A;
		in[REG_RDX] = 0;
		return;
	}
	if (way == SYSCALL)
		fresh(1);
	else if (way == FAULT || way == FILL)
		page_fault(VA, 6);
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
	int nmi = vector == 2, call = way == LIST || way == WRITE;

	IS(to_guest, 0);
	same(call ? 1UL << REG_RAX : 0);
	IS(D8(LG_D_NMI), nmi);
	IS(D8(LG_D_MCE), !nmi);
	IS(D(LG_D_TRAP), 0x102);
	IS(out[REG_RSP], DATA + LG_D_TRAP);
	IS(D8(LG_D_USER), way == TO_USER || way == FILL);
	IS(swaps, way == SYSCALL || way == TO_USER || way == FAULT);
	IS(D(LG_D_RIP), way == SYSCALL || way == FAULT ? HANDLER :
	   way == FILL ? 0x400100 : call ? RIP : 0x401234);
	IS(D(LG_D_RSP), way == SYSCALL ? FRAME : way == FAULT ? FRAME - 8 :
	   way == FILL ? 0x7fff0000 : call ? 0x7fff1238 : 0x7ffee000);
	if (way == LIST)
		IS(D(LG_D_KERNEL_SP), 0x777);
	if (way == FILL || way == WRITE)
		IS(SHADOW(way == FILL ? AT(0) : (u64)LEAVES << 12), leaf_of(20 << 12 | P | U | A |
		   (way == FILL ? RW | DIRTY : 0), 0));
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
				run(way == FAULT || way == FILL ? 14 * 16 : AT_syscall64);
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

/* The text has been made for windows in this process: see tests/t/road. */
static int load(const char *file)
{
	int fd = open(file, O_RDONLY);

	if (read(fd, (void *)BLOCK, TEXT) != TEXT)
		return 0;
	*(u8 *)(BLOCK + AT_off_road) = 0xcc;
	return 1;
}

/* The leaf table of VA is seen in two places. */
static void map_windows(void)
{
	const int prot = PROT_READ | PROT_WRITE, size = (FRAMES + 1) * 4096;
	int fd = memfd_create("tables", 0);

	map_at(LG_FRAMES, size, prot);
	for (int i = 0; i < 5; i++)
		map_at((u64)GIB(i), 4096, prot);
	if (ftruncate(fd, size) ||
	    mmap((void *)LG_TABLES, size, prot, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED ||
	    mmap((void *)(LEAF & ~4095UL), 4096, prot, MAP_SHARED | MAP_FIXED, fd, LEAVES * 4096) == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	stack_t st = { .ss_sp = malloc(65536), .ss_size = 65536 };
	int n;

	map_at(BLOCK, 65536, PROT_READ | PROT_WRITE | PROT_EXEC);
	map_at(GUEST, 8192, PROT_READ | PROT_WRITE);
	map_at(INFO, 4096, PROT_READ | PROT_WRITE);
	map_windows();
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
	more_flushes();
	writes();
	base_reads();
	calls();
	lists();
	n = boundaries();
	if (!wrong)
		printf("= the road, and %d boundaries\n", n);
	return wrong != 0;
}
