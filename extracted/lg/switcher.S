/* SPDX-License-Identifier: GPL-2.0 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/cpufeatures.h>
#include <asm/nospec-branch.h>
#include <asm/msr-index.h>
#include "switcher.h"
#include "offsets.h"

#define DATA(off)	(lg_switcher + LG_P_DATA * 4096 + (off))(%rip)
#define HOST(off)	(lg_switcher + LG_P_HOST * 4096 + (off))(%rip)
/* read and write a segment's base */
.macro get_base seg, msr, at
	/* read it by an instruction of its own */
	testl	$X86_CR4_FSGSBASE, DATA(LG_D_CR4)
	jz	1f
	rd\seg\()base %rax
	movq	%rax, DATA(\at)
	jmp	2f
	1:
	movl	$\msr, %ecx
	rdmsr
	movl	%eax, DATA(\at)
	movl	%edx, DATA(\at + 4)
2:
.endm
.macro set_base seg, msr, page, at
	/* write it by an instruction of its own */
	testl	$X86_CR4_FSGSBASE, DATA(LG_D_CR4)
	jz	1f
	movq	lg_switcher + \page * 4096 + \at(%rip), %rax
	wr\seg\()base %rax
	jmp	2f
	1:
	movl	$\msr, %ecx
	movl	lg_switcher + \page * 4096 + \at(%rip), %eax
	movl	lg_switcher + \page * 4096 + \at + 4(%rip), %edx
	wrmsr
2:
.endm
/* return to ring 0 without iretq */
/*
 * Return to ring 0 from an IST stack that holds just the CPU's frame.  No
 * iretq: that would unblock NMIs, and the host must take the one that is
 * noted, by int $2, before the next may come.
 */
.macro resume slot
	pushq	16(%rsp)
	popfq
	popq	DATA(\slot)
	movq	16(%rsp), %rsp
	jmp	*DATA(\slot)
.endm

	.section .lg_switcher, "a"
	.balign 4096
SYM_DATA_START(lg_switcher)

/* push each vector's number */
vectors:
	vec = 0
	.rept 256
	.balign 16
	endbr64
	.if vec != 8 && !(vec >= 10 && vec <= 14) && vec != 17 && \
	    vec != 21 && vec != 29 && vec != 30
	pushq	$0
	.endif
	.if vec < 128
	pushq	$vec
	.else
	.byte	0x68		/* pushq imm32, or the sign would show */
	.long	vec
	.endif
	/* jump to the vector's handler */
		.if vec == 2 || vec == 18
		jmp	unmaskable
		.elseif vec == 1 || vec == 8
		jmp	debug
		.else
		jmp	trap
		.endif
	vec = vec + 1
	.endr
/* take system calls */
.macro system_call name, cs, number
	.balign 16
\name:
	endbr64
	movq	%rsp, DATA(LG_D_SCRATCH)
	leaq	DATA(LG_D_REGS_END), %rsp
	pushq	$LG_USER_SS
	pushq	DATA(LG_D_SCRATCH)
	pushq	%r11
	pushq	$\cs
	pushq	%rcx
	pushq	$0
	pushq	$\number
	jmp	save
.endm
	system_call syscall64, LG_USER_CS, LG_TRAP_SYSCALL
	system_call syscall32, LG_USER_CS32, LG_TRAP_SYSCALL32

/* save the guest's registers */
trap:
	testb	$3, 24(%rsp)
	jz	from_ring0
save:
	/* stay in the guest's world */
		cmpb	$0, DATA(LG_D_ROAD)
		jne	road
	off_road:
	.irp	reg, rdi, rsi, rdx, rcx, rax, r8, r9, r10, r11, rbx, rbp, r12, \
		r13, r14, r15
	pushq	%\reg
	.endr

/* leave for the host */
leave:
	/* save selectors and bases */
		/* No flag of the guest's comes in: AC would switch SMAP off. */
		pushq	$2
		popfq
		movw	%ds, DATA(LG_D_DS)
		movw	%es, DATA(LG_D_ES)
		movw	%fs, DATA(LG_D_FS)
		movw	%gs, DATA(LG_D_GS)
		get_base fs, MSR_FS_BASE, LG_D_FS_BASE
		get_base gs, MSR_GS_BASE, LG_D_GS_BASE
