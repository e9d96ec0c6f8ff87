// SPDX-License-Identifier: GPL-2.0
/*
 * events.c - count, from outside the emulated machine, what instruction
 * counting hides.  A plugin of QEMU's TCG (interface version 1: QEMU 6 to 8.2,
 * so Debian 12's): -plugin file=events.so,out=FILE[,profile=FILE]
 *
 * Between the two marks of a row (see ops.c: no-ops that no kernel and no
 * hypervisor notices) FILE gets one line, "ROW-NUMBER KIND COUNT...".  The
 * profile names each block of code: row, world, address, times, instructions.
 * "refill" is of a model: see struct entry.
 * World h is the outer machine's own kernel, g any other code in its place.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is used of the interface, as QEMU's manual describes it. */
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t id_t_;
extern void qemu_plugin_register_vcpu_tb_trans_cb(id_t_,
	void (*)(id_t_, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *,
	int op, void *counter, uint64_t add);
extern void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *,
	int op, void *counter, uint64_t add);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *,
	void (*)(unsigned int, void *), int flags, void *);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *,
	void (*)(unsigned int, void *), int flags, void *);
extern void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *,
	void (*)(unsigned int, uint32_t, uint64_t, void *), int flags, int rw,
	void *);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(
	const struct qemu_plugin_tb *, size_t);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
extern void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *);
int qemu_plugin_version = 1;

/* What is counted: instructions that cost far more than one. */
enum kind { CR3, CR4, CR0, DR, LGDT, LIDT, LTR, LLDT, WRMSR, RDMSR, SYSCALL,
	SYSRET, IRET, SWAPGS, INVLPG, XSETBV, XSAVE, PORT, CPUID, VMRUN, REFILL, KINDS };
static const char *const names[KINDS] = { "cr3", "cr4", "cr0", "dr", "lgdt",
	"lidt", "ltr", "lldt", "wrmsr", "rdmsr", "syscall", "sysret", "iret",
	"swapgs", "invlpg", "xsetbv", "xsave", "port", "cpuid", "vmrun",
	"refill" };
static uint64_t count[KINDS], before[KINDS];

/*
 * A plugin doesn't see the TLB, and QEMU's is no processor's.  But it sees each
 * access, so here is one of the size that Intel's have had since 2015: 1,536
 * translations, 12 ways, pages of 4 KiB, the oldest goes.  No tags: a load of
 * cr3, and the entry into an SVM guest, empty it, global pages too, as with
 * pti=on and without PCID.  INVLPG, whose operand isn't seen, takes nothing.
 */
#define WAYS	12
#define SETS	128
static struct entry {
	uint64_t page, emptied, used;
} tlb[SETS][WAYS];
static uint64_t emptied = 1, now, last[2];

static void look_up(uint64_t page, int fetch)
{
	struct entry *e = tlb[page % SETS], *oldest = e;
	int i;

	if (last[fetch] == page)
		return;
	last[fetch] = page;
	now++;
	for (i = 0; i < WAYS; i++, e++) {
		if (e->page == page && e->emptied == emptied) {
			e->used = now;
			return;
		}
		if (e->emptied != emptied)
			e->used = 0;
		if (e->used < oldest->used)
			oldest = e;
	}
	*oldest = (struct entry) { page, emptied, now };
	count[REFILL]++;
}

static void access_(unsigned int cpu, uint32_t info, uint64_t va, void *unused)
{
	(void)cpu, (void)info, (void)unused;
	look_up(va >> 12, 0);
}

static void fetch(unsigned int cpu, void *page)
{
	(void)cpu;
	look_up((uintptr_t)page, 1);
}

static void empty(unsigned int cpu, void *unused)
{
	(void)cpu, (void)unused;
	emptied++;
	last[0] = last[1] = 0;
}

static struct block {
	uint64_t va, times, before;
	char *at;
	unsigned int insns;
	char world;
} *blocks;
#define BLOCKS	(1u << 21)

static FILE *out, *profile;
static int row;

static void mark(unsigned int cpu, void *end)
{
	unsigned int i;
	struct block *b;

	(void)cpu;
	if (!end) {
		memcpy(before, count, sizeof(before));
		for (b = blocks; b < blocks + BLOCKS && profile; b++)
			b->before = b->times;
		return;
	}
	fprintf(out, "%d", ++row);
	for (i = 0; i < KINDS; i++)
		fprintf(out, " %s %" PRIu64, names[i], count[i] - before[i]);
	fputc('\n', out);
	fflush(out);
	for (b = blocks; b < blocks + BLOCKS && profile; b++)
		if (b->times != b->before)
			fprintf(profile, "%d %c %" PRIx64 " %" PRIu64 " %u\n",
				row, b->world, b->va, b->times - b->before,
				b->insns);
}

