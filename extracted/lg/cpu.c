// SPDX-License-Identifier: GPL-2.0
/* Registers that the host and the guest both use: in and out. */
#include <linux/hw_breakpoint.h>
#include "lg.h"
#include "host.h"

/* exchange the spare base of gs */
static __always_inline u64 exchange_spare(u64 base)
{
	u64 old;

	/* exchange it without MSRs */
	if (static_cpu_has(X86_FEATURE_FSGSBASE)) {
		asm volatile("swapgs; rdgsbase %0; wrgsbase %1; swapgs"
			     : "=&r" (old) : "r" (base) : "memory");
		return old;
	}
	old = __rdmsr(MSR_KERNEL_GS_BASE);
	native_wrmsrl(MSR_KERNEL_GS_BASE, base);
	return old;
}

/* give the processor to the guest */
void lg_cpu_in(struct lg_vcpu *v, struct lg_host_state *h)
{
	struct lg_data *d = v->d;
	struct desc_struct *own = v->reserved + (LG_TSS & 0xfff) / 8;
	unsigned long cr3 = __read_cr3();
	int i;

	/* build the transition table */
	memcpy(v->tgdt, this_cpu_ptr(&gdt_page)->gdt, GDT_SIZE);
	v->tgdt[GDT_ENTRY_TSS].type = DESC_TSS;
	own->type = DESC_TSS;
	/* The host's gates run on our TSS for a moment on the way out. */
	memcpy(d->tss.ist, this_cpu_ptr(&cpu_tss_rw)->x86_tss.ist, 4 * 8);
	/* say which control registers to load */
	/*
	 * A global entry of the host would outlive the change of CR3.  The
	 * bit stays off until the last guest is gone (core.c).
	 */
	if (cr4_read_shadow() & X86_CR4_PGE)
		cr4_update_irqsoff(0, X86_CR4_PGE);
	d->host_cr4 = cr4_read_shadow();
	d->cr4 = d->host_cr4 & ~HOST_CR4_OFF;
	if (d->host_cr4 & X86_CR4_PCIDE)
		cr3 |= X86_CR3_PCID_NOFLUSH;
	d->host_cr3 = cr3;
	d->cr3 = v->user ? v->user_pa : v->kernel_pa;

	/* exchange the segments */
	savesegment(ds, h->ds);
	savesegment(es, h->es);
	savesegment(fs, h->fs);
	savesegment(gs, h->gs);
	h->fs_base = x86_fsbase_read_cpu();
	h->kgs_base = exchange_spare(d->kgs_base);

	/* point system calls at the switcher */
	h->star = __rdmsr(MSR_STAR);
	h->lstar = __rdmsr(MSR_LSTAR);
	h->cstar = __rdmsr(MSR_CSTAR);
	h->fmask = __rdmsr(MSR_SYSCALL_MASK);
	__wrmsr(MSR_STAR, 0, (u32)LG_USER_CS32 << 16 | LG_CS);
	native_wrmsrl(MSR_LSTAR, (u64)v->block + lg_off_syscall64);
	native_wrmsrl(MSR_CSTAR, (u64)v->block + lg_off_syscall32);
	if (~h->fmask & SYSCALL_CLEARS)
		native_wrmsrl(MSR_SYSCALL_MASK, SYSCALL_CLEARS);
	/* forbid SYSENTER */
	if (static_cpu_has(X86_FEATURE_SEP)) {
		h->sysenter_cs = __rdmsr(MSR_IA32_SYSENTER_CS);
		native_wrmsrl(MSR_IA32_SYSENTER_CS, 0);
	}
	/* give the guest its wide registers */
	lg_wide_in(v, h);
	/* let the guest's TS have its effect */
	if (v->cr0 & X86_CR0_TS)
		write_cr0(read_cr0() | X86_CR0_TS);
	/* silence the sampling hardware */
	/* PEBS would write the host's buffer through the guest's tables. */
	h->pebs = static_cpu_has(X86_FEATURE_PEBS) ?
		__rdmsr(MSR_IA32_PEBS_ENABLE) : 0;
	if (h->pebs)
		native_wrmsrl(MSR_IA32_PEBS_ENABLE, 0);
	h->debugctl = static_cpu_has(X86_FEATURE_BTS) ?
		__rdmsr(MSR_IA32_DEBUGCTLMSR) : 0;
	if (h->debugctl)
		native_wrmsrl(MSR_IA32_DEBUGCTLMSR, 0);
	/* load the debug registers */
	if (hw_breakpoint_active())
		set_debugreg(0, 7);
	d->dr7 = v->dr[7];
	if (d->dr7 & 0xff) {
		for (i = 0; i < 4; i++)
			set_debugreg(v->dr[i], i);
		set_debugreg(DR6_RESERVED, 6);
	}
	/* prepare the straight road */
	lg_road_in(v);
	/* overwrite the processor's buffers */
	/* As the host does before it returns to a user (MDS and its kin). */
	if (host_clears_buffers()) {
		static const u16 ds = __KERNEL_DS;

		asm volatile("verw %0" : : "m" (ds) : "cc");
	}
}