abort:
	/* switch the guest's breakpoints off */
	/* A guest's breakpoints may name the host's addresses: off, first. */
		cmpb	$0, DATA(LG_D_DR7)
		je	1f
		xorl	%eax, %eax
		movq	%rax, %dr7
	/* change table, root and stack */
	1:	lgdt	DATA(LG_D_TGDTR)
		movq	DATA(LG_D_HOST_CR3), %rax
		movq	%rax, %cr3
		movq	HOST(LG_H_RSP), %rsp
	/* load the host's GS base */
	/* The selectors first: loading %gs clears its base. */
		xorl	%eax, %eax
		movl	%eax, %ds
		movl	%eax, %es
		movl	%eax, %fs
		movl	%eax, %gs
		lldt	%ax
		set_base gs, MSR_GS_BASE, LG_P_HOST, LG_H_GS_BASE
	/* give the host its gates and its task */
	/* From here on the host's own gates and stacks serve again. */
		lidt	16(%rsp)
		movl	$0x40, %eax
		ltr	%ax
	/* return to the host's code */
		movl	$0x18, %eax
		movl	%eax, %ss
		pushq	$0x10
		pushq	48(%rsp)	/* the return address, see lg_enter */
		lretq

/* sort out a fault in ring 0 */
from_ring0:
	/* leave the road at a fault */
		pushq	%rax
		leaq	road_touch(%rip), %rax
		cmpq	%rax, 24(%rsp)
		jb	1f
		leaq	road_touched(%rip), %rax
		cmpq	%rax, 24(%rsp)
		jae	1f
		leaq	DATA(LG_D_TRAP - 40), %rsp	/* the five that were pushed */
		/* put the fault's address back */
		movq	DATA(LG_D_CR2), %rax
		movq	%rax, %cr2
		jmp	not_here
	1:	popq	%rax
	/* replace a bad selector by null */
		pushq	%rax
		leaq	load_segments(%rip), %rax
		cmpq	%rax, 24(%rsp)
		jb	1f
		leaq	segments_loaded(%rip), %rax
		cmpq	%rax, 24(%rsp)
		jae	1f
		jmp	retry
	/* turn a fault of iretq into an exit */
	1:	leaq	to_guest(%rip), %rax
		cmpq	%rax, 24(%rsp)
		popq	%rax
		jne	give_up
		/*
		 * The guest's frame still stands at the top of the register area and
		 * its registers are in the CPU: the fault becomes an exit of its own.
		 */
		orq	$LG_TRAP_IRET, (%rsp)
		popq	DATA(LG_D_TRAP)
		popq	DATA(LG_D_ERROR)
		leaq	DATA(LG_D_TRAP), %rsp
		jmp	save
	/* give up this guest */
	give_up:
		orq	$LG_TRAP_BUG, (%rsp)
		popq	DATA(LG_D_TRAP)
		popq	DATA(LG_D_ERROR)
		popq	DATA(LG_D_RIP)
		jmp	leave

/* note an NMI or a machine check */
unmaskable:
	testb	$3, 24(%rsp)
	jnz	ist_from_guest
	pushq	%rax
	/* turn round at the end of the road */
		leaq	road_end(%rip), %rax
		cmpq	%rax, 24(%rsp)
		jb	1f
		leaq	to_guest(%rip), %rax
		cmpq	24(%rsp), %rax
		jb	1f
		popq	%rax
		cmpb	$2, (%rsp)
		jne	2f
		movb	$1, DATA(LG_D_NMI)
		jmp	turn
	2:	movb	$1, DATA(LG_D_MCE)
		jmp	turn
	1:
	/* turn round if on the way in */
	/* On the way in: turn round, or the host would wait for it. */
		/* On the way in: turn round, or the host would wait for it. */
		leaq	enter_window(%rip), %rax
		cmpq	%rax, 24(%rsp)
		jb	1f
		leaq	to_guest(%rip), %rax
		cmpq	24(%rsp), %rax
		jae	3f
	/* set the flag and go on */
	1:	popq	%rax
		cmpb	$2, (%rsp)
		leaq	16(%rsp), %rsp
		jne	2f
		movb	$1, DATA(LG_D_NMI)
		resume	LG_D_NMI_RIP
	2:	movb	$1, DATA(LG_D_MCE)
		resume	LG_D_MCE_RIP
	/* set the flag and give up */
	3:	cmpb	$2, 8(%rsp)
		jne	4f
		movb	$1, DATA(LG_D_NMI)
		jmp	abort_entry
	4:	movb	$1, DATA(LG_D_MCE)

