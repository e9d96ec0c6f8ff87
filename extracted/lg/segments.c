// SPDX-License-Identifier: GPL-2.0
/* Descriptor tables: the CPU reads our checked copies, never the guest's. */
#include "lg.h"

/* bits of a descriptor */
#define DESC_ACCESSED	BIT_ULL(40)
#define DESC_DPL3	(3ULL << 45)
#define DESC_S		BIT_ULL(44)
#define DESC_PRESENT	BIT_ULL(47)
#define DESC_CODE	BIT_ULL(43)
#define DESC_L		BIT_ULL(53)
#define DESC_DB		BIT_ULL(54)

/* check a descriptor */
/*
 * Code and data only, and only for ring 3; the accessed bit is set so that
 * the CPU never writes our copy.  What is not allowed becomes empty.
 */
static u64 checked(u64 desc)
{
	if (!(desc & DESC_PRESENT) || !(desc & DESC_S) ||
	    (desc & DESC_CODE && desc & DESC_L && desc & DESC_DB))
		return 0;
	return desc | DESC_DPL3 | DESC_ACCESSED;
}

static void put(struct desc_struct *table, unsigned int i, u64 desc)
{
	WRITE_ONCE(((u64 *)table)[i], checked(desc));
}

/* set the GDT */
int lg_set_gdt(struct lg_vcpu *v, struct lg_vcpu *to, u64 list, u32 entries)
{
	u64 gfn, desc = 0, __user *frame;
	unsigned int i;

	if (entries > 512)
		return -EINVAL;
	if (lg_read(v, list, &gfn, sizeof(gfn)))
		return -EFAULT;
	frame = lg_user(v, gfn);
	if (!frame)
		return -EINVAL;
	to->gdt_frame = gfn;
	for (i = 0; i < 512; i++, desc = 0) {
		if (i < entries && get_user(desc, &frame[i]))
			return -EFAULT;
		put(to->gdt, i, desc);
	}
	return 0;
}

/* set the LDT */
int lg_set_ldt(struct lg_vcpu *v, u64 va, unsigned int entries)
{
	unsigned int i, n;
	u64 page[64];

	if (entries > 8192 || va & 7)
		return -EINVAL;
	/* be wholly in the host */
	lg_to_host(v);
	v->d->ldt = 0;
	/* copy the entries, each checked */
	for (i = 0; i < entries; i += 64) {
		struct desc_struct **ldt = &v->ldt[i / 512];

		if (!*ldt)
			*ldt = lg_block_page(v, LG_P_LDT + i / 512, LG_RO);
		if (!*ldt)
			return -ENOMEM;
		n = min(entries - i, 64u);
		if (lg_read(v, va + i * 8, page, n * 8))
			return -EFAULT;
		while (n--)
			put(*ldt, (i + n) % 512, page[n]);
	}
	v->ldt_va = va;
	v->ldt_entries = entries;
	/* set the limit of the local table */
	if (entries) {
		struct desc_struct *own = v->reserved + (LG_LDT & 0xfff) / 8;

		own->limit0 = entries * 8 - 1;
		v->d->ldt = LG_LDT;
	}
	return 0;
}

/* update one descriptor */
int lg_update_descriptor(struct lg_vcpu *v, u64 maddr, u64 desc)
{
	u64 gfn = maddr >> PAGE_SHIFT;
	unsigned int i = offset_in_page(maddr) / 8;
	u64 __user *frame = lg_user(v, gfn);

	if (!frame || maddr & 7 || (desc & DESC_PRESENT && !checked(desc)) ||
	    put_user(desc, &frame[i]))
		return -EINVAL;
	/* update the copies of other vCPUs */
	struct lg_vcpu *t;
	u32 id;

	for_each_vcpu(id, t, v->vm)
		if (t != v && gfn == READ_ONCE(t->gdt_frame))
			put(t->gdt, i, desc);
	if (gfn == v->gdt_frame)
		put(v->gdt, i, desc);
	else if (v->d->ldt)
		return lg_set_ldt(v, v->ldt_va, v->ldt_entries);
	return 0;
}