/* give the processor back to the host */
void lg_cpu_out(struct lg_vcpu *v, struct lg_host_state *h)
{
	unsigned long dr6;

	lg_fill_rsb();
	if (v->cr0 & X86_CR0_TS)
		write_cr0(read_cr0() & ~X86_CR0_TS);
	/* read and clear the debug status */
	if (v->d->trap == X86_TRAP_DB) {
		get_debugreg(dr6, 6);
		v->dr[6] = dr6;
	}
	/* One dropped in ring 0 has left its bits, too (switcher.S, debug). */
	if (v->d->trap == X86_TRAP_DB || v->d->dr7 & 0xff)
		set_debugreg(DR6_RESERVED, 6);
	/* put back what could be told apart */
	if (hw_breakpoint_active())
		hw_breakpoint_restore();
	if (h->pebs)
		native_wrmsrl(MSR_IA32_PEBS_ENABLE, h->pebs);
	if (h->debugctl)
		native_wrmsrl(MSR_IA32_DEBUGCTLMSR, h->debugctl);
	/* take the guest's wide registers away */
	lg_wide_out(v, h);
	/* put back the system calls */
	if (static_cpu_has(X86_FEATURE_SEP))
		native_wrmsrl(MSR_IA32_SYSENTER_CS, h->sysenter_cs);
	if (~h->fmask & SYSCALL_CLEARS)
		native_wrmsrl(MSR_SYSCALL_MASK, h->fmask);
	native_wrmsrl(MSR_CSTAR, h->cstar);
	native_wrmsrl(MSR_LSTAR, h->lstar);
	native_wrmsrl(MSR_STAR, h->star);
	/* put back the segments */
	if (h->ds)
		loadsegment(ds, h->ds);
	if (h->es)
		loadsegment(es, h->es);
	if (h->fs)
		loadsegment(fs, h->fs);
	if (h->gs)
		load_gs_index(h->gs);
	x86_fsbase_write_cpu(h->fs_base);
	exchange_spare(h->kgs_base);
}

void lg_leave(struct lg_vcpu *v)
{
	if (v->held)
		lg_cpu_out(v, v->held);
	v->held = NULL;
	pagefault_enable();
	WRITE_ONCE(v->in_guest, -1);
	local_irq_enable();
}

#define SLOW_TRAPS	(BIT(X86_TRAP_DB) | BIT(X86_TRAP_NMI) | \
			 BIT(X86_TRAP_DF) | BIT(X86_TRAP_MC))

/* True: enter again.  False, with interrupts on: handled, and left. */
bool lg_quick(struct lg_vcpu *v, struct lg_host_state *h)
{
	static const u16 ds = __KERNEL_DS;
	struct lg_data *d = v->d;
	u64 trap = d->trap;

	lg_road_out(v);
	d->kgs_base = exchange_spare(h->kgs_base);
	if (trap == X86_TRAP_PF) {
		v->cr2 = native_read_cr2();
		if (hypervisor_is_type(X86_HYPER_KVM) &&
		    kvm_read_and_reset_apf_flags())
			trap = d->trap = LG_TRAP_HOST;
	}
	if ((trap > 31 ? trap != LG_TRAP_SYSCALL : BIT(trap) & SLOW_TRAPS) ||
	    d->nmi || d->mce || d->dr7 & 0xff || v->cr0 & X86_CR0_TS)
		return false;
	v->stats.exits++;
	v->breaths = 0;
	v->held = h;
	pagefault_disable();
	lg_handle_exit(v);
	/* leave if something waits */
	if (v->run.exit != LG_EXIT_NONE || v->cr0 & X86_CR0_TS ||
	    need_resched() || signal_pending(current) ||
	    test_thread_flag(TIF_NOTIFY_RESUME) || lg_event_pending(v))
		lg_to_host(v);
	if (!v->held)
		return false;
	pagefault_enable();
	v->held = NULL;
	/* make ready for one more entry */
	v->tgdt[GDT_ENTRY_TSS].type = DESC_TSS;
	v->reserved[(LG_TSS & 0xfff) / 8].type = DESC_TSS;
	d->cr3 = v->user ? v->user_pa : v->kernel_pa;
	exchange_spare(d->kgs_base);
	lg_road_in(v);
	if (host_clears_buffers())
		asm volatile("verw %0" : : "m" (ds) : "cc");
	return true;
}
