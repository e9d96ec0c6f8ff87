// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>

#include "launcher.h"

/* read a word of the guest's memory */
#define PTE_P		0x01
#define PTE_LARGE	0x80
#define PTE_FRAME(e)	((e) >> PAGE_SHIFT & ((1UL << 40) - 1))

bool guest_read(const struct domain *d, uint64_t root, uint64_t va,
		uint64_t *value)
{
	uint64_t pfn = root, entry;

	if (va % 8)
		return false;
	for (int shift = 39; shift >= 12; shift -= 9) {
		/* step down one level */
		if (pfn >= d->frames)
			return false;
		entry = ((uint64_t *)frame_at(d, pfn))[va >> shift & 511];
		if (!(entry & PTE_P) || (shift > 12 && entry & PTE_LARGE))
			return false;
		pfn = PTE_FRAME(entry);
	}
	if (pfn >= d->frames)
		return false;
	*value = ((uint64_t *)frame_at(d, pfn))[va % PAGE_SIZE / 8];
	return true;
}

/* print an address and its symbol */
static void print_address(struct guest *g, uint64_t addr)
{
	uint64_t offset;
	const char *name = image_symbol(&g->img, addr, &offset);

	fprintf(stderr, "  %016lx", addr);
	if (name)
		fprintf(stderr, " %s+%#lx", name, offset);
	fprintf(stderr, "\n");
}

/* print the registers */
static void print_registers(const struct lg_regs *r)
{
	fprintf(stderr,
		"  rax %016llx  rbx %016llx  rcx %016llx  rdx %016llx\n"
		"  rsi %016llx  rdi %016llx  rbp %016llx  rsp %016llx\n"
		"  r8  %016llx  r9  %016llx  r10 %016llx  r11 %016llx\n"
		"  r12 %016llx  r13 %016llx  r14 %016llx  r15 %016llx\n"
		"  cr2 %016llx  cr3 frame %llx  rflags %llx  cs %llx  ss %llx\n"
		"  in %s mode, last exit by %s %llu, error code %#llx\n",
		r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->rsp,
		r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15,
		r->cr2, r->cr3, r->rflags, r->cs, r->ss,
		r->user ? "user" : "kernel",
		r->trap < 256 ? "trap" : "call", r->trap % 256, r->error);
}

/* print a backtrace */
static bool follows_call(struct guest *g, uint64_t addr)
{
	uint64_t at = addr - 5, lo, hi = 0;
	const struct lg_regs *r = &g->run.regs;

	if ((int64_t)addr >= 0 || !guest_read(&g->dom, r->cr3, at & -8, &lo))
		return false;
	guest_read(&g->dom, r->cr3, (at & -8) + 8, &hi);
	return (lo >> at % 8 * 8 & 0xff) == 0xe8;
}

static void print_backtrace(struct guest *g)
{
	const struct lg_regs *r = &g->run.regs;
	uint64_t word, sp = r->rsp & -8;

	for (int words = 0, lines = 0; words < 1024 && lines < 16; words++) {
		if (!guest_read(&g->dom, r->cr3, sp + words * 8, &word))
			break;
		if (!follows_call(g, word))
			continue;
		print_address(g, word);
		lines++;
	}
}

/* report a death */
static const char *const reasons[] = {
	[LG_REBOOT] = "it asked for a reboot",
	[LG_SUSPEND] = "it asked to be suspended, and nobody could resume it",
	[LG_CRASH] = "its kernel panicked; its own last words are above",
	[LG_WATCHDOG] = "its watchdog barked",
};

static const char *cause(const struct lg_run *run)
{
	if (run->exit == LG_EXIT_DEAD)
		return run->message;
	return run->reason && run->reason <= LG_WATCHDOG ?
		reasons[run->reason] : "it ended in an unknown way";
}

void report_death(struct guest *g)
{
	struct lg_run *run = &g->run;

	run->message[sizeof(run->message) - 1] = 0;
	run->section[sizeof(run->section) - 1] = 0;
	fprintf(stderr, "lguest: the guest%s%s died: %s (%u, %u)\n"
		"It stopped at\n", g->opt->name ? " " : "",
		g->opt->name ?: "", cause(run), run->exit, run->reason);
	print_address(g, run->regs.rip);
	print_registers(&run->regs);
	/* add callers and advice */
	if (!run->regs.user) {
		fprintf(stderr, "Possible callers, from its stack:\n");
		print_backtrace(g);
	}
	if (!g->img.has_symbols)
		fprintf(stderr, "(For names of functions, boot the vmlinux "
			"with symbols that this kernel was built as.)\n");
	fprintf(stderr, "The book explains such deaths in \"%s\".\n",
		*run->section ? run->section : "Death and clean-up");
}
