/* SPDX-License-Identifier: GPL-2.0 */
/* The attacks themselves, one function each; main.c lists them. */

/* ---- pointers that the hypervisor uses for us ---- */

static u64 bad_pointer(void) { return bad[n % ARRAY_SIZE(bad)]; }

static void stack_syscall(void)
{
	struct regs r = user_regs();

	set_stack(bad_pointer());
	PUT("\x0f\x05");
	run_user(&r);
}

static void stack_trap(void)
{
	struct regs r = user_regs();

	set_stack(bad_pointer());
	PUT("\x0f\x0b");
	run_user(&r);
}

static void stack_event(void)
{
	struct regs r = user_regs();

	set_stack(bad_pointer());
	PUT("\xeb\xfe");
	alarm(5 * MS);
	run_user(&r);
}

/* The guest kernel's own stack pointer, when a trap or an iret comes. */
static void kernel_stack(const char *how)
{
	u64 rsp = bad_pointer();

	if (*how == 'h')	/* no frame is pushed: this one must go well */
		TRY(asm volatile("mov %%rsp, %%rbx\nmov %0, %%rsp\n"
				 "mov $17, %%eax\nxor %%edi, %%edi\nsyscall\n"
				 "mov %%rbx, %%rsp" : : "r" (rsp)
				 : "rax", "rbx", "rcx", "rdi", "r11", "memory"));
	else if (*how == 'i')
		TRY(asm volatile("mov %0, %%rsp\nmov $23, %%eax\nsyscall"
				 : : "r" (rsp)));
	else if (*how == 'f')
		TRY(asm volatile("mov %0, %%rsp\nmov 8, %%rax" : : "r" (rsp)));
	else
		TRY(asm volatile("mov %0, %%rsp\nud2" : : "r" (rsp)));
}
static void kstack_hypercall(void) { kernel_stack("hypercall"); }
static void kstack_iret(void) { kernel_stack("iret"); }
static void kstack_fault(void) { kernel_stack("fault"); }
static void kstack_trap(void) { kernel_stack("trap"); }

static void entry_syscall(void)
{
	struct regs r = user_regs();

	set_callback(2, bad_pointer());
	PUT("\x0f\x05");
	run_user(&r);
	arm();
	check_alive();
}

static void entry_event(void)
{
	struct regs r = user_regs();

	set_callback(0, bad_pointer());
	PUT("\xeb\xfe");
	alarm(5 * MS);
	run_user(&r);
	arm();
	check_alive();
}

static void entry_trap(void)
{
	struct trap one[2] = { { 6, 4, FLAT_CS, bad_pointer() } };

	hypercall(SET_TRAP_TABLE, (u64)one, 0, 0, 0);
	TRY(asm volatile("ud2"));
	arm();
	check_alive();
}

/* The page fault's own handler cannot be reached. */
static void entry_fault(void)
{
	struct trap one[2] = { { 14, 4, FLAT_CS, bad_pointer() } };

	hypercall(SET_TRAP_TABLE, (u64)one, 0, 0, 0);
	TRY(*(volatile u64 *)absent);
	arm();
	check_alive();
}

static void trap_table(void)
{
	static const u16 cs[] = { 0, 3, 8, 0x10, 0x33, 0xe008, 0xe010, 0xe040,
				  0xe048, 0xe060, 0xffff, 7, 0xe033 };
	struct trap one[2] = { { 0 } };
	struct regs r = user_regs();
	u64 i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		hypercall(SET_TRAP_TABLE, bad[i], 0, 0, 0);
	/* No end: up to the end of memory and beyond. */
	for (i = 0; i < 2048; i++)
		((volatile u64 *)scratch)[i] = ~0UL;
	hypercall(SET_TRAP_TABLE, (u64)scratch, 0, 0, 0);
	one[0].vector = 6;
	one[0].flags = 0xff;
	one[0].entry = (u64)stubs + 6 * 64;
	one[0].cs = cs[n % ARRAY_SIZE(cs)];
	arm();
	hypercall(SET_TRAP_TABLE, (u64)one, 0, 0, 0);
	PUT("\x0f\x0b");
	run_user(&r);
	TRY(asm volatile("ud2"));
	arm();
	check_alive();
}

/* What an iret may not load; most must come back as the guest's #GP. */
static void iret_frame(void)
{
	static const struct { u64 cs, ss, rip, rsp, flags, vgcf; } frames[] = {
		{ 0, FLAT_SS, UCODE, 0, 0x202, 0 },
		{ 3, FLAT_SS, UCODE, 0, 0x202, 0 },
		{ 0x10, 0x18, UCODE, 0, 0x202, 0 },
		{ 0x13, 0x1b, UCODE, 0, 0x202, 0 },
		{ 0xe008, 0, UCODE, 0, 0x202, 0 },
		{ 0xe00b, FLAT_SS, UCODE, 0, 0x202, 0 },
		{ 0xe02b, FLAT_SS, UCODE, 0, 0x202, 0 },
		{ 0xe043, FLAT_SS, UCODE, 0, 0x202, 0 },
		{ 0xffff, 0xffff, UCODE, 0, 0x202, 0 },
		{ FLAT_CS, 0, UCODE, 0, 0x202, 0 },
		{ FLAT_CS, 3, UCODE, 0, 0x202, 0 },
		{ FLAT_CS, 0xe033, UCODE, 0, 0x202, 0 },
		{ FLAT_CS, 0xe010, UCODE, 0, 0x202, 0 },
		{ FLAT_CS, 7, UCODE, 0, 0x202, 0 },
		{ FLAT_CS, FLAT_SS, 0x800000000000, 0, 0x202, 0 },
		{ FLAT_CS, FLAT_SS, 0x800000000000, 0, 0x202, 0x100 },
		{ FLAT_CS, FLAT_SS, 0xffff7fffffffffff, 0, 0x202, 0x100 },
		{ FLAT_CS, FLAT_SS, 0xffff800000000000, 0, 0x202, 0 },
		{ FLAT_CS, FLAT_SS, 0xffff870000000000, 0, 0x202, 0x100 },
		{ FLAT_CS, FLAT_SS, UCODE, 0x800000000000, 0x202, 0 },
		{ FLAT_CS, FLAT_SS, UCODE, 0x800000000000, 0x202, 0x100 },
		{ FLAT_CS, FLAT_SS, UCODE, 0, 0xffffffffffffffff, 0 },
		{ FLAT_CS, FLAT_SS, UCODE, 0, 0x3202, 0 },	/* IOPL 3 */
		{ FLAT_CS, FLAT_SS, UCODE, 0, 0x20202, 0 },	/* VM */
		{ FLAT_CS, FLAT_SS, UCODE, 0, 0x4202, 0 },	/* NT */
		{ FLAT_CS, FLAT_SS, UCODE, 0, 0x302, 0 },	/* TF */
		{ FLAT_CS, FLAT_SS, UCODE, 0, 0x40302, 0x100 },	/* AC TF */
		{ FLAT_CS, FLAT_SS, UCODE, 0, 0, 0 },		/* IF clear */
		{ 0xe023, FLAT_SS, UCODE, 0, 0x202, 0 },	/* 32 bit */
		{ 0xe023, FLAT_SS, 0xffff800000400000, 0, 0x202, 0 },
		{ 0xe030, FLAT_SS, UCODE, 0, 0x202, 0 },	/* to kernel */
		{ 0xe031, FLAT_SS, UCODE, 0, 0x202, 0 },
		{ 0xe032, FLAT_SS, 0xffff870000000000, 0, 0x202, 0 },
		{ ~0UL, ~0UL, ~0UL, ~0UL, ~0UL, ~0UL },
	};
	u64 i;

	for (i = 0; i < ARRAY_SIZE(frames); i++) {
		struct regs r = user_regs();

		r.cs = frames[i].cs;
		r.ss = frames[i].ss;
		r.rip = frames[i].rip;
		r.rflags = frames[i].flags;
		if (frames[i].rsp)
			r.rsp = frames[i].rsp;
		r.error = frames[i].vgcf;
		PUT("\x0f\x0b");
		trying = 1;
		if (!mark(back)) {
			static struct regs frame;

			frame = r;
			resume(&frame);
		}
		if (n == 1)
			say("frame %d: vector %d\n", i, (u64)last_vector);
		check_alive();
	}
}

/* The same by the guest's own iretq and lret, which no hypercall sees. */
static void iretq(void)
{
	static const u16 cs[] = { 0, 3, 0x10, 0x33, 0xe008, 0xe00b, 0xe02b,
				  0xe030, 0xe033, 0xe040, 0xe043, 7 };
	u64 i, k;

	for (i = 0; i < ARRAY_SIZE(cs); i++)
		for (k = 0; k < ARRAY_SIZE(bad); k++) {
			TRY(asm volatile("mov %%rsp, %%rax\npush %1\npush %%rax\n"
					 "push $0x3202\npush %0\npush %2\niretq"
					 : : "r" ((u64)cs[i]),
					 "r" ((u64)cs[k % ARRAY_SIZE(cs)]),
					 "r" (bad[k]) : "rax", "memory"));
			TRY(asm volatile("push %0\npush %1\nlretq"
					 : : "r" ((u64)cs[i]), "r" (bad[k])
					 : "memory"));
		}
	check_alive();
}

/*
 * A 32-bit iret of user code to virtual-8086 mode.  Long mode has none, but
 * QEMU 7.2 goes there, and the next fault then says ring 0 for a user.
 */
static void iret_vm(void)
{
	struct regs r = user_regs();
	u32 *frame = (u32 *)(ustack + 2048);

	frame[0] = 0x2001;
	frame[1] = 0x10;
	frame[2] = 0x20202;
	PUT("\xcf");
	r.rsp = USTACK + 2048;
	run_user(&r);
	check_alive();
}

/* A system call whose next address is not canonical. */
static void top_of_user(void)
{
	struct regs r = user_regs();
	u32 v;

	PUT("");
	code[4094] = 0x0f;
	code[4095] = 0x05;
	r.rip = TOP + 4094;
	v = run_user(&r);
	if (v == SYSCALLED) {
		last.error = 0x100;		/* back, the fast way */
		trying = 1;
		if (!mark(back)) {
			static struct regs frame;

			frame = last;
			resume(&frame);
		}
		if (last_vector != 13 && last_vector != 14)
			wrong("return to a non-canonical rip", last_vector);
	}
	/* The guest kernel, too. */
	v = TRY(asm volatile("mov $17, %%eax\nxor %%edi, %%edi\njmp *%0"
			     : : "r" (TOP + 4094)
			     : "rax", "rdi", "rcx", "r11", "memory"));
	if (v != 13 && v != 14)
		wrong("hypercall's return to a non-canonical rip", v);
	check_alive();
}

