# SPDX-License-Identifier: GPL-2.0
# Hypercall 48 counts hypercalls; the grader's guest calls it.
echo "lab hypercall: number 48 tells the guest how many hypercalls it has made"
elf=$(lab_guest) || die "the grader's guest does not build"
guests 'run new -k labguest.elf -m 16M -a new=1' --put "$elf" ||
	{ tail -20 "$W/out"; die "the emulated host failed"; }
value() { said new | sed -n "s/^$1: //p"; }
grew() { [ "$(value first)" -gt 0 ] || { echo "it answered $(value first)"; return 1; }; }
points 1 'operation 0 answers a number above 0' grew
points 2 'after 25 calls, a line of output and itself it answers 27 more' is "$(value between)" 27
points 2 'operation 1 writes the number where rsi points' \
	is "$(value written)" 2 'more than the last answer (a line of output and the call itself)'
points 1 "a pointer into the hypervisor's slots: EFAULT (14)" is "$(value 'to the hypervisor')" 14
points 1 'a pointer to nothing: EFAULT (14)' is "$(value 'to nowhere')" 14
points 1 'a non-canonical pointer: EFAULT (14)' is "$(value 'not canonical')" 14
points 1 'an unknown operation: ENOSYS (38)' is "$(value unknown)" 38
points 1 'the guest powers off' is "$(status new)" 0 "lguest's status"
