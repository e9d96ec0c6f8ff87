// SPDX-License-Identifier: GPL-2.0
/* Guest memory that stays the host's: MMU notifiers and a reverse map. */
#include <linux/bitmap.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <asm/io.h>
#include "lg.h"
#include "host.h"

/* remember the leaves of a frame */
#define MANY	((u64 *)1)	/* more than can be remembered */

void lg_note_leaf(struct lg_vm *vm, u64 gfn, u64 *leaf)
{
	u64 **at = vm->leaves[gfn].at, frame;
	int i;

	if (at[0] == MANY || !test_bit(gfn, vm->followed))
		return;
	frame = __sme_set(page_to_phys(vm->pages[gfn]));
	for (i = 0; i < LG_LEAVES; i++)
		if (!at[i] || at[i] == leaf || (*at[i] & PTE_FRAME) != frame ||
		    !page_private(virt_to_page(at[i])))
			break;
	if (i < LG_LEAVES)
		at[i] = leaf;
	else
		at[0] = MANY;
}

/* Take bits from all leaves of a frame; all bits: the leaves themselves. */
void lg_strip(struct lg_vcpu *v, u64 gfn, u64 bits)
{
	u64 **at = v->vm->leaves[gfn].at, frame;
	struct lg_kept *k;
	int i;

	if (!v->vm->pages[gfn])
		return;
	frame = __sme_set(page_to_phys(v->vm->pages[gfn]));
	for (i = 0; i < LG_LEAVES && at[0] != MANY; i++)
		if (at[i] && (*at[i] & (PTE_FRAME | LG_LINK)) == frame)
			*at[i] &= ~bits;
	if (at[0] != MANY && test_bit(gfn, v->vm->followed))
		return;
	/* look for the leaves in all tables */
	memset(at, 0, sizeof(v->vm->leaves[gfn].at));
	hash_for_each(v->kept, i, k, hash) {
		u64 *e = k->table;

		for (; !k->level && e < k->table + 512; e++) {
			if ((*e & PTE_FRAME) != frame)
				continue;
			*e &= ~bits;
			if (*e)
				lg_note_leaf(v->vm, gfn, e);
		}
		cond_resched();
	}
}

/* give tables back */
static void give_back(struct lg_vm *vm)
{
	unsigned long n = xchg(&vm->shrink, 0);
	struct page *page, *next;
	u64 gfn;

	lg_drop_all(vm->vcpu);
	/* What is remembered may name the tables that go now. */
	for_each_set_bit(gfn, vm->followed, vm->frames + 1)
		memset(&vm->leaves[gfn], 0, sizeof(vm->leaves[gfn]));
	list_for_each_entry_safe(page, next, &vm->shadows, lru) {
		if (!n--)
			break;
		list_del(&page->lru);
		__free_page(page);
		vm->stats.shadow_pages--;
	}
}

/* forget what the host wants back */
void lg_unfollow(struct lg_vm *vm, u64 gfn)
{
	lg_strip(vm->vcpu, gfn, ~0ULL);
	memset(vm->leaves[gfn].at, 0, sizeof(vm->leaves[gfn].at));
	vm->pages[gfn] = NULL;
	clear_bit(gfn, vm->read_only);
	/* Last: as long as it is set, the host waits for us. */
	clear_bit_unlock(gfn, vm->followed);
}

void lg_forget(struct lg_vm *vm)
{
	u64 gfn, to;

	spin_lock(&vm->recall_lock);
	gfn = vm->recall_from;
	to = vm->recall_to;
	vm->recall_from = vm->frames;
	vm->recall_to = 0;
	WRITE_ONCE(vm->recall, false);
	spin_unlock(&vm->recall_lock);
	for_each_set_bit_from(gfn, vm->followed, to) {
		lg_unfollow(vm, gfn);
		cond_resched();
	}
	if (READ_ONCE(vm->shrink))
		give_back(vm);
}

/* call leaves back */
static void request(struct lg_vm *vm, u64 from, u64 to)
{
	spin_lock(&vm->recall_lock);
	vm->recall_from = min(vm->recall_from, from);
	vm->recall_to = max(vm->recall_to, to);
	WRITE_ONCE(vm->recall, true);
	spin_unlock(&vm->recall_lock);
}

static void nothing(void *unused)
{
}

static bool recall(struct lg_vm *vm, u64 from, u64 to)
{
	struct lg_vcpu *v = smp_load_acquire(&vm->vcpu);
	int cpu;

	if (find_next_bit(vm->followed, to, from) >= to)
		return false;
	request(vm, from, to);
	smp_mb();	/* pairs with smp_store_mb of in_guest */
	cpu = v ? READ_ONCE(v->in_guest) : -1;
	if (cpu >= 0)		/* it answers when it has left */
		smp_call_function_single(cpu, nothing, NULL, 1);
	return true;
}

/* hear of the host's changes */
static bool concerns(struct lg_vm *vm, unsigned long start, unsigned long end,
		     u64 *from, u64 *to)
{
	u64 first = start >> PAGE_SHIFT, base = vm->base >> PAGE_SHIFT;
	u64 last = (end - 1) >> PAGE_SHIFT;

	if (last < base || first > base + vm->frames)
		return false;
	*from = max(first, base) - base;
	*to = min(last - base, vm->frames) + 1;
	return true;
}

