# SPDX-License-Identifier: GPL-2.0
# Sourced by the scripts here (bash): where things are, and how to get them.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TESTS=$TOP/tests
BUILD=${BUILD:-$TOP/build}
RIG=$BUILD/rig
KERNELS=$BUILD/kernels
TAGS="6.1 6.1-cloud 6.12 6.12-cloud"
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C
mkdir -p "$RIG" "$KERNELS"

say() { echo "${0##*/}: $*" >&2; }
die() { say "$*"; exit 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"
	elif command -v sudo >/dev/null; then sudo "$@"
	else die "only root can run: $* (run it as root, or install sudo)"; fi
}

# Fetch the package lists where there are none.
apt_lists() {
	apt-cache show busybox-static >/dev/null 2>&1 && return
	say "fetching the package lists: apt-get update"
	as_root apt-get -qq update || die "apt-get update failed"
}

apt_install() {
	apt_lists
	say "installing packages: $*"
	# Two tests may want packages at the same time.
	as_root env DEBIAN_FRONTEND=noninteractive flock "$RIG/apt.lock" \
		apt-get install -qq -y --no-install-recommends "$@" \
		>"$RIG/apt.log" 2>&1 || {
		tail -5 "$RIG/apt.log" >&2
		die "apt-get install $* failed (log: $RIG/apt.log)"
	}
}

# need COMMAND=PACKAGE...: install each package whose command is missing.
need() {
	local w p=()
	for w; do
		command -v "${w%%=*}" >/dev/null || p+=("${w#*=}")
	done
	[ ${#p[@]} = 0 ] || apt_install "${p[@]}"
}

is_tag() { case " $TAGS " in *" $1 "*) ;; *) return 1;; esac; }

# kver TAG: the release of the unpacked kernel of that tag.
kver() { cat "$KERNELS/$1/release" 2>/dev/null; }

# once FILE COMMAND...: run it unless FILE is there, never twice at a time.
once() {
	local f=$1; shift
	[ -e "$f" ] && return
	mkdir -p "$(dirname "$f")"
	(
		flock 9
		[ -e "$f" ] || "$@"
	) 9>"$RIG/lock.$(echo "$f" | cksum | cut -d' ' -f1)"
}

# build_for TAG: lg.ko for that host; lg.ko's path is printed.
build_for() {
	local k r
	k=$("$TESTS/fetch" --headers "$1") && r=$(kver "$1") || return
	if [ -z "$RIG_BUILT" ]; then
		make -s --no-print-directory -C "$TOP" module KDIR="$k" KVER="$r" \
			>"$RIG/module-$1.log" 2>&1 ||
			{ tail -20 "$RIG/module-$1.log" >&2; die "lg.ko for $r does not build"; }
	fi
	echo "$BUILD/$r/lg.ko"
}

# guest_image TAG: path of the guest kernel, fetched or built.
guest_image() {
	if [ "$1" = own ]; then
		once "$BUILD/guest-kernel/bzImage" "$TESTS/guest-kernel" >&2 && echo "$BUILD/guest-kernel/bzImage"
	else
		is_tag "$1" || die "'$1' is no kernel of ours; one of: own $TAGS"
		"$TESTS/fetch" "$1" && echo "$KERNELS/$1/vmlinuz"
	fi
}

# unpacked TAG: path of a guest kernel, without its packing if that is xz (6.1's):
# an emulated host unpacks such an image for as long as the guest then boots, and
# most tests are about something else.
unpacked() {
	local v at f
	v=$(guest_image "$1") || return
	# How many sectors its set-up has; where behind them its payload is.
	at=($(od -An -tu1 -j 497 -N 1 "$v") $(od -An -tu4 -j 584 -N 8 "$v"))
	at[0]=$(((at[0] + 1) * 512 + at[1]))
	f=$RIG/vmlinux-$(cksum <"$v" | tr ' ' -)
	case $(od -An -tx1 -j "${at[0]}" -N 6 "$v") in
	*fd\ 37\ 7a\ 58\ 5a\ 00) once "$f" unpack "$v" "$f" "${at[0]}" "${at[2]}" && echo "$f";;
	*) echo "$v";;
	esac
}

unpack() {
	tail -c +$(($3 + 1)) "$1" | head -c "$4" | xz -dc --single-stream >"$2.new" 2>/dev/null
	[ "$(head -c 4 "$2.new" | tail -c 3)" = ELF ] || die "no ELF file is packed in $1"
	mv "$2.new" "$2"
}

# debian_image: path of the disk image of examples/debian, made once; it has
# the modules of all our kernels, and IMAGE.RELEASE.cpio.gz beside it.
debian_image() {
	local d=$BUILD/debian t k=() key
	for t in $TAGS; do
		"$TESTS/fetch" "$t" >&2 || return
		k+=("$(kver "$t"):$KERNELS/$t")
	done
	key=$(echo "${k[*]}" | cat - "$TOP/examples/debian/make" | cksum | tr ' ' -)
	need mmdebstrap=mmdebstrap mke2fs=e2fsprogs depmod=kmod cpio=cpio \
		/bin/busybox=busybox-static
	once "$d/$key.img" make_debian "$d/$key.img" "${k[@]}" >&2 &&
		echo "$d/$key.img"
}

make_debian() {
	rm -f "${1%/*}"/*.img*
	"$TOP/examples/debian/make" "$@" || die "examples/debian/make failed"
}
