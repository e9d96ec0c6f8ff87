// SPDX-License-Identifier: GPL-2.0
/* Guest memory that stays the host's: MMU notifiers and a reverse map. */
#include <linux/bitmap.h>
#include <linux/smp.h>
#include <asm/io.h>
#include "lg.h"
#include "host.h"

/* remember the leaves of a frame */
/* The leaf is that of the guest's entry at guest address "at". */
void lg_note_leaf(struct lg_vcpu *v, u64 gfn, u64 at, u64 leaf)
{
	lg_note(&v->map, gfn, at);
	/* note that the frame may be written */
	if (leaf & PTE_RW && !test_and_set_bit(gfn, v->map.writes) &&
	    test_bit(gfn, v->vm->is_table))
		lg_loosen(v, gfn);
}

/* Take bits from all leaves of a frame; all bits: the leaves themselves. */
void lg_strip(struct lg_vcpu *v, u64 gfn, u64 bits)
{
	u64 *at = v->map.leaves[gfn], frame = v->map.pages[gfn] & PTE_FRAME;
	struct lg_kept *k;
	u64 *leaf;
	int i;

	if (!v->map.pages[gfn])
		goto seen;
	for (i = 0; i < LG_LEAVES && at[0] != LG_MANY; i++) {
		leaf = lg_leaf_at(&v->map, at[i]);
		if (leaf && (*leaf & PTE_FRAME) == frame)
			*leaf &= ~bits;
	}
	if (at[0] != LG_MANY)
		goto seen;
	/* look for the leaves in all tables */
	memset(at, 0, sizeof(*v->map.leaves));
	hash_for_each(v->kept, i, k, hash) {
		u64 *e = k->table;

		for (; !k->level && e < k->table + 512; e++) {
			if ((*e & PTE_FRAME) != frame)
				continue;
			*e &= ~bits;
			if (*e & PTE_P)
				lg_note(&v->map, gfn, k->gfn << PAGE_SHIFT |
					offset_in_page(e));
		}
		/* unless interrupts are off */
		if (lg_at_ease(v))
		cond_resched();
	}
seen:
	clear_bit_unlock(gfn, v->map.writes);	/* what was written is seen */
}

/* give tables back */
static void give_back(struct lg_vcpu *v)
{
	struct page *page, *next;

	WRITE_ONCE(v->shrink, false);
	lg_drop_all(v);
	list_for_each_entry_safe(page, next, &v->shadows, lru) {
		list_del(&page->lru);
		__free_page(page);
		v->stats.shadow_pages--;
	}
}

/* forget what the host wants back */
static void unfollow(struct lg_vcpu *v, u64 gfn)
{
	lg_strip(v, gfn, ~0ULL);
	memset(v->map.leaves[gfn], 0, sizeof(*v->map.leaves));
	v->map.pages[gfn] = 0;
	/* Last: as long as it is set, the host waits for us. */
	clear_bit_unlock(gfn, v->map.followed);
}

void lg_forget(struct lg_vcpu *v)
{
	u64 gfn, to, searched = 0;

	spin_lock(&v->recall_lock);
	gfn = v->recall_from;
	to = v->recall_to;
	v->recall_from = v->vm->frames;
	v->recall_to = 0;
	WRITE_ONCE(v->recall, false);
	spin_unlock(&v->recall_lock);
	for_each_set_bit_from(gfn, v->map.followed, to) {
		if (v->map.leaves[gfn][0] == LG_MANY && ++searched == 16)
			lg_drop_all(v);
		unfollow(v, gfn);
		cond_resched();
	}
	if (READ_ONCE(v->shrink))
		give_back(v);
}

/* call leaves back */
static void request(struct lg_vcpu *v, u64 from, u64 to)
{
	spin_lock(&v->recall_lock);
	v->recall_from = min(v->recall_from, from);
	v->recall_to = max(v->recall_to, to);
	WRITE_ONCE(v->recall, true);
	spin_unlock(&v->recall_lock);
}