static void segment_base(void)
{
	u64 i, which;

	for (which = 0; which < 8; which++)
		for (i = 0; i < ARRAY_SIZE(bad); i++) {
			long ret = hypercall(SET_SEGMENT_BASE, which, bad[i],
					     0, 0);

			if (which < 3 && !ret &&
			    (u64)((long)(bad[i] << 16) >> 16) != bad[i])
				wrong("a non-canonical base was taken", bad[i]);
			TRY(asm volatile("mov %%gs:0, %%rax" : : : "rax"));
			TRY(asm volatile("mov %%fs:0, %%rax" : : : "rax"));
			TRY(asm volatile("swapgs"));
			check_alive();
		}
	for (i = 0; i < 0x10000; i += 8 + (i % 64))
		hypercall(SET_SEGMENT_BASE, 3, i | 3, 0, 0);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct regs r = user_regs();

		TRY(asm volatile("wrfsbase %0" : : "r" (bad[i])));
		TRY(asm volatile("wrgsbase %0" : : "r" (bad[i])));
		hypercall(XEN_VERSION, 0, 0, 0, 0);
		/* wrgsbase rax, system call */
		PUT("\xf3\x48\x0f\xae\xd8\x0f\x05");
		r.rax = bad[i];
		run_user(&r);
		check_alive();
	}
}

/* Load every selector into every register, call through it, ask about it. */
static void use_selectors(void)
{
	struct { u32 offset; u16 sel; } __attribute__((packed)) far;
	u64 i;

	for (i = 0; i < 0x10000; i += i < 64 || i >= 0xdff8 ? 1 : 64) {
		u16 sel = i;

		TRY(asm volatile("mov %0, %%ds\nmov %0, %%es" : : "r" (sel)));
		TRY(asm volatile("mov %0, %%fs" : : "r" (sel)));
		TRY(asm volatile("mov %0, %%gs" : : "r" (sel)));
		TRY(asm volatile("lar %0, %%eax\nlsl %0, %%eax\nverr %w0\nverw %w0"
				 : : "r" ((u32)sel) : "rax", "cc"));
		TRY(asm volatile("mov %0, %%ss" : : "r" (sel)));
		TRY(asm volatile("mov %0, %%ss" : : "r" (FLAT_SS)));
		far.offset = 0;
		far.sel = sel;
		TRY(asm volatile("lcall *%0" : : "m" (far) : "memory"));
		TRY(asm volatile("ljmp *%0" : : "m" (far) : "memory"));
	}
	TRY(asm volatile("mov %0, %%ds\nmov %0, %%es\nmov %0, %%fs\nmov %0, %%gs"
			 : : "r" (0)));
}

static void gdt(void)
{
	static const u64 counts[] = { 0, 1, 511, 512, 513, 7168, 7169, 8192,
				      0xffffffff, ~0UL, 1UL << 32 | 8 };
	u64 i, k;

	for (i = 0; i < ARRAY_SIZE(counts); i++)
		for (k = 0; k < ARRAY_SIZE(bad); k++) {
			hypercall(SET_GDT, bad[k], counts[i], 0, 0);
			scratch[1][0] = bad[k];	/* a wild frame */
			hypercall(SET_GDT, (u64)scratch[1], counts[i], 0, 0);
			scratch[1][0] = start_info->nr_pages + k;
			hypercall(SET_GDT, (u64)scratch[1], counts[i], 0, 0);
		}
	scratch[1][0] = mfn(l4);
	hypercall(SET_GDT, (u64)scratch[1], 512, 0, 0);
	TRY(asm volatile("mov %0, %%fs" : : "r" (0x18)));
	check_alive();
	/* A page of random descriptors, each present, then used. */
	for (i = 0; i < rounds; i++) {
		for (k = 0; k < 512; k++)
			scratch[0][k] = rnd() | 1UL << 47;
		map(scratch[0], mfn(scratch[0]) << 12 | PRESENT);
		scratch[1][0] = mfn(scratch[0]);
		hypercall(SET_GDT, (u64)scratch[1], 512, 0, 0);
		use_selectors();
		hypercall(SET_GDT, (u64)scratch[1], 0, 0, 0);
		map(scratch[0], mfn(scratch[0]) << 12 | PRESENT | WRITE);
		check_alive();
	}
}

static void descriptor(void)
{
	u64 type, dpl, ma, i;
	struct { u32 offset; u16 sel; } __attribute__((packed)) far;

	for (i = 0; i < 512; i++)
		scratch[0][i] = 0;
	map(scratch[0], mfn(scratch[0]) << 12 | PRESENT);
	scratch[1][0] = mfn(scratch[0]);
	if (hypercall(SET_GDT, (u64)scratch[1], 512, 0, 0))
		wrong("set_gdt with a proper page was refused", 0);
	ma = mfn(scratch[0]) << 12;
	for (type = 0; type < 32; type++)
		for (dpl = 0; dpl < 4; dpl++) {
			u64 d = 0x00afffff0000ffffUL & ~(0xffUL << 40);

			d |= (0x80 | dpl << 5 | type) << 40;
			if (!hypercall(UPDATE_DESCRIPTOR, ma + 8 * 16, d,
				       0, 0) && type < 16 && type)
				wrong("a system descriptor was taken", d);
			far.offset = 0;
			far.sel = 8 * 16 + 3;
			TRY(asm volatile("lcall *%0" : : "m" (far) : "memory"));
			TRY(asm volatile("mov %0, %%fs" : : "r" ((u32)far.sel)));
			TRY(asm volatile("mov %0, %%ss" : : "r" ((u32)far.sel)));
			TRY(asm volatile("mov %0, %%ss" : : "r" (FLAT_SS)));
			TRY(asm volatile("lldt %w0" : : "r" ((u32)far.sel)));
			TRY(asm volatile("ltr %w0" : : "r" ((u32)far.sel)));
			/* a gate to code of ours and of the hypervisor's */
			d = (bad[20] & 0xffff) | 0xe008UL << 16 |
			    (d & 0xffUL << 40) |
			    (bad[20] >> 16 & 0xffff) << 48;
			hypercall(UPDATE_DESCRIPTOR, ma + 8 * 16, d, 0, 0);
			hypercall(UPDATE_DESCRIPTOR, ma + 8 * 17,
				  bad[20] >> 32, 0, 0);
			TRY(asm volatile("lcall *%0" : : "m" (far) : "memory"));
		}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		hypercall(UPDATE_DESCRIPTOR, bad[i], 0x00affb000000ffff, 0, 0);
		hypercall(UPDATE_DESCRIPTOR, ma + i, 0x00affb000000ffff, 0, 0);
	}
	hypercall(UPDATE_DESCRIPTOR, start_info->nr_pages << 12, 0, 0, 0);
	hypercall(UPDATE_DESCRIPTOR, mfn(l4) << 12, ~0UL, 0, 0);
	TRY(asm volatile("mov %0, %%fs" : : "r" (0)));
	check_alive();
}

static void ldt(void)
{
	static const u64 counts[] = { 1, 512, 8192, 8193, ~0UL };
	struct { u32 cmd; u64 base, ents; } op = { 13, 0, 0 };
	u64 i, k;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		for (k = 0; k < ARRAY_SIZE(counts); k++) {
			op.base = bad[i] & ~4095UL;
			op.ents = counts[k];
			hypercall(MMUEXT_OP, (u64)&op, 1, 0, DOMID_SELF);
			TRY(asm volatile("mov %0, %%fs" : : "r" (7)));
			TRY(asm volatile("mov %0, %%fs" : : "r" (0xfff7)));
		}
	for (i = 0; i < 512; i++)
		scratch[0][i] = rnd() | 1UL << 47;
	map(scratch[0], mfn(scratch[0]) << 12 | PRESENT);
	op.base = (u64)scratch[0];
	op.ents = 512;
	hypercall(MMUEXT_OP, (u64)&op, 1, 0, DOMID_SELF);
	for (i = 4; i < 4096; i++)
		TRY(asm volatile("mov %0, %%fs" : : "r" ((u32)i)));
	op.ents = op.base = 0;
	hypercall(MMUEXT_OP, (u64)&op, 1, 0, DOMID_SELF);
	map(scratch[0], mfn(scratch[0]) << 12 | PRESENT | WRITE);
	TRY(asm volatile("mov %0, %%fs" : : "r" (0)));
	check_alive();
}

/* Areas that the hypervisor writes to at its own time. */
static void areas(void)
{
	struct { u64 mfn; u32 offset, rsvd; } info = { 0, 0, 0 };
	u64 i, addr;
	struct regs r;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		info.mfn = i & 1 ? bad[i] : start_info->nr_pages + i;
		info.offset = i * 97;
		hypercall(VCPU_OP, 10, 0, (u64)&info, 0);
		hypercall(VCPU_OP, 10, 0, bad[i], 0);
	}
	info.mfn = mfn(scratch);
	for (info.offset = 4040; info.offset < 4200; info.offset += 4)
		if (!hypercall(VCPU_OP, 10, 0, (u64)&info, 0))
			wrong("vcpu_info across a page was taken", info.offset);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		addr = bad[i];
		hypercall(VCPU_OP, 5, 0, (u64)&addr, 0);
		hypercall(VCPU_OP, 13, 0, (u64)&addr, 0);
		PUT("\xeb\xfe");
		r = user_regs();
		alarm(3 * MS);
		run_user(&r);
		check_alive();
	}
	/* On top of page tables: only through our own mapping's rights. */
	addr = (u64)l1;
	hypercall(VCPU_OP, 5, 0, (u64)&addr, 0);
	hypercall(VCPU_OP, 13, 0, (u64)&addr, 0);
	addr = (u64)scratch + 4090;		/* two pages */
	hypercall(VCPU_OP, 5, 0, (u64)&addr, 0);
	hypercall(VCPU_OP, 13, 0, (u64)&addr, 0);
	alarm(3 * MS);
	PUT("\xeb\xfe");
	r = user_regs();
	run_user(&r);
	check_alive();
}

