# SPDX-License-Identifier: GPL-2.0
# A device of the reader's: a keyboard that types a word when its light goes on.
echo "lab device: --keyboard WORD, a virtio keyboard that types it"
g=$("$TESTS/initrd" guest 6.1-cloud) || die "no initial RAM disk for the guest"
linux="-k vmlinuz-6.1-cloud -i ${g##*/} -m 192M -q"
LIMIT=90 guests "
	run hello $linux --keyboard hello -a 'quiet lg.run=keyboard'
	run other $linux --keyboard zebra -a 'quiet lg.run=keyboard'
	run none $linux --rng -a 'quiet lg.run=keyboard'
	run wrong $linux --keyboard 'No!' -a quiet" --guest 6.1-cloud --put "$g" ||
	{ tail -20 "$W/out"; die "the emulated host failed"; }
line() { said "$1" | grep -m1 "^$2" | sed "s/^$2 *//"; }
hello='35+ 35- 18+ 18- 38+ 38- 38+ 38- 24+ 24- 28+ 28-'
zebra='44+ 44- 18+ 18- 48+ 48- 19+ 19- 30+ 30- 28+ 28-'
points 1 'an input device (18) is on the bus' is "$(line hello kind)" 0x0012
points 1 'its name is "lguest keyboard"' is "$(line hello 'N: Name=')" '"lguest keyboard"'
points 1 'it has keys and a light (EV 20003)' is "$(line hello 'B: EV=')" 20003
points 3 'it types its word and Enter when the light goes on' is "$(line hello 'light 1:')" "$hello" keys
points 1 'another word' is "$(line other 'light 1:')" "$zebra" keys
points 1 'nothing when the light goes off' is "$(said hello | grep -c '^light 0:$')" 1
points 1 'the word again, when it goes on again' is "$(said hello | grep -c "^light 1: $hello\$")" 3 'times (the last with the driver bound anew)'
points 1 'without --keyboard there is none' is "$(said none | grep -c lguest)" 0
points 1 'a word that is not of lower-case letters is refused' is "$(status wrong)" 1 "lguest's status"
points 1 'the guest powers off' is "$(status hello)" 0 "lguest's status"
