/* SPDX-License-Identifier: GPL-2.0 */
/* Where a guest written in C begins: rsi holds its start_info. */
#include "notes.S"

	.text
	.globl	_start
_start:
	mov	$stack_top, %rsp
	mov	%rsi, %rdi
	mov	%rsi, start_info
	call	main
	mov	%eax, shutdown_reason	# what main returns is the reason
	mov	$29, %eax		# sched_op
	mov	$2, %edi		#   SCHEDOP_shutdown
	mov	$shutdown_reason, %rsi
	syscall
	ud2

	.bss
	.balign	4096
	.skip	16384
stack_top:
	.globl	start_info
start_info:
	.quad	0
shutdown_reason:
	.long	0