/* Everything that we share, full of nonsense. */
static void scribble(void)
{
	volatile u64 *s = (volatile u64 *)shared;
	static u64 saved[512];
	struct regs r;
	u64 i, k;

	for (i = 0; i < 512; i++)
		saved[i] = s[i];
	for (k = 0; k < rounds; k++) {
		alarm(MS);
		for (i = 0; i < 512; i++)
			s[i] = k == 0 ? ~0UL : k == 1 ? 0 : rnd();
		hypercall(XEN_VERSION, 0, 0, 0, 0);
		hypercall(EVENT_CHANNEL_OP, 9, (u64)&timer_port, 0, 0);
		shared->vcpu[0].upcall_mask = 1;
		PUT("\x0f\x05");
		r = user_regs();
		run_user(&r);
		for (i = 0; i < 512; i++)
			s[i] = saved[i];
	}
	shared->vcpu[0].upcall_mask = 1;
	arm();
	check_alive();
}

/* ---- memory ---- */

/* Read, write and run what is the hypervisor's, from both modes. */
static void probe(void)
{
	u64 a, i, readable = 0;
	struct regs r;

	for (i = 0; i < 4096 + ARRAY_SIZE(bad) * 32; i++) {
		a = i < 4096 ? 0xffff800000000000 + i * (1UL << 32)
			     : (bad[(i - 4096) / 32] & ~4095UL)
			       + ((i - 4096) % 32 - 16) * 4096;
		if (a < 0xffff800000000000 || a >= 0xffff880000000000)
			continue;
		readable += TRY((void)*(volatile u8 *)a) == NOTHING;
		if (TRY(*(volatile u8 *)a = 0) == NOTHING)
			wrong("the hypervisor's slot is writable", a);
		if (TRY(((void (*)(void))a)()) == NOTHING)
			wrong("code ran in the hypervisor's slot", a);
		if (i % 16 && i < 4096)
			continue;
		r = user_regs();
		r.rax = a;
		PUT("\x8a\x18\x0f\x05");	/* mov (%rax), %bl; syscall */
		if (call_user(&r) == SYSCALLED)
			wrong("user mode can read it", a);
		r = user_regs();
		r.rax = a;
		PUT("\x88\x18\x0f\x05");	/* mov %bl, (%rax); syscall */
		if (call_user(&r) == SYSCALLED)
			wrong("user mode can write it", a);
		r = user_regs();
		r.rip = a;
		if (call_user(&r) == SYSCALLED)
			wrong("user mode can run it", a);
	}
	check_alive();
}

static void user_probe_kernel(void)
{
	struct regs r = user_regs();

	r.rax = (u64)scratch;
	PUT("\x8a\x18\x0f\x05");
	if (call_user(&r) != 14)
		wrong("user mode reads the guest kernel's memory", last_vector);
	check_alive();
}

static void mmu_update(void)
{
	struct { u64 ptr, val; } *list = (void *)scratch[0];
	static const u64 counts[] = { 0, 1, 255, 256, 0x7fffffff, 0x80000000,
				      0xffffffff, ~0UL };
	u64 i, k, done;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		for (k = 0; k < ARRAY_SIZE(counts); k++) {
			hypercall(MMU_UPDATE, bad[i], counts[k], 0, DOMID_SELF);
			hypercall(MMUEXT_OP, bad[i], counts[k], 0, DOMID_SELF);
			list[0].ptr = 0;
			list[0].val = 0;
			hypercall(MMU_UPDATE, (u64)list, counts[k] & 1, bad[i],
				  DOMID_SELF);
		}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		for (k = 0; k < 4; k++) {
			list[0].ptr = (bad[i] & ~3UL) | k;
			list[0].val = rnd();
			hypercall(MMU_UPDATE, (u64)list, 1, (u64)&done,
				  DOMID_SELF);
			list[0].ptr = ((start_info->nr_pages + i) << 12) | k;
			hypercall(MMU_UPDATE, (u64)list, 1, (u64)&done,
				  DOMID_SELF);
		}
	/* Lists longer than what is read at a time are carried out to their
	 * end, to what is wrong, or to what can't be read. */
	for (i = 0; i < 40; i++) {
		list[i].ptr = mfn(scratch[1]) << 12 | i * 8;
		list[i].val = i + 1;
		scratch[1][i] = 0;
	}
	if (hypercall(MMU_UPDATE, (u64)list, 40, (u64)&done, DOMID_SELF) ||
	    (u32)done != 40)
		wrong("a list was not carried out, but", (u32)done);
	for (i = 0; i < 40; i++)
		if (scratch[1][i] != i + 1)
			wrong("not written", i);
	list[19].ptr = (start_info->nr_pages + 1) << 12;
	if (hypercall(MMU_UPDATE, (u64)list, 40, (u64)&done, DOMID_SELF) != -22 ||
	    (u32)done != 19)
		wrong("beyond what is wrong", (u32)done);
	/* Lists that run off the end of what is mapped. */
	list = (void *)&scratch[1][512 - 32];
	for (i = 0; i < 16; i++) {
		list[i].ptr = mfn(scratch[0]) << 12 | i * 8;
		list[i].val = 100 + i;
	}
	map(scratch[2], 0);
	flush();
	if (hypercall(MMU_UPDATE, (u64)list, 40, (u64)&done, DOMID_SELF) != -14 ||
	    (u32)done != 16 || scratch[0][15] != 115)
		wrong("half a list could be read, and done were", (u32)done);
	hypercall(MMU_UPDATE, (u64)&scratch[1][509], 64, (u64)&done, DOMID_SELF);
	map(scratch[2], mfn(scratch[2]) << 12 | 7);
	for (i = 0; i < 64; i++) {
		hypercall(UPDATE_VA_MAPPING, interesting(), rnd(),
			  rnd() % 16, 0);
		hypercall(UPDATE_VA_MAPPING, bad[i % ARRAY_SIZE(bad)],
			  mfn(scratch) << 12 | 7, i % 16, 0);
	}
	check_alive();
}

/* Entries that the hardware would refuse, at each level, then used. */
static void pt_bits(void)
{
	volatile u64 *level[] = { &l1[2], &l2[3], &l3[1], &l4[1] };
	static const u64 at[] = { 0x402000, 0x600000, 0x40000000,
				  0x8000000000 };
	u64 i, bit, old;
	struct regs r;

	for (i = 0; i < 4; i++)
		for (bit = 7; bit < 64; bit++) {
			u64 target = i == 0 ? mfn(scratch) :
				     i == 1 ? mfn(l1) :
				     i == 2 ? mfn(l2) : mfn(l3);

			old = *level[i];
			set_entry(level[i], target << 12 | 1UL << bit | 7);
			flush();
			TRY((void)*(volatile u64 *)at[i]);
			TRY(*(volatile u64 *)at[i] = *(volatile u64 *)at[i]);
			r = user_regs();
			r.rax = at[i];
			PUT("\x8a\x18\x0f\x05");
			run_user(&r);
			r = user_regs();
			r.rip = at[i];
			r.rflags = 0x302;
			run_user(&r);
			set_entry(level[i], old);
			flush();
		}
	check_alive();
}

/* Change entry 2 + k of l1 and announce it in one of five ways. */
static u64 change(u64 k, u64 how, u64 entry)
{
	u64 window = 0x402000 + k * PAGE_SIZE;

	if (how)
		set_entry(&l1[2 + k], entry);
	if (how == 0)
		map((void *)window, entry);
	else if (how == 1)
		mmuext(7, window + 24);			/* INVLPG_LOCAL */
	else if (how == 2)
		flush();
	else if (how == 3)
		mmuext(NEW_BASEPTR, mfn((u64 *)start_info->pt_base));
	else
		hypercall(UPDATE_VA_MAPPING, window, entry, 1, 0);
	return window;
}

/* What calls read and write follows the tables after each kind of flush. */
static void stale_copy(void)
{
	u64 i, k, how, entry, window;

	for (i = 0; i < 160; i++) {
		k = i / 2 % 16;		/* more pages than anybody remembers */
		how = i / 32;
		entry = mfn(scratch[i & 1]) << 12 | PRESENT | WRITE;
		scratch[0][0] = scratch[1][0] = 0;
		window = change(k, how, entry);
		if (hypercall(XEN_VERSION, 3, window, 0, 0))
			wrong("a call could not write", i);
		if (!scratch[i & 1][0] || scratch[~i & 1][0])
			wrong("a call wrote to the page before", i);
		if (~l1[2 + k] & (ACCESSED | DIRTY))
			wrong("accessed and dirty are not set", l1[2 + k]);
		change(k, how, entry & ~(u64)WRITE);
		if (!hypercall(XEN_VERSION, 3, window, 0, 0))
			wrong("a call wrote to a read-only page", i);
		change(k, how, 0);
		if (hypercall(VCPU_OP, 8, 0, window, 0) != -14)
			wrong("a call read an absent page", i);
	}
	check_alive();
}

/* Frames that we do not have. */
static void pt_frames(void)
{
	volatile u64 *level[] = { &l1[2], &l2[3], &l3[1], &l4[1] };
	static const u64 at[] = { 0x402000, 0x600000, 0x40000000,
				  0x8000000000 };
	u64 i, k, old, f;

	for (i = 0; i < 4; i++)
		for (k = 0; k < 64; k++) {
			f = k < 4 ? start_info->nr_pages + 1 + k :
			    k < 40 ? 1UL << k : rnd() >> 24;
			if (f <= start_info->nr_pages)
				continue;
			old = *level[i];
			set_entry(level[i], (f & 0xffffffffffUL) << 12 | 7);
			flush();
			if (TRY((void)*(volatile u64 *)at[i]) == NOTHING)
				wrong("read from a frame that is not ours", f);
			if (TRY(*(volatile u64 *)at[i] = 1) == NOTHING)
				wrong("wrote to a frame that is not ours", f);
			set_entry(level[i], old);
			flush();
		}
	check_alive();
}

/* Tables that contain themselves, and each other. */
static void pt_loop(void)
{
	volatile u64 *root = (u64 *)start_info->pt_base;
	u64 i, slot, a;
	struct regs r;

	set_entry(&l4[2], mfn(l4) << 12 | 7);
	set_entry(&l3[2], mfn(l4) << 12 | 7);
	set_entry(&l2[9], mfn(l3) << 12 | 7);
	set_entry(&l1[9], mfn(l1) << 12 | 7);
	set_entry(&l1[10], mfn(l4) << 12 | 7);
	set_entry(&root[2], mfn(l4) << 12 | 7);
	set_entry(&root[3], mfn(root) << 12 | 7);
	flush();
	for (i = 0; i < 2000; i++) {
		slot = 2 + i % 2;
		a = slot << 39 | (rnd() % 16) << 30 | (rnd() % 16) << 21
		    | (rnd() % 512) << 12 | (rnd() % 512) << 3;
		TRY((void)*(volatile u64 *)a);
		if (i & 1)
			TRY(*(volatile u64 *)a = *(volatile u64 *)a);
		r = user_regs();
		r.rax = a;
		PUT("\x8a\x18\x0f\x05");
		if (i % 8 == 0)
			run_user(&r);
	}
	/* Write an entry through the loop, if we can. */
	TRY(*(volatile u64 *)(3UL << 39 | 3UL << 30 | 3UL << 21 | 3UL << 12 |
			      16 << 3) = mfn(l3) << 12 | 7);
	set_entry(&root[2], 0);
	set_entry(&root[3], 0);
	set_entry(&l4[2], 0);
	set_entry(&l3[2], 0);
	set_entry(&l2[9], 0);
	set_entry(&l1[9], 0);
	set_entry(&l1[10], 0);
	flush();
	check_alive();
}