/* kind of the instruction, or KINDS. */
static int kind_of(const uint8_t *p, size_t n)
{
	int reg;

	while (n > 1 && (*p == 0x66 || *p == 0xf3 || *p == 0xf2 || *p == 0x2e ||
			 *p == 0x3e || (*p & 0xf0) == 0x40))
		p++, n--;
	if (*p == 0xcf)
		return IRET;
	if ((*p >= 0xe4 && *p <= 0xe7) || (*p >= 0xec && *p <= 0xef) ||
	    (*p >= 0x6c && *p <= 0x6f))
		return PORT;
	if (*p != 0x0f || n < 2)
		return KINDS;
	reg = n > 2 ? p[2] >> 3 & 7 : 0;
	switch (p[1]) {
	case 0x22:
		return reg == 3 ? CR3 : reg == 4 ? CR4 : reg ? KINDS : CR0;
	case 0x23: return DR;
	case 0x30: return WRMSR;
	case 0x32: return RDMSR;
	case 0x05: return SYSCALL;
	case 0x07: return SYSRET;
	case 0xa2: return CPUID;
	case 0x00: return reg == 2 ? LLDT : reg == 3 ? LTR : KINDS;
	case 0xae: return p[2] < 0xc0 && reg >= 4 && reg <= 6 ? XSAVE : KINDS;
	case 0x01:
		switch (p[2]) {
		case 0xd1: return XSETBV;
		case 0xd8: return VMRUN;
		case 0xf8: return SWAPGS;
		}
		return p[2] >= 0xc0 ? KINDS : reg == 2 ? LGDT :
			reg == 3 ? LIDT : reg == 7 ? INVLPG : KINDS;
	}
	return KINDS;
}

static char *kernel;

static struct block *block_at(uint64_t va, char *at, unsigned int insns)
{
	uint64_t h = (va ^ (uintptr_t)at * 31 ^ insns * 7919ull) * 0x9e3779b97f4a7c15;
	struct block *b = &blocks[h >> 43];

	while (b->va && (b->va != va || b->at != at || b->insns != insns))
		if (++b == blocks + BLOCKS)
			b = blocks;
	b->va = va, b->at = at, b->insns = insns;
	/* The outer kernel runs first: its place tells it from a guest's. */
	if (va >= 0xffffffff81000000 && !kernel)
		kernel = at - va;
	b->world = at - va == kernel || va >= 0xffffffffc0000000 ||
		va >> 39 == 0xffff800000000000 >> 39 ? 'h' : 'g';
	return b;
}

static void translate(id_t_ id, struct qemu_plugin_tb *tb)
{
	static const uint8_t nop[] = { 0x0f, 0x1f, 0x80, 'g', 'u', 'e' };
	size_t i, n = qemu_plugin_tb_n_insns(tb);

	(void)id;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, fetch, 0,
		(void *)(qemu_plugin_tb_vaddr(tb) >> 12));
	for (i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		const uint8_t *p = qemu_plugin_insn_data(insn);
		size_t size = qemu_plugin_insn_size(insn);
		int k = kind_of(p, size);

		qemu_plugin_register_vcpu_mem_cb(insn, access_, 0, 3, NULL);
		if (k == CR3 || k == VMRUN)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, empty, 0,
							       NULL);
		if (k != KINDS)
			qemu_plugin_register_vcpu_insn_exec_inline(insn, 0,
				&count[k], 1);
		if (size == 7 && !memcmp(p, nop, sizeof(nop)))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, mark, 0,
				p[6] == '1' ? &row : NULL);
		if (profile && !i)
			qemu_plugin_register_vcpu_tb_exec_inline(tb, 0,
				&block_at(qemu_plugin_insn_vaddr(insn),
					  qemu_plugin_insn_haddr(insn), n)->times, 1);
	}
}

int qemu_plugin_install(id_t_ id, const void *info, int argc, char **argv)
{
	(void)info;
	for (; argc; argc--, argv++) {
		FILE **f = !strncmp(*argv, "out=", 4) ? &out :
			   !strncmp(*argv, "profile=", 8) ? &profile : NULL;

		if (!f || !(*f = fopen(strchr(*argv, '=') + 1, "w"))) {
			fprintf(stderr, "events.so: cannot take '%s'\n", *argv);
			return -1;
		}
	}
	if (!out)
		return -1;
	if (profile && !(blocks = calloc(BLOCKS, sizeof(*blocks))))
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	return 0;
}
