# SPDX-License-Identifier: GPL-2.0
# How a small guest is compiled and linked, wherever its source is.
GUEST := $(dir $(lastword $(MAKEFILE_LIST)))
CFLAGS = -O2 -g -Wall -Wextra -std=gnu11 -ffreestanding -fno-pic \
	-mcmodel=kernel -mno-red-zone -mgeneral-regs-only -fcf-protection=none \
	-fno-stack-protector -fno-asynchronous-unwind-tables \
	-fno-tree-loop-distribute-patterns
LDFLAGS = -static -nostdlib -no-pie -Wl,-T,$(GUEST)guest.ld \
	-Wl,--build-id=none -Wl,--no-warn-rwx-segments -Wl,-z,noexecstack
SHARED := $(addprefix $(GUEST),guest.h guest.ld notes.S start.S flags.mk)
