/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest that attacks its hypervisor.  The command line chooses how:
 * attack=NAME, n=NUMBER (which pointer, which frame), seed= and rounds=.
 * It prints "survived NAME" at the end, or "wrong NAME: ..." where the
 * interface promises something else.  Many attacks should kill the guest
 * instead; the table in tests/hostile/run says which.
 */
#include "../../examples/guest.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define UCODE		0x400000UL	/* user's code page, in both roots */
#define USTACK		0x401000UL	/* user's stack page */
#define TOP		0x7ffffffff000UL /* last page below the hole */
#define MS		1000000UL
#define SYSCALLED	0x100		/* "vectors" of our own */
#define EVENT		0x101
#define NOTHING		0x102

static volatile struct shared_info *shared;
static const char *attack;
static char attack_name[32];
static u64 n, seed, rounds;
static u32 timer_port;
static volatile u64 absent = 8;	/* nothing is mapped there */

static volatile u64 l4[512] PAGE_ALIGNED, l3[512] PAGE_ALIGNED;
static volatile u64 l2[512] PAGE_ALIGNED, l1[512] PAGE_ALIGNED;
static volatile u64 top3[512] PAGE_ALIGNED, top2[512] PAGE_ALIGNED;
static volatile u64 top1[512] PAGE_ALIGNED;
static u8 code[PAGE_SIZE] PAGE_ALIGNED, ustack[PAGE_SIZE] PAGE_ALIGNED;
static volatile u64 scratch[4][512] PAGE_ALIGNED;
static u8 stack[16384] PAGE_ALIGNED, xstate[PAGE_SIZE] PAGE_ALIGNED;

/* ---- traps, events and system calls all come back to one place ---- */

u32 last_vector;
static struct regs last;
static volatile int trying;

/* Remember this place; come back to it with 1 for an answer. */
static u64 back[8];
int mark(u64 *) __attribute__((returns_twice));
void go_back(u64 *) __attribute__((noreturn));
asm("mark: mov %rbx, (%rdi)\nmov %rbp, 8(%rdi)\nmov %r12, 16(%rdi)\n"
    "mov %r13, 24(%rdi)\nmov %r14, 32(%rdi)\nmov %r15, 40(%rdi)\n"
    "lea 8(%rsp), %rax\nmov %rax, 48(%rdi)\n"
    "mov (%rsp), %rax\nmov %rax, 56(%rdi)\nxor %eax, %eax\nret\n"
    "go_back: mov (%rdi), %rbx\nmov 8(%rdi), %rbp\nmov 16(%rdi), %r12\n"
    "mov 24(%rdi), %r13\nmov 32(%rdi), %r14\nmov 40(%rdi), %r15\n"
    "mov 48(%rdi), %rsp\nmov $1, %eax\njmp *56(%rdi)\n");

struct trap { u8 vector, flags; u16 cs; u64 entry; };
static struct trap traps[257];

extern char stubs[];
asm(".text\n.balign 64\nstubs:\n"
    ".set v, 0\n"
    ".rept 256\n"
    ".balign 64\n"
    "movl $v, last_vector\n"
    ".if !(v == 8 || (v >= 10 && v <= 14) || v == 17 || v == 21 || v == 29 || v == 30)\n"
    "push (%rsp)\n"			/* make room for an error code */
    "mov 16(%rsp), %r11\n"
    "mov %r11, 8(%rsp)\n"
    "movq $0, 16(%rsp)\n"
    ".endif\n"
    "jmp common_entry\n"
    ".set v, v + 1\n"
    ".endr\n"
    ".balign 64\n");

/* Load all registers from a struct regs and go there by the iret hypercall. */
void resume(struct regs *);
asm("resume: mov %rdi, %rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\n"
    "pop %r11\npop %r10\npop %r9\npop %r8\n"
    "pop %rbp\npop %rdi\npop %rsi\npop %rdx\npop %rcx\npop %rbx\npop %rax\n"
    "push %rcx\npush %r11\npush %rax\n"
    "mov $23, %eax\nsyscall\n");

__attribute__((noreturn)) static void finish(u32 reason)
{
	shut_down(reason);
	__builtin_trap();
}

static int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static void wrong(const char *what, u64 value)
{
	say("wrong %s: %s (0x%x)\n", attack, what, value);
}

