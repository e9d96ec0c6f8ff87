/* SPDX-License-Identifier: GPL-2.0 */
/* A guest that never calls: events are off at its start, and it spins. */
#include "../examples/notes.S"

	.text
	.globl	_start
_start:	jmp	_start
