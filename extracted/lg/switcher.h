/* SPDX-License-Identifier: GPL-2.0 */
/* Numbers that switcher.S and the C files must agree on. */
#ifndef LG_SWITCHER_H
#define LG_SWITCHER_H

/* places of a block's pages */
/* Pages of a vCPU's block, counted from the block's start. */
#define LG_P_TEXT	0
#define LG_TEXT_PAGES	2
#define LG_P_IDT	8
#define LG_P_DATA	9
#define LG_P_HOST	10	/* in the host's root only */
#define LG_P_GDT	16	/* 15 pages: the guest's GDT, page 14 ours */
#define LG_P_TGDT	32	/* 15 pages: the transition GDT */
#define LG_P_LDT	48	/* 16 pages */

/* selectors */
/* Selectors; the user ones are fixed by the Xen ABI. */
#define LG_CS		0xe008
#define LG_SS		0xe010
#define LG_USER_CS32	0xe023
#define LG_USER_SS	0xe02b
#define LG_USER_CS	0xe033
#define LG_TSS		0xe038
#define LG_LDT		0xe048

/* numbers of exits */
/* Numbers of exits that are not vectors of the IDT. */
#define LG_TRAP_SYSCALL		0x100
#define LG_TRAP_SYSCALL32	0x101
#define LG_TRAP_NONE		0x102	/* turned back on the way in */
#define LG_TRAP_IRET		0x200	/* or'ed in: our iretq faulted */
#define LG_TRAP_BUG		0x400	/* or'ed in: a fault of the switcher */

/* offsets in the data page */
/* Offsets in struct lg_data; checked in vcpu.c. */
#define LG_D_REGS	256
#define LG_D_TRAP	376
#define LG_D_ERROR	384
#define LG_D_RIP	392
#define LG_D_REGS_END	432
#define LG_D_CR3	432
#define LG_D_HOST_CR3	440
#define LG_D_CR4	448
#define LG_D_HOST_CR4	456
#define LG_D_SCRATCH	464
#define LG_D_FS_BASE	472
#define LG_D_GS_BASE	480
#define LG_D_DS		496
#define LG_D_ES		498
#define LG_D_FS		500
#define LG_D_GS		502
#define LG_D_LDT	504
#define LG_D_NMI	506
#define LG_D_MCE	507
#define LG_D_DR7	512
#define LG_D_RESUME	520
#define LG_D_NMI_RIP	528
#define LG_D_MCE_RIP	536
#define LG_D_GDTR	544
#define LG_D_TGDTR	560
#define LG_D_IDTR	576

/* Offsets in the host page. */
#define LG_H_RSP	0
#define LG_H_GS_BASE	8

#endif
