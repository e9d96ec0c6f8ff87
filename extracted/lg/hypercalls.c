// SPDX-License-Identifier: GPL-2.0
/* The Xen PV hypercalls that a Linux domU makes. */
#include "lg.h"
#include <xen/interface/features.h>
#include <xen/interface/memory.h>
#include <xen/interface/physdev.h>
#include <xen/interface/sched.h>
#include <xen/interface/vcpu.h>
#include <xen/interface/version.h>

#define MAX_CALLS	256	/* of one multicall; Linux makes at most 32 */

/* a call and its arguments */
struct call {
	u64 nr, arg[5];
};

#define QUICK(name)	BIT_ULL(__HYPERVISOR_##name)
#define QUICK_CALLS	(QUICK(mmu_update) | QUICK(update_va_mapping) | \
			 QUICK(mmuext_op) | QUICK(multicall) | \
			 QUICK(stack_switch) | QUICK(set_segment_base) | \
			 QUICK(fpu_taskswitch) | QUICK(physdev_op) | \
			 QUICK(update_descriptor))

/* answer each kind of call */
/* say which Xen we are */
static long put_string(struct lg_vcpu *v, u64 to, const char *s)
{
	return lg_write(v, to, s, strlen(s) + 1);
}

static long xen_version(struct lg_vcpu *v, u64 cmd, u64 arg)
{
	struct xen_feature_info f;
	u64 start = LG_SLOT_BASE;

	switch (cmd) {
	/* tell version, strings and sizes */
	case XENVER_version:
		return 4 << 16 | 17;
	case XENVER_extraversion:
		return put_string(v, arg, ".0-lguest");
	case XENVER_capabilities:
		return put_string(v, arg, "xen-3.0-x86_64 ");
	case XENVER_changeset:
	case XENVER_commandline:
		return put_string(v, arg, "");
	case XENVER_platform_parameters:
		return lg_write(v, arg, &start, sizeof(start));
	case XENVER_pagesize:
		return PAGE_SIZE;
	/* tell the features */
	case XENVER_get_features:
		if (lg_read(v, arg, &f, sizeof(f)))
			return -EFAULT;
		f.submap = f.submap_idx ? 0 :
			   BIT(XENFEAT_pae_pgdir_above_4gb) |
			   BIT(XENFEAT_auto_translated_physmap) |
			   BIT(XENFEAT_mmu_pt_update_preserve_ad) |
			   BIT(XENFEAT_gnttab_map_avail_bits);
		return lg_write(v, arg, &f, sizeof(f));
	}
	return -ENOSYS;
}

/* answer questions about memory */
static long memory_op(struct lg_vcpu *v, u64 cmd, u64 arg)
{
	struct xen_machphys_mapping m = {
		.v_start = LG_SLOT_BASE,
		.v_end = LG_SLOT_BASE + (v->vm->frames + 1) * 8,
		.max_mfn = v->vm->frames,
	};

	switch (cmd) {
	case XENMEM_machphys_mapping:
		return lg_write(v, arg, &m, sizeof(m));
	case XENMEM_maximum_ram_page:
	case XENMEM_current_reservation:
	case XENMEM_maximum_reservation:
		return v->vm->frames;
	}
	return -ENOSYS;
}

/* take text for the console */
static long console_io(struct lg_vcpu *v, struct call *c)
{
	struct lg_run *run = &v->run;
	u64 n = min_t(u64, c->arg[1], sizeof(run->message));

	if (c->arg[0] != 0)
		return -ENOSYS;
	if (lg_read(v, c->arg[2], run->message, n))
		return -EFAULT;
	run->exit = LG_EXIT_CONSOLE;
	run->length = n;
	c->arg[1] -= n;
	c->arg[2] += n;
	return 0;
}

/* set the trap table */
static long set_trap_table(struct lg_vcpu *v, u64 table)
{
	struct trap_info t;
	int i;

	if (!table)
		memset(v->traps, 0, sizeof(v->traps));
	for (i = 0; table && i < 257; i++) {
		if (lg_read(v, table + i * sizeof(t), &t, sizeof(t)))
			return -EFAULT;
		if (!t.address)
			break;
		v->traps[t.vector] = (struct lg_entry) { t.address, t.flags };
	}
	/* tell the straight road of entry points */
	lg_road_entries(v);
	return 0;
}

/* register a callback */
#define CALLBACKS	(BIT(CALLBACKTYPE_event) | \
			 BIT(CALLBACKTYPE_failsafe) | \
			 BIT(CALLBACKTYPE_syscall) | \
			 BIT(CALLBACKTYPE_syscall32))

