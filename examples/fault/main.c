/* SPDX-License-Identifier: GPL-2.0 */
/* Touch memory that is not there, and let a page fault handler bring it. */
#include "../guest.h"

#define PAGES	3

static volatile struct shared_info *shared;
static volatile char lazy[PAGES][PAGE_SIZE] PAGE_ALIGNED;
static u64 frame[PAGES];

/* error: bit 0, the page was there but not for this; bit 1, it was a write */
void on_page_fault(struct regs *regs)
{
	char *addr = (char *)shared->vcpu[0].cr2;
	u64 page = (addr - (char *)lazy) / PAGE_SIZE;

	if (addr < (char *)lazy || page >= PAGES) {
		say("fault: at %x, not ours\n", (u64)addr);
		shut_down(CRASH);
	}
	say("fault: page %d, byte %d, error code %d\n", page,
	    (u64)addr % PAGE_SIZE, regs->error);
	map(lazy[page], frame[page] * PAGE_SIZE | PRESENT |
	    (regs->error & 2 ? WRITE : 0));
}
ENTRY(page_fault_entry, on_page_fault, ERROR_CODE);

int main(void)
{
	struct { u8 vector, flags; u16 cs; u64 entry; } traps[] = {
		{ 14, 0, FLAT_CS, (u64)page_fault_entry }, { 0, 0, 0, 0 },
	};
	volatile char *p;
	int i;

	shared = map_shared_info();
	if (hypercall(SET_TRAP_TABLE, (u64)traps, 0, 0, 0))
		return CRASH;
	for (i = 0; i < PAGES; i++) {
		frame[i] = mfn(lazy[i]);
		map(lazy[i], 0);
	}

	say("fault: writing\n");
	p = lazy[1];
	p[5] = 'x';
	say("fault: reading\n");
	p = lazy[2];
	say("fault: found %d\n", (u64)p[7]);
	say("fault: writing there too\n");
	p[8] = 'y';
	p = lazy[1];
	say("fault: read back %x and %x\n", (u64)p[5], (u64)lazy[2][8]);
	return 0;
}
