// SPDX-License-Identifier: GPL-2.0
/* What an exit means: mended, stood in for, or told the guest. */
#include "lg.h"

/* change between the guest's modes */
void lg_set_mode(struct lg_vcpu *v, bool user)
{
	if (v->user == user)
		return;
	v->user = user;
	swap(v->d->gs_base, v->d->kgs_base);
}

/* enter the guest's kernel with a frame */
static void bounce(struct lg_vcpu *v, const struct lg_entry *entry,
		   bool has_error, u32 error)
{
	struct lg_data *d = v->d;
	u8 masked = READ_ONCE(v->info->evtchn_upcall_mask) != 0;
	u64 sp = (v->user ? v->kernel_sp : d->rsp) & ~15ULL;
	u64 frame[8], cs = d->cs;
	int n = 0;

	/* compose the frame */
	frame[n++] = d->rcx;
	frame[n++] = d->r11;
	if (has_error)
		frame[n++] = error;
	if (!v->user)
		cs &= ~3ULL;
	frame[n++] = d->rip;
	frame[n++] = cs | (u64)masked << 32;
	/* show the mask as the interrupt flag */
	frame[n++] = (d->rflags & ~X86_EFLAGS_IF) |
		     (masked ? 0 : X86_EFLAGS_IF);
	frame[n++] = d->rsp;
	frame[n++] = d->ss;
	/* write it with the kernel's rights */
	sp -= n * 8;
	lg_set_mode(v, false);
	if (lg_write(v, sp, frame, n * 8)) {
		lg_kill(v, "Traps and interrupts",
			"the guest kernel's stack at %llx cannot take a frame for its handler at %llx",
			sp, entry->address);
		return;
	}
	/* go on in the handler */
	d->rsp = sp;
	d->rip = entry->address;
	d->cs = LG_USER_CS;
	d->ss = LG_USER_SS;
	d->rflags = (d->rflags & ~ENTRY_CLEARS) | X86_EFLAGS_IF;
	if (entry->flags & LG_MASK)
		WRITE_ONCE(v->info->evtchn_upcall_mask, 1);
}

/* inject an exception */
static bool has_error_code(unsigned int vector)
{
	return vector == X86_TRAP_DF || vector == X86_TRAP_AC ||
	       (vector >= X86_TRAP_TS && vector <= X86_TRAP_PF) ||
	       vector == X86_TRAP_CP;
}

/* bounce to the vector's handler */
void lg_inject(struct lg_vcpu *v, unsigned int vector, u32 error)
{
	const struct lg_entry *t = &v->traps[vector];

	if (!t->address) {
		lg_kill(v, "Traps and interrupts",
			"exception %u (error code %x, cr2 %llx) at %llx: the guest has no handler for it",
			vector, error, v->cr2, v->d->rip);
		return;
	}
	bounce(v, t, has_error_code(vector), error);
}

/* deliver pending events */
void lg_deliver_events(struct lg_vcpu *v)
{
	struct lg_entry upcall = {
		v->callbacks[CALLBACKTYPE_event].address, LG_MASK };

	if (!lg_event_pending(v) || !upcall.address)
		return;
	v->stats.events++;
	bounce(v, &upcall, false, 0);
}

/* return where a frame says */
void lg_iret(struct lg_vcpu *v)
{
	struct lg_data *d = v->d;
	struct iret_context f;

	/* refuse a frame that cannot be read */
	if (lg_read(v, d->rsp, &f, sizeof(f))) {
		lg_kill(v, "Traps and interrupts",
			"the iret hypercall finds no frame at %llx", d->rsp);
		return;
	}
	d->rax = f.rax;
	d->r11 = f.flags & VGCF_in_syscall ? f.rflags : f.r11;
	d->rcx = f.flags & VGCF_in_syscall ? f.rip : f.rcx;
	d->rip = f.rip;
	d->cs = (u16)f.cs | 3;
	d->rflags = (f.rflags & USER_FLAGS) | X86_EFLAGS_IF | X86_EFLAGS_FIXED;
	d->rsp = f.rsp;
	d->ss = (u16)f.ss | 3;
	WRITE_ONCE(v->info->evtchn_upcall_mask, !(f.rflags & X86_EFLAGS_IF));
	if ((f.cs & 3) == 3)
		lg_set_mode(v, true);
}

