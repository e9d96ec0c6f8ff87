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

/* make tables that last */
u64 *lg_table(struct lg_vm *vm)
{
	struct page *page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);

	if (!page)
		return NULL;
	/* keep other vCPUs off the list */
	spin_lock_irq(&vm->event_lock);
	list_add(&page->lru, &vm->tables);
	/* let other vCPUs use the list */
	spin_unlock_irq(&vm->event_lock);
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
		cmpxchg(e, 0, __sme_set(__pa(next)) | TABLE_FLAGS);
		table = table_of(*e);
	}
	table[pt_index(va, 0)] = __sme_set(page_to_phys(page)) | flags;
	return 0;
}

/* take a shadow page */
/* NULL: the guest's bound is reached, or the host has no memory. */
static u64 *shadow_alloc(struct lg_vcpu *v)
{
	struct page *page = list_first_entry_or_null(&v->shadows,
						     struct page, lru);

	if (page) {
		list_del(&page->lru);
		clear_page(page_address(page));
		return page_address(page);
	}
	/* allocate another within the bound */
	if (v->stats.shadow_pages >= v->max_shadows)
		return NULL;
	/* be wholly in the host */
	lg_to_host(v);
	page = alloc_page(
		/* sooner drop than press the host */
		(v->stats.shadow_pages < 16 ? 0 : __GFP_NORETRY | __GFP_NOWARN) |
		GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page)
		return NULL;
	v->stats.shadow_pages++;
	return page_address(page);
}

/* drop shadow entries */
static void drop_range(struct lg_vcpu *v, u64 *table, int level, int from,
		       int to)
{
	int i;

	for (i = from; i < to; i++) {
		u64 *next;

		if (!table[i])
			continue;
		next = table_of(table[i]);
		if (level > 1) {
			drop_range(v, next, level - 1, 0, 512);
			/* unless interrupts are off */
			if (lg_at_ease(v))
			cond_resched();
		}
		table[i] = 0;
		list_add(&virt_to_page(next)->lru, &v->shadows);
	}
}

/* A new base: the user half of both roots is forgotten. */
void lg_drop_user(struct lg_vcpu *v)
{
	drop_range(v, v->kernel_root, 3, 0, 256);
	drop_range(v, v->user_root, 3, 0, 256);
	drop_range(v, v->user_root, 3, 272, 512);
}

void lg_drop_all(struct lg_vcpu *v)
{
	/* forget what is kept */
	lg_forget_kept(v);
	lg_drop_user(v);
	drop_range(v, v->kernel_root, 3, 272, 512);
	v->stats.flushes++;
}

