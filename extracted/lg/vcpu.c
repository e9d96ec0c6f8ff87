// SPDX-License-Identifier: GPL-2.0
/* A virtual CPU: its block of pages, its birth, and its run loop. */
#include "lg.h"
#include "host.h"

/* check the layout of the data page */
static_assert(offsetof(struct lg_data, r15) == LG_D_REGS);
static_assert(offsetof(struct lg_data, cr3) % 16 == 0);
static_assert(sizeof(struct lg_data) <= PAGE_SIZE);

/* show pages in the block */
static u64 block_va(const struct lg_vcpu *v, int n)
{
	return (u64)v->block + n * PAGE_SIZE;
}

static int map_both(struct lg_vcpu *v, int n, struct page *page, u64 flags)
{
	u64 va = block_va(v, n);
	int err = lg_map(v->vm, v->vm->host_pdpt, va, page, flags);

	return err ?: lg_map(v->vm, v->vm->kernel_pdpt, va, page, flags);
}

void *lg_block_page(struct lg_vcpu *v, int n, u64 flags)
{
	void *p = lg_table(v->vm);

	return p && !map_both(v, n, virt_to_page(p), flags) ? p : NULL;
}

/* fill the interrupt table */
static void set_gates(struct lg_vcpu *v, gate_desc *idt)
{
	struct idt_data gate;
	int i;

	for (i = 0; i < 256; i++) {
		/* lead one gate to its stub */
		init_idt_data(&gate, i, v->block + i * 16);
		gate.segment = LG_CS;
		/* What the ABI lets user code raise: int3, into, int 0x80. */
		if (i == X86_TRAP_BP || i == X86_TRAP_OF || i == 0x80)
			gate.bits.dpl = 3;
		idt_init_desc(&idt[i], &gate);
	}
	/* give four gates stacks of their own */
	idt[X86_TRAP_NMI].bits.ist = 5;
	idt[X86_TRAP_MC].bits.ist = 6;
	idt[X86_TRAP_DB].bits.ist = 7;
	idt[X86_TRAP_DF].bits.ist = 7;
}

/* fill the reserved descriptors */
static void set_descriptors(struct lg_vcpu *v)
{
	u64 *r = (u64 *)v->reserved;
	/* find the TSS and the LDT */
	u64 tss = block_va(v, LG_P_DATA) + offsetof(struct lg_data, tss);
	u64 ldt = block_va(v, LG_P_LDT);

	/* describe five segments */
	/* Flat, present, accessed: ring 0 code and data, ring 3 of each. */
	r[(LG_CS & 0xfff) / 8] = 0x00af9b000000ffff;
	r[(LG_SS & 0xfff) / 8] = 0x00cf93000000ffff;
	r[(LG_USER_CS32 & 0xfff) / 8] = 0x00cffb000000ffff;
	r[(LG_USER_SS & 0xfff) / 8] = 0x00cff3000000ffff;
	r[(LG_USER_CS & 0xfff) / 8] = 0x00affb000000ffff;
	/* describe TSS and LDT */
	set_tssldt_descriptor(&r[(LG_TSS & 0xfff) / 8], tss, DESC_TSS,
			      sizeof(struct x86_hw_tss) - 1);
	set_tssldt_descriptor(&r[(LG_LDT & 0xfff) / 8], ldt, DESC_LDT, 0);
}

/* set the first registers */
static void set_data(struct lg_vcpu *v, const struct lg_create *c)
{
	u64 at = block_va(v, LG_P_DATA);
	struct lg_data *d = v->d;

	/* point at the tables */
	d->gdtr.address = block_va(v, LG_P_GDT);
	d->tgdtr.address = block_va(v, LG_P_TGDT);
	d->idtr.address = block_va(v, LG_P_IDT);
	d->gdtr.size = d->tgdtr.size = 15 * PAGE_SIZE - 1;
	d->idtr.size = PAGE_SIZE - 1;
	/* point at the stacks */
	d->tss.sp0 = at + offsetof(struct lg_data, cr3);
	d->tss.ist[4] = at + offsetofend(struct lg_data, nmi_stack);
	d->tss.ist[5] = at + offsetofend(struct lg_data, mce_stack);
	d->tss.ist[6] = at + offsetofend(struct lg_data, debug_stack);
	d->tss.io_bitmap_base = sizeof(struct x86_hw_tss);
	/* load the launcher's registers */
	d->rip = c->rip;
	d->rsp = c->rsp;
	d->rsi = c->rsi;
	d->cs = LG_USER_CS;
	d->ss = LG_USER_SS;
	d->rflags = X86_EFLAGS_IF | X86_EFLAGS_FIXED;
	/* begin with a plain processor */
	v->kernel_cr3 = v->user_cr3 = c->cr3;
	v->kernel_sp = c->rsp;
	v->gdt_frame = ~0ULL;
	v->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP | X86_CR0_NE |
		 X86_CR0_ET | X86_CR0_MP;
	v->guest_cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
	v->dr[6] = DR6_RESERVED;
	v->dr[7] = LG_DR7_FIXED;
	v->xcr0 = XFEATURE_MASK_FP;
}