/* Slots of the hypervisor in a root of ours. */
static void pt_slots(void)
{
	volatile u64 *root = (u64 *)start_info->pt_base;
	u64 i;

	for (i = 256; i < 272; i++) {
		set_entry(&root[i], mfn(l3) << 12 | 7);
		set_entry(&l4[i], mfn(l3) << 12 | 7);
	}
	flush();
	TRY((void)*(volatile u64 *)0xffff800000400000);
	if (TRY(*(volatile u64 *)0xffff870000400000 = 1) == NOTHING)
		wrong("a page of ours in the hypervisor's slot", 0);
	check_alive();
}

static void newbase_wild(void)
{
	static const u32 cmds[] = { 0, 1, 2, 3, 4, 5, 15, 16, 17, 19, 20 };
	u64 i, k, f;

	for (i = 0; i < ARRAY_SIZE(cmds); i++)
		for (k = 0; k < 40; k++) {
			f = k < ARRAY_SIZE(bad) ? bad[k] >> (k & 1) * 12
						: start_info->nr_pages + 1 + k;
			if (f > start_info->nr_pages && !mmuext(cmds[i], f) &&
			    (cmds[i] == 5 || cmds[i] == 15))
				wrong("a root that is not ours was taken", f);
			/* frame 0 as the user's root is ours to give */
			mmuext(NEW_USER_BASEPTR, mfn(l4));
		}
	check_alive();
}

static void newbase_garbage(void)
{
	u64 i;

	for (i = 0; i < 512; i++)
		scratch[0][i] = n == 0 ? 0 : n == 1 ? ~0UL : n == 2 ?
			mfn(scratch) << 12 | 7 : rnd();
	protect(scratch[0]);
	mmuext(PIN_L4, mfn(scratch));
	mmuext(NEW_BASEPTR, mfn(scratch));
}

static void userbase_garbage(void)
{
	struct regs r = user_regs();
	u64 i, k;

	for (k = 0; k < 8; k++) {
		for (i = 0; i < 512; i++)
			scratch[0][i] = k == 0 ? 0 : k == 1 ? ~0UL : k == 2 ?
				mfn(scratch) << 12 | 7 : rnd();
		protect(scratch[0]);
		mmuext(PIN_L4, mfn(scratch));
		mmuext(NEW_USER_BASEPTR, mfn(scratch));
		run_user(&r);
		mmuext(NEW_USER_BASEPTR, mfn(l4));
		mmuext(UNPIN, mfn(scratch));
		map(scratch[0], mfn(scratch[0]) << 12 | PRESENT | WRITE);
	}
	check_alive();
}

/* One table seen at 262,144 places: how many shadows will you keep? */
static void blowup(void)
{
	volatile u64 *root = (u64 *)start_info->pt_base;
	u64 i, a;

	for (i = 0; i < 512; i++) {
		scratch[0][i] = mfn(scratch[3]) << 12 | 7;
		scratch[1][i] = mfn(scratch[0]) << 12 | 7;
		scratch[2][i] = mfn(scratch[1]) << 12 | 7;
	}
	protect(scratch[0]);
	protect(scratch[1]);
	protect(scratch[2]);
	set_entry(&root[40], mfn(scratch[2]) << 12 | 7);
	set_entry(&root[41], mfn(scratch[2]) << 12 | 7);
	for (i = 0; i < (rounds ? rounds : 40000); i++) {
		a = (40UL << 39) + i * (2UL << 20) + (i % 512 << 12);
		if (TRY((void)*(volatile u64 *)a) != NOTHING) {
			wrong("no memory at", a);
			break;
		}
	}
	set_entry(&root[40], 0);
	set_entry(&root[41], 0);
	flush();
	check_alive();
}

/* Tables of random shape, changed in every way there is; after each flush
 * what is read must be what our own walk finds. */
#define KEPT(i3, i2, i1) (50UL << 39 | (u64)(i3) << 30 | (i2) << 21 | (i1) << 12)
#define KEPT_FLAGS	(PRESENT | WRITE | USER | ACCESSED | DIRTY)
static volatile u64 kept[10][512] PAGE_ALIGNED, base2[512] PAGE_ALIGNED;

static volatile u64 *kept_page(u64 e)
{
	u64 i;

	for (i = 0; i < ARRAY_SIZE(kept); i++)
		if (e & PRESENT && mfn(kept[i]) == (e << 12) >> 24)
			return kept[i];
	return 0;
}

/* The page behind an address, the last entry, the rights of all levels. */
static volatile u64 *kept_walk(u64 a, volatile u64 **entry, u64 *rights)
{
	volatile u64 *page = kept[0];
	int level;

	*rights = ~0UL;
	for (level = 2; page && level >= 0; level--) {
		*entry = &page[a >> (12 + 9 * level) & 511];
		*rights &= **entry;
		page = kept_page(**entry);
	}
	return page;
}

static void kept_read(u64 a)
{
	volatile u64 *e, *page, value = 0;
	struct regs r = user_regs();
	u64 rights;
	u32 v;

	page = kept_walk(a, &e, &rights);
	if (page && rnd() % 2) {
		set_entry(e, *e & ~(u64)(rnd() & (ACCESSED | DIRTY)));
		flush();
		page = kept_walk(a, &e, &rights);
	}
	if (rnd() % 2) {
		v = TRY(value = *(volatile u64 *)(a + 0xff8));
		if (v != (page ? NOTHING : 14))
			wrong(page ? "absent" : "present", a);
		else if (page && (value != page[511] || !(*e & ACCESSED)))
			wrong("another page, or no mark", a);
		return;
	}
	PUT("\x8a\x98\xf8\x0f\x00\x00\x0f\x05");
	if (rnd() % 2) {
		code[0] = 0x88;
		rights = rights & WRITE ? rights : 0;
	}
	r.rax = a;
	r.rbx = page ? page[511] & 255 : 0;
	v = call_user(&r);
	if (v != (page && rights & USER ? SYSCALLED : 14))
		wrong("a program's access", a);
	else if (page && v == SYSCALLED && (last.rbx & 255) != (page[511] & 255))
		wrong("a program's page", a);
	else if (v == SYSCALLED && (!(*e & ACCESSED) ||
				    (code[0] == 0x88 && !(*e & DIRTY))))
		wrong("a mark", a);
}

/* Two bases that lead to them. */
static void kept_begin(void)
{
	volatile u64 *root = (u64 *)start_info->pt_base;
	u64 i;

	for (i = 0; i < ARRAY_SIZE(kept); i++)
		kept[i][511] = (i + 1) << 1;
	set_entry(&l4[50], mfn(kept[0]) << 12 | KEPT_FLAGS);
	set_entry(&root[50], mfn(kept[0]) << 12 | KEPT_FLAGS);
	for (i = 0; i < 512; i++)
		base2[i] = root[i];
	protect(base2);
}

/* One change, in one of twelve ways; it may fault. */
static void kept_change(u64 way)
{
	volatile u64 *root = (u64 *)start_info->pt_base, *t;
	u64 a, e;

	t = &kept[rnd() % ARRAY_SIZE(kept)][rnd() % 3];
	a = KEPT(rnd() % 3, rnd() % 3, rnd() % 3);
	e = mfn(kept[rnd() % ARRAY_SIZE(kept)]) << 12 |
	    (rnd() & KEPT_FLAGS) | (rnd() % 8 ? KEPT_FLAGS & rnd() : 0);
	if (rnd() % 4)
		e |= PRESENT | WRITE | USER | ACCESSED;
	if (way < 4)
		set_entry(t, e);
	else if (way < 6)
		*t = e;
	else if (way == 6)
		*(volatile u64 *)(a + rnd() % 3 * 8) = e;
	else if (way == 7)
		hypercall(UPDATE_VA_MAPPING, a, e, rnd() % 3, 0);
	else if (way == 8)
		map((u64 *)((u64)t & -4096), mfn(t) << 12 | PRESENT |
		    (rnd() & (WRITE | ACCESSED | DIRTY)));
	else if (way == 9)
		mmuext(rnd() % 2 ? UNPIN : PIN_L4 - rnd() % 4, mfn(t));
	else if (way == 10)
		mmuext(NEW_BASEPTR, mfn(rnd() % 2 ? root : base2));
	else
		(void)*(volatile u64 *)a;
}

static void kept_tables(void)
{
	u64 i, k;

	kept_begin();
	for (i = 0; i < (rounds ? rounds : 3000); i++) {
		TRY(kept_change(rnd() % 12));
		if (rnd() % 3)
			continue;
		flush();
		for (k = 0; k < 4; k++)
			kept_read(KEPT(rnd() % 3, rnd() % 3, rnd() % 3));
	}
	mmuext(NEW_BASEPTR, mfn((u64 *)start_info->pt_base));
	check_alive();
}

/* ---- several processors: --cpus CROWD ---- */

#define CROWD	3
struct context {			/* vcpu_guest_context */
	u64 fpu[64], flags, regs[25];	/* of regs: 16 is rip, 18 rflags, 19 rsp */
	struct trap traps[256];
	u64 ldt[2], gdt_frames[16], gdt_ents, kernel_ss, kernel_sp;
	u64 cr[8], dr[8], callbacks[3], assist, bases[3];
};

static struct context context PAGE_ALIGNED;
u8 crowd_stacks[CROWD][16384] PAGE_ALIGNED;
static volatile struct { u64 checking, round, pad[6]; } crowd[CROWD];
static volatile u64 crowd_round;	/* odd: all look, nobody changes */

