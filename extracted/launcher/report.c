// SPDX-License-Identifier: GPL-2.0
#include "launcher.h"

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
	fprintf(stderr, "lguest: the guest");
	/* the dead guest's name */
	if (g->opt->name)
		fprintf(stderr, " %s", g->opt->name);
	fprintf(stderr, " died: %s (%u, %u)\nIt stopped at\n  %016llx",
		cause(run), run->exit, run->reason, run->regs.rip);
	/* the function it died in */
	bool named = symbols_print(run->regs.rip);
	fprintf(stderr, "\n");
	/* further news of a death */
	print_registers(&run->regs);
	if (!run->regs.user) {
		fprintf(stderr, "Possible callers, from its stack:\n");
		print_backtrace(g);
	}
	if (!named)
		fprintf(stderr, "(For names of functions, boot the vmlinux "
			"with symbols that this kernel was built as.)\n");
	fprintf(stderr, "The book explains such deaths in \"%s\".\n",
		*run->section ? run->section : "Death and clean-up");
}