/* turn round on the way in */
abort_entry:
	/* The register area is untouched: the guest has not run. */
	movq	$LG_TRAP_NONE, DATA(LG_D_TRAP)
	jmp	abort

/* answer a debug exception or double fault */
debug:
	testb	$3, 24(%rsp)
	jnz	ist_from_guest
	cmpb	$1, (%rsp)
	jne	give_up
	/* #DB of a MOV SS shadow, delivered on the first line of syscall64. */
	addq	$16, %rsp
	resume	LG_D_RESUME

/* copy a guest's frame from its stack */
ist_from_guest:
	.irp	word, 0, 1, 2, 3, 4, 5, 6
	popq	DATA(LG_D_TRAP + \word * 8)
	.endr
	leaq	DATA(LG_D_TRAP), %rsp
	jmp	save
/* lay the straight road */
#include <asm/trapnr.h>
#include <xen/interface/xen.h>
#include <asm/xen/interface.h>
/* be sure of an address */
/* Above the slots, with 256 bytes behind it; a misprediction reads at ~0. */
.macro harmless reg
	movabsq	$LG_ROAD_LOWEST, %rax
	cmpq	%rax, %\reg
	jb	not_here
	sbbq	%rax, %rax
	orq	%rax, %\reg
	cmpq	$-256, %\reg
	ja	not_here
.endm
.macro take_root root
	movq	DATA(\root), %rax
	movq	%rax, %cr3
	movq	DATA(LG_D_KEEP), %rax
	orq	%rax, DATA(\root)
.endm
.macro push_frame first, words
	movq	DATA(LG_D_INFO), %rdx
	cmpb	$0, LG_I_MASK(%rdx)
	jne	not_here
	movq	DATA(LG_D_KERNEL_SP), %rdi
	andq	$-16, %rdi
	subq	$16 + 8 * \words, %rdi
	harmless rdi
	/* push the frame */
		movq	%rcx, (%rdi)
		movq	%r11, 8(%rdi)
		word = 0
		.rept	\words
		movq	DATA(\first + word), %rax
		movq	%rax, 16 + word(%rdi)
		word = word + 8
		.endr
.endm
/* go to C and come back */
.macro in_c function
	.irp	reg, r8, r9, r10, r11
	pushq	%\reg
	.endr
	leaq	DATA(0), %rdi
	jmp	\function
\function\()_done:
	.irp	reg, r11, r10, r9, r8
	popq	%\reg
	.endr
.endm
road:
	.irp	reg, rdi, rsi, rdx, rcx, rax
	pushq	%\reg
	.endr
	movq	40(%rsp), %rax		/* the number of the exit */
	/* see where the road leads */
		cmpb	$0, DATA(LG_D_USER)
		je	from_kernel
		cmpl	$32, %eax
		jb	exception
		subl	$LG_TRAP_SYSCALL - 32, %eax
		cmpl	$LG_ROAD_ENTRIES, %eax
		jae	not_here
	by_entry:
		shll	$4, %eax
		leaq	DATA(LG_D_ENTRIES), %rsi
		addq	%rax, %rsi
		cmpq	$0, (%rsi)
		jne	bounce
		jmp	not_here
	from_kernel:
		cmpl	$LG_TRAP_SYSCALL, %eax
		jne	read_base
		movl	$0, DATA(LG_D_CALLS)
		movq	(%rsp), %rax
		cmpq	$__HYPERVISOR_iret, %rax
		je	do_iret
		cmpq	$__HYPERVISOR_multicall, %rax
		je	multicall
		jmp	one_call
	/* leave the road */
	not_here:
		.irp	reg, rax, rcx, rdx, rsi, rdi
		popq	%\reg
		.endr
		jmp	off_road