/* build the block */
static int map_block(struct lg_vcpu *v, const struct lg_create *c)
{
	gate_desc *idt = lg_block_page(v, LG_P_IDT, LG_RO);
	void *host = lg_table(v->vm);
	int i, err;

	/* allocate this vCPU's own pages */
	v->d = lg_block_page(v, LG_P_DATA, LG_RW);
	v->gdt = lg_block_page(v, LG_P_GDT, LG_RO);
	v->reserved = lg_block_page(v, LG_P_GDT + 14, LG_RW);
	v->tgdt = lg_block_page(v, LG_P_TGDT, LG_RW);
	if (!idt || !host || !v->d || !v->gdt || !v->reserved || !v->tgdt)
		return -ENOMEM;
	/* map what is shared */
	err = lg_map(v->vm, v->vm->host_pdpt, block_va(v, LG_P_HOST),
		     virt_to_page(host), LG_RW);
	for (i = 0; i < LG_TEXT_PAGES; i++)
		err |= map_both(v, LG_P_TEXT + i,
				vmalloc_to_page(lg_switcher + i * PAGE_SIZE),
				PTE_P | PTE_A);
	for (i = 1; i < 14; i++)
		err |= map_both(v, LG_P_GDT + i, ZERO_PAGE(0), LG_RO);
	err |= map_both(v, LG_P_TGDT + 14, virt_to_page(v->reserved), LG_RW);
	if (err)
		return -ENOMEM;
	v->vm->user_pdpt[v->vm->slot] = v->vm->kernel_pdpt[v->vm->slot];
	set_gates(v, idt);
	set_descriptors(v);
	set_data(v, c);
	return 0;
}

/* create a vCPU */
int lg_vcpu_create(struct lg_vm *vm, const struct lg_create *c, u32 id)
{
	struct lg_vcpu *v = kvzalloc(sizeof(*v), GFP_KERNEL_ACCOUNT);
	int err = 0;

	if (!v)
		return -ENOMEM;
	/* prepare the vCPU's own fields */
	v->vm = vm;
	v->id = id;
	mutex_init(&v->lock);
	init_waitqueue_head(&v->wait);
	INIT_LIST_HEAD(&v->shadows);
	v->info = &vm->shared->vcpu_info[min_t(u32, id, MAX_VIRT_CPUS - 1)];
	v->info->evtchn_upcall_mask = 1;
	v->block = (void *)(LG_SLOT_BASE + vm->slot * LG_VM_SIZE + (id << 20));
	lg_clock_init(v);
	v->in_guest = -1;
	err = lg_follow_maps(v);
	v->state = id ? LG_FRESH : LG_UP;
	err = err ?: !fpu_alloc_guest_fpstate(&v->fpu) ? -ENOMEM :
	      lg_shadow_init(v) ?: map_block(v, c) ?: id ? 0 : lg_slot_open(vm);
	/* publish it or give up */
	if (err)
		lg_vcpu_free(v);
	else
		smp_store_release(&vm->vcpus[id], v);
	return err;
}

void lg_vcpu_free(struct lg_vcpu *v)
{
	lg_timer_stop(v);
	fpu_free_guest_fpstate(&v->fpu);
	list_splice(&v->shadows, &v->vm->tables);
	/* free the vCPU's own maps */
	lg_follow_free(v);
	kvfree(v);
}

/* kick a vCPU */
void lg_kick(struct lg_vcpu *v)
{
	struct task_struct *task;

	wake_up(&v->wait);
	rcu_read_lock();
	task = READ_ONCE(v->task);
	if (task)
		kick_process(task);
	rcu_read_unlock();
}

/* kill a guest */
void lg_kill(struct lg_vcpu *v, const char *section, const char *fmt, ...)
{
	struct lg_run *run = &v->run;
	va_list args;

	if (run->exit == LG_EXIT_DEAD)
		return;
	run->exit = LG_EXIT_DEAD;
	v->dead = true;
	va_start(args, fmt);
	run->length = vscnprintf(run->message, sizeof(run->message), fmt, args);
	va_end(args);
	strscpy(run->section, section, sizeof(run->section));
}