static long callback_op(struct lg_vcpu *v, u64 cmd, u64 arg)
{
	const u16 last = CALLBACKTYPE_syscall32;
	struct callback_register r;
	struct lg_entry *c;

	if (cmd != CALLBACKOP_register)
		return -ENOSYS;
	if (lg_read(v, arg, &r, sizeof(r)))
		return -EFAULT;
	if (r.type > last || !(BIT(r.type) & CALLBACKS))
		return -ENOSYS;
	c = &v->callbacks[array_index_nospec(r.type, last + 1)];
	c->address = r.address;
	c->flags = r.flags & CALLBACKF_mask_events ? LG_MASK : 0;
	/* tell the straight road of entry points */
	lg_road_entries(v);
	return 0;
}

/* set a segment base */
/* find a selector's base */
static u64 segment_base(const struct lg_vcpu *v, u16 sel)
{
	const struct desc_struct *table = v->gdt;
	unsigned int i = sel >> 3;

	if (sel & 4)
		table = i < v->ldt_entries ? v->ldt[i / 512] : NULL;
	if (!table || (!(sel & 4) && i >= 512))
		return 0;
	return get_desc_base(&table[i % 512]);
}

static long set_segment_base(struct lg_vcpu *v, u64 which, u64 base)
{
	static const u32 msr[] = { [SEGBASE_FS] = MSR_FS_BASE,
		[SEGBASE_GS_USER] = MSR_KERNEL_GS_BASE,
		[SEGBASE_GS_KERNEL] = MSR_GS_BASE };
	struct lg_data *d = v->d;

	if (which == SEGBASE_GS_USER_SEL) {
		/* Never with RPL 0: ring 0 loads it, and would get its wish. */
		d->gs = (u16)base > 3 ? base | 3 : 0;
		d->kgs_base = segment_base(v, base);
		return 0;
	}
	return which < ARRAY_SIZE(msr) && lg_write_msr(v, msr[which], base) ?
		0 : -EINVAL;
}

/* read and write debug registers */
static long write_debugreg(struct lg_vcpu *v, u64 reg, u64 val)
{
	switch (reg) {
	case 0 ... 3:
		if (!lg_canonical(val) || lg_ours(val))
			return -EPERM;
		v->dr[reg] = val;
		return 0;
	/* write status and control */
	case 4:
	case 6:
		v->dr[6] = (val & 0xe00f) | DR6_RESERVED;
		return 0;
	case 5:
	case 7:
		if (val >> 32 || val & BIT(13) || val & ~(val << 1) & 0x22220000)
			return -EPERM;
		v->dr[7] = (val & 0xffff03ff) | LG_DR7_FIXED;
		return 0;
	}
	return -EINVAL;
}


/* register the vcpu info */
static long register_vcpu_info(struct lg_vcpu *v, struct lg_vcpu *to, u64 arg)
{
	struct vcpu_register_vcpu_info r;
	struct vcpu_info *info;
	u8 *frame;

	if (lg_read(v, arg, &r, sizeof(r)))
		return -EFAULT;
	if (r.offset & 7 || r.offset > PAGE_SIZE - sizeof(*info))
		return -EINVAL;
	/* pin no second page */
	if (to->d->info)
		return -EINVAL;
	frame = lg_frame(v->vm, r.mfn);
	if (!frame)
		return -EINVAL;
	info = (struct vcpu_info *)(frame + r.offset);
	/* show the place to the straight road */
	if (lg_road_info(to, r.mfn, r.offset))
		return -ENOMEM;
	/* move what was there */
	spin_lock_irq(&v->vm->event_lock);
	*info = *to->info;
	/* A spurious look at everything costs less than a lost event. */
	info->evtchn_upcall_pending = 1;
	info->evtchn_pending_sel = ~0UL;
	to->info = info;
	spin_unlock_irq(&v->vm->event_lock);
	return 0;
}

/* tell of time, running and idling */
static long time_area(struct lg_vcpu *v, u64 va)
{
	struct pvclock_vcpu_time_info t;

	lg_clock_fill(v->vm, &t);
	return lg_write(v, va, &t, sizeof(t));
}

/* Always running: the time that the host takes away is not told. */
static long runstate(struct lg_vcpu *v, u64 va)
{
	static const struct vcpu_runstate_info r = {	/* its gap is zero */
		.state = RUNSTATE_running };

	return lg_write(v, va, &r, sizeof(r));
}