static void leave(u32 vector, struct regs *regs)
{
	last = *regs;
	if (!trying) {
		say("wrong %s: vector %d at 0x%x, error 0x%x, cr2 0x%x\n",
		    attack, (u64)vector, regs->rip, regs->error,
		    shared->vcpu[0].cr2);
		finish(CRASH);
	}
	trying = 0;
	last_vector = vector;
	shared->vcpu[0].upcall_mask = 1;
	go_back(back);
}

void on_common(struct regs *regs) { leave(last_vector, regs); }
void on_syscall(struct regs *regs) { leave(SYSCALLED, regs); }
ENTRY(common_entry, on_common, ERROR_CODE);
ENTRY(syscall_entry, on_syscall, NO_ERROR_CODE);

void on_event(struct regs *regs)
{
	shared->vcpu[0].upcall_pending = 0;
	shared->vcpu[0].pending_sel = 0;
	shared->pending[timer_port / 64] = 0;
	if (trying)
		leave(EVENT, regs);
}
ENTRY(event_entry, on_event, NO_ERROR_CODE);

/* Run a statement; the vector of the trap that ended it, or NOTHING. */
#define TRY(statement) ({						\
	trying = 1;							\
	if (!mark(back)) {					\
		statement;						\
		trying = 0;						\
		last_vector = NOTHING;					\
	}								\
	last_vector; })

static void user_mode(struct regs *regs)
{
	static struct { struct regs r; } frame;

	regs->error = 0;			/* the flags of the iret */
	frame.r = *regs;
	resume(&frame.r);
}

/* Run what stands in the user's code page. */
static u32 run_user(struct regs *regs)
{
	return TRY(user_mode(regs));
}

/* The same, when an event in between is none of our business. */
static u32 call_user(struct regs *regs)
{
	u32 v, i;

	for (i = 0; i < 5; i++) {
		v = run_user(regs);
		if (v != EVENT)
			break;
	}
	return v;
}

static struct regs user_regs(void)
{
	return (struct regs){
		.rip = UCODE, .cs = FLAT_CS, .rflags = EVENTS_ON,
		.rsp = USTACK + PAGE_SIZE - 64, .ss = FLAT_SS,
	};
}

/* ---- time, randomness, interesting values ---- */

static u64 now(void)
{
	volatile struct vcpu_info *v = &shared->vcpu[0];
	u32 low, high, version;
	u64 delta, ns;

	do {
		version = v->time.version & ~1;
		asm volatile("rdtsc" : "=a" (low), "=d" (high) : : "memory");
		delta = ((u64)high << 32 | low) - v->time.tsc;
		if (v->time.shift >= 0)
			delta <<= v->time.shift;
		else
			delta >>= -v->time.shift;
		ns = v->time.ns +
		     ((unsigned __int128)delta * v->time.mul >> 32);
	} while (v->time.version != version);
	return ns;
}

static void alarm(u64 ns)
{
	struct { u64 when; u32 flags; } timer = { now() + ns, 0 };

	hypercall(VCPU_OP, 8, 0, (u64)&timer, 0);
}

static u64 rnd(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545f4914f6cdd1dUL;
}

/* The first ones must never be a place to store a frame. */
static u64 bad[] = {
	0xffff800000000000, 0xffff800000001008, 0xffff804000000000,
	0xffff83fffffff000, 0xffff870000000100, 0xffff87fffffffff8,
	0xffff880000000000, 0xffff880000000008, 0x0000800000000000,
	0x0000800000000010, 0xffff7ffffffffff8, 0xffff800000000008,
	0x8000000000000000, 0x0000000000000000, 0x0000000000000008,
	0x0000000000002000, 0xffffffffffffffff, 0xfffffffffffffff8,
	0xffffffffc0000000, 0x00007ffffffffff8,
	/* lguest's first guests: a register area, host page, IDT, GDT */
	0xffff8000400091b0, 0xffff80004000a000, 0xffff80004000a010,
	0xffff8000800091b0,
	0, 0, 0,			/* what sidt and sgdt say, if they do */
};

