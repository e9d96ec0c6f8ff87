/* SPDX-License-Identifier: GPL-2.0 */
/* Numbers that switcher.S and the C files must agree on. */
#ifndef LG_SWITCHER_H
#define LG_SWITCHER_H

/* places of a block's pages */
/* Pages of a vCPU's block, counted from the block's start. */
#define LG_P_TEXT	0
#define LG_TEXT_PAGES	3
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
#define LG_TRAP_HOST		0x103	/* a page fault for the host */
#define LG_TRAP_IRET		0x200	/* or'ed in: our iretq faulted */
#define LG_TRAP_BUG		0x400	/* or'ed in: a fault of the switcher */

/* offsets in the data page */
#define LG_D_REGS	256	/* where the registers begin */

/* Offsets in the host page. */
#define LG_H_RSP	0
#define LG_H_GS_BASE	8

/* Entries of the straight road: 32 exceptions and two system calls. */
#define LG_ROAD_ENTRIES	34
#define LG_ROAD_LOWEST	0xffff880000000000	/* LG_SLOT_END */

#include <asm/processor-flags.h>

#define LG_LINEAR	0xffff808000000000	/* slot 257: the leaves */

#define LG_FRAMES	0xffff810000000000	/* slot 258: by pages */
#define LG_TABLES	0xffff820000000000	/* slot 260: by tables */
#define LG_MAPS		0xffff828000000000	/* slot 261: a GiB for each */

/* flags a guest may have */
#define USER_FLAGS	(X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | \
			 X86_EFLAGS_ZF | X86_EFLAGS_SF | X86_EFLAGS_TF | \
			 X86_EFLAGS_DF | X86_EFLAGS_OF | X86_EFLAGS_NT | \
			 X86_EFLAGS_RF | X86_EFLAGS_AC | X86_EFLAGS_ID)
#define ENTRY_CLEARS	(X86_EFLAGS_TF | X86_EFLAGS_DF | X86_EFLAGS_NT | \
			 X86_EFLAGS_RF | X86_EFLAGS_AC)
#define SYSCALL_CLEARS	(ENTRY_CLEARS | X86_EFLAGS_IF)

#endif