road_touch:
	/* enter the guest's kernel by the road */
	bounce:
		take_root LG_D_KERNEL_ROOT
		push_frame LG_D_RIP, 5
		jmp	bounced
	/* return by the road */
	do_iret:
		movq	DATA(LG_D_RSP), %rdi
		harmless rdi
		testl	$VGCF_in_syscall, 24(%rdi)
		jnz	not_here
		movq	40(%rdi), %rdx		/* cs */
		movq	48(%rdi), %rcx		/* rflags */
		movq	DATA(LG_D_INFO), %rsi
		testl	$X86_EFLAGS_IF, %ecx
		jz	1f
		cmpb	$0, LG_I_PENDING(%rsi)
		jne	not_here
	1:
		/* take the frame's words */
			movzwl	%dx, %eax
			orl	$3, %eax
			movq	%rax, DATA(LG_D_CS)
			movl	%ecx, %eax
			andl	$USER_FLAGS, %eax
			orl	$(X86_EFLAGS_IF | X86_EFLAGS_FIXED), %eax
			movq	%rax, DATA(LG_D_RFLAGS)
			movq	64(%rdi), %rax		/* ss */
			orl	$3, %eax
			movzwl	%ax, %eax
			movq	%rax, DATA(LG_D_SS)
			/* take rip, rsp and three registers */
				movq	32(%rdi), %rax		/* rip */
				movq	%rax, DATA(LG_D_RIP)
				movq	16(%rdi), %rax		/* rcx */
				movq	%rax, 8(%rsp)
				movq	8(%rdi), %r11
				movq	(%rdi), %rax
				movq	56(%rdi), %rdi		/* rsp; nothing faults after this */
		jmp	returned
	/* answer calls on the road */
	multicall:
		leaq	-1(%rsi), %rax
		cmpq	$32, %rax		/* 1 to 32 of them */
		jae	not_here
		movl	%esi, DATA(LG_D_CALLS)
		movq	%rdi, DATA(LG_D_CURSOR)
	/* begin the next call */
	next_call:
		movq	DATA(LG_D_CURSOR), %rdx
		harmless rdx
		testb	%al, 63(%rdx)
		movq	(%rdx), %rax
		movq	16(%rdx), %rdi
		movq	24(%rdx), %rsi
		movq	32(%rdx), %rdx
	/* make one call on the road */
	one_call:
		cmpq	$__HYPERVISOR_set_segment_base, %rax
		je	set_base
		cmpq	$__HYPERVISOR_stack_switch, %rax
		jne	flush
		movq	%rsi, DATA(LG_D_KERNEL_SP)
		jmp	call_done
	set_base:
		movq	%rsi, %rdx
		shlq	$16, %rdx
		sarq	$16, %rdx
		cmpq	%rsi, %rdx
		jne	not_here
		shrq	$32, %rdx
		movl	%esi, %eax
		/* name the base's register */
			movl	$MSR_FS_BASE, %ecx
			cmpq	$SEGBASE_GS_USER, %rdi
			ja	not_here
			jb	1f
			movl	$MSR_KERNEL_GS_BASE, %ecx
		1:
		wrmsr
	/* go on to the next call */
	call_done:
		cmpl	$0, DATA(LG_D_CALLS)
		je	called
		movq	DATA(LG_D_CURSOR), %rdx
		movq	$0, 8(%rdx)
		addq	$64, DATA(LG_D_CURSOR)
		decl	DATA(LG_D_CALLS)
		jnz	next_call
		jmp	called
	/* read a base on the road */
	read_base:
		cmpl	$X86_TRAP_GP, %eax
		jne	not_here
		cmpl	$MSR_KERNEL_GS_BASE, %ecx
		jne	not_here
		movq	DATA(LG_D_RIP), %rdi
		harmless rdi
		cmpw	$0x320f, (%rdi)		/* rdmsr */
		jne	not_here
		rdmsr
		movq	%rax, (%rsp)
		movq	%rdx, 16(%rsp)
		addq	$2, DATA(LG_D_RIP)
		jmp	on_road
	/* flush what is in step */
	flush:
		cmpq	$__HYPERVISOR_mmuext_op, %rax
		jne	write_entries
		cmpb	$0, DATA(LG_D_IN_STEP)
		je	not_here
		decq	%rsi			/* the number of operations */
		orq	%rdx, %rsi
		jnz	not_here
		harmless rdi
		testb	%al, 23(%rdi)
		movl	(%rdi), %eax
		cmpl	$MMUEXT_INVLPG_LOCAL, %eax
		je	flush_one
		cmpl	$MMUEXT_TLB_FLUSH_LOCAL, %eax
		jne	not_here
	flush_all:
		cmpb	$1, DATA(LG_D_IN_STEP)
		jne	not_here
		/* flush what is stale */
			cmpb	$0, DATA(LG_D_STALE)
			je	call_done
			movb	$0, DATA(LG_D_STALE)
			movq	DATA(LG_D_KERNEL_ROOT), %rax
			btrq	$63, %rax		/* X86_CR3_PCID_NOFLUSH */
			movq	%rax, %cr3
		jmp	call_done
		/* flush one address */
		flush_one:
			movq	8(%rdi), %rsi
			movq	%rsi, %rax
			shrq	$47, %rax
			jnz	flush_all
			cmpb	$1, DATA(LG_D_IN_STEP)
			jne	1f
			cmpb	$0, DATA(LG_D_STALE)
			je	call_done
			jmp	flush_now
		1:	movq	%rsi, %rdx
			shlq	$17, %rdx
			shrq	$29, %rdx
			movabsq	$LG_LINEAR, %rax
			leaq	(%rax,%rdx,8), %rdx
			movq	$0, (%rdx)
			btsq	$40, %rdx		/* slot 259 */
			movq	$0, (%rdx)
			btrq	$63, DATA(LG_D_USER_ROOT)	/* X86_CR3_PCID_NOFLUSH */
		flush_now:
			invlpg	(%rsi)
			jmp	call_done
	write_entries:
		cmpq	$__HYPERVISOR_mmu_update, %rax
		jne	not_here
		cmpb	$0, DATA(LG_D_ALONE)
		je	not_here
		leaq	-1(%rsi), %rax
		cmpq	$32, %rax		/* 1 to 32 of them */
		jae	not_here
		cmpl	$0, DATA(LG_D_CALLS)
		je	1f
		cmpl	$2, %eax		/* or, in a list, 1 or 2 */
		jae	not_here
	1:	testq	%rdx, %rdx		/* the number done is wanted */
		jnz	not_here
		movl	%esi, %ecx
		movq	%rdi, DATA(LG_D_ENTRY)
		/* write one entry after the other */
		next_entry:
			movq	DATA(LG_D_ENTRY), %rdi
			harmless rdi
			movq	(%rdi), %rsi
			movq	8(%rdi), %rdx
			pushq	%rcx
			in_c	lg_near_write
			popq	%rcx
			testl	%eax, %eax
			jnz	not_here
			addq	$16, DATA(LG_D_ENTRY)
			decl	%ecx
			jnz	next_entry
			jmp	call_done
	/* know the guest's own fault */
	exception:
		cmpl	$X86_TRAP_PF, %eax
		jne	by_entry
		movq	%cr2, %rdx
		movq	%rdx, DATA(LG_D_CR2)
		cmpq	$0, DATA(LG_D_ENTRIES + X86_TRAP_PF * 16)
		je	not_here
		cmpq	$0, DATA(LG_D_NEAR)
		je	not_here
		movq	%rdx, %rsi
		shrq	$47, %rdx
		jnz	not_here
		take_root LG_D_KERNEL_ROOT
		in_c	lg_near_fault
		cmpl	$1, %eax
		je	not_here
		jb	entered
		movq	8(%rsp), %rcx
		leaq	DATA(LG_D_ENTRIES + X86_TRAP_PF * 16), %rsi
		/* hand the fault on */
		push_frame LG_D_ERROR, 6
		movq	DATA(LG_D_CR2), %rax
		movq	%rax, LG_I_CR2(%rdx)
		jmp	bounced
	entered:
		/* see that the leaf is linked */
		movq	DATA(LG_D_CR2), %rdx
		shlq	$17, %rdx
		shrq	$29, %rdx
		movabsq	$LG_LINEAR, %rax
		testb	$1, (%rax,%rdx,8)
		jz	not_here
		jmp	to_program
