// SPDX-License-Identifier: GPL-2.0
/* The straight road (switcher.S): what it is told, what it has changed. */
#include "lg.h"
#include "host.h"

static_assert(LG_ROAD_LOWEST == LG_SLOT_END);

/* choose the entry points of the road */
void lg_road_entries(struct lg_vcpu *v)
{
	static const unsigned long vectors = BIT(X86_TRAP_DE) |
		BIT(X86_TRAP_BP) | BIT(X86_TRAP_OF) | BIT(X86_TRAP_BR) |
		BIT(X86_TRAP_MF) | BIT(X86_TRAP_XF) | BIT(X86_TRAP_PF);
	struct lg_entry *e = v->d->entries;
	int n;

	for_each_set_bit(n, &vectors, 32) {
		e[n] = v->traps[n];
		if (n == X86_TRAP_PF ? hypervisor_is_type(X86_HYPER_KVM) :
		    n <= X86_TRAP_OF && n && (e[n].flags & 3) != 3)
			e[n].address = 0;
	}
	e[32] = v->callbacks[CALLBACKTYPE_syscall];
	e[33] = v->callbacks[CALLBACKTYPE_syscall32];
}

/* show the road the vcpu info */
int lg_road_info(struct lg_vcpu *v, u64 gfn, u16 offset)
{
	u64 at = LG_ROAD_INFO + v->id * PAGE_SIZE;
	int err = lg_map(v->vm, v->vm->kernel_pdpt, at,
			 lg_page(v->vm, gfn), LG_RW);

	v->d->verw = host_clears_buffers() ? LG_USER_SS : 0;
	v->d->keep = boot_cpu_has(X86_FEATURE_PCID) ? X86_CR3_PCID_NOFLUSH : 0;
	/* Last, and only when it is mapped: its vCPU may be about to enter. */
	smp_store_release(&v->d->info, err ? 0 : at + offset);
	return err;
}

/* go in and out by the road */
void lg_road_in(struct lg_vcpu *v)
{
	struct lg_data *d = v->d;

	d->user = v->user;
	d->kernel_sp = v->kernel_sp;
	d->road = d->info && !(d->dr7 & 0xff);
	d->kernel_root = v->kernel_pa | (v->user ? 0 : d->keep);
	d->user_root = v->user_pa | (v->user ? d->keep : 0);
	/* tell the road of the shadow */
	d->in_step = v->vm->nr_vcpus > 1 ? 0 : list_empty(&v->loose) ? 1 :
		     v->loose_above ? 0 : 2;
}

void lg_road_out(struct lg_vcpu *v)
{
	v->user = v->d->user;
	v->kernel_sp = v->d->kernel_sp;
	/* hear of flushes on the road */
	if (v->d->flushed)
		lg_forget_walks(v, !(v->d->flushed & 1),
				v->d->flushed & 1 ? ~0ULL : LG_SLOT_BASE - 1);
	v->d->flushed = 0;
}