/* Born here, and after each fault. */
void crowd_1(void), crowd_2(void);
asm("crowd_1: lea crowd_stacks + 2 * 16384(%rip), %rsp\nmov $1, %edi\ncall crowd_life\n"
    "crowd_2: lea crowd_stacks + 3 * 16384(%rip), %rsp\nmov $2, %edi\ncall crowd_life\n");

static void crowd_change(u64 me)
{
	struct { u64 mfn; u32 offset, pad; } info = { mfn(scratch), 64, 0 };
	u64 k = rnd() % 20;

	if (k == 11)			/* local or for all, everything or a page */
		mmuext(rnd() % 2 * 4 + 6 + rnd() % 2,
		       KEPT(rnd() % 3, rnd() % 3, rnd() % 3));
	else if (k == 12)		/* bring up, take down, of each other */
		hypercall(VCPU_OP, 1 + rnd() % 2, 1 + rnd() % (CROWD - 1), 0, 0);
	else if (k == 13)		/* a second time, and nonsense */
		hypercall(VCPU_OP, 0, rnd() % (CROWD + 1),
			  rnd() % 2 ? (u64)&context : interesting(), 0);
	else if (k == 14 && me && !hypercall(VCPU_OP, 10, 0, (u64)&info, 0))
		wrong("a running processor's information was moved", 0);
	else
		kept_change(k);
}

static void crowd_look(u64 me, u64 a)
{
	volatile u64 *e, *page;
	u64 rights, value;

	page = kept_walk(a, &e, &rights);
	crowd[me].checking = page ? a : 1;
	value = *(volatile u64 *)(a + 0xff8);
	crowd[me].checking = 0;
	if (!page || value != page[511])
		wrong(page ? "another page" : "present", a);
}

void crowd_life(u64 me)
{
	u64 round;

	if (crowd[me].checking > 1)
		wrong("absent", crowd[me].checking);
	crowd[me].checking = 0;
	for (;;) {
		round = crowd_round;
		if (crowd[me].round / 16 != round)
			crowd[me].round = round * 16;
		else if (!(crowd[me].round % 16))
			asm volatile("pause");
		else if (round % 2)
			crowd_look(me, KEPT(rnd() % 3, rnd() % 3, rnd() % 3));
		else
			crowd_change(me);
	}
}

/* All in round n; whoever is down is brought up.  Then they begin. */
static void crowd_wait(u64 n)
{
	u64 i;

	crowd_round = n;
	for (i = 1; i < CROWD; i++)
		while (crowd[i].round / 16 != n)
			hypercall(VCPU_OP, 1, i, 0, 0);
	if (n % 2)
		mmuext(10, 0);			/* for all */
	for (i = 1; i < CROWD; i++)
		crowd[i].round++;
}

static void many(void)
{
	volatile u64 *root = (u64 *)start_info->pt_base;
	u64 i, k, entry[] = { 0, (u64)crowd_1, (u64)crowd_2 };

	kept_begin();
	for (i = 1; i < CROWD; i++) {
		for (k = 0; k < 256; k++)
			context.traps[k] = (struct trap){ k, 4, FLAT_CS, entry[i] };
		context.regs[16] = entry[i];
		context.regs[18] = EVENTS_ON;
		context.regs[19] = context.kernel_sp = (u64)crowd_stacks[i + 1];
		context.cr[3] = mfn(root) << 12;
		if (hypercall(VCPU_OP, 0, i, (u64)&context, 0) ||
		    hypercall(VCPU_OP, 1, i, 0, 0))
			wrong("a processor was refused", i);
		if (hypercall(VCPU_OP, 0, i, (u64)&context, 0) != -17)
			wrong("a processor was born twice", i);
	}
	if (hypercall(VCPU_OP, 0, CROWD, (u64)&context, 0) != -2)
		wrong("there is one more", CROWD);
	for (i = 1; i < (rounds ? rounds : 200); i++) {
		crowd_wait(2 * i);
		for (k = 0; k < 30; k++)
			TRY(crowd_change(0));
		crowd_wait(2 * i + 1);
		for (k = 0; k < 8; k++)
			TRY(crowd_look(0, KEPT(rnd() % 3, rnd() % 3, rnd() % 3)));
	}
	check_alive();
}

/* ---- hypercalls ---- */

static void multicall(void)
{
	struct { u64 op; long result; u64 args[6]; } *list = (void *)scratch;
	static const u64 counts[] = { 0, 1, 2, 1000, 0x7fffffff, 0xffffffff,
				      ~0UL };
	u64 i, k;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		for (k = 0; k < ARRAY_SIZE(counts); k++)
			hypercall(MULTICALL, bad[i], counts[k], 0, 0);
	for (i = 0; i < 128; i++) {	/* each calls the whole list again */
		list[i].op = MULTICALL;
		list[i].args[0] = (u64)list;
		list[i].args[1] = 128;
	}
	hypercall(MULTICALL, (u64)list, 128, 0, 0);
	for (i = 0; i < 128; i++)
		list[i].op = i % 2 ? ~0UL : 64 + i;
	hypercall(MULTICALL, (u64)list, 128, 0, 0);
	for (k = 0; k < ARRAY_SIZE(counts); k++)
		hypercall(MULTICALL, (u64)list, counts[k], 0, 0);
	for (i = 0; i < 128; i++)
		list[i].op = SCHED_OP, list[i].args[0] = 0;	/* yield */
	hypercall(MULTICALL, (u64)list, 128, 0, 0);
	hypercall(MULTICALL, (u64)&list[127] + 32, 1, 0, 0);
	arm();
	check_alive();
}

static void multicall_iret(void)
{
	struct { u64 op; long result; u64 args[6]; } list[2] = {
		{ IRET, 0, { 0 } }, { XEN_VERSION, 0, { 0 } } };

	TRY(hypercall(MULTICALL, (u64)list, 2, 0, 0));
	arm();
	check_alive();
}

static void console(void)
{
	u64 i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		hypercall(CONSOLE_IO, 0, 64, bad[i], 0);
		hypercall(CONSOLE_IO, 0, ~0UL, bad[i], 0);
		hypercall(CONSOLE_IO, 1, 64, bad[i], 0);
		hypercall(CONSOLE_IO, i, 0, bad[i], 0);
	}
	check_alive();
}

static void events(void)
{
	static u32 arg[16];
	u64 op, i, k;

	for (op = 0; op < 14; op++)
		for (i = 0; i < ARRAY_SIZE(bad); i++)
			hypercall(EVENT_CHANNEL_OP, op, bad[i], 0, 0);
	for (k = 0; k < 3000; k++) {	/* until all ports are taken */
		arg[0] = DOMID_SELF | DOMID_SELF << 16;
		hypercall(EVENT_CHANNEL_OP, k % 2 ? 6 : 7, (u64)arg, 0, 0);
	}
	for (k = 0; k < 20000; k++) {
		op = rnd() % 14;
		for (i = 0; i < 16; i++)
			arg[i] = rnd() % 3 ? rnd() % 4096 :
				 rnd() % 3 ? rnd() % 8 : rnd();
		if (op != 10)
			hypercall(EVENT_CHANNEL_OP, op, (u64)arg, 0, 0);
	}
	check_alive();
}

static void timers(void)
{
	static const u64 when[] = { 0, 1, ~0UL, 1UL << 63, (1UL << 63) - 1 };
	struct { u64 when; u32 flags; } t = { 0, 0 };
	struct regs r;
	u64 i;

	for (i = 0; i < 500; i++) {
		t.when = i < 5 ? when[i] : now() + rnd() % 200000;
		t.flags = i % 2;
		hypercall(VCPU_OP, 8, 0, (u64)&t, 0);
		hypercall(VCPU_OP, 8, i * 77, (u64)&t, 0);
		PUT("\x0f\x05");
		r = user_regs();
		run_user(&r);
	}
	t.when = 1;				/* a period of one nanosecond */
	hypercall(VCPU_OP, 6, 0, (u64)&t, 0);
	PUT("\xeb\xfe");
	for (i = 0; i < 50; i++) {
		alarm(MS / 10);
		r = user_regs();
		run_user(&r);
	}
	hypercall(VCPU_OP, 7, 0, 0, 0);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		hypercall(VCPU_OP, 8, 0, bad[i], 0);
		hypercall(15, bad[i], 0, 0, 0);
		hypercall(SCHED_OP, 3, bad[i], 0, 0);
	}
	hypercall(SCHED_OP, 2, 0x800000000000, 0, 0);
	alarm(-MS);
	check_alive();
}

static void vcpus(void)
{
	u64 i, k;

	for (i = 0; i < 2048; i++)
		((volatile u64 *)scratch)[i] = rnd();
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		for (k = 0; k < 16; k++) {
			TRY(hypercall(VCPU_OP, k, i + 1, (u64)scratch, 0));
			TRY(hypercall(VCPU_OP, k, bad[i] | 1, (u64)scratch, 0));
			if (k != 2 && k != 10)
				TRY(hypercall(VCPU_OP, k, 0, bad[i], 0));
		}
	check_alive();
}

/* Any number, any arguments; gentle: leave us our own memory and life. */
static void fuzz_round(int gentle)
{
	u64 nr = rnd() % 64, a[4], i;

	for (i = 0; i < 2048; i += 1 + rnd() % 64)
		((volatile u64 *)scratch)[i] = rnd() % 2 ? interesting()
							 : rnd() % 32;
	for (i = 0; i < 4; i++)
		a[i] = interesting();
	if (nr == CONSOLE_IO)
		a[1] %= 16;
	if (nr == VCPU_OP && a[0] == 2)	/* down, and nobody takes us up */
		return;
	if (nr == SCHED_OP || nr == 6)	/* other than: end, start anew */
		a[0] = rnd() % 2 ? a[0] & ~6UL : 3;
	else if (rnd() % 2)
		a[0] = rnd() % 32;
	if (rnd() % 2)
		a[1] = (u64)scratch + rnd() % 64 * 8;
	if (gentle)
		switch (nr) {
		case MMU_UPDATE:	/* may hit any page of ours */
		case UPDATE_VA_MAPPING:
		case MULTICALL:
		case IRET:
		case 22:
		case MMUEXT_OP:		/* roots, and clear and copy page */
		case MEMORY_OP:
			return;
		case 6:			/* the same, for older guests */
		case SCHED_OP:		/* block for ever */
			if (a[0] == 1 || a[0] == 3)
				return;
			break;
		case VCPU_OP:		/* vcpu_info elsewhere, down */
			if (a[0] == 10 || a[0] == 2)
				return;
			break;
		case EVENT_CHANNEL_OP:
			if (a[0] == 10)
				return;
			break;
		}
	TRY(hypercall(nr, a[0], a[1], a[2], a[3]));
}