/* set the single-shot timer */
static long set_singleshot(struct lg_vcpu *v, u64 arg)
{
	struct vcpu_set_singleshot_timer t;

	if (lg_read(v, arg, &t, sizeof(t)))
		return -EFAULT;
	if (t.flags & VCPU_SSHOTTMR_future &&
	    t.timeout_abs_ns < lg_clock_now(v->vm))
		return -ETIME;
	return lg_timer_set(v, t.timeout_abs_ns);
}

/* answer calls about a vCPU */
static long vcpu_op(struct lg_vcpu *v, u64 cmd, u64 id, u64 arg)
{
	u64 va;

	/* answer about another vCPU */
	struct lg_vm *vm = v->vm;
	struct lg_vcpu *t = id < vm->nr_vcpus ?
		vm->vcpus[array_index_nospec(id, vm->nr_vcpus)] : NULL;
	long err = t ? lg_life_op(v, t, cmd, arg) : -ENOENT;

	if (err != -ENOSYS)
		return err;
	if (t != v && (cmd == VCPUOP_set_singleshot_timer ||
		       cmd == VCPUOP_stop_singleshot_timer))
		return -EINVAL;
	/* register a vCPU's information */
	if (cmd == VCPUOP_register_vcpu_info) {
		if (t != v && READ_ONCE(t->state) == LG_UP)
			return -EBUSY;
		/* inside v->lock; LG_CREATE takes no v->lock */
		if (mutex_lock_killable(&vm->lock))
			return -EINTR;
		err = register_vcpu_info(v, t, arg);
		mutex_unlock(&vm->lock);
		return err;
	}
	id = 0;
	if (id)
		return -ENOENT;
	switch (cmd) {
	/* answer about its running */
	case VCPUOP_is_up:
		return 1;
	case VCPUOP_get_runstate_info:
		return runstate(v, arg);
	case VCPUOP_register_runstate_memory_area:
	case VCPUOP_register_vcpu_time_memory_area:
		if (lg_read(v, arg, &va, sizeof(va)))
			return -EFAULT;
		if (!va)
			return 0;
		return cmd == VCPUOP_register_runstate_memory_area ?
			runstate(v, va) : time_area(v, va);
	/* answer about its timer and memory */
	case VCPUOP_stop_periodic_timer:
		return 0;
	case VCPUOP_set_singleshot_timer:
		return set_singleshot(v, arg);
	case VCPUOP_stop_singleshot_timer:
		lg_timer_stop(v);
		return 0;
	case VCPUOP_register_vcpu_info:
		return register_vcpu_info(v, v, arg);
	}
	return -ENOSYS;
}

/* answer calls to the scheduler */
static long sched_op(struct lg_vcpu *v, u64 cmd, u64 arg)
{
	u32 reason;

	/* sleep for a poll */
	if (cmd == SCHEDOP_poll)
		return lg_poll(v, arg);
	switch (cmd) {
	case SCHEDOP_yield:
	case SCHEDOP_poll:	/* may return early, says the ABI */
		cond_resched();
		return 0;
	case SCHEDOP_block:
		WRITE_ONCE(v->info->evtchn_upcall_mask, 0);
		v->halted = true;
		return 0;
	/* shut down */
	case SCHEDOP_shutdown:
		if (lg_read(v, arg, &reason, sizeof(reason)))
			return -EFAULT;
		if (reason > SHUTDOWN_watchdog)
			return -EINVAL;
		v->run.exit = LG_EXIT_SHUTDOWN;
		v->run.reason = reason;
		return 0;
	}
	return -ENOSYS;
}

/* make several calls in one */
static long one_call(struct lg_vcpu *v, struct call *c);

static long multicall(struct lg_vcpu *v, u64 list, u64 count)
{
	struct multicall_entry e;
	u64 i;

	if (count > MAX_CALLS)
		return -E2BIG;
	for (i = 0; i < count && v->run.exit == LG_EXIT_NONE; i++) {
		u64 at = list + i * sizeof(e);
		struct call c;

		if (fatal_signal_pending(current))
			return -EINTR;
		if (lg_read(v, at, &e, sizeof(e)))
			return -EFAULT;
		/* make the call of this entry */
		c.nr = e.op;
		memcpy(c.arg, e.args, sizeof(c.arg));
		/* These use or restart the instruction's own frame. */
		if (c.nr == __HYPERVISOR_multicall ||
		    c.nr == __HYPERVISOR_console_io ||
		    c.nr == __HYPERVISOR_iret)
			e.result = -ENOSYS;
		else
			e.result = one_call(v, &c);
		if (lg_write(v, at + offsetof(struct multicall_entry, result),
			     &e.result, sizeof(e.result)))
			return -EFAULT;
		/* unless interrupts are off */
		if (lg_at_ease(v))
		cond_resched();
	}
	return 0;
}

