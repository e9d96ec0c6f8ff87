# SPDX-License-Identifier: GPL-2.0
# A guest of the reader's own, examples/mine: it prints how much memory it has.
echo "lab smallest: a guest in examples/mine that prints its own memory size"
mine=$TOP/examples/mine elf=$W/mine.elf
build() { make -s -C "$TOP/examples" "O=$W" mine; }
a=$((18 + RANDOM % 20)) b=$((40 + RANDOM % 20))

points 1 'there is examples/mine/main.c or examples/mine/main.S' \
	ls "$mine"/main.[cS]
points 1 'it builds' build
if [ -f "$elf" ]; then
	guests "run a -k mine.elf -m ${a}M; run b -k mine.elf -m ${b}M" --put "$elf" ||
		{ tail -20 "$W/out"; die "the emulated host failed"; }
fi
touch "$W/out"
points 2 "with ${a} MiB it prints 'memory: $a MiB'" is "$(said a)" "memory: $a MiB" 'it printed'
points 2 "with ${b} MiB it prints 'memory: $b MiB'" is "$(said b)" "memory: $b MiB" 'it printed'
points 1 'it powers off (lguest ends with 0)' is "$(status a) $(status b)" '0 0' "lguest's status"