static void fuzz_gently(void)
{
	u64 i;

	for (i = 0; i < rounds; i++) {
		fuzz_round(1);
		if (i % 64 == 0) {
			hypercall(SET_DEBUGREG, 7, 0, 0, 0);
			hypercall(SET_GDT, (u64)scratch, 0, 0, 0);
			arm();
			check_alive();
		}
	}
}

static void fuzz(void)
{
	u64 i;

	for (i = 0; i < rounds; i++) {
		alarm(10 * MS);			/* in case it sleeps */
		fuzz_round(0);
	}
}

/* ---- instructions ---- */

static void int_n(int from_user)
{
	struct regs r;
	u32 v, i, flags;

	for (flags = 0; flags < 4; flags += 3) {
		set_traps(flags);
		for (i = 0; i < 256; i++) {
			PUT("\xcd");
			code[1] = i;
			r = user_regs();
			v = from_user ? run_user(&r)
				      : TRY(((void (*)(void))UCODE)());
			/*
			 * 3, 4, 0x80 are everyone's; QEMU 7.2 says n * 16 + 2 in
			 * the error code where n * 8 + 2 is right.
			 */
			if (v != 13 && v != i && v != i * 2 % 256 && v != EVENT)
				wrong("int n gave another vector", i << 16 | v);
			if (!flags && v == i && i != 3 && i != 4 && i != 13 &&
			    i != 0x80)
				wrong("int n went to a closed gate", i);
		}
	}
	arm();
	check_alive();
}
static void int_kernel(void) { int_n(0); }
static void int_user(void) { int_n(1); }

static const struct { const char *name, *bytes; u64 len; } privileged[] = {
#define I(name, bytes) { name, bytes, sizeof(bytes) - 1 }
	I("ltr", "\x0f\x00\xd8"), I("lldt", "\x0f\x00\xd0"),
	I("str", "\x0f\x00\xc8"), I("sldt", "\x0f\x00\xc0"),
	I("lgdt", "\x0f\x01\x10"), I("lidt", "\x0f\x01\x18"),
	I("smsw", "\x0f\x01\xe0"), I("lmsw", "\x0f\x01\xf0"),
	I("invlpg", "\x0f\x01\x38"), I("swapgs", "\x0f\x01\xf8"),
	I("rdtscp", "\x0f\x01\xf9"), I("xsetbv", "\x0f\x01\xd1"),
	I("xgetbv", "\x0f\x01\xd0"), I("vmcall", "\x0f\x01\xc1"),
	I("vmlaunch", "\x0f\x01\xc2"), I("vmxoff", "\x0f\x01\xc4"),
	I("monitor", "\x0f\x01\xc8"), I("mwait", "\x0f\x01\xc9"),
	I("clac", "\x0f\x01\xca"), I("stac", "\x0f\x01\xcb"),
	I("encls", "\x0f\x01\xcf"), I("vmrun", "\x0f\x01\xd8"),
	I("vmmcall", "\x0f\x01\xd9"), I("vmload", "\x0f\x01\xda"),
	I("stgi", "\x0f\x01\xdc"), I("clgi", "\x0f\x01\xdd"),
	I("skinit", "\x0f\x01\xde"), I("invlpga", "\x0f\x01\xdf"),
	I("rdpkru", "\x0f\x01\xee"), I("wrpkru", "\x0f\x01\xef"),
	I("clts", "\x0f\x06"), I("sysret", "\x0f\x07"),
	I("sysretq", "\x48\x0f\x07"), I("invd", "\x0f\x08"),
	I("wbinvd", "\x0f\x09"), I("mov rax,cr0", "\x0f\x20\xc0"),
	I("mov rax,cr2", "\x0f\x20\xd0"), I("mov rax,cr3", "\x0f\x20\xd8"),
	I("mov rax,cr4", "\x0f\x20\xe0"), I("mov rax,cr8", "\x44\x0f\x20\xc0"),
	I("mov cr0", "\x0f\x22\xc0"), I("mov cr2", "\x0f\x22\xd0"),
	I("mov cr3", "\x0f\x22\xd8"), I("mov cr4", "\x0f\x22\xe0"),
	I("mov cr8", "\x44\x0f\x22\xc0"), I("mov rax,dr0", "\x0f\x21\xc0"),
	I("mov rax,dr7", "\x0f\x21\xf8"), I("mov dr0", "\x0f\x23\xc0"),
	I("mov dr6", "\x0f\x23\xf0"), I("mov dr7", "\x0f\x23\xf8"),
	I("wrmsr", "\x0f\x30"), I("rdmsr", "\x0f\x32"), I("rdpmc", "\x0f\x33"),
	I("sysenter", "\x0f\x34"), I("sysexit", "\x0f\x35"),
	I("sysexitq", "\x48\x0f\x35"), I("getsec", "\x0f\x37"),
	I("rsm", "\x0f\xaa"), I("invept", "\x66\x0f\x38\x80\x00"),
	I("invpcid", "\x66\x0f\x38\x82\x00"), I("vmptrld", "\x0f\xc7\x30"),
	I("in al,dx", "\xec"), I("in eax,dx", "\xed"),
	I("in ax,dx", "\x66\xed"),
	I("out dx,al", "\xee"), I("out dx,eax", "\xef"),
	I("in al,80", "\xe4\x80"), I("out 80,al", "\xe6\x80"),
	I("insb", "\x6c"), I("insd", "\x6d"), I("outsb", "\x6e"),
	I("outsd", "\x6f"), I("rep insb", "\xf3\x6c"),
	I("rep insd", "\xf3\x6d"), I("rep outsb", "\xf3\x6e"),
	I("rep outsd", "\xf3\x6f"), I("cli", "\xfa"), I("sti", "\xfb"),
	I("hlt", "\xf4"), I("int1", "\xf1"), I("int3", "\xcc"),
	I("into", "\xce"), I("iretq", "\x48\xcf"), I("iret", "\xcf"),
	I("lret", "\xcb"), I("popf", "\x9d"), I("sahf", "\x9e"),
	I("xen cpuid", "\x0f\x0bxen\x0f\xa2"), I("cpuid", "\x0f\xa2"),
	I("ud2 xen", "\x0f\x0bxen"), I("ud2", "\x0f\x0b"),
	I("lock hlt", "\xf0\xf4"), I("long", "\x66\x66\x66\x66\x66\x66\x66\x66"
	  "\x66\x66\x66\x66\x66\x66\xed"), I("rex in", "\x4f\xed"),
	I("fxrstor", "\x0f\xae\x08"), I("xrstor", "\x0f\xae\x28"),
	I("ldmxcsr", "\x0f\xae\x10"), I("xrstors", "\x0f\xc7\x18"),
	I("xsaves", "\x0f\xc7\x28"), I("senduipi", "\xf3\x0f\xc7\xf0"),
	I("wrss", "\x0f\x38\xf6\x00"), I("incssp", "\xf3\x48\x0f\xae\xe8"),
	I("endbr", "\xf3\x0f\x1e\xfa"), I("mov to seg", "\x8e\xd8"),
	I("mov ss", "\x8e\xd0"), I("wrfsbase", "\xf3\x48\x0f\xae\xd0"),
	I("wrgsbase", "\xf3\x48\x0f\xae\xd8"), I("lcall", "\xff\x18"),
	I("ljmp", "\xff\x28"), I("fld", "\xdb\x28"), I("emms", "\x0f\x77"),
	I("wbnoinvd", "\xf3\x0f\x09"), I("pconfig", "\x0f\x01\xc5"),
#undef I
};

static u64 operand(void)
{
	static const u64 msrs[] = { 0x10, 0x1b, 0x3a, 0x48, 0x49, 0x8b, 0x174,
		0x175, 0x176, 0x17, 0x1a0, 0x1d9, 0x277, 0x2ff, 0x600, 0x6a0,
		0x6e0, 0x800, 0xda0, 0xc0000080, 0xc0000081, 0xc0000082,
		0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102,
		0xc0000103, 0xc0010015, 0xc001001f, 0xc0010114, 0xc0010117 };

	return rnd() % 2 ? msrs[rnd() % ARRAY_SIZE(msrs)] : interesting();
}

static void privileged_in(int user)
{
	u64 i, k, fell = 0;
	struct regs r;

	for (k = 0; k < 12; k++)
		for (i = 0; i < ARRAY_SIZE(privileged); i++) {
			if (!user && same(privileged[i].name, "mov cr3"))
				continue;	/* that may well work */
			put_code(privileged[i].bytes, privileged[i].len);
			code[privileged[i].len] = 0x0f;
			code[privileged[i].len + 1] = user ? 0x05 : 0x0b;
			r = user_regs();
			r.rax = operand();
			r.rbx = operand();
			r.rcx = operand();
			r.rdx = rnd() % 2 ? rnd() % 0x10000 : operand();
			r.rsi = operand();
			r.rdi = operand();
			if (privileged[i].bytes[0] == '\xf3' && rnd() % 2)
				r.rcx = rnd() % 64;
			if (!user)
				r.cs = 0xe030;
			alarm(100 * MS);	/* if it waits for an event */
			if (n == 1)
				say("%s of %x %x %x\n", privileged[i].name,
				    r.rax, r.rcx, r.rdx);
			fell += run_user(&r) == EVENT;
			arm();
		}
	if (fell > 12 * 3)
		wrong("instructions that wait", fell);
	check_alive();
}
static void privileged_kernel(void) { privileged_in(0); }
static void privileged_user(void) { privileged_in(1); }

/* An emulated instruction that ends in a page that is not there. */
static void page_end(void)
{
	u64 i, cut;
	struct regs r;

	for (i = 0; i < ARRAY_SIZE(privileged); i++)
		for (cut = 1; cut <= privileged[i].len; cut++) {
			u64 k;

			PUT("");
			for (k = 0; k < cut; k++)
				code[PAGE_SIZE - cut + k] =
					privileged[i].bytes[k];
			r = user_regs();	/* next page: not canonical */
			r.cs = i % 2 ? 0xe030 : FLAT_CS;
			r.rip = TOP + PAGE_SIZE - cut;
			r.rcx = 8;
			alarm(20 * MS);
			run_user(&r);
			arm();
		}
	check_alive();
}

