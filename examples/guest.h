/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the guests written in C share: the parts of the Xen PV interface that
 * they use, a way to print, and a way in for traps, events and system calls.
 */
#ifndef GUEST_H
#define GUEST_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

#define VIRT_BASE	0xffffffff80000000	/* of frame 0, see notes.S */
#define PAGE_SIZE	4096
#define PAGE_ALIGNED	__attribute__((aligned(PAGE_SIZE)))
#define FLAT_CS		0xe033		/* 64-bit code */
#define FLAT_SS		0xe02b		/* stack and data */
#define EVENTS_ON	0x200		/* rflags.IF: events are welcome */

enum {
	SET_TRAP_TABLE = 0, MMU_UPDATE = 1, SET_GDT = 2, STACK_SWITCH = 3,
	SET_DEBUGREG = 8, GET_DEBUGREG = 9, UPDATE_DESCRIPTOR = 10,
	MEMORY_OP = 12, MULTICALL = 13, UPDATE_VA_MAPPING = 14,
	XEN_VERSION = 17, CONSOLE_IO = 18, IRET = 23, VCPU_OP = 24,
	SET_SEGMENT_BASE = 25, MMUEXT_OP = 26, SCHED_OP = 29,
	CALLBACK_OP = 30, EVENT_CHANNEL_OP = 32,
};

enum { INVLPG = 2 };			/* flag of update_va_mapping */
enum { PRESENT = 1, WRITE = 2, USER = 4, ACCESSED = 0x20, DIRTY = 0x40 };
enum { DOMID_SELF = 0x7ff0 };

/* The first page of what the loader tells; rsi points at it at the start. */
struct start_info {
	char magic[32];
	u64 nr_pages;			/* memory, in pages */
	u64 shared_info;		/* machine address */
	u32 flags;
	u64 store_mfn;
	u32 store_port;
	u64 console_mfn;
	u32 console_port;
	u64 pt_base;			/* the page tables' root, virtual */
	u64 nr_pt_frames;
	u64 mfn_list;			/* u64[nr_pages]: pfn to mfn */
	u64 mod_start, mod_len;		/* the initrd */
	char cmd_line[1024];
};

/* One CPU's part of what guest and hypervisor share. */
struct vcpu_info {
	u8 upcall_pending;
	u8 upcall_mask;			/* 1: no events, please */
	u64 pending_sel;
	u64 cr2;			/* address of the last page fault */
	u64 pad;
	struct {			/* time as a function of the TSC */
		u32 version, pad;
		u64 tsc, ns;
		u32 mul;
		signed char shift;
		u8 flags, pad2[2];
	} time;
};

struct shared_info {
	struct vcpu_info vcpu[32];
	u64 pending[64];		/* a bit for each event channel */
	u64 mask[64];
};

/* The registers that an entry point made by ENTRY hands to its handler. */
struct regs {
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rbp, rdi, rsi, rdx, rcx, rbx, rax;
	u64 error, rip, cs, rflags, rsp, ss;
};

extern struct start_info *start_info;

static inline long hypercall(u64 nr, u64 a, u64 b, u64 c, u64 d)
{
	register u64 r10 asm("r10") = d;
	long ret;

	asm volatile("syscall"
		     : "=a" (ret), "+D" (a), "+S" (b), "+d" (c), "+r" (r10)
		     : "0" (nr) : "rcx", "r11", "memory");
	return ret;
}

/*
 * ENTRY(name, handler, code) makes an address to give to the hypervisor,
 * which pushes ss, rsp, rflags, cs, rip, for some traps an error code, and
 * r11 and rcx before it jumps there.  handler gets the registers and may
 * change them; the iret hypercall puts them back.  code is ERROR_CODE for
 * a trap that pushes one, NO_ERROR_CODE for everything else.
 */