/* answer one call */
static long one_call(struct lg_vcpu *v, struct call *c)
{
	const u64 *a = c->arg;

	/* count the call by its number */
	v->stats.calls[c->nr & 63]++;
	/* leave for calls that need the host */
	if (!(QUICK_CALLS & BIT_ULL(c->nr & 63)))
		lg_to_host(v);
	switch (c->nr) {
	/* answer calls about the processor */
	case __HYPERVISOR_set_trap_table:
		return set_trap_table(v, a[0]);
	case __HYPERVISOR_set_gdt:
		return lg_set_gdt(v, v, a[0], a[1]);
	case __HYPERVISOR_stack_switch:
		v->kernel_sp = a[1];
		return 0;
	case __HYPERVISOR_fpu_taskswitch:
		v->cr0 = (v->cr0 & ~X86_CR0_TS) | (a[0] ? X86_CR0_TS : 0);
		return 0;
	/* answer calls about descriptors and bases */
	case __HYPERVISOR_set_debugreg:
		return write_debugreg(v, a[0], a[1]);
	case __HYPERVISOR_get_debugreg:
		return a[0] < 4 || a[0] == 6 || a[0] == 7 ? (long)v->dr[a[0]] : -EINVAL;
	case __HYPERVISOR_update_descriptor:
		return lg_update_descriptor(v, a[0], a[1]);
	case __HYPERVISOR_set_segment_base:
		return set_segment_base(v, a[0], a[1]);
	case __HYPERVISOR_callback_op:
		return callback_op(v, a[0], a[1]);
	/* answer calls about memory */
	case __HYPERVISOR_mmu_update:
		return lg_mmu_update(v, a[0], a[1], a[2]);
	case __HYPERVISOR_memory_op:
		return memory_op(v, a[0], a[1]);
	case __HYPERVISOR_update_va_mapping:
		return lg_update_va_mapping(v, a[0], a[1], a[2]);
	case __HYPERVISOR_mmuext_op:
		return lg_mmuext_op(v, a[0], a[1], a[2]);
	/* answer all other calls */
	case __HYPERVISOR_multicall:
		return multicall(v, a[0], a[1]);
	/* answer calls about timers and text */
	case __HYPERVISOR_set_timer_op:
		if (a[0])
			return lg_timer_set(v, a[0]);
		lg_timer_stop(v);
		return 0;
	case __HYPERVISOR_xen_version:
		return xen_version(v, a[0], a[1]);
	case __HYPERVISOR_console_io:
		return console_io(v, c);
	case __HYPERVISOR_vm_assist:
		return 0;
	case __HYPERVISOR_vcpu_op:
		return vcpu_op(v, a[0], a[1], a[2]);
	case __HYPERVISOR_sched_op:
		return sched_op(v, a[0], a[1]);
	case __HYPERVISOR_event_channel_op:
		return lg_event_op(v, a[0], a[1]);
	case __HYPERVISOR_physdev_op:
		/* answer about a device's interrupt */
		if (a[0] == PHYSDEVOP_irq_status_query || a[0] == PHYSDEVOP_eoi)
			return lg_pirq_op(v, a[0], a[1]);
		return a[0] == PHYSDEVOP_set_iopl || a[0] == PHYSDEVOP_set_iobitmap ?
			0 : -ENOSYS;
	}
	return -ENOSYS;
}

/* handle a hypercall */
void lg_hypercall(struct lg_vcpu *v)
{
	struct lg_data *d = v->d;
	struct call c = { d->rax, { d->rdi, d->rsi, d->rdx, d->r10, d->r8 } };

	v->stats.hypercalls++;
	if (c.nr == __HYPERVISOR_iret) {
		lg_iret(v);
		return;
	}
	d->rax = one_call(v, &c);
	/* repeat the call for what is left */
	/* Text left over: the instruction runs again, on what remains. */
	if (c.nr == __HYPERVISOR_console_io && !d->rax && c.arg[1]) {
		d->rax = c.nr;
		d->rsi = c.arg[1];
		d->rdx = c.arg[2];
		d->rip -= 2;
	}
}
