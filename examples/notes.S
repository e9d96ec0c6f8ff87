/* SPDX-License-Identifier: GPL-2.0 */
/* How a kernel says that it can be started as a Xen PV guest. */
	.macro	note type, desc:vararg
	.long	4, 2f - 1f, \type	# length of name, of description
	.asciz	"Xen"
1:	\desc
2:	.balign	4
	.endm

	.section .note.Xen, "a", @note
	note	1, .quad _start			# ENTRY
	note	3, .quad 0xffffffff80000000	# VIRT_BASE: where frame 0 goes
	note	4, .quad 0			# PADDR_OFFSET
	note	5, .asciz "xen-3.0"		# XEN_VERSION
	note	6, .asciz "example"		# GUEST_OS
	note	8, .asciz "generic"		# LOADER
