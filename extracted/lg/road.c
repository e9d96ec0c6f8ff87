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
	v->d->near = v->map.frames;
	v->d->alone = v->vm->nr_vcpus == 1;
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
	d->table = v->user_cr3;
	d->stale = 0;
	d->in_step = v->vm->nr_vcpus > 1 ? 0 : list_empty(&v->loose) ? 1 :
		     v->loose_above ? 0 : 2;
}

void lg_road_out(struct lg_vcpu *v)
{
	v->user = v->d->user;
	v->kernel_sp = v->d->kernel_sp;
}

static_assert((LG_MAX_FRAMES + 1) * sizeof(u64[LG_LEAVES]) <= SZ_1G);

/* Show the vCPU's maps.  -ENOMEM: some are not shown. */
int lg_road_maps(struct lg_vcpu *v)
{
	struct lg_maps *m = &v->map;
	u64 n = m->frames + 1, bits = BITS_TO_LONGS(n) * sizeof(long), at;
	const struct { void *map; u64 size; } maps[] = {
		{ m->pages, n * sizeof(*m->pages) },
		{ m->tables, n * sizeof(*m->tables) },
		{ m->leaves, n * sizeof(*m->leaves) },
		{ m->followed, 3 * bits },
		{ m->is_table, bits },
	};
	int i, err = 0;

	v->near = lg_table(v->vm);
	if (!v->near)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(maps); i++)
		for (at = 0; at < maps[i].size && !err; at += PAGE_SIZE)
			err = lg_map(v->vm, v->near, (u64)i * SZ_1G + at,
				     vmalloc_to_page(maps[i].map + at), LG_RW);
	return err;
}