/* find the last-level shadow table */
static u64 *leaf_table(struct lg_vcpu *v, u64 *table, u64 va, struct lg_walk *w)
{
	int level;

	/* go by the tables that are kept */
	return w ? lg_kept_leaf(v, table == v->kernel_root, va, w) : NULL;
	for (level = 3; level; level--) {
		u64 *e = &table[pt_index(va, level)];

		if (!*e) {
			u64 *next = w ? shadow_alloc(v) : NULL;

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

	/* count the page that is named */
	v->stats.zaps++;
	if (!lg_canonical(va) || lg_ours(va))
		return;
	/* look again at one page */
	lg_kept_page(v, va);
	table = leaf_table(v, v->kernel_root, va, NULL);
	if (table)
		table[pt_index(va, 0)] = 0;
	table = leaf_table(v, v->user_root, va, NULL);
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
		u64 __user *table = lg_user(v, gfn);

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
	memcpy(w->entry, entry, sizeof(entry));
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
	/* be content if all is marked */
	if (all & entry[0] & PTE_A &&
	    (!(access & X86_PF_WRITE) || entry[0] & PTE_D)) {
		w->leaf = entry[0];
		return 0;
	}
	/* let nobody flush at home meanwhile */
	bool home = !v->held && v->vm->nr_vcpus > 1;
	u64 now;

	if (home) {
		local_irq_disable();
		smp_store_mb(v->in_guest, smp_processor_id());
		pagefault_disable();
	}
	for (level = 3; level >= 0; level--) {
		err =
			/* it is no longer there, or */
			home && (get_user(now, slot[level]) || now != entry[level]) ? 1 :
			mark(slot[level], &entry[level], PTE_A |
			     (!level && access & X86_PF_WRITE ? PTE_D : 0));
		/* bring in what was missing */
		if (err && home) {
			lg_leave(v);
			err = fault_in_safe_writeable((char __user *)slot[level], 8) ?
				-EFAULT : 1;
		}
		/* if another was quicker */
		if (err > 0 && !lg_retry(v))
			err = -EINTR;
		if (err < 0)
			return WALK_NONSENSE;
		if (err)
			goto again;
	}
	/* let others flush again */
	if (home)
		lg_leave(v);
	w->leaf = entry[0];
	return 0;
}

/* make a shadow entry */
static u64 shadow_entry(struct page *page, u64 perm, bool writable)
{
	u64 e = __sme_set(page_to_phys(page)) | PTE_P | PTE_U | PTE_A;

	return e | (perm & PTE_NX) | (writable ? PTE_RW | PTE_D : 0);
}

/* provide the machine-to-physical table */
static bool fill_m2p(struct lg_vcpu *v, u64 va)
{
	u64 first = (va - LG_SLOT_BASE) >> PAGE_SHIFT << 9;
	u64 *table;
	int i;

	if (v->user || first > v->vm->frames)
		return false;
	/* be wholly in the host */
	lg_to_host(v);
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

	v->stats.faults++;
	access = v->user ? access | X86_PF_USER : access & ~X86_PF_USER;
	/* answer a read of the machine-to-physical table */
	if (lg_ours(va) && !(access & X86_PF_WRITE) &&
	    !(*error & X86_PF_PROT) && fill_m2p(v, va))
		return true;
	/* hear before the walk */
	lg_hear(v);
	r = lg_walk(v, va, access, &w);
	/* recognise a write to a read-only table */
	/* A TLB may hold what it likes until a flush; the guest flushes. */
	writable = r == (WALK_FAULT | X86_PF_PROT) && !v->user &&
		   access & X86_PF_WRITE && w.upper & PTE_RW &&
		   !(w.leaf & PTE_U) && test_bit(w.gfn, v->vm->is_table);
	/* leave the guest its own fault */
	if (r && !writable) {
		*error = access | (r & (X86_PF_PROT | X86_PF_RSVD));
		return false;
	}
	/* get the page of the host */
	writable |= w.perm & PTE_RW && w.leaf & PTE_D;
	page =
		/* follow it, or */
		v->map.followed ?
		lg_follow(v, w.gfn, access & X86_PF_WRITE, &writable) :
		lg_page(v->vm, w.gfn);
	if (!page) {
		lg_kill(v, "Guest memory",
			"the host has no memory for guest frame %llx", w.gfn);
		return true;
	}
	/* get the shadow table, dropping if need be */
	shadow = leaf_table(v, root, va, &w);
	if (!shadow) {
		lg_drop_all(v);
		shadow = leaf_table(v, root, va, &w);
	}
	if (!shadow) {
		lg_kill(v, "Shadow paging: filling",
			"no memory for shadow page tables");
		return true;
	}
	/* enter the page */
	/* see whether a table becomes writable */
	if (writable && test_bit(w.gfn, v->vm->is_table)) {
		writable = access & X86_PF_WRITE;
		if (writable)
			lg_loosen(v, w.gfn);
	}
	shadow[pt_index(va, 0)] = shadow_entry(page, w.perm, writable);
	v->stats.fills++;
	/* remember where the page is entered */
	lg_note_leaf(v, w.gfn, (w.entry[1] & PTE_FRAME) | pt_index(va, 0) * 8,
		     shadow[pt_index(va, 0)]);
	if (PageCompound(page))
		lg_fill_near(v, &shadow[pt_index(va, 0)]);
	return true;
}

/* begin and end the shadow */
static u64 root_pa(struct lg_vm *vm, u64 *root, u64 pcid)
{
	u64 *top = root;

	if (pgtable_l5_enabled()) {
		top = lg_table(vm);
		if (!top)
			return 0;
		top[0] = top[511] = __sme_set(__pa(root)) | TABLE_FLAGS;
	}
	return __sme_set(__pa(top)) |
	       (boot_cpu_has(X86_FEATURE_PCID) ? pcid : 0);
}

int lg_shadow_init(struct lg_vcpu *v)
{
	struct lg_vm *vm = v->vm;

	v->max_shadows = 256 + vm->frames / 64;
	vm->host_pdpt = vm->host_pdpt ?: lg_table(vm);
	vm->kernel_pdpt = vm->kernel_pdpt ?: lg_table(vm);
	vm->user_pdpt = vm->user_pdpt ?: lg_table(vm);
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
	INIT_LIST_HEAD(&v->loose);
	v->salt = get_random_u64() | 1;
	v->max_shadows = 256 + vm->frames / 64 / vm->nr_vcpus;
	if (lg_road_maps(v))
		return -ENOMEM;
	return v->kernel_pa && v->user_pa ? 0 : -ENOMEM;
}

/* Everything has been dropped: a page in use is on no list. */
void lg_shadow_free(struct lg_vm *vm)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, &vm->tables, lru)
		__free_page(page);
}