road_touched:
	/* end on the road */
	bounced:
		swapgs
		movb	$0, DATA(LG_D_USER)
		testb	$LG_ENTRY_MASK, LG_ENTRY_FLAGS(%rsi)
		setnz	LG_I_MASK(%rdx)
		movq	(%rsi), %rax
		movq	%rax, DATA(LG_D_RIP)
		movq	$LG_USER_CS, DATA(LG_D_CS)
		andq	$~ENTRY_CLEARS, DATA(LG_D_RFLAGS)
		movq	%rdi, DATA(LG_D_RSP)
		movq	$LG_USER_SS, DATA(LG_D_SS)
		jmp	on_road
	returned:
		movq	%rdi, DATA(LG_D_RSP)
		movq	%rax, (%rsp)
		testl	$X86_EFLAGS_IF, %ecx
		setz	LG_I_MASK(%rsi)
		notl	%edx
		testb	$3, %dl
		jnz	on_road			/* stays in the kernel */
		movb	$1, DATA(LG_D_USER)
		swapgs
		/* take the program's root */
		to_program:
			cmpw	$0, DATA(LG_D_VERW)
			je	1f
			verw	DATA(LG_D_VERW)
		1:	take_root LG_D_USER_ROOT
		jmp	on_road
	called:
		movq	$0, (%rsp)
	on_road:
		.irp	reg, rax, rcx, rdx, rsi, rdi
		popq	%\reg
		.endr
		addq	$16, %rsp
		jmp	road_end
