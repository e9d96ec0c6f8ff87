// SPDX-License-Identifier: GPL-2.0
/* Several vCPUs: their making, their flushes, their ups and downs. */
#include "lg.h"
#include <xen/interface/sched.h>
#include <xen/interface/vcpu.h>
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

/* flush for others */
/* whom: UVMF_ALL, or the address of a bitmap.  1: v itself is meant, too. */
static long flush_others(struct lg_vcpu *v, u64 whom)
{
	u64 mask = whom == UVMF_ALL ? ~0ULL : 0;
	struct lg_vcpu *t;
	u32 i;

	/* be wholly in the host */
	lg_to_host(v);
	if (!mask && lg_read(v, whom, &mask, DIV_ROUND_UP(v->vm->nr_vcpus, 8)))
		return -EFAULT;
	for_each_vcpu(i, t, v->vm)
		if (t != v && mask & BIT_ULL(i))
			WRITE_ONCE(t->flush, true);
	lg_call_out(v->vm);
	return mask >> v->id & 1;
}

long lg_flush_op(struct lg_vcpu *v, const struct mmuext_op *op)
{
	if (op->cmd == MMUEXT_TLB_FLUSH_ALL || op->cmd == MMUEXT_INVLPG_ALL)
		return flush_others(v, UVMF_ALL);
	if (op->cmd == MMUEXT_TLB_FLUSH_MULTI || op->cmd == MMUEXT_INVLPG_MULTI)
		return flush_others(v, (u64)op->arg2.vcpumask);
	return 1;
}

long lg_flush_va(struct lg_vcpu *v, u64 flags)
{
	u64 type = flags & UVMF_FLUSHTYPE_MASK;

	return !type || type == flags ? 0 :
		min(flush_others(v, flags - type), 0L);
}

/* bring vCPUs up and down */
static long take_context(struct lg_vcpu *t, const struct vcpu_guest_context *c)
{
	struct lg_data *d = t->d;
	int i;

	memcpy(&d->regs, &c->user_regs,
	       offsetof(struct cpu_user_regs, error_code));
	d->rip = c->user_regs.rip;
	d->rsp = c->user_regs.rsp;
	d->rflags = (c->user_regs.rflags & USER_FLAGS) | X86_EFLAGS_IF |
		    X86_EFLAGS_FIXED;
	t->kernel_sp = c->kernel_sp;
	t->kernel_cr3 = t->user_cr3 = xen_cr3_to_pfn(c->ctrlreg[3]);
	/* take its entry points */
	for (i = 0; i < 256; i++)
		t->traps[i] = (struct lg_entry) { c->trap_ctxt[i].address,
						  c->trap_ctxt[i].flags };
	t->callbacks[CALLBACKTYPE_event].address = c->event_callback_eip;
	t->callbacks[CALLBACKTYPE_failsafe].address = c->failsafe_callback_eip;
	t->callbacks[CALLBACKTYPE_syscall].address = c->syscall_callback_eip;
	lg_road_entries(t);
	return lg_write_msr(t, MSR_FS_BASE, c->fs_base) &&
	       lg_write_msr(t, MSR_GS_BASE, c->gs_base_kernel) &&
	       lg_write_msr(t, MSR_KERNEL_GS_BASE, c->gs_base_user) ?
		0 : -EINVAL;
}

static long initialise(struct lg_vcpu *v, struct lg_vcpu *t, u64 arg)
{
	struct vcpu_guest_context *c = kvmalloc(sizeof(*c), GFP_KERNEL_ACCOUNT);
	long err = c ? lg_read(v, arg, c, sizeof(*c)) : -ENOMEM;
	u64 frames = offsetof(struct vcpu_guest_context, gdt_frames);

	err = err ?: lg_set_gdt(v, t, arg + frames, c->gdt_ents);
	err = err ?: take_context(t, c);
	kvfree(c);
	return err;
}

long lg_life_op(struct lg_vcpu *v, struct lg_vcpu *t, u64 cmd, u64 arg)
{
	long err;

	switch (cmd) {
	case VCPUOP_initialise:
		if (cmpxchg(&t->state, LG_FRESH, LG_BUSY) != LG_FRESH)
			return -EEXIST;
		err = initialise(v, t, arg);
		smp_store_release(&t->state, err ? LG_FRESH : LG_DOWN);
		return err;
	case VCPUOP_up:
		cmpxchg(&t->state, LG_DOWN, LG_UP);
		wake_up(&t->wait);
		return READ_ONCE(t->state) == LG_UP ? 0 : -EINVAL;
	case VCPUOP_down:
		cmpxchg(&t->state, LG_UP, LG_DOWN);
		lg_kick(t);
		return 0;
	case VCPUOP_is_up:
		return READ_ONCE(t->state) == LG_UP;
	}
	return -ENOSYS;
}

void lg_end_others(struct lg_vcpu *v)
{
	struct lg_vcpu *t;
	u32 i;

	for_each_vcpu(i, t, v->vm)
		if (t != v) {
			WRITE_ONCE(t->dead, true);
			lg_kick(t);
		}
}

/* 0: go on; 1: look at everything anew. */
int lg_heed_others(struct lg_vcpu *v)
{
	if (READ_ONCE(v->dead))
		return -ESRCH;
	lg_hear(v);
	if (READ_ONCE(v->flush)) {
		smp_store_mb(v->flush, false);	/* before anything is read */
		lg_kept_flush(v);
	}
	/* What was set up by another is seen behind its store. */
	if (smp_load_acquire(&v->state) == LG_UP)
		return 0;
	return wait_event_interruptible(v->wait, READ_ONCE(v->dead) ||
		READ_ONCE(v->state) == LG_UP || READ_ONCE(v->flush) ||
		READ_ONCE(v->recall) || READ_ONCE(v->nr_told) ||
		READ_ONCE(v->timer_fired)) ?
		-EINTR : 1;
}

/* poll for others */
/* The event lock is held. */
void lg_wake_pollers(struct lg_vm *vm)
{
	unsigned int id;

	for_each_set_bit(id, &vm->pollers, LG_MAX_VCPUS)
		wake_up(&vm->vcpus[id]->wait);
}

/* It may return early, says the ABI; so it sleeps for the plain case only. */
long lg_poll(struct lg_vcpu *v, u64 arg)
{
	struct sched_poll p;
	evtchn_port_t port;

	if (lg_read(v, arg, &p, sizeof(p)) ||
	    lg_read(v, (u64)p.ports, &port, sizeof(port)))
		return -EFAULT;
	if (p.nr_ports != 1 || p.timeout)
		return 0;
	if (port >= LG_NR_PORTS)
		return -EINVAL;
	set_bit(v->id, &v->vm->pollers);
	smp_mb__after_atomic();		/* before the port is looked at */
	wait_event_interruptible(v->wait,
		test_bit(port, v->vm->shared->evtchn_pending) || lg_word(v) ||
		lg_event_pending(v) || READ_ONCE(v->timer_fired));
	clear_bit(v->id, &v->vm->pollers);
	return 0;
}