/* deliver int as the guest's gate says */
static bool software_interrupt(struct lg_vcpu *v)
{
	const struct lg_entry *t;
	u8 code[2];

	if (!v->user || lg_read(v, v->d->rip, code, 2) || code[0] != 0xcd)
		return false;
	t = &v->traps[code[1]];
	if (!t->address || (t->flags & 3) != 3)
		return false;
	v->d->rip += 2;
	bounce(v, t, false, 0);
	return true;
}

/* see whether the guest forbids this int */
/* Our gates let these three through; the guest's own may not. */
static bool forbidden_int(struct lg_vcpu *v, unsigned int vector)
{
	const struct lg_entry *t = &v->traps[vector];

	if (!v->user || (vector != X86_TRAP_BP && vector != X86_TRAP_OF &&
			 vector != 0x80))
		return false;
	return !t->address || (t->flags & 3) != 3;
}

/* handle an exception */
static void exception(struct lg_vcpu *v, unsigned int vector)
{
	u32 error = v->d->error;

	/* refuse a forbidden int */
	if (forbidden_int(v, vector)) {
		v->d->rip -= vector == 0x80 ? 2 : 1;
		lg_inject(v, X86_TRAP_GP, vector * 8 + 2);
		return;
	}
	switch (vector) {
	/* handle a page fault */
	case X86_TRAP_PF:
		if (lg_fault(v, v->cr2, &error))
			return;
		WRITE_ONCE(v->info->arch.cr2, v->cr2);
		break;
	case X86_TRAP_GP:
		if (v->user ? software_interrupt(v) : lg_emulate(v))
			return;
		break;
	case X86_TRAP_UD:
		if (lg_forced_cpuid(v))
			return;
		break;
	/* clear TS, end at a double fault */
	case X86_TRAP_NM:	/* the ABI: delivery itself clears TS */
		v->cr0 &= ~X86_CR0_TS;
		break;
	case X86_TRAP_DF:
		lg_kill(v, "Traps and interrupts", "double fault at %llx", v->d->rip);
		return;
	}
	lg_inject(v, vector, error);
}

/* handle a system call */
static void syscall_exit(struct lg_vcpu *v, unsigned int type)
{
	if (!v->user && type == CALLBACKTYPE_syscall)
		lg_hypercall(v);
	else if (v->user && v->callbacks[type].address)
		bounce(v, &v->callbacks[type], false, 0);
	else
		lg_inject(v, X86_TRAP_UD, 0);
}

/* handle an exit */
/* What the host had to do is done. */
void lg_handle_exit(struct lg_vcpu *v)
{
	u64 trap = v->d->trap;

	/* count the reason of the exit */
	v->stats.reasons[trap < LG_TRAP_SYSCALL ? min(trap, 32ULL) :
			     min(trap - LG_TRAP_SYSCALL + 33, 36ULL)]++;
	/* end a guest for what must not happen */
	if (v->d->rflags & X86_EFLAGS_VM)
		lg_kill(v, "NMIs and what can go wrong",
			"the CPU was in virtual-8086 mode, which long mode does not have");
	else if (trap & LG_TRAP_BUG)
		lg_kill(v, "NMIs and what can go wrong",
			"the switcher faulted: vector %llu, error code %llx, at %llx",
			trap & 255, v->d->error, v->d->rip);
	else if (trap == LG_TRAP_SYSCALL)
		syscall_exit(v, CALLBACKTYPE_syscall);
	else if (trap == LG_TRAP_SYSCALL32)
		syscall_exit(v, CALLBACKTYPE_syscall32);
	else if (trap & LG_TRAP_IRET)
		lg_inject(v, X86_TRAP_GP, v->d->error);
	else if (trap == 0x80 || (trap < 32 && trap != X86_TRAP_NMI &&
				  trap != X86_TRAP_MC))
		exception(v, trap);
}