turn:
	movq	$LG_TRAP_NONE, DATA(LG_D_TRAP)
	leaq	DATA(LG_D_TRAP), %rsp
	jmp	off_road
/* enter the guest */
/* We come here by a far return, on the host's page tables. */
enter:
	xorl	%eax, %eax
	movl	%eax, %ss
	lidt	DATA(LG_D_IDTR)
enter_window:
	jmp	1f
	/* try again with a null selector */
		/*
		 * A selector that will not load: the same instruction again, with the
		 * null one.  An NMI that came in between turns us round here; one
		 * that comes from here on finds us in the window.
		 */
	retry:	cmpw	$0, DATA(LG_D_NMI)	/* and LG_D_MCE behind it */
		jne	abort_entry
		movq	24(%rsp), %rax
		movq	%rax, DATA(LG_D_RESUME)
		leaq	DATA(LG_D_REGS), %rsp
		xorl	%eax, %eax
		jmp	*DATA(LG_D_RESUME)
	/* change CR4, the root and the stack */
	1:	movq	DATA(LG_D_CR4), %rax
		cmpq	DATA(LG_D_HOST_CR4), %rax
		je	1f
		movq	%rax, %cr4
	1:	movq	DATA(LG_D_CR3), %rax
		movq	%rax, %cr3
		leaq	DATA(LG_D_REGS), %rsp
		lgdt	DATA(LG_D_GDTR)
	/* load selectors that may be bad */
	/* Every fault between these labels is answered with %eax = 0. */
	load_segments:
		movzwl	DATA(LG_D_LDT), %eax
		lldt	%ax
		movzwl	DATA(LG_D_DS), %eax
		movl	%eax, %ds
		movzwl	DATA(LG_D_ES), %eax
		movl	%eax, %es
		movzwl	DATA(LG_D_FS), %eax
		movl	%eax, %fs
		movzwl	DATA(LG_D_GS), %eax
		movl	%eax, %gs
	segments_loaded:
	/* load the bases and the breakpoints */
		set_base fs, MSR_FS_BASE, LG_P_DATA, LG_D_FS_BASE
		set_base gs, MSR_GS_BASE, LG_P_DATA, LG_D_GS_BASE
		movq	DATA(LG_D_DR7), %rax
		testb	%al, %al
		jz	1f
		movq	%rax, %dr7
	/* load the guest's registers */
	1:
		.irp	reg, r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, \
			rdx, rsi, rdi
		popq	%\reg
		.endr
		addq	$16, %rsp
	/* look for an NMI once more */
	road_end:
		cmpw	$0, DATA(LG_D_NMI)	/* and LG_D_MCE behind it */
		jne	turn
