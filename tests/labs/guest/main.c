/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The guest that the labs' graders start.  Its command line says what to do:
 * calls=N hypercalls, faults=N page faults that it handles, ports=N reads of
 * an I/O port, new=1: try the hypercall of the lab "hypercall".
 */
#include "../../../examples/guest.h"

enum { NEW_CALL = 48 };

static u64 frame;
static volatile char page[PAGE_SIZE] PAGE_ALIGNED;

static u64 option(const char *key)
{
	const char *s = start_info->cmd_line, *p, *k;
	u64 value = 0;

	for (; *s; s++) {
		for (p = s, k = key; *k && *p == *k; p++, k++)
			;
		if (!*k && *p == '=') {
			while (*++p >= '0' && *p <= '9')
				value = value * 10 + *p - '0';
			return value;
		}
	}
	return 0;
}

void on_page_fault(struct regs *regs)
{
	(void)regs;
	map(page, frame * PAGE_SIZE | PRESENT | WRITE);
}
ENTRY(page_fault_entry, on_page_fault, ERROR_CODE);

static void new_call(void)
{
	u64 before, after, count = 0;
	long ret;
	int i;

	before = hypercall(NEW_CALL, 0, 0, 0, 0);
	say("first: %d\n", (long)before < 0 ? 0 : before);
	for (i = 0; i < 25; i++)
		hypercall(XEN_VERSION, 0, 0, 0, 0);
	after = hypercall(NEW_CALL, 0, 0, 0, 0);
	say("between: %d\n", after - before);
	ret = hypercall(NEW_CALL, 1, (u64)&count, 0, 0);
	say("written: %d\n", ret ? 0 : count - after);
	say("to the hypervisor: %d\n",
	    -hypercall(NEW_CALL, 1, 0xffff870000000000, 0, 0));
	say("to nowhere: %d\n", -hypercall(NEW_CALL, 1, 0x1000, 0, 0));
	say("not canonical: %d\n",
	    -hypercall(NEW_CALL, 1, 0x800000000000, 0, 0));
	say("unknown: %d\n", -hypercall(NEW_CALL, 2, (u64)&count, 0, 0));
}

int main(void)
{
	struct { u8 vector, flags; u16 cs; u64 entry; } traps[] = {
		{ 14, 0, FLAT_CS, (u64)page_fault_entry }, { 0, 0, 0, 0 },
	};
	u64 i;

	frame = mfn(page);
	hypercall(SET_TRAP_TABLE, (u64)traps, 0, 0, 0);
	for (i = option("calls"); i; i--)
		hypercall(XEN_VERSION, 0, 0, 0, 0);
	for (i = option("faults"); i; i--) {
		map(page, 0);
		page[0] = 1;
	}
	for (i = option("ports"); i; i--)
		asm volatile("inb $0x61, %%al" : : : "rax");
	if (option("new"))
		new_call();
	say("done\n");
	return POWEROFF;
}