/* find a kept table */
static struct lg_kept *kept_of(u64 entry)
{
	return entry & LG_LINK ?
		(void *)page_private(virt_to_page(table_of(entry))) : NULL;
}

static struct lg_kept *in_hash(struct lg_vcpu *v, u64 gfn, int level,
			       bool kernel)
{
	struct lg_kept *k;

	hash_for_each_possible(v->kept, k, hash, gfn * v->salt)
		if (k->gfn == gfn && k->level == level && k->kernel == kernel)
			return k;
	return NULL;
}

/* What nothing leads to yet must be in step before something does. */
static struct lg_kept *find_kept(struct lg_vcpu *v, u64 gfn, int level,
				 bool kernel)
{
	struct lg_kept *k = in_hash(v, gfn, level, kernel);

	return k && list_empty(&k->loose) && !READ_ONCE(v->nr_told) ? k : NULL;
}

/* follow and change links */
static void set_link(struct lg_vcpu *v, u64 *e, u64 new)
{
	struct lg_kept *old = kept_of(*e), *k = kept_of(new);

	if (k)
		k->refs++;
	*e = new;
	if (!old || --old->refs || !hlist_unhashed(&old->hash))
		return;
	list_add(&virt_to_page(old->table)->lru, &v->shadows);
	kfree(old);
}

static u64 link_to(const struct lg_kept *k, u64 e)
{
	return __sme_set(__pa(k->table)) | LG_LINK | PTE_P | PTE_A |
	       (k->kernel ? PTE_U : e & PTE_U) | (e & (PTE_RW | PTE_NX));
}

/* change a base */
static void set_base(struct lg_vcpu *v, bool kernel, struct lg_kept *k)
{
	u64 *pa = kernel ? &v->kernel_pa : &v->user_pa, *top = table_of(*pa);
	u64 *root = k ? k->table : kernel ? v->kernel_root : v->user_root;
	u64 to = __sme_set(__pa(root));

	if (pgtable_l5_enabled())
		top[0] = top[511] = to | TABLE_FLAGS;
	else
		*pa = to | (*pa & ~PTE_FRAME);
	set_link(v, &v->base[kernel], k ? link_to(k, 0) : 0);
	/* show the programs' root to the road */
	top = kept_of(v->base[1]) ? table_of(v->base[1]) : v->kernel_root;
	root = kept_of(v->base[0]) ? table_of(v->base[0]) : v->user_root;
	top[257] = __sme_set(__pa(root)) | LG_RW;
	top[259] = __sme_set(__pa(top)) | LG_RW;
	top[258] = v->near[0];
	top[260] = v->near[1];
	top[261] = __sme_set(__pa(v->near)) | TABLE_FLAGS;
}

/* tell other vCPUs */
/* in the low bits of an address; 0: the entry there has changed */
#define TOLD_LOOSE	1UL	/* another may write to the table */
#define TOLD_END	2UL	/* it is no table any more */
#define TOLD_STRIP	4UL	/* it is one: write to it no more */

static void push(struct lg_vcpu *t, u64 what)
{
	u64 *told;
	int i = 0;

	spin_lock(&t->recall_lock);
	told = t->told[t->telling];
	while (t->nr_told <= LG_TOLD && i < t->nr_told && told[i] != what)
		i++;
	if (i == t->nr_told)
		told[t->nr_told++] = what;
	spin_unlock(&t->recall_lock);
}

/* Tell all others that have a shadow of the frame. */
static void tell(struct lg_vcpu *v, u64 what)
{
	struct lg_vcpu *t;
	u32 i;

	for_each_vcpu(i, t, v->vm)
		if (t != v && test_bit(what >> PAGE_SHIFT, t->map.shadowed))
			push(t, what);
}