static void find_tables(void)
{
	struct __attribute__((packed)) { u16 limit; u64 base; } t = { 0, 0 };

	bad[24] = bad[25] = bad[26] = bad[0];
	if (TRY(asm volatile("sidt %0" : "=m" (t))) == NOTHING)
		bad[24] = t.base;
	if (TRY(asm volatile("sgdt %0" : "=m" (t))) == NOTHING) {
		bad[25] = t.base;
		bad[26] = t.base + 0xe000 + 4096;
	}
}

static u64 interesting(void)
{
	switch (rnd() % 12) {
	case 0: return rnd();
	case 1: return rnd() % 64;
	case 2: return bad[rnd() % ARRAY_SIZE(bad)];
	case 3: return bad[rnd() % ARRAY_SIZE(bad)] + rnd() % 8192 - 4096;
	case 4: return (u64)scratch + rnd() % sizeof(scratch);
	case 5: return (u64)scratch;
	case 6: return 1UL << rnd() % 64;
	case 7: return -(rnd() % 4096);
	case 8: return start_info->nr_pages + rnd() % 4 - 2;
	case 9: return (start_info->nr_pages << 12) + rnd() % 16 - 8;
	case 10: return 0;
	default: return mfn(scratch) << rnd() % 2 * 12;
	}
}

/* ---- setting up, also in the middle of a fuzzing run ---- */

static long set_entry(volatile u64 *entry, u64 value)
{
	struct { u64 ptr, val; } update = {
		mfn(entry) * PAGE_SIZE + (u64)entry % PAGE_SIZE, value
	};
	u32 done;

	return hypercall(MMU_UPDATE, (u64)&update, 1, (u64)&done, DOMID_SELF);
}

static void flush(void) { mmuext(6, 0); }

static long set_callback(u16 type, u64 entry)
{
	struct { u16 type, flags; u64 entry; } callback = { type, 0, entry };

	return hypercall(CALLBACK_OP, 0, (u64)&callback, 0, 0);
}

static long set_traps(int flags)
{
	int i;

	for (i = 0; i < 256; i++)
		traps[i] = (struct trap){ i, flags | 4, FLAT_CS,
					  (u64)stubs + 64 * i };
	return hypercall(SET_TRAP_TABLE, (u64)traps, 0, 0, 0);
}

static void set_stack(u64 top)
{
	hypercall(STACK_SWITCH, FLAT_SS, top, 0, 0);
}

static void arm(void)
{
	set_traps(0);
	set_callback(0, (u64)event_entry);
	set_callback(2, (u64)syscall_entry);
	set_stack((u64)stack + sizeof(stack));
	shared->vcpu[0].upcall_mask = 1;
}

static void build_user(void)
{
	u64 table = PRESENT | WRITE | USER | ACCESSED;

	l4[0] = mfn(l3) << 12 | table;
	l3[0] = mfn(l2) << 12 | table;
	l2[2] = mfn(l1) << 12 | table;
	l1[0] = mfn(code) << 12 | PRESENT | WRITE | USER;
	l1[1] = mfn(ustack) << 12 | PRESENT | WRITE | USER;
	l4[255] = mfn(top3) << 12 | table;
	top3[511] = mfn(top2) << 12 | table;
	top2[511] = mfn(top1) << 12 | table;
	top1[511] = mfn(code) << 12 | PRESENT | WRITE | USER;
	if (protect(l4) || protect(l3) || protect(l2) || protect(l1) ||
	    protect(top3) || protect(top2) || protect(top1) ||
	    mmuext(PIN_L4, mfn(l4)) || mmuext(NEW_USER_BASEPTR, mfn(l4)))
		wrong("the user's page tables were refused", 0);
	set_entry((u64 *)start_info->pt_base, l4[0]);
	set_entry((u64 *)start_info->pt_base + 255, l4[255]);
}

static void put_code(const char *bytes, u64 len)
{
	u64 i;

	for (i = 0; i < PAGE_SIZE; i++)
		code[i] = i < len ? bytes[i] : 0xcc;
}
#define PUT(bytes) put_code(bytes, sizeof(bytes) - 1)

/* Everything still works: a hypercall, and the way to user mode and back. */
static void check_alive(void)
{
	struct regs r = user_regs();
	u32 v;

	if (hypercall(XEN_VERSION, 0, 0, 0, 0) <= 0)
		wrong("xen_version answers nonsense", 0);
	PUT("\x0f\x05");
	v = call_user(&r);
	if (v != SYSCALLED)
		say("wrong %s: a plain system call gave trap %d at 0x%x, error "
		    "0x%x, cr2 0x%x\n", attack, (u64)v, last.rip, last.error,
		    shared->vcpu[0].cr2);
}