static void random_bytes(int user)
{
	u64 i, k;
	struct regs r;

	for (i = 0; i < rounds; i++) {
		for (k = 0; k < PAGE_SIZE; k += 8)
			*(u64 *)(code + k) = rnd();
		if (i % 2) {		/* something with meaning first */
			u64 p = rnd() % ARRAY_SIZE(privileged);

			for (k = 0; k < privileged[p].len; k++)
				code[k] = privileged[p].bytes[k];
		}
		r = user_regs();
		for (k = 0; k < 15; k++)
			((u64 *)&r)[k] = interesting();
		r.rflags = rnd() % 4 ? 0x202 : (rnd() & 0x40cd5) | 0x202;
		if (!user)
			r.cs = 0xe030;
		if (n && i >= n)		/* look closer */
			say("%x %x, rip %x, rflags %x, rax %x rcx %x rsp %x\n",
			    __builtin_bswap64(*(u64 *)code),
			    __builtin_bswap64(*(u64 *)(code + 8)), r.rip,
			    r.rflags, r.rax, r.rcx, r.rsp);
		alarm(3 * MS);
		run_user(&r);
		arm();
	}
	check_alive();
}
static void random_user(void) { random_bytes(1); }
static void random_kernel(void) { random_bytes(0); }

/* ---- debugging ---- */

static void debugreg(void)
{
	u64 i, k;
	struct regs r;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		for (k = 0; k < 9; k++)
			hypercall(SET_DEBUGREG, k, bad[i], 0, 0);
		for (k = 0; k < 4; k++)
			if (!hypercall(SET_DEBUGREG, k, bad[i], 0, 0) &&
			    bad[i] >= 0xffff800000000000 &&
			    bad[i] < 0xffff880000000000)
				wrong("a breakpoint on the hypervisor", bad[i]);
		/* All kinds and lengths, all enabled, GD too. */
		hypercall(SET_DEBUGREG, 7, 0xffffffffffffffff, 0, 0);
		hypercall(SET_DEBUGREG, 7, rnd(), 0, 0);
		hypercall(SET_DEBUGREG, 7, 0xffff27ff, 0, 0);
		PUT("\x0f\x05");
		r = user_regs();
		TRY(hypercall(XEN_VERSION, 0, 0, 0, 0));
		run_user(&r);
		hypercall(SET_DEBUGREG, 7, 0x400, 0, 0);
	}
	for (k = 0; k < 4; k++)
		hypercall(SET_DEBUGREG, k, 0, 0, 0);
	/* An honest one must work: stop at the user's first instruction. */
	hypercall(SET_DEBUGREG, 0, UCODE + 1, 0, 0);
	if (hypercall(SET_DEBUGREG, 7, 0x402, 0, 0))
		wrong("an honest breakpoint was refused", 0);
	PUT("\x90\x90\x0f\x05");
	r = user_regs();
	if (call_user(&r) != 1)
		wrong("the breakpoint was not hit", last_vector);
	hypercall(SET_DEBUGREG, 7, 0x400, 0, 0);
	check_alive();
}

/* A data breakpoint on what MOV SS reads: #DB comes after the next one. */
static void mov_ss(void)
{
	static const char *next[] = { "\x0f\x05", "\xcc\x90", "\xcd\x80",
				      "\xf1\x90", "\x0f\x0b", "\x0f\x34",
				      "\xcd\x03", "\xf4\x90" };
	struct regs r;
	u64 i, k;

	*(u64 *)ustack = FLAT_SS;
	hypercall(SET_DEBUGREG, 0, USTACK, 0, 0);
	hypercall(SET_DEBUGREG, 7, 0x000f0402, 0, 0);	/* R/W, 4 bytes */
	for (i = 0; i < ARRAY_SIZE(next); i++)
		for (k = 0; k < 4; k++) {
			if (k & 1) {		/* pop %ss has no 64-bit form */
				PUT("\x8e\x17..");	/* mov (%rdi), %ss */
				code[2] = next[i][0];
				code[3] = next[i][1];
			} else {
				PUT("\x66\x8e\x17..");
				code[3] = next[i][0];
				code[4] = next[i][1];
			}
			r = user_regs();
			r.rdi = USTACK;
			r.rax = XEN_VERSION;
			if (k & 2) {
				r.cs = 0xe030;
				r.rsp = (u64)stack + 8192;
			}
			r.rflags = i & 4 ? 0x302 : 0x202;
			alarm(20 * MS);
			run_user(&r);
			arm();
		}
	hypercall(SET_DEBUGREG, 7, 0x400, 0, 0);
	check_alive();
}

static void single_step(void)
{
	static const struct { const char *bytes; u64 len; } codes[] = {
#define C(bytes) { bytes, sizeof(bytes) - 1 }
		C("\x9d\x0f\x05\x90\x90"),		/* popf; syscall */
		C("\x9d\x0f\x34\x90\x90"),		/* popf; sysenter */
		C("\x9d\xcd\x80\x90\x90"),		/* popf; int 0x80 */
		C("\x9d\xf4\x90"), C("\x9d\x0f\x0b"),	/* hlt, ud2 */
		C("\x9d\xcc\x90"), C("\x9d\xf1\x90"),	/* int3, int1 */
		C("\x9d\x0f\xa2\x90"), C("\x9d\x0f\x0bxen\x0f\xa2\x90"),
		C("\x9d\x0f\x01\xf8\x90"), C("\x9d\xec\x90"),
		C("\x9d\x48\xcf"), C("\x9d\x8e\xd0\x0f\x05"),
#undef C
	};
	struct regs r;
	u64 i, k;

	for (k = 0; k < 2; k++)
		for (i = 0; i < ARRAY_SIZE(codes); i++) {
			put_code(codes[i].bytes, codes[i].len);
			r = user_regs();
			r.rsp = USTACK + 2048;
			*(u64 *)(ustack + 2048) = 0x302;
			r.rax = k ? XEN_VERSION : FLAT_SS;
			if (k)
				r.cs = 0xe030;
			alarm(20 * MS);
			run_user(&r);
			arm();
		}
	PUT("\x90\x90");
	r = user_regs();
	r.rflags = 0x302;
	if (call_user(&r) != 1)
		wrong("a single step gave another vector", last_vector);
	check_alive();
}

/* System calls and hypercalls with every flag there is. */
static void flags(void)
{
	struct regs r;
	u64 bit, k;

	for (bit = 0; bit < 32; bit++)
		for (k = 0; k < 2; k++) {
			PUT("\x0f\x05\x0f\x0b");
			r = user_regs();
			r.rax = XEN_VERSION;
			r.rflags = 0x202 | 1UL << bit;
			if (k)
				r.cs = 0xe030;
			run_user(&r);
			arm();
			check_alive();
		}
}

/* 32-bit code: its syscall has an entry of its own, far calls exist. */
static void compat(void)
{
	static const struct { const char *bytes; u64 len; } codes[] = {
#define C(bytes) { bytes, sizeof(bytes) - 1 }
		C("\x0f\x05\x0f\x0b"), C("\x0f\x34\x0f\x0b"),
		C("\xcd\x80\x0f\x0b"), C("\xcf"), C("\x0f\x07"),
		C("\x9a\x10\x00\x40\x00\x33\xe0\x0f\x0b"), /* lcall */
		C("\xea\x10\x00\x40\x00\x33\xe0\x0f\x0b"), /* ljmp */
		C("\x9a\x00\x00\x00\x00\x0b\xe0\x0f\x0b"),
		C("\x9a\x00\x00\x00\x00\x3b\xe0\x0f\x0b"),
		C("\x9a\x00\x00\x00\x00\x4b\xe0\x0f\x0b"),
		C("\xc4\x00\x0f\x0b"), C("\x62\x00\x0f\x0b"),
		C("\xce\x0f\x0b"), C("\xf4"),
#undef C
	};
	struct regs r;
	u64 i, k;

	for (k = 0; k < ARRAY_SIZE(bad) + 2; k++)
		for (i = 0; i < ARRAY_SIZE(codes); i++) {
			put_code(codes[i].bytes, codes[i].len);
			set_callback(7, k < 2 ? (u64)syscall_entry
					      : bad[k - 2]);
			r = user_regs();
			r.cs = k == 1 ? 0xe020 : 0xe023;
			r.rax = k == 1 ? XEN_VERSION : 0;
			alarm(20 * MS);
			run_user(&r);
			arm();
		}
	check_alive();
}

static void fpu(void)
{
	struct regs r;
	u64 i, k;

	hypercall(5, 1, 0, 0, 0);
	PUT("\xdb\xe3\x0f\x05");		/* fninit */
	r = user_regs();
	if (call_user(&r) != 7)
		wrong("no #NM after fpu_taskswitch(1)", last_vector);
	hypercall(5, 0, 0, 0, 0);
	r = user_regs();
	if (call_user(&r) != SYSCALLED)
		wrong("an FPU instruction traps", last_vector);
	for (i = 0; i < rounds; i++) {
		for (k = 0; k < sizeof(xstate); k += 8)
			*(u64 *)(xstate + k) = rnd() % 3 ? 0 : rnd();
		TRY(asm volatile("fxrstor64 %0" : : "m" (xstate)));
		TRY(asm volatile("xrstor64 %0" : : "m" (xstate),
				 "a" ((u32)rnd()), "d" ((u32)rnd())));
		TRY(asm volatile("ldmxcsr %0" : : "m" (xstate)));
		TRY(asm volatile("xsetbv" : : "a" ((u32)rnd() % 1024),
				 "d" (rnd() % 2), "c" (rnd() % 2)));
		TRY(asm volatile("fldcw %0\nfld1\nfldz\nfdivrp\nfwait"
				 : : "m" (xstate)));
		hypercall(XEN_VERSION, 0, 0, 0, 0);
	}
	TRY(asm volatile("fninit"));
	check_alive();
}

/* ---- never giving up the CPU ---- */

static void spin_masked(void)
{
	say("spinning\n");
	shared->vcpu[0].upcall_mask = 1;
	for (;;)
		;
}

static void spin_user(void)
{
	struct regs r = user_regs();

	say("spinning\n");
	r.rflags = 2;
	PUT("\xeb\xfe");
	run_user(&r);
}

static void trap_storm(void)	/* a page fault handler that faults */
{
	struct trap one[2] = { { 14, 4, FLAT_CS, 0x2000 } };

	say("spinning\n");
	hypercall(SET_TRAP_TABLE, (u64)one, 0, 0, 0);
	TRY(*(volatile u64 *)absent);
}

static void sleep_for_ever(void)
{
	say("spinning\n");
	for (;;)
		hypercall(SCHED_OP, 1, 0, 0, 0);
}

/* ---- what the switcher reads and writes without the host ---- */

static u64 edge(void) { return (u64)scratch[2]; }