/* Nobody writes to the frame, or he who does is asked to end it. */
static bool tighten(struct lg_vcpu *v, u64 gfn)
{
	bool alone = true;
	struct lg_vcpu *w;
	u32 i;

	set_bit(gfn, v->vm->is_table);
	smp_mb__after_atomic();		/* before writes is looked at */
	lg_strip(v, gfn, PTE_RW | PTE_D);
	for_each_vcpu(i, w, v->vm) {
		if (w == v || !test_bit_acquire(gfn, w->map.writes))
			continue;
		alone = false;
		push(w, gfn << PAGE_SHIFT | TOLD_STRIP);
		wake_up(&w->wait);
	}
	return alone;
}

/* forget a kept table */
static void forget_kept(struct lg_vcpu *v, struct lg_kept *k)
{
	u64 *e, *end = k->table + (k->level ? 512 : 0), last = 0;
	int i;

	set_link(v, &last, link_to(k, 0));
	if (!k->level)
		v->map.tables[k->gfn] = 0;
	hash_del(&k->hash);
	list_del_init(&k->loose);
	for (i = 0; i < 2; i++)
		if (kept_of(v->base[i]) == k)
			set_base(v, i, NULL);
	for (e = k->table; e < end; e++)
		if (*e & LG_LINK)
			set_link(v, e, 0);
	if (!k->level && k->refs > 1)
		clear_page(k->table);
	set_link(v, &last, 0);
}

void lg_forget_kept(struct lg_vcpu *v)
{
	struct hlist_node *next;
	struct lg_kept *k;
	int i;

	hash_for_each_safe(v->kept, i, next, k, hash) {
		forget_kept(v, k);
		/* unless interrupts are off */
		if (lg_at_ease(v))
		cond_resched();
	}
}

/* The frame is no table of the guest's any more. */
static void forget_frame(struct lg_vcpu *v, u64 gfn)
{
	struct hlist_node *next;
	struct lg_kept *k;

	hash_for_each_possible_safe(v->kept, k, next, hash, gfn * v->salt)
		if (k->gfn == gfn)
			forget_kept(v, k);
	clear_bit(gfn, v->map.shadowed);
}

void lg_no_table(struct lg_vcpu *v, u64 gfn)
{
	clear_bit(gfn, v->vm->is_table);
	smp_mb__after_atomic();		/* before shadowed is looked at */
	forget_frame(v, gfn);
	tell(v, gfn << PAGE_SHIFT | TOLD_END);
}

/* bring an entry into step */
static bool for_kernel(const struct lg_kept *k, int i, bool force)
{
	return k->kernel && (k->level < 3 || i >= 256 || force);
}

static struct lg_kept *below(struct lg_vcpu *v, struct lg_kept *k, int i,
			     u64 e, bool force)
{
	u64 gfn = (e & PTE_FRAME) >> PAGE_SHIFT;
	struct lg_kept *old = kept_of(k->table[i]);

	if (old && old->gfn == gfn && !hlist_unhashed(&old->hash) &&
	    old->kernel >= for_kernel(k, i, force))
		return old;
	return find_kept(v, gfn, k->level - 1, for_kernel(k, i, force));
}

static void update(struct lg_vcpu *v, struct lg_kept *k, int i, u64 e)
{
	u64 gfn = (e & PTE_FRAME) >> PAGE_SHIFT, new;
	struct lg_kept *next = NULL;

	if (k->level == 3 && i >= 256 && i < 272)
		return;
	if (e & PTE_P && e & PTE_A && !(e & PTE_PS) && k->level)
		next = below(v, k, i, e, false);
	new = k->level ? (next ? link_to(next, e) : 0) :
	      lg_leaf(&v->map, e, k->kernel);
	if (new == k->table[i])
		return;
	if (k->level) {
		set_link(v, &k->table[i], new);
		return;
	}
	k->table[i] = new;
	if (new & PTE_P) {
		lg_note_leaf(v, gfn, k->gfn << PAGE_SHIFT | i * 8, new);
		v->stats.fills++;
	}
}