static int change_begins(struct mmu_notifier *n,
			 const struct mmu_notifier_range *r)
{
	struct lg_vm *vm = container_of(n, struct lg_vm, notifier);
	u64 from, to;

	if (concerns(vm, r->start, r->end, &from, &to)) {
		atomic_inc(&vm->changing);
		smp_mb__after_atomic();	/* before followed is looked at */
		recall(vm, from, to);
	}
	return 0;
}

static void change_ends(struct mmu_notifier *n,
			const struct mmu_notifier_range *r)
{
	struct lg_vm *vm = container_of(n, struct lg_vm, notifier);
	u64 from, to;

	if (concerns(vm, r->start, r->end, &from, &to) &&
	    atomic_dec_and_test(&vm->changing))
		wake_up_all(&vm->changed);
}

static int clear_young(struct mmu_notifier *n, struct mm_struct *mm,
		       unsigned long start, unsigned long end)
{
	struct lg_vm *vm = container_of(n, struct lg_vm, notifier);
	u64 from, to;

	return concerns(vm, start, end, &from, &to) && recall(vm, from, to);
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

	return READ_ONCE(vm->stats.shadow_pages) ?: SHRINK_EMPTY;
}

static unsigned long scan_tables(struct shrinker *s, struct shrink_control *c)
{
	struct lg_vm *vm = host_shrinker_data(s);
	struct lg_vcpu *v = smp_load_acquire(&vm->vcpu);

	if (!v || READ_ONCE(vm->shrink))
		return SHRINK_STOP;
	WRITE_ONCE(vm->shrink, c->nr_to_scan);
	request(vm, vm->frames, 0);
	lg_kick(v);
	return c->nr_to_scan;
}

/* follow a page */
static struct page *look_up(struct lg_vm *vm, u64 gfn, bool *write)
{
	unsigned long at = vm->base + (gfn << PAGE_SHIFT);
	struct page *page;

	if (get_user_page_fast_only(at, FOLL_WRITE, &page))
		*write = true;
	else if (get_user_pages_fast(at, 1, *write ? FOLL_WRITE : 0,
				     &page) != 1)
		return NULL;
	if (*write && !PageAnon(page) &&
	    !folio_test_swapbacked(page_folio(page))) {
		put_page(page);
		return NULL;
	}
	/* The host's own mapping will not tell it of the guest's writes. */
	if (*write && !PageDirty(page))
		set_page_dirty_lock(page);
	put_page(page);
	return page;
}

struct page *lg_follow(struct lg_vm *vm, u64 gfn, bool write, bool *writable)
{
	struct page *page = vm->pages[gfn];
	bool may_write;

	while (!page || (write && test_bit(gfn, vm->read_only))) {
		/* look for the page while nothing changes */
		set_bit(gfn, vm->followed);
		smp_mb__after_atomic();		/* before changing is looked at */
		if (fatal_signal_pending(current) ||
		    wait_event_killable(vm->changed, !atomic_read(&vm->changing)))
			return NULL;
		may_write = write;
		page = look_up(vm, gfn, &may_write);
		if (!page)
			return NULL;
		if (READ_ONCE(vm->recall)) {
			lg_forget(vm);
			page = NULL;
			cond_resched();
			continue;
		}
		assign_bit(gfn, vm->read_only, !may_write);
		vm->pages[gfn] = page;
	}
	*writable &= !test_bit(gfn, vm->read_only);
	return page;
}

/* begin and end following */
static void free_maps(struct lg_vm *vm)
{
	shrinker_free(vm->shrinker);
	kvfree(vm->followed);
	kvfree(vm->read_only);
	kvfree(vm->leaves);
	vm->followed = NULL;
}

int lg_follow_start(struct lg_vm *vm)
{
	u64 n = vm->frames + 1;
	int err = -ENOMEM;

	init_waitqueue_head(&vm->changed);
	spin_lock_init(&vm->recall_lock);
	vm->recall_from = vm->frames;
	vm->followed = kvcalloc(BITS_TO_LONGS(n), sizeof(long),
				GFP_KERNEL_ACCOUNT);
	vm->read_only = kvcalloc(BITS_TO_LONGS(n), sizeof(long),
				 GFP_KERNEL_ACCOUNT);
	vm->leaves = kvcalloc(n, sizeof(*vm->leaves), GFP_KERNEL_ACCOUNT);
	vm->notifier.ops = &follow_ops;
	vm->shrinker = shrinker_alloc(0, "lguest");
	if (vm->followed && vm->read_only && vm->leaves && vm->shrinker)
		err = mmu_notifier_register(&vm->notifier, current->mm);
	if (err) {
		free_maps(vm);
		return err;
	}
	host_shrinker_data(vm->shrinker) = vm;
	vm->shrinker->count_objects = count_tables;
	vm->shrinker->scan_objects = scan_tables;
	shrinker_register(vm->shrinker);
	return 0;
}

/* Before anything else of the guest ends: no callback runs after it. */
void lg_follow_end(struct lg_vm *vm)
{
	u64 gfn;

	if (!vm->followed)
		return;
	mmu_notifier_unregister(&vm->notifier, vm->notifier.mm);
	/* Only what is pinned shall be given back. */
	for_each_set_bit(gfn, vm->followed, vm->frames + 1)
		vm->pages[gfn] = NULL;
	free_maps(vm);
}
