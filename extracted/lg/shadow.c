// SPDX-License-Identifier: GPL-2.0
/* Shadow page tables: what the CPU really walks while a guest runs. */
#include <asm/io.h>
#include "lg.h"

#define WALK_FAULT	BIT(16)		/* with X86_PF_* beside it */
#define WALK_NONSENSE	(WALK_FAULT | X86_PF_PROT | X86_PF_RSVD)
#define TABLE_FLAGS	(PTE_P | PTE_RW | PTE_U | PTE_A)

/* read an entry of a table */
static unsigned int pt_index(u64 va, int level)
{
	return (va >> (PAGE_SHIFT + 9 * level)) & 511;
}

static u64 *table_of(u64 entry)
{
	return __va(__sme_clr(entry) & PTE_FRAME);
}

/* make tables that last */
u64 *lg_table(struct lg_vm *vm)
{
	struct page *page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);

	if (!page)
		return NULL;
	list_add(&page->lru, &vm->tables);
	return page_address(page);
}

/* Below one of the three PDPTs of slot 256; what is mapped so stays. */
int lg_map(struct lg_vm *vm, u64 *table, u64 va, struct page *page, u64 flags)
{
	int level;

	for (level = 2; level; level--) {
		/* go down one level of ours */
		u64 *e = &table[pt_index(va, level)];
		u64 *next = *e ? table_of(*e) : lg_table(vm);

		if (!next)
			return -ENOMEM;
		if (!*e)
			*e = __sme_set(__pa(next)) | TABLE_FLAGS;
		table = next;
	}
	table[pt_index(va, 0)] = __sme_set(page_to_phys(page)) | flags;
	return 0;
}

/* take a shadow page */
/* NULL: the guest's bound is reached, or the host has no memory. */
static u64 *shadow_alloc(struct lg_vm *vm)
{
	struct page *page = list_first_entry_or_null(&vm->shadows,
						     struct page, lru);

	if (page) {
		list_del(&page->lru);
		clear_page(page_address(page));
		return page_address(page);
	}
	/* allocate another within the bound */
	if (vm->stats.shadow_pages >= vm->max_shadows)
		return NULL;
	page = alloc_page(
		/* sooner drop than press the host */
		(vm->stats.shadow_pages < 16 ? 0 : __GFP_NORETRY | __GFP_NOWARN) |
		GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page)
		return NULL;
	vm->stats.shadow_pages++;
	return page_address(page);
}

/* drop shadow entries */
static void drop_range(struct lg_vm *vm, u64 *table, int level, int from,
		       int to)
{
	int i;

	for (i = from; i < to; i++) {
		u64 *next;

		if (!table[i])
			continue;
		next = table_of(table[i]);
		if (level > 1) {
			drop_range(vm, next, level - 1, 0, 512);
			cond_resched();
		}
		table[i] = 0;
		list_add(&virt_to_page(next)->lru, &vm->shadows);
	}
}

/* A new base: the user half of both roots is forgotten. */
void lg_drop_user(struct lg_vcpu *v)
{
	drop_range(v->vm, v->kernel_root, 3, 0, 256);
	drop_range(v->vm, v->user_root, 3, 0, 256);
	drop_range(v->vm, v->user_root, 3, 272, 512);
}

void lg_drop_all(struct lg_vcpu *v)
{
	/* forget all walks */
	lg_forget_walks(v, 0, ~0ULL);
	lg_drop_user(v);
	drop_range(v->vm, v->kernel_root, 3, 272, 512);
	v->vm->stats.flushes++;
}

/* find the last-level shadow table */
static u64 *leaf_table(struct lg_vcpu *v, u64 *table, u64 va, bool make)
{
	int level;

	for (level = 3; level; level--) {
		u64 *e = &table[pt_index(va, level)];

		if (!*e) {
			u64 *next = make ? shadow_alloc(v->vm) : NULL;

			if (!next)
				return NULL;
			*e = __sme_set(__pa(next)) | TABLE_FLAGS;
		}
		table = table_of(*e);
	}
	return table;
}

/* drop one shadow entry */
void lg_drop_page(struct lg_vcpu *v, u64 va)
{
	u64 *table;

	/* forget the walks of one page */
	lg_forget_walks(v, va & PAGE_MASK, va | ~PAGE_MASK);
	v->vm->stats.zaps++;
	if (!lg_canonical(va) || lg_ours(va))
		return;
	table = leaf_table(v, v->kernel_root, va, false);
	if (table)
		table[pt_index(va, 0)] = 0;
	table = leaf_table(v, v->user_root, va, false);
	if (table)
		table[pt_index(va, 0)] = 0;
}

/* set accessed and dirty */
/* As the CPU would; 1: the entry has changed since it was read. */
static int mark(u64 __user *slot, u64 *entry, u64 bits)
{
	u64 old = *entry;

	if ((old & bits) == bits)
		return 0;
	*entry |= bits;
	return __try_cmpxchg_user(slot, &old, *entry, fault);
}