/* bring a table into step */
static __always_inline void update_some(struct lg_vcpu *v, struct lg_kept *k,
					int i, bool unknown)
{
	u64 __user *table = lg_user(v, k->gfn);
	u64 e[64], *to = k->table + i;
	int n;

	if (copy_from_user(e, &table[i], sizeof(e)))
		memset(e, PTE_P, sizeof(e));
	for (n = 0; n < 64; n++)
		if (unknown ? e[n] && !to[n] : e[n] | to[n])
			update(v, k, i + n, e[n]);
	lg_at_ease(v);
}

static void update_all(struct lg_vcpu *v, struct lg_kept *k)
{
	int i;

	for (i = 0; i < 512; i += 64)
		update_some(v, k, i, false);
}

void lg_fill_near(struct lg_vcpu *v, u64 *leaf)
{
	struct lg_kept *k = (void *)page_private(virt_to_page(leaf));

	if (k && k->kernel)
		update_some(v, k, round_down(leaf - k->table, 64), true);
}

/* make a kept table */
static struct lg_kept *make_kept(struct lg_vcpu *v, u64 gfn, int level,
				 bool kernel)
{
	struct lg_kept *k = in_hash(v, gfn, level, kernel);
	u64 *ours = kernel ? v->vm->kernel_pdpt : v->vm->user_pdpt;

	/* be wholly in the host */
	lg_to_host(v);
	if (k)
		forget_kept(v, k);	/* it is out of step */
	k = level ? NULL : in_hash(v, gfn, 0, !kernel);
	if (k)
		forget_kept(v, k);	/* one leaf table a frame */
	k = kzalloc(sizeof(*k), GFP_KERNEL_ACCOUNT);
	if (k)
		k->table = shadow_alloc(v);
	if (!k || !k->table) {
		kfree(k);
		return NULL;
	}
	/* name the new table */
	k->gfn = gfn;
	k->level = level;
	k->kernel = kernel;
	INIT_LIST_HEAD(&k->loose);
	set_page_private(virt_to_page(k->table), (unsigned long)k);
	if (!level)
		v->map.tables[gfn] = __sme_set(__pa(k->table)) | LG_RW |
				     (kernel ? LG_KERNEL : 0);
	if (level == 3)
		k->table[256] = __sme_set(__pa(ours)) | TABLE_FLAGS;
	set_bit(gfn, v->map.shadowed);
	hash_add(v->kept, &k->hash, gfn * v->salt);
	if (!tighten(v, gfn))
		list_add(&k->loose, &v->loose);
	if (!level || (level == 3 && kernel))
		update_all(v, k);
	return k;
}

/* loosen and tighten */
static void loosen(struct lg_vcpu *v, u64 gfn)
{
	struct lg_kept *k;

	hash_for_each_possible(v->kept, k, hash, gfn * v->salt)
		if (k->gfn == gfn && list_empty(&k->loose)) {
			list_add(&k->loose, &v->loose);
			v->loose_above |= k->level > 0;
		}
}

void lg_loosen(struct lg_vcpu *v, u64 gfn)
{
	set_bit(gfn, v->map.writes);
	smp_mb__after_atomic();		/* before shadowed is looked at */
	tell(v, gfn << PAGE_SHIFT | TOLD_LOOSE);
	loosen(v, gfn);
}

bool lg_kept_flush(struct lg_vcpu *v)
{
	struct lg_kept *k, *next;

	lg_hear(v);
	list_for_each_entry_safe(k, next, &v->loose, loose) {
		if (!k->refs) {
			forget_kept(v, k);
			continue;
		}
		if (tighten(v, k->gfn))
			list_del_init(&k->loose);
		update_all(v, k);
		/* unless interrupts are off */
		if (lg_at_ease(v))
		cond_resched();
		if (!v->held && fatal_signal_pending(current))
			break;		/* the guest is not entered again */
	}
	v->loose_above = false;
	return true;
}

void lg_kept_page(struct lg_vcpu *v, u64 va)
{
	struct lg_kept *k;
	int i, kernel;
	u64 e;

	lg_hear(v);
	if (list_empty(&v->loose))
		return;
	for (kernel = 0; kernel < 2; kernel++) {
		k = kept_of(v->base[kernel]);
		for (; k; k = kept_of(k->table[i])) {
			u64 __user *table = lg_user(v, k->gfn);

			i = pt_index(va, k->level);
			if (!list_empty(&k->loose))
				update(v, k, i,
				       get_user(e, &table[i]) ? PTE_P : e);
		}
	}
}