/* Of the two pages at the edge, let the shadow have none, one, or both. */
static void forget(int keep)
{
	flush();
	if (keep & 1)
		scratch[1][511] = scratch[1][511];
	if (keep & 2)
		scratch[2][0] = scratch[2][0];
}

static void hide(const volatile void *p, u64 flags)
{
	map(p, mfn(p) * PAGE_SIZE | flags);
}

static void iret_at(u64 rip_word, struct regs *r)
{
	struct regs *at = (struct regs *)(rip_word - 16 * 8);

	r->error = 0;
	*at = *r;
	resume(at);
}

/* Frames across two pages, of which the shadow lacks one: nothing is lost. */
static void road_frames(void)
{
	struct regs r = user_regs();
	int keep;
	u64 k;

	PUT("\x0f\x05");
	for (keep = 0; keep < 4; keep++)
		for (k = 0; k <= 64; k++) {
			set_stack(edge() + k);
			forget(keep);
			if (call_user(&r) != SYSCALLED || last.rip != UCODE + 2 ||
			    last.cs != FLAT_CS || last.ss != FLAT_SS ||
			    last.rsp != r.rsp)
				wrong("a frame across pages", k);
		}
	set_stack((u64)stack + sizeof(stack));
	for (k = 0; k <= 72; k += 8) {
		flush();
		if (TRY(iret_at(edge() - k + 16, &r)) != SYSCALLED ||
		    last.rip != UCODE + 2 || last.rsp != r.rsp)
			wrong("an iret across pages", k);
	}
	check_alive();
}

/* Half of the stack is missing (n odd) or read-only. */
static void road_half_stack(void)
{
	struct regs r = user_regs();

	PUT("\x0f\x05");
	set_stack(edge() + n / 4 * 16 + 16);
	hide(scratch[1 + n / 2 % 2], n & 1 ? 0 : PRESENT | ACCESSED);
	run_user(&r);
}

static void road_half_iret(void)
{
	struct regs r = user_regs();
	u64 k = edge() - 8 * n;
	struct regs *at = (struct regs *)(k - 16 * 8);

	*at = r;
	at->error = 0;
	hide(scratch[2], 0);
	TRY(resume(at));
}

/* Lists of calls at the edge of everything. */
static void road_calls(void)
{
	static const u64 counts[] = { 0, 1, 2, 32, 33, 256, 1UL << 32, ~0UL };
	struct call { u64 op; long result; u64 args[6]; } *c;
	u64 i, k;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		for (k = 0; k < ARRAY_SIZE(counts); k++)
			hypercall(MULTICALL, bad[i], counts[k], 0, 0);
	arm();			/* zeros are set_trap_table(NULL) */
	for (k = 0; k < 3 * sizeof(*c); k += 8) {
		c = (struct call *)(edge() - k);
		c[0] = (struct call){ SET_SEGMENT_BASE, -1, { 1, bad[k / 8] } };
		c[1] = (struct call){ 5, -1, { 0 } };
		c[2] = (struct call){ STACK_SWITCH, -1, { FLAT_SS,
					(u64)stack + sizeof(stack) } };
		forget(k / 8 % 4);
		if (hypercall(MULTICALL, (u64)c, 3, 0, 0) || c[1].result ||
		    c[2].result || !c[0].result !=
		    ((u64)((long)(bad[k / 8] << 16) >> 16) == bad[k / 8]))
			wrong("a multicall across pages", k);
		/* The second page cannot be written, then not be read. */
		c[0].op = c[1].op = c[2].op = 5;
		c[0].args[0] = c[2].args[0] = 0;
		hide(scratch[2], PRESENT | ACCESSED);
		if (k < 2 * sizeof(*c) + 16 &&
		    hypercall(MULTICALL, (u64)c, 3, 0, 0) != -14)
			wrong("a result was written to a read-only page", k);
		hide(scratch[2], 0);
		if (hypercall(MULTICALL, (u64)c, 3, 0, 0) != -14)
			wrong("a list was read from no page", k);
		hide(scratch[2], PRESENT | WRITE | USER | ACCESSED | DIRTY);
	}
	c[0] = (struct call){ 5, -1, { 1 } };
	c[1] = (struct call){ 99, 0, { 0 } };
	if (hypercall(MULTICALL, (u64)c, 2, 0, 0) || c[0].result ||
	    c[1].result != -38)
		wrong("an unknown call in a list", c[1].result);
	if (TRY(asm volatile("fnop")) != 7 || TRY(asm volatile("fnop")) != NOTHING)
		wrong("TS", last_vector);
	check_alive();
}

/* The first access after an entry allows it must succeed, whether flushed or
 * not; one that is refused must be told with the right reason and address.
 * One exception, which a processor makes as well: a program's write to what
 * was read-only at the last flush or since, and has been made writable behind
 * the hypervisor's back, may fault once. */
static void own_faults(void)
{
	static const u64 ours[] = { 0xffff808000000000, 0xffff808000002010,
		0xffff80ffffffffe8, 0xffff80c060301800, 0xffff810000000000,
		0xffff810000001000, 0xffff820000001000, 0xffff828000000000,
		0xffff828040000008, 0xffff828080000000, 0xffff828100000000 };
	u64 a = UCODE + 2 * PAGE_SIZE, i, e, k, error, seen[2] = { 0, 0 };
	struct regs r = user_regs();
	u32 stored = 0, read_only = 0, flushed, v, write;

	for (i = 0; i < (rounds ? rounds : 4000); i++) {
		read_only |= (l1[2] & (PRESENT | USER | WRITE)) ==
			     (PRESENT | USER);
		e = mfn(scratch[3]) << 12 | (rnd() & (PRESENT | WRITE | USER |
						      ACCESSED | DIRTY));
		if (rnd() % 4)
			e |= PRESENT | USER | ACCESSED;
		if (rnd() % 3 == 0)
			e &= rnd() % 2 ? 0 : ~(u64)PRESENT;
		k = rnd() % 8;
		error = l1[2] & ~e & 0x67;	/* what it has less */
		if (k < 3)
			set_entry(&l1[2], e);
		else if (k < 5)
			hypercall(UPDATE_VA_MAPPING, a, e, rnd() % 3, 0);
		else if (k == 5)
			TRY(l1[2] = e);
		else if (k == 6)
			flush();
		else
			mmuext(7, a);
		flushed = k > 5;
		stored |= k == 5;
		if ((k < 6 && error) || rnd() % 8 == 0) {
			rnd() % 2 ? flush() : (void)mmuext(7, a);
			flushed = 1;
		}
		if (flushed)
			stored = read_only = 0;
		e = l1[2];
		write = rnd() % 2;
		if (write)
			PUT("\x88\x18\x0f\x05");
		else
			PUT("\x8a\x18\x0f\x05");
		error = write ? 6 : 4;
		r.rax = a + rnd() % PAGE_SIZE;
		v = call_user(&r);
		if (e & PRESENT && e & USER && (e & WRITE || !write)) {
			if (v == 14 && last.error == 7 && write && stored &&
			    read_only) {
				v = call_user(&r);
				stored = 0;
			}
			if (v != SYSCALLED)
				wrong("a fault at a page that is there", e);
			if (!(l1[2] & ACCESSED) || (write && !(l1[2] & DIRTY)))
				wrong("an access without a mark", l1[2]);
			continue;
		}
		error |= e & PRESENT;
		seen[e & PRESENT]++;
		if (v != 14 || last.error != error || last.rip != UCODE ||
		    last.rax != r.rax || shared->vcpu[0].cr2 != r.rax)
			say("wrong %s: %d, error 0x%x, not 0x%x\n", attack,
			    (u64)v, last.error, error);
	}
	/* Behind a flush nothing is held against the guest, whatever it was. */
	TRY((void)*(volatile u64 *)UCODE);	/* the kernel's root has the table, too */
	PUT("\x88\x18\x0f\x05");
	for (i = 0; i < 64; i++) {
		e = mfn(scratch[3]) << 12 | PRESENT | USER;
		set_entry(&l1[2], e | (i & 1 ? ACCESSED : 0));
		i & 2 ? flush() : (void)mmuext(7, a);
		r.rax = a;
		if (i & 4 && call_user(&r) != 14)
			wrong("a write to a read-only page", i);
		if (i & 8)		/* another entry of the table */
			TRY(l1[3] = l1[3]);
		TRY(l1[2] = e | WRITE);
		i & 16 ? flush() : (void)mmuext(7, a);
		if (call_user(&r) != SYSCALLED)
			wrong("a denial that outlived a flush", i);
	}
	if (!seen[0] || !seen[1])
		wrong("not all was tried", seen[0]);
	/* The map by which the hypervisor looks is nobody else's. */
	PUT("\x8a\x18\x0f\x05");
	for (i = 0; i < ARRAY_SIZE(ours); i++) {
		if (TRY((void)*(volatile u64 *)ours[i]) != 14 || last.error & 1)
			wrong("the kernel reads the map", ours[i]);
		r.rax = ours[i];
		if (call_user(&r) != 14)
			wrong("a program reads the map", ours[i]);
		if (hypercall(MMUEXT_OP, ours[i], 1, 0, DOMID_SELF) != -14)
			wrong("operations in the map", ours[i]);
	}
	check_alive();
}

/* Flushes: lists at the edge of pages, and where nothing may be read. */
static void road_flushes(void)
{
	struct { u32 cmd, pad; u64 arg[2]; } *op;
	u64 i, k;
	long r;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		for (k = 0; k < 4; k++)
			hypercall(MMUEXT_OP, bad[i], k, k == 3 ? bad[i] : 0,
				  DOMID_SELF);
	for (i = 0; i < 6; i++)
		if (hypercall(MMUEXT_OP, bad[i], 1, 0, DOMID_SELF) != -14)
			wrong("operations of ours", bad[i]);
	for (k = 0; k <= 24; k++) {
		op = (void *)(edge() - k);
		op->cmd = 6 + k % 2;
		op->arg[0] = bad[k % ARRAY_SIZE(bad)];
		forget(k % 4);
		if (hypercall(MMUEXT_OP, (u64)op, 1, 0, DOMID_SELF))
			wrong("a flush across pages", k);
		hide(scratch[2], 0);
		r = hypercall(MMUEXT_OP, (u64)op, 1, 0, DOMID_SELF);
		if (r != (k == 24 ? 0 : -14))
			wrong("a flush from no page", k);
		hide(scratch[2], PRESENT | WRITE | USER | ACCESSED | DIRTY);
	}
	check_alive();
}
