/* SPDX-License-Identifier: GPL-2.0 */
/* A program in user mode, with page tables of its own, and system calls. */
#include "../guest.h"

#define CODE	0x400000		/* where the program sees itself */
#define STACK	0x401000		/* and its stack page */

enum { CALL_PRINT, CALL_ADD, CALL_EXIT };
enum { SYSCALL_CALLBACK = 2 };

/* The program: copied to a page of its own, it knows nothing of the rest. */
extern char program[], program_end[];
asm(".section .rodata\n"
    "program:\n"
    "	mov $0, %eax\n"			/* print(text) */
    "	lea text(%rip), %rdi\n"
    "	syscall\n"
    "	mov $1, %eax\n"			/* add(40, 2) */
    "	mov $40, %edi\n"
    "	mov $2, %esi\n"
    "	syscall\n"
    "	mov %rax, %rdi\n"		/* exit(sum) */
    "	mov $2, %eax\n"
    "	push %rax\n"			/* the stack is there, too */
    "	pop %rax\n"
    "	syscall\n"
    "text:	.asciz \"hello from user mode\"\n"
    "program_end:\n"
    ".text");

static volatile u64 l4[512] PAGE_ALIGNED, l3[512] PAGE_ALIGNED;
static volatile u64 l2[512] PAGE_ALIGNED, l1[512] PAGE_ALIGNED;
static char code[PAGE_SIZE] PAGE_ALIGNED, stack[PAGE_SIZE] PAGE_ALIGNED;
static char kernel_stack[PAGE_SIZE] __attribute__((aligned(16)));

void on_syscall(struct regs *regs)
{
	switch (regs->rax) {
	case CALL_PRINT:		/* never trust a user's pointer */
		if (regs->rdi - CODE < PAGE_SIZE)
			say("usermode: it prints: %s\n",
			    code + (regs->rdi - CODE));
		break;
	case CALL_ADD:
		say("usermode: it adds %d and %d\n", regs->rdi, regs->rsi);
		regs->rax = regs->rdi + regs->rsi;
		break;
	case CALL_EXIT:
		say("usermode: it ends with %d\n", regs->rdi);
		shut_down(POWEROFF);
	}
}
ENTRY(syscall_entry, on_syscall, NO_ERROR_CODE);

int main(void)
{
	struct { u16 type, flags; u64 entry; } callback =
		{ SYSCALL_CALLBACK, 0, (u64)syscall_entry };
	struct { u64 rax, r11, rcx, flags, rip, cs, rflags, rsp, ss; } user = {
		.rip = CODE, .cs = FLAT_CS, .rflags = EVENTS_ON,
		.rsp = STACK + PAGE_SIZE, .ss = FLAT_SS,
	};
	int i;

	for (i = 0; program + i < program_end; i++)
		code[i] = program[i];
	l4[0] = mfn(l3) * PAGE_SIZE | PRESENT | WRITE | USER | ACCESSED;
	l3[0] = mfn(l2) * PAGE_SIZE | PRESENT | WRITE | USER | ACCESSED;
	l2[2] = mfn(l1) * PAGE_SIZE | PRESENT | WRITE | USER | ACCESSED;
	l1[0] = mfn(code) * PAGE_SIZE | PRESENT | USER;
	l1[1] = mfn(stack) * PAGE_SIZE | PRESENT | WRITE | USER;
	if (protect(l4) || protect(l3) || protect(l2) || protect(l1) ||
	    mmuext(PIN_L4, mfn(l4)) || mmuext(NEW_USER_BASEPTR, mfn(l4)))
		return CRASH;

	/* Where a system call arrives, and on which stack. */
	if (hypercall(CALLBACK_OP, 0, (u64)&callback, 0, 0) ||
	    hypercall(STACK_SWITCH, FLAT_SS,
		      (u64)kernel_stack + sizeof(kernel_stack), 0, 0))
		return CRASH;

	say("usermode: starting a program at %x\n", (u64)CODE);
	asm volatile("mov %0, %%rsp\n"
		     "mov %1, %%eax\n"
		     "syscall" : : "r" (&user), "i" (IRET) : "memory");
	__builtin_unreachable();
}