/* report the registers */
static void report_regs(struct lg_vcpu *v)
{
	struct lg_regs *r = &v->run.regs;

	memcpy(r, &v->d->regs, sizeof(v->d->regs));
	r->cr2 = v->cr2;
	r->cr3 = v->user ? v->user_cr3 : v->kernel_cr3;
	r->user = v->user;
}

/* switch worlds once */
static void world_switch(struct lg_vcpu *v)
{
	struct lg_data *d = v->d;
	struct lg_host_state host;

	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
	lg_cpu_in(v, &host);
	lg_enter(v->block, v->block + lg_off_enter);
	/* handle what needs nothing of the host */
	while (lg_quick(v, &host))
		lg_enter(v->block, v->block + lg_off_enter);
	if (!irqs_disabled())
		return;
	/* read cr2 after a page fault */
	if (d->trap == X86_TRAP_PF) {
		v->cr2 = native_read_cr2();
		if (kvm_read_and_reset_apf_flags())
			d->trap = LG_TRAP_HOST;
	}
	lg_cpu_out(v, &host);
	v->stats.exits++;
	/* hand over what came for the host */
	if (d->nmi || d->trap == X86_TRAP_NMI) {
		d->nmi = 0;
		lg_raise(X86_TRAP_NMI);
	}
	if (IS_ENABLED(CONFIG_X86_MCE) && d->trap == X86_TRAP_MC)
		do_machine_check(&(struct pt_regs){ .cs = 3, .flags = X86_EFLAGS_IF });
	if (d->mce) {
		d->mce = 0;
		lg_raise(X86_TRAP_MC);
	}
	if (d->trap == LG_TRAP_HOST)
		kvm_async_pf_task_wait_schedule(v->cr2);
	if (d->trap >= FIRST_EXTERNAL_VECTOR && d->trap < 256 &&
	    d->trap != 0x80) {
		v->stats.irqs++;
		lg_raise(d->trap);
	}
}

/* run until there is an exit */
static int run_loop(struct lg_vcpu *v)
{
	struct lg_run *run = &v->run;

	while (run->exit == LG_EXIT_NONE) {
		/* see to the host and the timer */
		if (need_resched())
			schedule();
		if (signal_pending(current) || test_thread_flag(TIF_NOTIFY_RESUME))
			return -EINTR;
		if (xchg(&v->timer_fired, false)) {
			lg_event_raise(v->vm, v->virq_port[VIRQ_TIMER]);
			continue;
		}
		/* forget before the guest is entered */
		if (READ_ONCE(v->recall))
			lg_forget(v);
		int err = lg_heed_others(v);

		if (err < 0)
			return err;
		if (err)
			continue;
		/* sleep while the guest is halted */
		if (v->halted) {
			if (wait_event_interruptible(v->wait,
					/* the host wants something, or */
					lg_word(v) ||
					READ_ONCE(v->nr_told) ||
					lg_event_pending(v) ||
					READ_ONCE(v->timer_fired)))
				return -EINTR;
			v->halted = !lg_event_pending(v);
			continue;
		}
		/* deliver events or stop */
		lg_deliver_events(v);
		if (run->exit != LG_EXIT_NONE)
			break;
		/* look again with interrupts off */
		local_irq_disable();
		/* Whoever sets one of these sends an interrupt after. */
		if (need_resched() || signal_pending(current) ||
		    test_thread_flag(TIF_NOTIFY_RESUME) || READ_ONCE(v->timer_fired) ||
		    (lg_event_pending(v) && v->callbacks[CALLBACKTYPE_event].address)) {
			local_irq_enable();
			continue;
		}
		/* say who is in the guest */
		smp_store_mb(v->in_guest, smp_processor_id());
		if (lg_word(v)) {
			WRITE_ONCE(v->in_guest, -1);
			local_irq_enable();
			continue;
		}
		world_switch(v);
		/* say that it has left */
		if (!irqs_disabled())
			continue;
		WRITE_ONCE(v->in_guest, -1);
		local_irq_enable();
		lg_handle_exit(v);
	}
	return 0;
}

/* run a vCPU */
int lg_run(struct lg_vcpu *v)
{
	int err;

	WRITE_ONCE(v->task, current);
	fpu_swap_kvm_fpstate(&v->fpu, true);
	err = run_loop(v);
	fpu_swap_kvm_fpstate(&v->fpu, false);
	WRITE_ONCE(v->task, NULL);
	if (!err)
		report_regs(v);
	/* end the other vCPUs */
	if (!err && (v->run.exit == LG_EXIT_SHUTDOWN || v->run.exit == LG_EXIT_DEAD))
		lg_end_others(v);
	return err;
}
