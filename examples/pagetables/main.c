/* SPDX-License-Identifier: GPL-2.0 */
/* Build a page table, switch to it, change an entry and see it change. */
#include "../guest.h"

#define WINDOW	0x100000000000		/* the address we add: slot 32 */
#define TABLE	(PRESENT | WRITE | USER | ACCESSED)
#define PAGE	(PRESENT | WRITE | USER)

static volatile u64 l4[512] PAGE_ALIGNED, l3[512] PAGE_ALIGNED;
static volatile u64 l2[512] PAGE_ALIGNED, l1[512] PAGE_ALIGNED;
static char first[PAGE_SIZE] PAGE_ALIGNED = "first page";
static char second[PAGE_SIZE] PAGE_ALIGNED = "second page";

/* Page tables are read-only for us: the hypervisor writes the entry. */
static void set_entry(volatile u64 *entry, u64 value)
{
	struct { u64 ptr, val; } update = {
		mfn(entry) * PAGE_SIZE + (u64)entry % PAGE_SIZE, value
	};
	u32 done = 0;

	if (hypercall(MMU_UPDATE, (u64)&update, 1, (u64)&done, DOMID_SELF) ||
	    done != 1)
		say("pagetables: mmu_update was refused\n");
	mmuext(7, WINDOW);			/* INVLPG_LOCAL */
}

int main(void)
{
	volatile char *window = (void *)WINDOW;
	u64 *boot = (u64 *)start_info->pt_base;
	int i;

	/* Slots 256 to 271 are the hypervisor's; the rest is what we have. */
	for (i = 0; i < 512; i++)
		l4[i] = i >= 256 && i < 272 ? 0 : boot[i];
	l4[WINDOW >> 39 & 511] = mfn(l3) * PAGE_SIZE | TABLE;
	l3[WINDOW >> 30 & 511] = mfn(l2) * PAGE_SIZE | TABLE;
	l2[WINDOW >> 21 & 511] = mfn(l1) * PAGE_SIZE | TABLE;
	l1[WINDOW >> 12 & 511] = mfn(first) * PAGE_SIZE | PAGE;

	if (protect(l4) || protect(l3) || protect(l2) || protect(l1) ||
	    mmuext(PIN_L4, mfn(l4)))
		say("pagetables: the table was refused\n");
	if (mmuext(NEW_BASEPTR, mfn(l4)))
		say("pagetables: NEW_BASEPTR was refused\n");

	say("pagetables: through the window: %s\n", window);
	say("pagetables: its entry, after a read: %s\n",
	    (l1[0] & (ACCESSED | DIRTY)) == ACCESSED ? "A" : "wrong");
	window[0] = 'F';
	say("pagetables: its entry, after a write: %s\n",
	    (~l1[0] & (ACCESSED | DIRTY)) == 0 ? "A D" : "wrong");
	say("pagetables: the same memory, as the image sees it: %s\n", first);

	set_entry(&l1[0], mfn(second) * PAGE_SIZE | PAGE);
	say("pagetables: after mmu_update: %s\n", window);

	if (mmuext(NEW_BASEPTR, mfn(boot)) || mmuext(UNPIN, mfn(l4)))
		say("pagetables: going back was refused\n");
	say("pagetables: back on the first table\n");
	return 0;
}
