// SPDX-License-Identifier: GPL-2.0
/* Hypercalls about page tables: writes, hints, and the flushes that count. */
#include "lg.h"

#define MAX_BATCH	256	/* Linux asks for at most 32 at a time */

union request {
	struct mmu_update update;
	struct mmuext_op ext;
};

/* write an entry for the guest */
/* An inactive table needs nothing more, and an active one a flush. */
static long write_entry(struct lg_vcpu *v, const union request *r)
{
	u64 ptr = r->update.ptr, val = r->update.val, old;
	u64 __user *slot = lg_user(v, ptr >> PAGE_SHIFT);
	int err;

	if (!slot)
		return -EINVAL;
	slot += offset_in_page(ptr) / 8;
	switch (ptr & 7) {
	/* write in one of four ways */
	case MMU_NORMAL_PT_UPDATE:
	case MMU_PT_UPDATE_NO_TRANSLATE:
		err = put_user(val, slot);
		/* tell of the changed entry */
		lg_table_changed(v, slot);
		return err;
	case MMU_MACHPHYS_UPDATE:
		return ptr >> PAGE_SHIFT == val ? 0 : -EINVAL;
	case MMU_PT_UPDATE_PRESERVE_AD:
		do {
			err = get_user(old, slot) ?:
			      __try_cmpxchg_user(slot, &old, val |
					(old & (PTE_A | PTE_D)), fault);
			/* if another was quicker */
			if (err > 0 && !lg_retry(v))
				err = -EINTR;
		} while (err > 0);
		/* tell of the changed entry */
		lg_table_changed(v, slot);
		return err;
	}
	return -ENOSYS;
}

/* do one extended operation */
static long mmuext(struct lg_vcpu *v, const union request *r)
{
	const struct mmuext_op *op = &r->ext;
	struct lg_vm *vm = v->vm;
	u64 gfn = op->arg1.mfn;
	/* pass a flush on to other vCPUs */
	long mine = lg_flush_op(v, op);

	if (mine <= 0)
		return mine;

	switch (op->cmd) {
	/* flush what the guest names */
	case MMUEXT_TLB_FLUSH_LOCAL:
	case MMUEXT_TLB_FLUSH_MULTI:
	case MMUEXT_TLB_FLUSH_ALL:
		/* keep what is true, or */
		if (!lg_kept_flush(v))
		lg_drop_all(v);
		return 0;
	case MMUEXT_INVLPG_LOCAL:
	case MMUEXT_INVLPG_MULTI:
	case MMUEXT_INVLPG_ALL:
		lg_drop_page(v, op->arg1.linear_addr);
		return 0;
	case MMUEXT_FLUSH_CACHE:
		return 0;
	case MMUEXT_SET_LDT:
		return lg_set_ldt(v, op->arg1.linear_addr, op->arg2.nr_ents);
	}
	/* All others name a frame of the guest. */
	if (gfn > vm->frames)
		return -EINVAL;
	switch (op->cmd) {
	/* remember which frames are tables */
	case MMUEXT_PIN_L1_TABLE ... MMUEXT_PIN_L4_TABLE:
		set_bit(gfn, vm->is_table);
		return 0;
	case MMUEXT_UNPIN_TABLE:
		clear_bit(gfn, vm->is_table);
		/* keep no shadow of it */
		lg_no_table(v, gfn);
		return 0;
	/* take another base */
	case MMUEXT_NEW_BASEPTR:
	case MMUEXT_NEW_USER_BASEPTR:
		*(op->cmd == MMUEXT_NEW_BASEPTR ? &v->kernel_cr3 : &v->user_cr3) = gfn;
		/* take the shadow that was kept, or */
		if (!lg_kept_base(v))
		lg_drop_user(v);
		return 0;
	}
	return -ENOSYS;
}

/* do a batch of requests */
static __always_inline long batch(struct lg_vcpu *v, u64 list, u64 count,
	u64 done, size_t size,
	long (*one)(struct lg_vcpu *v, const union request *r))
{
	u32 i, n = ARRAY_SIZE(v->requests);
	long err = 0;

	if (count > MAX_BATCH)
		return -E2BIG;
	for (i = 0; i < count; i++) {
		if (i % n == 0)
			err = lg_read(v, list + i * size, v->requests,
				      min_t(u64, count - i, n) * size);
		err = err ?: one(v, (void *)v->requests + i % n * size);
		if (err)
			break;
		/* unless interrupts are off */
		if (lg_at_ease(v))
		cond_resched();
	}
	if (done && lg_write(v, done, &i, sizeof(i)))
		return -EFAULT;
	return err;
}

long lg_mmu_update(struct lg_vcpu *v, u64 list, u64 count, u64 done)
{
	return batch(v, list, count, done, sizeof(struct mmu_update),
		     write_entry);
}

long lg_mmuext_op(struct lg_vcpu *v, u64 list, u64 count, u64 done)
{
	return batch(v, list, count, done, sizeof(struct mmuext_op), mmuext);
}

/* write the entry for an address */
long lg_update_va_mapping(struct lg_vcpu *v, u64 va, u64 pte, u64 flags)
{
	u64 __user *slot = lg_slot(v, va);

	if (!slot || put_user(pte, slot))
		return -EINVAL;
	/* tell of the changed entry */
	lg_table_changed(v, slot);
	lg_drop_page(v, va);
	if ((flags & UVMF_FLUSHTYPE_MASK) == UVMF_TLB_FLUSH)
		/* keep what is true, or */
		if (!lg_kept_flush(v))
		lg_drop_all(v);
	/* flush the entry for other vCPUs */
	return lg_flush_va(v, flags);
	return 0;
}
