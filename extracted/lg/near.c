// SPDX-License-Identifier: GPL-2.0
/* Walks and writes in the guest's world: a part of the switcher. */
#define LG_NEAR
#include "lg.h"

#define ON_ROAD notrace __attribute__((no_stack_protector, \
				       function_return("keep")))
#define MAP(n)	((void *)(LG_MAPS + (n) * (u64)SZ_1G))

/* see the maps from the road */
static __always_inline struct lg_maps maps_of(const struct lg_data *d)
{
	u64 bytes = BITS_TO_LONGS(d->near + 1) * sizeof(long);

	return (struct lg_maps) {
		.frames = d->near, .pages = MAP(0), .tables = MAP(1),
		.leaves = MAP(2), .followed = MAP(3), .is_table = MAP(4),
		.shadowed = MAP(3) + bytes, .writes = MAP(3) + 2 * bytes,
	};
}

/* enter a leaf on the road */
static __always_inline void enter(struct lg_data *d, const struct lg_maps *m,
				  u64 at, u64 to, u64 new)
{
	u64 *leaf = (u64 *)(LG_TABLES + at);

	if (*leaf == new)
		return;
	if (*leaf & PTE_P) {
		d->stale = 1;
		d->user_root &= ~X86_CR3_PCID_NOFLUSH;
	}
	*leaf = new;
	if (new & PTE_P)
		lg_note(m, to, at);
	if (new & PTE_RW)
		__set_bit(to, m->writes);
}

/* write an entry on the road */
/* Write val to the entry at the guest's address ptr.  0: done. */
ON_ROAD long lg_near_write(struct lg_data *d, u64 ptr, u64 val)
{
	const struct lg_maps m = maps_of(d);
	u64 gfn = ptr >> PAGE_SHIFT, at = ptr & ~7UL;
	u64 *entry = (u64 *)(LG_FRAMES + at), to, table;

	if (gfn > m.frames || !(m.pages[gfn] & PTE_RW))
		return 1;
	/* take one of the ways to write */
	switch (ptr & 7) {
	case MMU_PT_UPDATE_PRESERVE_AD:
		val |= *entry & (PTE_A | PTE_D);
		break;
	case MMU_NORMAL_PT_UPDATE:
	case MMU_PT_UPDATE_NO_TRANSLATE:
		break;
	default:
		return 1;
	}
	table = m.tables[gfn];
	if (!table && test_bit(gfn, m.shadowed))
		return 1;
	to = (val & PTE_FRAME) >> PAGE_SHIFT;
	if (table & LG_KERNEL && val & PTE_P && val & PTE_RW &&
	    to <= m.frames && test_bit(to, m.is_table))
		return 1;
	*entry = val;
	if (table)
		enter(d, &m, at, to, lg_leaf(&m, val, table & LG_KERNEL));
	return 0;
}

/* answer a page fault on the road */
/* Of a program, at va.  0: the leaf is entered; 2: its kernel's, d->error. */
ON_ROAD long lg_near_fault(struct lg_data *d, u64 va)
{
	const struct lg_maps m = maps_of(d);
	u64 gfn = d->table, at, e, *entry[4], all = PTE_RW | PTE_U | PTE_NX;
	u32 access = d->error & (X86_PF_WRITE | X86_PF_INSTR);
	u64 need = PTE_U | (access & X86_PF_WRITE ? PTE_RW : 0) |
		   (access & X86_PF_INSTR ? PTE_NX : 0), table;
	int level;

	for (level = 3; level >= 0; level--) {
		/* read one entry of the walk */
		if (gfn > m.frames || !(m.pages[gfn] & PTE_RW) ||
		    !test_bit(gfn, m.is_table))
			return 1;
		at = gfn << PAGE_SHIFT | (va >> (PAGE_SHIFT + 9 * level) & 511) * 8;
		entry[level] = (u64 *)(LG_FRAMES + at);
		e = *entry[level];
		if (!(e & PTE_P)) {
			d->error = access | X86_PF_USER;
			return 2;
		}
		if (level && e & PTE_PS)
			return 1;
		all &= e ^ PTE_NX;
		gfn = (e & PTE_FRAME) >> PAGE_SHIFT;
	}
	if (gfn > m.frames)
		return 1;
	table = m.tables[at >> PAGE_SHIFT];
	/* leave the program its own fault */
	if (need & ~all) {
		d->error = access | X86_PF_USER | X86_PF_PROT;
		return 2;
	}
	/* fill on the road */
	e |= PTE_A | (access & X86_PF_WRITE ? PTE_D : 0);
	e = table && d->alone ? lg_leaf(&m, e, table & LG_KERNEL) : 0;
	if (!(e & PTE_P) || e == *(u64 *)(LG_TABLES + at) ||
	    (access & X86_PF_WRITE && !(e & PTE_RW)))
		return 1;
	for (level = 3; level >= 0; level--)
		if (!(*entry[level] & PTE_A))
			*entry[level] |= PTE_A;
	if (access & X86_PF_WRITE)
		*entry[0] |= PTE_D;
	enter(d, &m, at, gfn, e);
	return 0;
}