static bool recall(struct lg_vm *vm, unsigned long start, unsigned long end)
{
	u64 base = vm->base >> PAGE_SHIFT, first = start >> PAGE_SHIFT;
	u64 last = (end - 1) >> PAGE_SHIFT, from, to;
	struct lg_vcpu *v;
	bool any = false;
	u32 i;

	if (last < base || first > base + vm->frames)
		return false;
	from = max(first, base) - base;
	to = min(last - base, vm->frames) + 1;
	for_each_vcpu(i, v, vm) {
		if (find_next_bit(v->map.followed, to, from) >= to)
			continue;
		request(v, from, to);
		any = true;
	}
	if (any)
		lg_call_out(vm);
	return any;
}

static void nothing(void *unused)
{
}

static bool must_leave(int cpu, void *vm)
{
	struct lg_vcpu *v;
	u32 i;

	for_each_vcpu(i, v, (struct lg_vm *)vm)
		if (READ_ONCE(v->in_guest) == cpu && lg_word(v))
			return true;
	return false;
}

/* Interrupts are on, and no vCPU needs a lock of ours to leave the guest. */
void lg_call_out(struct lg_vm *vm)
{
	smp_mb();	/* pairs with smp_store_mb of in_guest */
	on_each_cpu_cond_mask(must_leave, nothing, vm, true, cpu_online_mask);
}

/* hear of the host's changes */
static int change_begins(struct mmu_notifier *n,
			 const struct mmu_notifier_range *r)
{
	struct lg_vm *vm = container_of(n, struct lg_vm, notifier);

	atomic_inc(&vm->changing);
	smp_mb__after_atomic();		/* before followed is looked at */
	recall(vm, r->start, r->end);
	return 0;
}

static void change_ends(struct mmu_notifier *n,
			const struct mmu_notifier_range *r)
{
	struct lg_vm *vm = container_of(n, struct lg_vm, notifier);

	if (atomic_dec_and_test(&vm->changing))
		wake_up_all(&vm->changed);
}

static int clear_young(struct mmu_notifier *n, struct mm_struct *mm,
		       unsigned long start, unsigned long end)
{
	return recall(container_of(n, struct lg_vm, notifier), start, end);
}

static const struct mmu_notifier_ops follow_ops = {
	.invalidate_range_start = change_begins,
	.invalidate_range_end = change_ends,
	.clear_flush_young = clear_young,
	.clear_young = clear_young,
};

/* hear of the host's need */
static unsigned long count_tables(struct shrinker *s, struct shrink_control *c)
{
	struct lg_vm *vm = host_shrinker_data(s);
	unsigned long n = 0;
	struct lg_vcpu *v;
	u32 i;

	for_each_vcpu(i, v, vm)
		n += READ_ONCE(v->stats.shadow_pages);
	return n ?: SHRINK_EMPTY;
}

static unsigned long scan_tables(struct shrinker *s, struct shrink_control *c)
{
	struct lg_vm *vm = host_shrinker_data(s);
	unsigned long asked = 0;
	struct lg_vcpu *v;
	u32 i;

	for_each_vcpu(i, v, vm) {
		if (xchg(&v->shrink, true))
			continue;
		request(v, vm->frames, 0);
		lg_kick(v);
		asked += READ_ONCE(v->stats.shadow_pages);
	}
	return asked ?: SHRINK_STOP;
}

/* follow a page */
static struct page *look_up(struct lg_vm *vm, u64 gfn, bool *write)
{
	unsigned long at = vm->base + (gfn << PAGE_SHIFT);
	struct page *page;
	bool ok;

	if (get_user_page_fast_only(at, FOLL_WRITE, &page))
		*write = true;
	else if (get_user_pages_fast(at, 1, *write ? FOLL_WRITE : 0,
				     &page) != 1)
		return NULL;
	ok = !*write || PageAnon(page) ||
	     folio_test_swapbacked(page_folio(page));
	/* The host's own mapping will not tell it of the guest's writes. */
	if (ok && *write && !PageDirty(page))
		set_page_dirty_lock(page);
	put_page(page);
	return ok ? page : NULL;
}

static u64 entry_of(struct page *page, bool write)
{
	return __sme_set(page_to_phys(page)) | (write ? LG_RW : LG_RO);
}