to_guest:
	iretq
#include "near.inc"
	.org	lg_switcher + LG_TEXT_PAGES * 4096
SYM_DATA_END(lg_switcher)

/* sections outside the mapped text */
/* tell where the entry points lie */
	/* Where the entry points lie, for the C side. */
	.section .rodata
	.balign 8
SYM_DATA(lg_off_enter,		.quad enter - lg_switcher)
SYM_DATA(lg_off_syscall64,	.quad syscall64 - lg_switcher)
SYM_DATA(lg_off_syscall32,	.quad syscall32 - lg_switcher)

	.text
/* go over and come back */
/*
 * void lg_enter(void *block, void *entry): run the guest whose block of
 * pages is mapped at "block".  Interrupts are off.  Returns after an exit.
 */
SYM_FUNC_START(lg_enter)
	.irp	reg, rbp, rbx, r12, r13, r14, r15
	pushq	%\reg
	.endr
	leaq	1f(%rip), %rax
	pushq	%rax
	pushq	%rdi
	subq	$32, %rsp
	sgdt	(%rsp)
	sidt	16(%rsp)
	/* note what the way back needs */
		movq	PER_CPU_VAR(this_cpu_off), %rax
		movq	%rax, (LG_P_HOST * 4096 + LG_H_GS_BASE)(%rdi)
		movq	%rsp, (LG_P_HOST * 4096 + LG_H_RSP)(%rdi)
	/* change table and task, and jump */
		lgdt	(LG_P_DATA * 4096 + LG_D_TGDTR)(%rdi)
		movl	$LG_TSS, %eax
		ltr	%ax
		pushq	$LG_CS
		pushq	%rsi
		lretq
	/* come back on the host's tables */
	1:	ANNOTATE_NOENDBR
		lgdt	(%rsp)
		/* Predictors trained by the guest's kernel must not steer ours. */
		UNTRAIN_RET
		CLEAR_BRANCH_HISTORY
		movq	32(%rsp), %rdi
		movq	(LG_P_DATA * 4096 + LG_D_HOST_CR4)(%rdi), %rax
		cmpq	(LG_P_DATA * 4096 + LG_D_CR4)(%rdi), %rax
		je	2f
		movq	%rax, %cr4
	2:	call	3f		/* for the guess at RET */
		int3
	3:	addq	$56, %rsp
		.irp	reg, r15, r14, r13, r12, rbx, rbp
		popq	%\reg
		.endr
		RET
SYM_FUNC_END(lg_enter)
STACK_FRAME_NON_STANDARD lg_enter

/* fill the return stack buffer */
/* void lg_fill_rsb(void): no RET takes a guess that the guest has left. */
SYM_FUNC_START(lg_fill_rsb)
	__FILL_RETURN_BUFFER(%rax, RSB_CLEAR_LOOPS)
	RET
SYM_FUNC_END(lg_fill_rsb)

/* raise an interrupt in the host */
/* void lg_raise(unsigned long vector): hand an interrupt to the host. */
SYM_FUNC_START(lg_raise)
	shlq	$4, %rdi
	leaq	ints(%rip), %rax
	addq	%rdi, %rax
	JMP_NOSPEC rax
	.balign 16
ints:
	/* one instruction for each vector */
		vec = 0
		.rept 256
		.balign 16
		endbr64
		.byte	0xcd, vec
		RET
		vec = vec + 1
		.endr
SYM_FUNC_END(lg_raise)
STACK_FRAME_NON_STANDARD lg_raise