/* take the base that the guest names */
static struct lg_kept *take_base(struct lg_vcpu *v, bool kernel)
{
	u64 gfn = kernel ? v->kernel_cr3 : v->user_cr3;
	struct lg_kept *k = kept_of(v->base[kernel]);

	if (k && k->gfn == gfn)
		return k;
	k = find_kept(v, gfn, 3, kernel);
	if (!k && gfn <= v->vm->frames)
		k = make_kept(v, gfn, 3, kernel);
	set_base(v, kernel, k);
	return k;
}

bool lg_kept_base(struct lg_vcpu *v)
{
	struct lg_kept *k;

	lg_kept_flush(v);
	lg_hear(v);
	k = take_base(v, true);
	return take_base(v, false) && k;
}

/* go down to a kept table */
u64 *lg_kept_leaf(struct lg_vcpu *v, bool kernel, u64 va,
		  const struct lg_walk *w)
{
	int i, level, made = v->base[kernel] ? 0 : BIT(3);
	bool force = kernel && !(w->perm & PTE_U);
	struct lg_kept *k = take_base(v, kernel), *next;
	u64 at[4];

	for (level = 3; k && level; level--) {
		u64 e = w->entry[level], gfn = (e & PTE_FRAME) >> PAGE_SHIFT;

		i = pt_index(va, level);
		at[level] = k->gfn << PAGE_SHIFT | i * 8;
		next = below(v, k, i, e, force);
		if (!next) {
			next = make_kept(v, gfn, level - 1,
					 for_kernel(k, i, force));
			made |= BIT(level - 1);
		}
		if (next)
			set_link(v, &k->table[i], link_to(next, e));
		k = next;
	}
	/* The walk was before: look again at what it read. */
	at[0] = k ? k->gfn << PAGE_SHIFT | pt_index(va, 0) * 8 : 0;
	for (level = 0; k && level < 4; level++)
		if (made & BIT(level))
			push(v, at[level]);
	return k ? k->table : NULL;
}

/* hear what was told */
static void changed(struct lg_vcpu *v, u64 at, u64 e)
{
	u64 gfn = at >> PAGE_SHIFT;
	struct lg_kept *k;

	hash_for_each_possible(v->kept, k, hash, gfn * v->salt)
		if (k->gfn == gfn)
			update(v, k, offset_in_page(at) / 8, e);
}

static void hear(struct lg_vcpu *v, u64 what)
{
	u64 gfn = what >> PAGE_SHIFT, e;

	if (what & TOLD_STRIP)
		lg_strip(v, gfn, PTE_RW | PTE_D);
	else if (what & TOLD_END)
		forget_frame(v, gfn);
	else if (what & TOLD_LOOSE)
		loosen(v, gfn);
	else if (!get_user(e, (u64 __user *)lg_user(v, gfn) +
			      offset_in_page(what) / 8))
		changed(v, what, e);
}

void lg_hear(struct lg_vcpu *v)
{
	struct lg_kept *k;
	u64 *told;
	int i, n;

	if (!READ_ONCE(v->nr_told))
		return;
	spin_lock(&v->recall_lock);
	n = v->nr_told;
	told = v->told[v->telling];
	v->telling ^= 1;
	v->nr_told = 0;
	spin_unlock(&v->recall_lock);
	if (n > LG_TOLD)
		hash_for_each(v->kept, i, k, hash)
			loosen(v, k->gfn);
	else
		for (i = 0; i < n; i++) {
			hear(v, told[i]);
			/* unless interrupts are off */
			if (lg_at_ease(v))
			cond_resched();
		}
}

/* hear of a changed entry */
void lg_table_changed(struct lg_vcpu *v, u64 __user *slot)
{
	u64 e, to, at = (__force u64)slot - v->vm->base, gfn = at >> PAGE_SHIFT;

	if (v->vm->nr_vcpus > 1) {
		smp_mb();	/* the write, before shadowed is looked at */
		tell(v, at);
		lg_hear(v);
	}
	if (!test_bit(gfn, v->map.shadowed) || get_user(e, slot))
		return;
	to = (e & PTE_FRAME) >> PAGE_SHIFT;
	if (e & PTE_P && e & PTE_RW && to <= v->vm->frames &&
	    test_bit(to, v->vm->is_table) && find_kept(v, gfn, 0, true))
		lg_no_table(v, to);
	changed(v, at, e);
}
