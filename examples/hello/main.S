/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The smallest guest: print a line through the hypervisor and power off.
 * A hypercall is the syscall instruction: its number in rax, arguments in
 * rdi, rsi, rdx, r10, r8; the result comes back in rax, rcx and r11 are lost.
 */
#include "../notes.S"

	.text
	.globl	_start
_start:
	mov	$18, %eax		# console_io
	mov	$0, %edi		#   CONSOLEIO_write
	mov	$text_end - text, %esi	#   how many bytes
	mov	$text, %rdx		#   which
	syscall
	mov	$29, %eax		# sched_op
	mov	$2, %edi		#   SCHEDOP_shutdown
	mov	$reason, %rsi		#   a pointer to why
	syscall
	ud2				# it does not come back

	.data
text:	.ascii	"Hello from a guest\n"
text_end:
	.balign	4
reason:	.long	0			# SHUTDOWN_poweroff
