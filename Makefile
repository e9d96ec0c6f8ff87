# SPDX-License-Identifier: GPL-2.0
# Everything is made from lguest.nw.  "make help" lists what can be made.

# Which kernel the module is for: the running one if its headers are here,
# else the newest headers installed.  KDIR= names a kernel build directory.
KVER = $(if $(KDIR),$(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' \
	'$(KDIR)/include/generated/utsrelease.h'),$(newest))
newest = $(or $(wildcard_running),$(shell ls -d /usr/src/linux-headers-*-*amd64 \
	2>/dev/null | sed 's|.*/linux-headers-||' | sort -V | tail -n 1))
wildcard_running = $(if $(wildcard /lib/modules/$(running)/build/Makefile),$(running))
running := $(shell uname -r)
headers = $(or $(KDIR),$(firstword $(wildcard /lib/modules/$(KVER)/build \
	/usr/src/linux-headers-$(KVER) \
	build/kernels/headers-$(KVER)/usr/src/linux-headers-$(KVER))))

# UPTO=IV makes the program as it stands at the end of part IV of the book.
B := build$(if $(UPTO),/upto-$(UPTO))
X := $(if $(UPTO),$(B)/)extracted
tangle := book/tangle $(if $(UPTO),-u $(UPTO))

# The same module whatever the directory it was built in.
map = -ffile-prefix-map=$(CURDIR)/$(B)/$(KVER)/=

PREFIX ?= /usr/local
VERSION = $(or $(shell sed -n 's/^\#define LG_VERSION[ \t]*"\(.*\)"/\1/p' \
	$(X)/include/lguest.h $(X)/launcher/launcher.h 2>/dev/null),0.1)

.PHONY: all extracted extracted-check launcher module run check check-all matrix bench unit \
	book html lint count debug guest-kernel install uninstall clean \
	distclean help

all: ## tangle, then build the module (KVER=, KDIR=) and the launcher
	@book/need build $(if $(KDIR),,$(KVER))
	@$(MAKE) --no-print-directory extracted
	@$(MAKE) --no-print-directory module launcher

help: ## this list
	@sed -n 's/^\([a-z%-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | \
		while IFS='	' read -r t d; do printf '  %-16s %s\n' "$$t" "$$d"; done
	@echo 'Variables: UPTO=IV (the book up to part IV), KVER=, KDIR=, W=1, C=1,'
	@echo '           HOST= GUEST= CPUS= MEM= (run), PREFIX= DESTDIR= DKMS=no (install)'

extracted: ## tangle lguest.nw into extracted/ (edited files are never lost)
	@$(tangle) -o $(X)

extracted-check: ## fail unless extracted/ is exactly what lguest.nw says
	@book/tangle -c && echo 'extracted/ is what lguest.nw says'

module: ## lg.ko for KVER, in build/KVER/
	@test -n "$(headers)" || { echo "No kernel headers for '$(KVER)':" \
		"apt install linux-headers-$(or $(KVER),amd64)"; exit 1; }
	@mkdir -p $(B)/$(KVER)
	@cp -ru --preserve=timestamps $(X)/lg $(X)/include $(B)/$(KVER)/
	$(MAKE) -C $(abspath $(headers)) M=$(CURDIR)/$(B)/$(KVER)/lg \
		KCFLAGS='$(map) $(KCFLAGS)' KAFLAGS='$(map)' modules
	@ln -f $(B)/$(KVER)/lg/lg.ko $(B)/$(KVER)/lg.ko

launcher: ## the launcher, build/lguest
	@$(MAKE) -s --no-print-directory -C $(X)/launcher O=$(CURDIR)/$(B)/launcher
	@ln -f $(B)/launcher/lguest $(B)/lguest

# What the rig needs; it builds the module for the host it starts.
.PHONY: ready
ready:
	@book/need build $(if $(KDIR),,$(KVER))
	@$(MAKE) --no-print-directory extracted
	@$(MAKE) --no-print-directory launcher

run: ready ## a stock Debian host in QEMU, lg.ko in it, and a guest on your terminal
	@tests/run

check: ready ## every test; ends with "N passed, N failed"
	@tests/check

check-all: ready ## the same, every test with all its cases
	@FULL=yes tests/check

matrix: ready ## every combination of host, guest and CPU
	@tests/matrix

bench: ready ## what an operation costs, bare and in a guest (PEERS=yes: Xen, KVM, UML)
	@tests/bench/run

guest-kernel: ## a small guest kernel from Debian's sources (GUEST=own)
	@tests/guest-kernel

unit: extracted ## the launcher's parsers against valid and hostile files
	@$(MAKE) -s --no-print-directory -C $(X)/launcher O=$(CURDIR)/$(B)/launcher \
		unit KERNELS='$(abspath $(wildcard build/kernels/*/vmlinuz))'

lab-%: ready ## grade one of the book's labs
	@tests/lab $*

lint: ## the laws of the book that a program can check
	@book/lint lguest.nw

count: ## code lines by part and file against the budgets; prose by chapter
	@book/count lguest.nw

debug: ## build/debug: tangled so that gdb and gcc point into lguest.nw
	@book/need build $(if $(KDIR),,$(KVER))
	@book/tangle -L $(if $(UPTO),-u $(UPTO)) -o build/debug/extracted
	@$(MAKE) --no-print-directory module launcher B=build/debug X=build/debug/extracted

book: ## the book as PDF, build/book/lguest.pdf (fetches 640 MB of TeX once)
	@book/need book
	@book/weave lguest.nw build/book

html: ## the book as web pages, build/book/html/
	@book/need book
	@book/weave --html lguest.nw build/book

install: all ## module (DKMS), launcher, man page and udev rule
	install -D -m 755 $(B)/lguest $(DESTDIR)$(PREFIX)/bin/lguest
	install -D -m 644 $(X)/launcher/lguest.1 $(DESTDIR)$(PREFIX)/share/man/man1/lguest.1
	install -D -m 644 $(X)/lg/60-lguest.rules $(DESTDIR)/etc/udev/rules.d/60-lguest.rules
ifeq ($(DKMS),no)
	install -D -m 644 $(B)/$(KVER)/lg.ko $(DESTDIR)/lib/modules/$(KVER)/updates/lg.ko
	$(if $(DESTDIR),,depmod $(KVER))
else
	install -d $(DESTDIR)/usr/src/lguest-$(VERSION)
	cp -r $(X)/lg $(X)/include $(DESTDIR)/usr/src/lguest-$(VERSION)/
	sed 's/@VERSION@/$(VERSION)/' $(X)/lg/dkms.conf >$(DESTDIR)/usr/src/lguest-$(VERSION)/dkms.conf
	$(if $(DESTDIR),,book/need install)
	$(if $(DESTDIR),,-dkms remove -m lguest -v $(VERSION) --all >/dev/null 2>&1)
	$(if $(DESTDIR),,dkms install --force -m lguest -v $(VERSION) -k $(KVER))
endif
	$(if $(DESTDIR),,-udevadm control --reload && kmod static-nodes \
		--format=tmpfiles | grep lguest | systemd-tmpfiles --create -)
	@echo 'Installed.  /dev/lguest loads the module when it is first opened;'
	@echo 'members of the group kvm may open it: "adduser $$USER kvm".'

uninstall: ## take away what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/lguest $(DESTDIR)$(PREFIX)/share/man/man1/lguest.1 \
		$(DESTDIR)/etc/udev/rules.d/60-lguest.rules \
		$(DESTDIR)/lib/modules/*/updates/lg.ko
	$(if $(DESTDIR),,-dkms remove -m lguest -v $(VERSION) --all)
	rm -rf $(DESTDIR)/usr/src/lguest-$(VERSION)
	$(if $(DESTDIR),,-depmod)

clean: ## remove what was built; downloaded kernels stay
	@ls -d build/* 2>/dev/null | grep -Ev '/(kernels|rig)$$' | xargs -r rm -rf

distclean: ## remove all of build/
	rm -rf build