/* walk the guest's tables */
static int descend(struct lg_vcpu *v, u64 va, u64 __user **slot, u64 *entry)
{
	u64 gfn = v->user ? v->user_cr3 : v->kernel_cr3;
	int level;

	if (!lg_canonical(va) || lg_ours(va))
		return WALK_FAULT;
	for (level = 3; ; level--) {
		u64 __user *table = lg_user(v->vm, gfn);

		/* refuse a table beyond the guest */
		if (!table)
			return WALK_NONSENSE;
		if (!test_bit(gfn, v->vm->is_table))
			set_bit(gfn, v->vm->is_table);
		slot[level] = &table[pt_index(va, level)];
		if (get_user(entry[level], slot[level]))
			return WALK_NONSENSE;
		if (!level)
			return 0;
		/* stop at an absent or large entry */
		if (!(entry[level] & PTE_P))
			return WALK_FAULT;
		if (entry[level] & PTE_PS)
			return WALK_NONSENSE;
		gfn = (entry[level] & PTE_FRAME) >> PAGE_SHIFT;
	}
}

u64 __user *lg_slot(struct lg_vcpu *v, u64 va)
{
	u64 entry[4], __user *slot[4];

	return descend(v, va, slot, entry) ? NULL : slot[0];
}

/*
 * Returns 0 with accessed and dirty bits set, or as descend does.  If only
 * the rights were wanting, w is filled in all the same.
 */
int lg_walk(struct lg_vcpu *v, u64 va, u32 access, struct lg_walk *w)
{
	u64 entry[4], all, __user *slot[4];
	int level, err;

	memset(w, 0, sizeof(*w));
again:
	err = descend(v, va, slot, entry);
	if (err)
		return err;
	/* combine the rights of four levels */
	if (!(entry[0] & PTE_P))
		return WALK_FAULT;
	all = entry[3] & entry[2] & entry[1];
	w->upper = (all & (PTE_RW | PTE_U)) |
		   ((entry[3] | entry[2] | entry[1]) & PTE_NX);
	w->perm = (w->upper & entry[0] & (PTE_RW | PTE_U)) |
		  ((w->upper | entry[0]) & PTE_NX);
	w->gfn = (entry[0] & PTE_FRAME) >> PAGE_SHIFT;
	/* remember the table */
	w->table = slot[0] - pt_index(va, 0);
	/* refuse what the rights do not allow */
	if (w->gfn > v->vm->frames)
		return WALK_NONSENSE;
	if ((access & X86_PF_WRITE && !(w->perm & PTE_RW)) ||
	    (access & X86_PF_USER && !(w->perm & PTE_U)) ||
	    (access & X86_PF_INSTR && w->perm & PTE_NX)) {
		w->leaf = entry[0];
		return WALK_FAULT | X86_PF_PROT;
	}
	/* mark what the walk has used */
	for (level = 3; level >= 0; level--) {
		err = mark(slot[level], &entry[level], PTE_A |
			   (!level && access & X86_PF_WRITE ? PTE_D : 0));
		if (err < 0)
			return WALK_NONSENSE;
		if (err)
			goto again;
	}
	w->leaf = entry[0];
	return 0;
}

/* make a shadow entry */
static u64 shadow_entry(struct page *page, u64 perm, bool writable)
{
	u64 e = __sme_set(page_to_phys(page)) | PTE_P | PTE_U | PTE_A;

	return e | (perm & PTE_NX) | (writable ? PTE_RW | PTE_D : 0);
}

#define FILL_AROUND	16		/* entries looked at around a fault */

/*
 * Only entries whose accessed bit is set, or the bit would lie; writable
 * only where dirty.
 */
static void fill_around(struct lg_vcpu *v, u64 *shadow, u64 va,
			const struct lg_walk *w)
{
	unsigned int i = pt_index(va, 0) & ~(FILL_AROUND - 1), n;
	u64 around[FILL_AROUND];

	if (copy_from_user(around, w->table + i, sizeof(around)))
		return;
	for (n = 0; n < FILL_AROUND; n++, i++) {
		u64 e = around[n], gfn = (e & PTE_FRAME) >> PAGE_SHIFT;
		bool writable = e & w->upper & PTE_RW && e & PTE_D;

		/* pass over what must not be entered */
		if (shadow[i] || !(e & PTE_P) || !(e & PTE_A) ||
		    (v->user && !(e & w->upper & PTE_U)) ||
		    gfn > v->vm->frames || !v->vm->pages[gfn])
			continue;
		/* refuse what the host refuses */
		writable &= !test_bit(gfn, v->vm->read_only);
		shadow[i] = shadow_entry(v->vm->pages[gfn], w->upper | e,
					 writable);
		/* remember where the neighbour is entered */
		lg_note_leaf(v->vm, gfn, &shadow[i]);
		v->vm->stats.fills++;
	}
}