static void look_around(struct lg_vcpu *v, u64 gfn)
{
	u64 from = round_down(gfn, BITS_PER_LONG);
	struct page *page[BITS_PER_LONG];
	int i, n = 0;

	WRITE_ONCE(v->map.followed[BIT_WORD(gfn)], ~0UL);
	smp_mb();		/* before changing is looked at */
	if (!atomic_read(&v->vm->changing))
		n = get_user_pages_fast_only(
			v->vm->base + (from << PAGE_SHIFT),
			min_t(u64, BITS_PER_LONG, v->vm->frames + 1 - from),
			FOLL_WRITE, page);
	for (i = 0; i < n; i++) {
		if (!v->map.pages[from + i] && PageAnon(page[i]) &&
		    PageDirty(page[i]))
			v->map.pages[from + i] = entry_of(page[i], true);
		put_page(page[i]);
	}
}

struct page *lg_follow(struct lg_vcpu *v, u64 gfn, bool write, bool *writable)
{
	u64 *known = &v->map.pages[gfn];
	struct lg_vm *vm = v->vm;
	struct page *page;
	bool may_write;

	while (!(*known & (write ? PTE_RW : PTE_P))) {
		/* be wholly in the host */
		lg_to_host(v);
		/* look for the page while nothing changes */
		set_bit(gfn, v->map.followed);
		smp_mb__after_atomic();		/* before changing is looked at */
		if (fatal_signal_pending(current) ||
		    wait_event_killable(vm->changed, !atomic_read(&vm->changing)))
			return NULL;
		may_write = write;
		page = look_up(vm, gfn, &may_write);
		if (!page)
			return NULL;
		if (PageCompound(page) && v->map.followed[BIT_WORD(gfn)] != ~0UL)
			look_around(v, gfn);
		if (READ_ONCE(v->recall)) {
			lg_forget(v);
			cond_resched();
			continue;
		}
		*known = entry_of(page, may_write);
	}
	*writable &= !!(*known & PTE_RW);
	return virt_to_page(table_of(*known));
}

/* begin and end following */
int lg_follow_start(struct lg_vm *vm)
{
	int err;

	init_waitqueue_head(&vm->changed);
	vm->notifier.ops = &follow_ops;
	err = mmu_notifier_register(&vm->notifier, current->mm);
	if (err)
		return err;
	vm->shrinker = shrinker_alloc(0, "lguest");
	if (!vm->shrinker)
		return -ENOMEM;
	host_shrinker_data(vm->shrinker) = vm;
	vm->shrinker->count_objects = count_tables;
	vm->shrinker->scan_objects = scan_tables;
	shrinker_register(vm->shrinker);
	return 0;
}

int lg_follow_maps(struct lg_vcpu *v)
{
	u64 n = v->vm->frames + 1, bits = BITS_TO_LONGS(n);
	struct lg_maps *m = &v->map;

	if (n * v->vm->nr_vcpus / 100 > totalram_pages() / 4)
		return -ENOMEM;
	spin_lock_init(&v->recall_lock);
	v->recall_from = m->frames = v->vm->frames;
	m->pages = __vcalloc(n, sizeof(*m->pages), GFP_KERNEL_ACCOUNT);
	m->followed = __vcalloc(3 * bits, sizeof(long), GFP_KERNEL_ACCOUNT);
	m->leaves = __vcalloc(n, sizeof(*m->leaves), GFP_KERNEL_ACCOUNT);
	/* make the maps of what is kept */
	m->shadowed = m->followed + bits;
	m->writes = m->followed + 2 * bits;
	m->is_table = v->vm->is_table;
	m->tables = __vcalloc(n, sizeof(*m->tables), GFP_KERNEL_ACCOUNT);
	if (!m->tables)
		return -ENOMEM;
	return m->pages && m->followed && m->leaves ? 0 : -ENOMEM;
}

void lg_follow_free(struct lg_vcpu *v)
{
	vfree(v->map.pages);
	vfree(v->map.followed);
	vfree(v->map.leaves);
	/* free the maps of what is kept */
	vfree(v->map.tables);
}

/* Before anything else of the guest ends: no callback runs after it. */
void lg_follow_end(struct lg_vm *vm)
{
	shrinker_free(vm->shrinker);
	if (vm->notifier.mm)
		mmu_notifier_unregister(&vm->notifier, vm->notifier.mm);
}
