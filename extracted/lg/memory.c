// SPDX-License-Identifier: GPL-2.0
/* Guest memory: frames of the launcher, and reading what a guest points at. */
#include "lg.h"

/* begin and end the list of frames */
int lg_memory_init(struct lg_vm *vm)
{
	vm->pages = __vcalloc(vm->frames + 1, sizeof(*vm->pages),
				GFP_KERNEL_ACCOUNT);
	vm->is_table = __vcalloc(BITS_TO_LONGS(vm->frames + 1), sizeof(long),
				GFP_KERNEL_ACCOUNT);
	if (!vm->pages || !vm->is_table)
		return -ENOMEM;
	vm->shared = lg_frame(vm, vm->frames);
	return vm->shared ? 0 : -EFAULT;
}

void lg_memory_free(struct lg_vm *vm)
{
	u64 i;

	for (i = 0; vm->pages && i <= vm->frames; i++) {
		if (vm->pages[i])
			unpin_user_pages_dirty_lock(&vm->pages[i], 1, true);
		cond_resched();
	}
	kvfree(vm->pages);
	kvfree(vm->is_table);
}

/* find the page behind a guest frame */
/* The caller is in the launcher's address space and holds v->lock. */
struct page *lg_page(struct lg_vm *vm, u64 gfn)
{
	struct page *page;

	if (gfn > vm->frames)
		return NULL;
	if (vm->pages[gfn])
		return vm->pages[gfn];
	if (pin_user_pages_fast(vm->base + (gfn << PAGE_SHIFT), 1,
				FOLL_WRITE | FOLL_LONGTERM, &page) != 1)
		return NULL;
	if (!PageAnon(page) && !folio_test_swapbacked(page_folio(page))) {
		unpin_user_page(page);
		return NULL;
	}
	return vm->pages[gfn] = page;
}

void *lg_frame(struct lg_vm *vm, u64 gfn)
{
	struct page *page = lg_page(vm, gfn);

	return page ? page_address(page) : NULL;
}

/* copy by guest-virtual address */
static int copy(struct lg_vcpu *v, u64 va, void *buf, size_t len, bool write)
{
	u32 access = (write ? X86_PF_WRITE : 0) | (v->user ? X86_PF_USER : 0);

	while (len) {
		/* find this page and the bytes in it */
		size_t n = min_t(size_t, len, PAGE_SIZE - offset_in_page(va));
		struct lg_walk w;
		u8 __user *p;

		if (lg_walk(v, va, access, &w))
			return -EFAULT;
		/* see whether a table is written */
		if (write) {
			set_bit(w.gfn, v->map.writes);
			smp_mb__after_atomic();		/* before it is known as a table */
			if (test_bit(w.gfn, v->vm->is_table))
				lg_loosen(v, w.gfn);
		}
		p = lg_user(v, w.gfn) + offset_in_page(va);
		barrier_nospec();
		if (write ? raw_copy_to_user(p, buf, n) :
			    raw_copy_from_user(buf, p, n))
			return -EFAULT;
		va += n;
		buf += n;
		len -= n;
	}
	return 0;
}

int lg_read(struct lg_vcpu *v, u64 va, void *to, size_t len)
{
	return copy(v, va, to, len, false);
}

int lg_write(struct lg_vcpu *v, u64 va, const void *from, size_t len)
{
	return copy(v, va, (void *)from, len, true);
}