/* provide the machine-to-physical table */
static bool fill_m2p(struct lg_vcpu *v, u64 va)
{
	u64 first = (va - LG_SLOT_BASE) >> PAGE_SHIFT << 9;
	u64 *table;
	int i;

	if (v->user || first > v->vm->frames)
		return false;
	table = lg_table(v->vm);
	if (!table)
		return false;
	for (i = 0; i < 512; i++)
		table[i] = first + i;
	return !lg_map(v->vm, v->vm->kernel_pdpt, va & PAGE_MASK,
		       virt_to_page(table), PTE_P | PTE_U | PTE_A | PTE_NX);
}

/* answer a page fault of the guest */
/*
 * True: the shadow now holds the entry, run on.  False: the guest's own
 * fault, *error as its CPU would have pushed it.
 */
bool lg_fault(struct lg_vcpu *v, u64 va, u32 *error)
{
	u32 access = *error & (X86_PF_WRITE | X86_PF_USER | X86_PF_INSTR);
	u64 *root = v->user ? v->user_root : v->kernel_root, *shadow;
	struct lg_walk w;
	struct page *page;
	bool writable;
	int r;

	v->vm->stats.faults++;
	if (!v->user)
		access &= ~X86_PF_USER;
	/* answer a read of the machine-to-physical table */
	if (lg_ours(va) && !(access & X86_PF_WRITE) &&
	    !(*error & X86_PF_PROT) && fill_m2p(v, va))
		return true;
	r = lg_walk(v, va, access, &w);
	/* recognise a write to a read-only table */
	/* A TLB may hold what it likes until a flush; the guest flushes. */
	writable = r == (WALK_FAULT | X86_PF_PROT) && !v->user &&
		   access & X86_PF_WRITE && !(w.leaf & PTE_U) &&
		   test_bit(w.gfn, v->vm->is_table);
	/* leave the guest its own fault */
	if (r && !writable) {
		*error = access | (r & (X86_PF_PROT | X86_PF_RSVD));
		return false;
	}
	/* get the page of the host */
	writable |= w.perm & PTE_RW && w.leaf & PTE_D;
	page =
		/* follow it, or */
		v->vm->followed ?
		lg_follow(v->vm, w.gfn, access & X86_PF_WRITE, &writable) :
		lg_page(v->vm, w.gfn);
	if (!page) {
		lg_kill(v, "Guest memory",
			"the host has no memory for guest frame %llx", w.gfn);
		return true;
	}
	/* get the shadow table, dropping if need be */
	shadow = leaf_table(v, root, va, true);
	if (!shadow) {
		lg_drop_all(v);
		shadow = leaf_table(v, root, va, true);
	}
	if (!shadow) {
		lg_kill(v, "Shadow paging: filling",
			"no memory for shadow page tables");
		return true;
	}
	/* enter the page */
	shadow[pt_index(va, 0)] = shadow_entry(page, w.perm, writable);
	v->vm->stats.fills++;
	/* remember where the page is entered */
	lg_note_leaf(v->vm, w.gfn, &shadow[pt_index(va, 0)]);
	/* enter its neighbours */
	fill_around(v, shadow, va, &w);
	return true;
}

/* begin and end the shadow */
static u64 root_pa(struct lg_vm *vm, u64 *root, u64 pcid)
{
	u64 flags = boot_cpu_has(X86_FEATURE_PCID) ? pcid : 0;
	u64 *top = root;

	if (pgtable_l5_enabled()) {
		top = lg_table(vm);
		if (!top)
			return 0;
		top[0] = top[511] = __sme_set(__pa(root)) | TABLE_FLAGS;
	}
	return __sme_set(__pa(top)) | flags;
}

int lg_shadow_init(struct lg_vcpu *v)
{
	struct lg_vm *vm = v->vm;

	vm->max_shadows = 256 + vm->frames / 64;
	vm->host_pdpt = lg_table(vm);
	vm->kernel_pdpt = lg_table(vm);
	vm->user_pdpt = lg_table(vm);
	v->kernel_root = lg_table(vm);
	v->user_root = lg_table(vm);
	if (!vm->host_pdpt || !vm->kernel_pdpt || !vm->user_pdpt ||
	    !v->kernel_root || !v->user_root)
		return -ENOMEM;
	/* hang the slot below the roots */
	v->kernel_root[256] = __sme_set(__pa(vm->kernel_pdpt)) | TABLE_FLAGS;
	v->user_root[256] = __sme_set(__pa(vm->user_pdpt)) | TABLE_FLAGS;
	/* The host's ASIDs use 1 to 6 and 2049 to 2054 (asm/tlbflush.h). */
	v->kernel_pa = root_pa(vm, v->kernel_root, 0x7f0);
	v->user_pa = root_pa(vm, v->user_root, 0x7f1);
	return v->kernel_pa && v->user_pa ? 0 : -ENOMEM;
}

/* Everything has been dropped: a page in use is on no list. */
void lg_shadow_free(struct lg_vm *vm)
{
	struct page *page, *next;

	list_splice(&vm->shadows, &vm->tables);
	list_for_each_entry_safe(page, next, &vm->tables, lru)
		__free_page(page);
}