#include "attacks.h"

/* The text after "key=" on the command line, or "". */
static const char *option(const char *key)
{
	const char *s = start_info->cmd_line, *p, *k;

	for (; *s; s++) {
		for (p = s, k = key; *k && *p == *k; p++, k++)
			;
		if (!*k && *p == '=')
			return p + 1;
	}
	return "";
}

static u64 number(const char *key)
{
	const char *s = option(key);
	u64 value = 0;

	for (; *s >= '0' && *s <= '9'; s++)
		value = value * 10 + *s - '0';
	return value;
}

#include "devices.h"

#define A(name) { #name, name }
static const struct { const char *name; void (*run)(void); } attacks[] = {
	A(stack_syscall), A(stack_trap), A(stack_event), A(kstack_hypercall),
	A(kstack_iret), A(kstack_fault), A(kstack_trap), A(entry_syscall),
	A(entry_event), A(entry_trap), A(entry_fault), A(trap_table),
	A(iret_frame), A(iretq), A(iret_vm),
	A(top_of_user), A(segment_base), A(gdt),
	A(descriptor), A(ldt), A(areas), A(scribble), A(probe),
	A(user_probe_kernel), A(mmu_update), A(pt_bits), A(pt_frames),
	A(stale_copy),
	A(pt_loop), A(pt_slots), A(kept_tables), A(newbase_wild), A(newbase_garbage),
	A(userbase_garbage), A(blowup), A(multicall), A(multicall_iret),
	A(console), A(events), A(timers), A(vcpus), A(fuzz_gently), A(fuzz),
	A(int_kernel), A(int_user), A(privileged_kernel), A(privileged_user),
	A(page_end), A(random_user), A(random_kernel), A(debugreg), A(mov_ss),
	A(single_step), A(flags), A(compat), A(fpu), A(spin_masked), A(spin_user),
	A(trap_storm), A(sleep_for_ever), A(many),
	A(road_frames), A(road_half_stack), A(road_half_iret), A(road_calls),
	A(road_flushes), A(own_faults),
	A(dev_ports), A(dev_absent), A(dev_config_space), A(dev_pci_cfg),
	A(dev_loop), A(dev_wild), A(dev_heads), A(dev_order), A(dev_leap),
	A(dev_indirect), A(dev_not_agreed), A(dev_ring_address),
	A(dev_queue_size), A(dev_status), A(dev_reset_in_flight), A(dev_bells),
	A(dev_race), A(dev_pirq), A(dev_own_config), A(dev_block_requests),
	A(dev_block_shapes), A(dev_net_packets), A(dev_net_buffers), A(dev_fuzz),
};

int main(void)
{
	struct { u32 virq, vcpu, port; } bind = { 0, 0, 0 };
	struct { u64 mfn; u32 offset, pad; } info = { 0, 0, 0 };
	const char *s = option("attack");
	u64 i;

	attack = attack_name;
	for (i = 0; s[i] > ' ' && i < sizeof(attack_name) - 1; i++)
		attack_name[i] = s[i];
	n = number("n");
	seed = number("seed") * 0x9e3779b97f4a7c15UL + 1;
	rounds = number("rounds");
	shared = map_shared_info();
	/* Where it is already: the straight road needs it registered. */
	info.mfn = start_info->shared_info / PAGE_SIZE;
	hypercall(VCPU_OP, 10, 0, (u64)&info, 0);
	shared->vcpu[0].upcall_pending = 0;
	arm();
	build_user();
	hypercall(EVENT_CHANNEL_OP, 1, (u64)&bind, 0, 0);
	timer_port = bind.port;
	find_tables();
	check_alive();
	for (i = 0; i < ARRAY_SIZE(attacks); i++)
		if (same(attack, attacks[i].name)) {
			attacks[i].run();
			say("survived %s\n", attack);
			return 0;
		}
	if (same(attack, "list"))
		for (i = 0; i < ARRAY_SIZE(attacks); i++)
			say("%s\n", attacks[i].name);
	else
		wrong("there is no such attack", 0);
	return 0;
}
