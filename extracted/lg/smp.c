// SPDX-License-Identifier: GPL-2.0
/* Several vCPUs: their making, their flushes, their ups and downs. */
#include <linux/nospec.h>
#include <linux/slab.h>
#include "lg.h"
#include "host.h"

/* create and free the others */
int lg_others_create(struct lg_vm *vm, const struct lg_create *c)
{
	u32 id;
	int err = 0;

	for (id = vm->nr_vcpus - 1; id && !err; id--)
		err = lg_vcpu_create(vm, c, id);
	return err;
}

void lg_others_free(struct lg_vm *vm)
{
	u32 id;

	for (id = 1; id < vm->nr_vcpus; id++)
		if (vm->vcpus[id]) {
			lg_drop_all(vm->vcpus[id]);
			lg_vcpu_free(vm->vcpus[id]);
		}
}

long lg_add_stats(struct lg_vm *vm, void __user *to)
{
	u64 sum[sizeof(struct lg_stats) / 8] = {};
	struct lg_vcpu *v;
	u32 i, n;

	for_each_vcpu(i, v, vm)
		for (n = 0; n < ARRAY_SIZE(sum); n++)
			sum[n] += READ_ONCE(((u64 *)&v->stats)[n]);
	return copy_to_user(to, sum, sizeof(sum)) ? -EFAULT : 0;
}