#define ERROR_CODE
#define NO_ERROR_CODE	"push $0\n"
#define ENTRY(name, handler, code)					\
	void name(void);						\
	asm(".text\n.globl " #name "\n" #name ":\n"			\
	    "pop %rcx\n" "pop %r11\n" code				\
	    "push %rax\n" "push %rbx\n" "push %rcx\n" "push %rdx\n"	\
	    "push %rsi\n" "push %rdi\n" "push %rbp\n"			\
	    "push %r8\n" "push %r9\n" "push %r10\n" "push %r11\n"	\
	    "push %r12\n" "push %r13\n" "push %r14\n" "push %r15\n"	\
	    "mov %rsp, %rdi\n" "mov %rsp, %rbp\n"			\
	    "and $-16, %rsp\n" "cld\n" "call " #handler "\n"		\
	    "mov %rbp, %rsp\n"						\
	    "pop %r15\n" "pop %r14\n" "pop %r13\n" "pop %r12\n"	\
	    "pop %r11\n" "pop %r10\n" "pop %r9\n" "pop %r8\n"		\
	    "pop %rbp\n" "pop %rdi\n" "pop %rsi\n"			\
	    "pop %rdx\n" "pop %rcx\n" "pop %rbx\n" "pop %rax\n"	\
	    "movq $0, (%rsp)\n"		/* error code becomes flags */	\
	    "push %rcx\n" "push %r11\n" "push %rax\n"			\
	    "mov $23, %eax\n" "syscall\n")

/* The machine frame behind an address of the image. */
static inline u64 mfn(const volatile void *p)
{
	return ((u64 *)start_info->mfn_list)[((u64)p - VIRT_BASE) / PAGE_SIZE];
}

/* Change the page table entry of an address of the image. */
static inline long map(const volatile void *p, u64 pte)
{
	return hypercall(UPDATE_VA_MAPPING, (u64)p, pte, INVLPG, 0);
}

/* A page table must be mapped read-only before it is used as one. */
static inline long protect(const volatile void *p)
{
	return map(p, mfn(p) * PAGE_SIZE | PRESENT | ACCESSED);
}

/* Events, the clock and cr2 are found in shared_info, once it is mapped. */
static inline volatile struct shared_info *map_shared_info(void)
{
	static u8 page[PAGE_SIZE] PAGE_ALIGNED;

	map(page, start_info->shared_info | PRESENT | WRITE);
	return (void *)page;
}

static inline long mmuext(u32 cmd, u64 arg)
{
	struct { u32 cmd; u64 arg1, arg2; } op = { cmd, arg, 0 };

	return hypercall(MMUEXT_OP, (u64)&op, 1, 0, DOMID_SELF);
}
enum { PIN_L4 = 3, UNPIN = 4, NEW_BASEPTR = 5, NEW_USER_BASEPTR = 15 };

/* End at once; a launcher that is told 0 reports no error. */
enum { POWEROFF = 0, REBOOT = 1, CRASH = 3 };
static inline void shut_down(u32 reason)
{
	hypercall(SCHED_OP, 2, (u64)&reason, 0, 0);
}

/* Print with %s, %d (unsigned decimal), %x (hexadecimal) and %%. */
static inline void say(const char *format, ...)
{
	__builtin_va_list args;
	char line[160], *end = line + sizeof(line), *out = line;
	const char *in;

	__builtin_va_start(args, format);
	for (; *format && out < end; format++) {
		char digits[24], *d = digits + sizeof(digits) - 1;
		u64 base, n;

		*d = 0;
		in = d;
		if (*format != '%') {
			*out++ = *format;
			continue;
		}
		if (*++format == 's') {
			in = __builtin_va_arg(args, const char *);
		} else if (*format == 'd' || *format == 'x') {
			base = *format == 'd' ? 10 : 16;
			n = __builtin_va_arg(args, u64);
			do
				*--d = "0123456789abcdef"[n % base];
			while (n /= base);
			in = d;
		} else {
			*out++ = '%';
		}
		while (*in && out < end)
			*out++ = *in++;
	}
	__builtin_va_end(args);
	hypercall(CONSOLE_IO, 0, out - line, (u64)line, 0);
}

#endif /* GUEST_H */
