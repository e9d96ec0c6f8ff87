// SPDX-License-Identifier: GPL-2.0
/* Guest memory that stays the host's: MMU notifiers and a reverse map. */
#include <linux/bitmap.h>
#include <linux/smp.h>
#include <asm/io.h>
#include "lg.h"
#include "host.h"

/* remember the leaves of a frame */
#define MANY	((u64 *)1)	/* more than can be remembered */

void lg_note_leaf(struct lg_vcpu *v, u64 gfn, u64 *leaf)
{
	u64 **at = v->leaves[gfn], frame;
	int i = 0;

	if (at[0] != MANY && test_bit(gfn, v->followed)) {
		frame = __sme_set(page_to_phys(v->pages[gfn]));
		while (i < LG_LEAVES && at[i] && at[i] != leaf &&
		       (*at[i] & PTE_FRAME) == frame &&
		       page_private(virt_to_page(at[i])))
			i++;
		if (i < LG_LEAVES)
			at[i] = leaf;
		else
			at[0] = MANY;
	}
	/* note that the frame may be written */
	if (*leaf & PTE_RW && !test_and_set_bit(gfn, v->writes) &&
	    test_bit(gfn, v->vm->is_table))
		lg_loosen(v, gfn);
}

/* Take bits from all leaves of a frame; all bits: the leaves themselves. */
void lg_strip(struct lg_vcpu *v, u64 gfn, u64 bits)
{
	u64 **at = v->leaves[gfn], frame;
	struct lg_kept *k;
	int i;

	if (!v->pages[gfn])
		goto seen;
	frame = __sme_set(page_to_phys(v->pages[gfn]));
	for (i = 0; i < LG_LEAVES && at[0] != MANY; i++)
		if (at[i] && (*at[i] & (PTE_FRAME | LG_LINK)) == frame)
			*at[i] = (*at[i] & ~bits) ?: LG_ASK;
	if (at[0] != MANY && test_bit(gfn, v->followed))
		goto seen;
	/* look for the leaves in all tables */
	memset(at, 0, sizeof(v->leaves[gfn]));
	hash_for_each(v->kept, i, k, hash) {
		u64 *e = k->table;

		for (; !k->level && e < k->table + 512; e++) {
			if ((*e & PTE_FRAME) != frame)
				continue;
			*e = (*e & ~bits) ?: LG_ASK;
			if (*e & PTE_P)
				lg_note_leaf(v, gfn, e);
		}
		/* unless interrupts are off */
		if (lg_at_ease(v))
		cond_resched();
	}
seen:
	clear_bit_unlock(gfn, v->writes);	/* what was written is seen */
}

/* give tables back */
static void give_back(struct lg_vcpu *v)
{
	struct page *page, *next;

	WRITE_ONCE(v->shrink, false);
	lg_drop_all(v);
	/* What is remembered may name the tables that go now. */
	memset(v->leaves, 0, (v->vm->frames + 1) * sizeof(*v->leaves));
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
	memset(v->leaves[gfn], 0, sizeof(v->leaves[gfn]));
	v->pages[gfn] = NULL;
	clear_bit(gfn, v->read_only);
	/* Last: as long as it is set, the host waits for us. */
	clear_bit_unlock(gfn, v->followed);
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
	for_each_set_bit_from(gfn, v->followed, to) {
		if (v->leaves[gfn][0] == MANY && ++searched == 16)
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
		if (find_next_bit(v->followed, to, from) >= to)
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

static void look_around(struct lg_vcpu *v, u64 gfn)
{
	u64 from = round_down(gfn, BITS_PER_LONG);
	struct page *page[BITS_PER_LONG];
	int i, n = 0;

	WRITE_ONCE(v->followed[BIT_WORD(gfn)], ~0UL);
	smp_mb();		/* before changing is looked at */
	if (!atomic_read(&v->vm->changing))
		n = get_user_pages_fast_only(
			v->vm->base + (from << PAGE_SHIFT),
			min_t(u64, BITS_PER_LONG, v->vm->frames + 1 - from),
			FOLL_WRITE, page);
	for (i = 0; i < n; i++) {
		if (!v->pages[from + i] && PageAnon(page[i]) &&
		    PageDirty(page[i]))
			v->pages[from + i] = page[i];
		put_page(page[i]);
	}
}

struct page *lg_follow(struct lg_vcpu *v, u64 gfn, bool write, bool *writable)
{
	struct page *page = v->pages[gfn];
	struct lg_vm *vm = v->vm;
	bool may_write;

	while (!page || (write && test_bit(gfn, v->read_only))) {
		/* be wholly in the host */
		lg_to_host(v);
		/* look for the page while nothing changes */
		set_bit(gfn, v->followed);
		smp_mb__after_atomic();		/* before changing is looked at */
		if (fatal_signal_pending(current) ||
		    wait_event_killable(vm->changed, !atomic_read(&vm->changing)))
			return NULL;
		may_write = write;
		page = look_up(vm, gfn, &may_write);
		if (!page)
			return NULL;
		if (PageCompound(page) && v->followed[BIT_WORD(gfn)] != ~0UL)
			look_around(v, gfn);
		if (READ_ONCE(v->recall)) {
			lg_forget(v);
			page = NULL;
			cond_resched();
			continue;
		}
		assign_bit(gfn, v->read_only, !may_write);
		v->pages[gfn] = page;
	}
	*writable &= !test_bit(gfn, v->read_only);
	return page;
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

	if (n * v->vm->nr_vcpus / 128 > totalram_pages() / 4)
		return -ENOMEM;
	spin_lock_init(&v->recall_lock);
	v->recall_from = v->vm->frames;
	v->pages = __vcalloc(n, sizeof(*v->pages), GFP_KERNEL_ACCOUNT);
	v->followed = kvcalloc(4 * bits, sizeof(long), GFP_KERNEL_ACCOUNT);
	v->read_only = v->followed + bits;
	v->leaves = __vcalloc(n, sizeof(*v->leaves), GFP_KERNEL_ACCOUNT);
	/* make the maps of what is kept */
	v->shadowed = v->followed + 2 * bits;
	v->writes = v->followed + 3 * bits;
	return v->pages && v->followed && v->leaves ? 0 : -ENOMEM;
}

void lg_follow_free(struct lg_vcpu *v)
{
	kvfree(v->pages);
	kvfree(v->followed);
	kvfree(v->leaves);
}

/* Before anything else of the guest ends: no callback runs after it. */
void lg_follow_end(struct lg_vm *vm)
{
	shrinker_free(vm->shrinker);
	if (vm->notifier.mm)
		mmu_notifier_unregister(&vm->notifier, vm->notifier.mm);
}
