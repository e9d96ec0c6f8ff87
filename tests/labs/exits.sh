# SPDX-License-Identifier: GPL-2.0
# lguest --verbose prints at the guest's end: exits REASON COUNT, a line each.
echo "lab exits: lguest --verbose counts the exits by their reasons"
elf=$(lab_guest) || die "the grader's guest does not build"
guests 'for a in calls=0 calls=1000 faults=300 ports=200; do
		run ${a%=*}${a#*=} -v -k labguest.elf -m 16M -a $a
	done' --put "$elf" || { tail -20 "$W/out"; die "the emulated host failed"; }
count() { said "$1" | sed -n "s/^exits $2 \([0-9]*\)\$/\1/p"; }
# more RUN REASON N: so many more than in the quiet run.
more() {
	local a b
	a=$(count calls0 "$2") b=$(count "$1" "$2")
	[ -n "$a" ] && [ -n "$b" ] || { echo "no line 'exits $2 COUNT'"; return 1; }
	is $((b - a)) "$3" "more than in a quiet run"
}
# at_least RUN REASON N
at_least() {
	more "$@" >/dev/null && return
	more "$1" "$2" 0 && { echo 'as many as in a quiet run'; return 1; }
	[ $(($(count "$1" "$2") - $(count calls0 "$2"))) -ge "$3" ] 2>/dev/null
}
total() {
	local t s
	t=$(count "$1" total)
	[ -n "$t" ] || { echo "no line 'exits total COUNT'"; return 1; }
	s=$(said "$1" | awk '/^exits / && $2 != "total" { s += $3 } END { print s + 0 }')
	is "$s" "$t" 'the sum of the reasons'
}
points 2 '1000 hypercalls more: "exits hypercall" says so' more calls1000 hypercall 1000
points 2 '300 page faults, three hypercalls each' more faults300 hypercall 900
points 2 '"exits page-fault" counts them, and what the shadow needs' at_least faults300 page-fault 300
points 2 '200 port reads: "exits general-protection" says so' more ports200 general-protection 200
points 1 'there is a line for interrupts' [ -n "$(count calls1000 interrupt)" ]
points 2 'the reasons add up to "exits total"' total faults300
points 1 'the guests power off' is "$(status calls0)$(status calls1000)$(status faults300)$(status ports200)" 0000 "lguest's status"
