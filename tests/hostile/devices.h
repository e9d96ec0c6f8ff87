/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Attacks on the devices: their ports, their registers, their rings.  The
 * command line says which device by type=T: 1 network, 2 block, 4 entropy.
 * After most attacks the device must be broken (DEVICE_NEEDS_RESET), and do
 * honest work again after a reset.
 */

#define CONFIG_ADDRESS	0xcf8
#define CONFIG_DATA	0xcfc
#define RING_SIZE	16
#define NR_PORTS	1024

enum {				/* device_status */
	ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8,
	NEEDS_RESET = 0x40, FAILED = 0x80,
};

enum {				/* the common configuration structure */
	DEVICE_FEATURE_SELECT = 0, DEVICE_FEATURE = 4,
	DRIVER_FEATURE_SELECT = 8, DRIVER_FEATURE = 12, NUM_QUEUES = 18,
	STATUS = 20, QUEUE_SELECT = 22, QUEUE_SIZE = 24, QUEUE_ENABLE = 28,
	QUEUE_NOTIFY_OFF = 30, QUEUE_DESC = 32, QUEUE_DRIVER = 40,
	QUEUE_DEVICE = 48,
};

#define F_INDIRECT	(1UL << 28)
#define F_EVENT_IDX	(1UL << 29)
#define F_VERSION_1	(1UL << 32)
#define NET_FEATURES	(1UL << 5 | 1UL << 15)	/* MAC, mergeable buffers */

enum { NEXT = 1, IN = 2, INDIRECT = 4 };	/* flags of a descriptor */

static volatile struct {
	struct desc { u64 addr; u32 len; u16 flags, next; } desc[RING_SIZE];
	struct { u16 flags, idx, ring[RING_SIZE], used_event; } avail;
	u16 pad[3];
	struct {
		u16 flags, idx;
		struct { u32 id, len; } ring[RING_SIZE];
		u16 avail_event;
	} used;
} PAGE_ALIGNED ring[3];
static volatile u8 buffer[8][PAGE_SIZE] PAGE_ALIGNED;
static volatile struct desc table[PAGE_SIZE / 16] PAGE_ALIGNED;

static struct {
	u32 slot, type, io, common, isr, notify, multiplier, config;
	u32 work;			/* a queue whose chains are used at once */
	u64 features;
} dev;

static u64 phys(const volatile void *p)
{
	return mfn(p) * PAGE_SIZE + (u64)p % PAGE_SIZE;
}

/* ---- ports ---- */

static void out(u32 port, u32 size, u32 value)
{
	if (size == 1)
		asm volatile("outb %b0, %w1" : : "a" (value), "d" (port));
	else if (size == 2)
		asm volatile("outw %w0, %w1" : : "a" (value), "d" (port));
	else
		asm volatile("outl %0, %w1" : : "a" (value), "d" (port));
}

static u32 in(u32 port, u32 size)
{
	u32 value = 0;

	if (size == 1)
		asm volatile("inb %w1, %b0" : "+a" (value) : "d" (port));
	else if (size == 2)
		asm volatile("inw %w1, %w0" : "+a" (value) : "d" (port));
	else
		asm volatile("inl %w1, %0" : "+a" (value) : "d" (port));
	return value;
}

static u32 pci_address(u32 slot, u32 reg)
{
	return 0x80000000 | slot << 11 | (reg & 0xfc);
}

static u32 pci_read(u32 slot, u32 reg, u32 size)
{
	out(CONFIG_ADDRESS, 4, pci_address(slot, reg));
	return in(CONFIG_DATA + reg % 4, size);
}

static void pci_write(u32 slot, u32 reg, u32 size, u32 value)
{
	out(CONFIG_ADDRESS, 4, pci_address(slot, reg));
	out(CONFIG_DATA + reg % 4, size, value);
}

static void look_at_capabilities(void)
{
	u32 at = pci_read(dev.slot, 0x34, 1), count = 0;

	for (; at >= 0x40 && count < 48; at = pci_read(dev.slot, at + 1, 1)) {
		u32 where = dev.io + pci_read(dev.slot, at + 8, 4);

		count++;
		if (pci_read(dev.slot, at, 1) != 9)
			continue;
		switch (pci_read(dev.slot, at + 3, 1)) {
		case 1:
			dev.common = where;
			break;
		case 2:
			dev.notify = where;
			dev.multiplier = pci_read(dev.slot, at + 16, 4);
			break;
		case 3:
			dev.isr = where;
			break;
		case 4:
			dev.config = where;
			break;
		}
	}
}

/* Find the device of the type asked for. */
static int find_device(void)
{
	u32 type = number("type");

	for (dev.slot = 1; dev.slot < 32; dev.slot++)
		if (pci_read(dev.slot, 0, 4) == (0x10401af4 | type << 16))
			break;
	if (dev.slot == 32) {
		wrong("there is no such device", type);
		return 0;
	}
	dev.type = type;
	dev.work = type == 1;
	dev.io = pci_read(dev.slot, 0x10, 4) & ~3;
	look_at_capabilities();
	pci_write(dev.slot, 4, 2, 5);		/* I/O, bus master */
	if (!dev.common || !dev.notify || !dev.isr || !dev.config)
		wrong("a capability is missing", dev.slot);
	return 1;
}

/* ---- an honest driver ---- */

static u32 status(void) { return in(dev.common + STATUS, 1); }
static void set_status(u32 s) { out(dev.common + STATUS, 1, s); }
static void select(u32 q) { out(dev.common + QUEUE_SELECT, 2, q); }

static void set_address(u32 which, u64 address)
{
	out(dev.common + which, 4, address);
	out(dev.common + which + 4, 4, address >> 32);
}

static int reset(void)
{
	u64 end = now() + 10000 * MS;

	set_status(0);
	while (status() && now() < end)
		hypercall(SCHED_OP, 0, 0, 0, 0);
	if (status())
		wrong("the device does not come out of its reset", status());
	return !status();
}

static void clear(volatile void *p, u64 size)
{
	for (u64 i = 0; i < size; i++)
		((volatile u8 *)p)[i] = 0;
}

/* Up to the point where queues are made. */
static u64 begin(u64 wanted)
{
	u64 offered;

	clear(ring, sizeof(ring));
	reset();
	set_status(ACKNOWLEDGE);
	set_status(ACKNOWLEDGE | DRIVER);
	out(dev.common + DEVICE_FEATURE_SELECT, 4, 0);
	offered = in(dev.common + DEVICE_FEATURE, 4);
	out(dev.common + DEVICE_FEATURE_SELECT, 4, 1);
	offered |= (u64)in(dev.common + DEVICE_FEATURE, 4) << 32;
	dev.features = wanted & offered;
	out(dev.common + DRIVER_FEATURE_SELECT, 4, 0);
	out(dev.common + DRIVER_FEATURE, 4, dev.features);
	out(dev.common + DRIVER_FEATURE_SELECT, 4, 1);
	out(dev.common + DRIVER_FEATURE, 4, dev.features >> 32);
	set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
	return offered;
}

static void make_queue(u32 q)
{
	select(q);
	out(dev.common + QUEUE_SIZE, 2, RING_SIZE);
	set_address(QUEUE_DESC, phys(&ring[q].desc));
	set_address(QUEUE_DRIVER, phys(&ring[q].avail));
	set_address(QUEUE_DEVICE, phys(&ring[q].used));
	out(dev.common + QUEUE_ENABLE, 2, 1);
}

static void up(void)
{
	u64 offered = begin(F_VERSION_1 | F_INDIRECT |
			    (dev.type == 1 ? NET_FEATURES : 0));

	if (!(offered & F_VERSION_1))
		wrong("no VERSION_1 among the features", offered);
	if (!(status() & FEATURES_OK))
		wrong("offered features were refused", status());
	make_queue(0);
	if (dev.type == 1)
		make_queue(1);
	set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

static void set_desc(u32 q, u32 i, u64 addr, u32 len, u32 flags, u32 next)
{
	ring[q].desc[i].addr = addr;
	ring[q].desc[i].len = len;
	ring[q].desc[i].flags = flags;
	ring[q].desc[i].next = next;
}

static u32 notify_port(u32 q)
{
	select(q);
	return dev.notify +
		in(dev.common + QUEUE_NOTIFY_OFF, 2) * dev.multiplier;
}

static void kick(u32 q) { out(notify_port(q), 2, q); }

static void offer(u32 q, u32 head)
{
	u16 idx = ring[q].avail.idx;

	ring[q].avail.ring[idx % RING_SIZE] = head;
	asm volatile("mfence" : : : "memory");
	ring[q].avail.idx = idx + 1;
	asm volatile("mfence" : : : "memory");
}

static int wait_used(u32 q, u16 idx)
{
	u64 end = now() + 15000 * MS;

	while (ring[q].used.idx != idx && !(status() & NEEDS_RESET) &&
	       now() < end)
		hypercall(SCHED_OP, 0, 0, 0, 0);
	return ring[q].used.idx == idx;
}

/* Type, reserved, sector; data in buffer 1; the status byte in buffer 2. */
static void block_request(u32 type, u64 sector, u32 flags, u32 len)
{
	*(volatile u32 *)buffer[0] = type;
	*(volatile u32 *)(buffer[0] + 4) = 0;
	*(volatile u64 *)(buffer[0] + 8) = sector;
	buffer[2][0] = 0xff;
	set_desc(0, 0, phys(buffer[0]), 16, NEXT, 1);
	set_desc(0, 1, phys(buffer[1]), len, NEXT | flags, 2);
	set_desc(0, 2, phys(buffer[2]), 1, IN, 0);
	offer(0, 0);
	kick(0);
}

static int block_works(void)
{
	static const char text[] = "a disk for hostile guests";
	u32 i;

	block_request(0, 0, IN, 512);
	if (!wait_used(0, 1) || buffer[2][0])
		return 0;
	for (i = 0; text[i]; i++)
		if (buffer[1][i] != text[i])
			return 0;
	return 1;
}

static int entropy_works(void)
{
	u32 i, bits = 0;

	clear(buffer[0], 64);
	set_desc(0, 0, phys(buffer[0]), 64, IN, 0);
	offer(0, 0);
	kick(0);
	if (!wait_used(0, 1) || !ring[0].used.ring[0].len ||
	    ring[0].used.ring[0].len > 64)
		return 0;
	for (i = 0; i < ring[0].used.ring[0].len; i++)
		bits |= buffer[0][i];
	return bits != 0;
}

/* Ask by ARP who 10.0.2.2 is. */
static void ask_arp(void)
{
	static const u8 arp[] = {
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,	/* virtio_net_hdr */
		255, 255, 255, 255, 255, 255, 0x52, 0x54, 0, 1, 2, 3, 8, 6,
		0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x54, 0, 1, 2, 3, 10, 0, 2, 15,
		0, 0, 0, 0, 0, 0, 10, 0, 2, 2,
	};
	u32 i;

	for (i = 0; i < sizeof(arp); i++)
		buffer[0][i] = arp[i];
	for (i = 0; i < 6; i++)			/* our own address */
		buffer[0][12 + 6 + i] = buffer[0][12 + 22 + i] =
			in(dev.config + i, 1);
	set_desc(1, 0, phys(buffer[0]), sizeof(arp), 0, 0);
	offer(1, 0);
	kick(1);
}

static int network_works(void)
{
	u64 end;
	u32 i;

	for (i = 0; i < 4; i++) {
		set_desc(0, i, phys(buffer[1 + i]), 2048, IN, 0);
		offer(0, i);
	}
	kick(0);
	ask_arp();
	if (!wait_used(1, 1))
		return 0;
	/* An answer to what was asked before the reset may come as well. */
	end = now() + 15000 * MS;
	while (!ring[0].used.idx && now() < end)
		hypercall(SCHED_OP, 0, 0, 0, 0);
	return ring[0].used.idx && !(status() & NEEDS_RESET) &&
		ring[0].used.ring[0].len >= 12 + 42 &&
		buffer[1 + ring[0].used.ring[0].id % 4][12 + 13] == 6;
}

/* After whatever was done to it: one reset, and it does its work. */
static void check_device(void)
{
	up();
	if (!(dev.type == 1 ? network_works() :
	      dev.type == 2 ? block_works() : entropy_works()))
		say("wrong %s: the device does not work after a reset: status 0x%x, "
		    "used 0x%x, 0x%x\n", attack, (u64)status(),
		    (u64)ring[0].used.idx, (u64)ring[1].used.idx);
	reset();
	check_alive();
}

/* ---- what every ring attack has in common ---- */

/*
 * The ring is bad now: tell the device.  Buffers for packets that come in are
 * looked at when one comes.
 */
static void tell(u32 q)
{
	kick(q);
	if (dev.type == 1 && q == 0)
		ask_arp();
}

/* The device must say that it is broken, in its status and by the ISR. */
static void expect_broken(const char *how)
{
	u64 end = now() + 15000 * MS;

	while (!(status() & NEEDS_RESET) && now() < end)
		hypercall(SCHED_OP, 0, 0, 0, 0);
	if (!(status() & NEEDS_RESET))
		say("wrong %s: %s: the device is not broken, status 0x%x\n",
		    attack, how, (u64)status());
	else if (!(in(dev.isr, 1) & 2))
		say("wrong %s: %s: no configuration interrupt\n", attack, how);
	/* It stays so, whatever is said to it but the reset. */
	kick(0);
	set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	if (!(status() & NEEDS_RESET))
		say("wrong %s: %s: mended without a reset\n", attack, how);
}

/* Which queues are attacked: those whose rings the device reads. */
#define for_each_queue(q) for (q = 0; q <= (dev.type == 1); q++)
/* The flag that a chain of one descriptor has there. */
static u32 direction(u32 q)
{
	return dev.type == 4 || (dev.type == 1 && q == 0) ? IN : 0;
}

/* Offer a bad chain in each queue and see the device break. */
static void bad_chain(const char *how, void (*make)(u32 q, u64 arg), u64 arg)
{
	u32 q;

	for_each_queue(q) {
		up();
		make(q, arg);
		offer(q, ring[q].avail.ring[0]);
		tell(q);
		expect_broken(how);
	}
}

/* ---- the attacks ---- */

/* All sizes at all addresses, and at those that are no port at all. */
static void dev_ports(void)
{
	u32 port, size, i;

	if (!find_device())
		return;
	for (i = 0; i < 3; i++)
		for (port = 0xc000; port < 0xe008; port += i ? 1 + rnd() % 97 : 61)
			for (size = 1; size <= 4; size *= 2) {
				out(port, size, i ? rnd() : ~0UL);
				in(port, size);
			}
	for (port = dev.io; port < dev.io + 0x100; port++)
		for (size = 1; size <= 4; size *= 2) {
			in(port, size);
			out(port, size, rnd());
			in(port, size);
			out(port, size, 0);
			out(port, size, ~0);
		}
	for (port = 0xcf0; port < 0xd08; port++)
		for (size = 1; size <= 4; size *= 2) {
			out(port, size, ~0);
			in(port, size);
			out(port, size, rnd());
			in(port, size);
		}
	check_device();
}

/* Notify and ISR ports of devices that are not there. */
static void dev_absent(void)
{
	u32 slot, q;

	if (!find_device())
		return;
	for (slot = 0; slot < 32; slot++) {
		u32 io = 0xc000 + slot * 0x100;

		if (pci_read(slot, 0, 2) == 0x1af4)
			continue;
		for (q = 0; q < 0x100; q++) {
			out(io + q, 2, q);
			in(io + q, 1);
		}
		if (in(io + 0x38, 1) != 0xff && in(io + 0x38, 1) != 0)
			wrong("a device that is not there has an ISR", slot);
		if (pci_read(slot, 0, 4) != 0xffffffff && slot)
			wrong("what is in this slot?", slot);
	}
	check_device();
}

/* Write all over the configuration space; identity and place stay. */
static void dev_config_space(void)
{
	u32 slot, i, io, size;

	if (!find_device())
		return;
	io = dev.io;
	for (i = 0; i < 3000; i++) {
		out(CONFIG_ADDRESS, 4, rnd() % 4 ? pci_address(rnd() % 32, rnd())
						 : rnd());
		size = 1 << rnd() % 3;
		out(CONFIG_DATA + rnd() % 4, size, rnd() % 2 ? rnd() : ~0UL);
		in(CONFIG_DATA + rnd() % 4, size);
	}
	for (slot = 0; slot < 32; slot++)
		for (i = 0; i < 256; i++)
			pci_write(slot, i, 1, rnd());
	/* buses and functions that are not there */
	for (i = 0; i < 2000; i++) {
		u32 address = rnd() & 0xffff00;

		out(CONFIG_ADDRESS, 4, 0x80000000 | address);
		if ((address & 0xff0700) && in(CONFIG_DATA, 4) != 0xffffffff)
			wrong("somebody answers at", address);
	}
	pci_write(dev.slot, 0x10, 4, ~0);
	if (pci_read(dev.slot, 0x10, 4) != 0xffffff01)
		wrong("size of BAR 0", pci_read(dev.slot, 0x10, 4));
	pci_write(dev.slot, 0x10, 4, io | 1);
	if (!find_device() || dev.io != io)
		wrong("the device moved", dev.io);
	check_device();
}

/* The window into the BAR that the configuration space has. */
static void dev_pci_cfg(void)
{
	static const u32 offsets[] = { 0, 0x14, 0x38, 0x40, 0x7f, 0x80, 0xfe,
		0xff, 0x100, 0x101, 0xfffc, 0x7fffffff, 0x80000000, 0xfffffffc,
		0xffffffff };
	static const u32 lengths[] = { 1, 2, 4, 0, 3, 8, 0xff, 0xffffffff };
	u32 at, i, k, bar;

	if (!find_device())
		return;
	for (at = pci_read(dev.slot, 0x34, 1); at; at = pci_read(dev.slot, at + 1, 1))
		if (pci_read(dev.slot, at, 1) == 9 &&
		    pci_read(dev.slot, at + 3, 1) == 5)
			break;
	if (!at) {
		wrong("there is no VIRTIO_PCI_CAP_PCI_CFG", 0);
		return;
	}
	for (bar = 0; bar < 8; bar++)
		for (i = 0; i < ARRAY_SIZE(offsets); i++)
			for (k = 0; k < ARRAY_SIZE(lengths); k++) {
				pci_write(dev.slot, at + 4, 1, bar);
				pci_write(dev.slot, at + 8, 4, offsets[i]);
				pci_write(dev.slot, at + 12, 4, lengths[k]);
				pci_read(dev.slot, at + 16, 4);
				pci_write(dev.slot, at + 16, 4, rnd());
				pci_read(dev.slot, at + 17, 1);
				pci_write(dev.slot, at + 18, 2, rnd());
			}
	/* an honest use: the number of queues */
	pci_write(dev.slot, at + 4, 1, 0);
	pci_write(dev.slot, at + 8, 4, dev.common - dev.io + NUM_QUEUES);
	pci_write(dev.slot, at + 12, 4, 2);
	if ((pci_read(dev.slot, at + 16, 4) & 0xffff) !=
	    in(dev.common + NUM_QUEUES, 2))
		wrong("the window shows something else", 0);
	check_device();
}

static void loop_of(u32 q, u64 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		set_desc(q, i, phys(buffer[0]), 16, direction(q) | NEXT,
			 (i + 1) % n);
}

static void dev_loop(void)
{
	if (!find_device())
		return;
	bad_chain("a descriptor that is its own next", loop_of, 1);
	bad_chain("two that follow each other", loop_of, 2);
	bad_chain("a loop of all", loop_of, RING_SIZE);
	check_device();
}

static void wild_address(u32 q, u64 address)
{
	set_desc(q, 0, address, 4096, direction(q), 0);
}

static void wild_length(u32 q, u64 len)
{
	set_desc(q, 0, phys(buffer[0]), len, direction(q), 0);
}

static void dev_wild(void)
{
	u64 end = start_info->nr_pages * PAGE_SIZE, i;
	const u64 wild[] = { end, end - 4095, end + PAGE_SIZE, 1UL << 32,
		1UL << 40, 1UL << 52, 1UL << 63, -4096UL, -4095UL, -1UL,
		0xffff800000000000, 0xffffffff80000000, (u64)buffer };

	if (!find_device())
		return;
	for (i = 0; i < ARRAY_SIZE(wild); i++)
		bad_chain("a buffer outside of the memory", wild_address,
			  wild[i]);
	bad_chain("a buffer of 4 GiB", wild_length, 0xffffffff);
	bad_chain("a buffer over the end", wild_length, end);
	check_device();
}

static void wild_next(u32 q, u64 next)
{
	set_desc(q, 0, phys(buffer[0]), 16, direction(q) | NEXT, next);
}

static void wild_head(u32 q, u64 head)
{
	set_desc(q, 0, phys(buffer[0]), 16, direction(q), 0);
	ring[q].avail.ring[0] = head;
}

static void dev_heads(void)
{
	static const u16 wild[] = { RING_SIZE, RING_SIZE + 1, 255, 256, 1024,
				    32767, 32768, 65535 };
	u64 i;

	if (!find_device())
		return;
	for (i = 0; i < ARRAY_SIZE(wild); i++) {
		bad_chain("a head that is no descriptor", wild_head, wild[i]);
		bad_chain("a next that is none", wild_next, wild[i]);
	}
	check_device();
}

/* A readable descriptor behind a writable one. */
static void wrong_order(u32 q, u64 flags)
{
	set_desc(q, 0, phys(buffer[0]), 16, IN | NEXT, 1);
	set_desc(q, 1, phys(buffer[1]), 16, flags, 0);
}

static void dev_order(void)
{
	if (!find_device())
		return;
	bad_chain("readable behind writable", wrong_order, 0);
	check_device();
}

static void leap(u32 q, u64 by)
{
	u32 i;

	for (i = 0; i < RING_SIZE; i++)
		set_desc(q, i, phys(buffer[0]), 16, direction(q), 0);
	ring[q].avail.idx += by - 1;
}

static void dev_leap(void)
{
	static const u16 by[] = { RING_SIZE + 1, 256, 257, 32767, 32768, 65535 };
	u64 i;

	if (!find_device())
		return;
	for (i = 0; i < ARRAY_SIZE(by); i++)
		bad_chain("the index leaps", leap, by[i]);
	check_device();
}

/* ---- indirect tables ---- */

static void fill_table(u32 q, u32 n)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		table[i].addr = phys(buffer[0]);
		table[i].len = 16;
		table[i].flags = direction(q) | (i + 1 < n ? NEXT : 0);
		table[i].next = i + 1 < n ? i + 1 : 0;
	}
}

static void indirect(u32 q, u64 how)
{
	u64 end = start_info->nr_pages * PAGE_SIZE;

	fill_table(q, 4);
	set_desc(q, 0, phys(table), 64, INDIRECT, 0);
	switch (how) {
	case 0:		/* a table in a table */
		table[1].flags |= INDIRECT;
		table[1].addr = phys(table);
		table[1].len = 64;
		break;
	case 1:
		table[0].flags = INDIRECT;
		table[0].addr = phys(table);
		break;
	case 2:		/* lengths that are no whole table */
		ring[q].desc[0].len = 0;
		break;
	case 3:
		ring[q].desc[0].len = 15;
		break;
	case 4:
		ring[q].desc[0].len = 65;
		break;
	case 5:
		ring[q].desc[0].len = 0xfffffff0;
		break;
	case 6:		/* places that are none */
		ring[q].desc[0].addr = end;
		break;
	case 7:
		ring[q].desc[0].addr = end - 48;
		break;
	case 8:
		ring[q].desc[0].addr = -32UL;
		break;
	case 9:		/* next leaves the table */
		table[1].next = 4;
		break;
	case 10:
		table[3].flags |= NEXT;
		table[3].next = 65535;
		break;
	case 11:	/* loops */
		table[3].flags |= NEXT;
		table[3].next = 0;
		break;
	case 12:
		table[0].next = 0;
		break;
	case 13:	/* indirect and next at once */
		ring[q].desc[0].flags |= NEXT;
		ring[q].desc[0].next = 1;
		set_desc(q, 1, phys(buffer[0]), 16, direction(q), 0);
		break;
	case 14:	/* a wild buffer in it */
		table[2].addr = end;
		break;
	}
}

static void dev_indirect(void)
{
	u64 how;

	if (!find_device())
		return;
	for (how = 0; how < 15; how++)
		bad_chain(&"0\0001\0002\0003\0004\0005\0006\0007\0008\0009\000"
			  "a\000b\000c\000d\000e"[2 * how], indirect, how);
	check_device();
}

/* Indirect descriptors that nobody agreed upon. */
static void dev_not_agreed(void)
{
	u32 q;

	if (!find_device())
		return;
	for_each_queue(q) {
		begin(F_VERSION_1 | (dev.type == 1 ? NET_FEATURES : 0));
		make_queue(0);
		if (dev.type == 1)
			make_queue(1);
		set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
		fill_table(q, 1);
		set_desc(q, 0, phys(table), 16, INDIRECT, 0);
		offer(q, 0);
		tell(q);
		expect_broken("indirect without the feature");
	}
	check_device();
}

/* ---- registers ---- */

/* Rings where no memory is: refused, or the device breaks. */
static void dev_ring_address(void)
{
	u64 end = start_info->nr_pages * PAGE_SIZE, i;
	const u64 wild[] = { end, end - 16, end + PAGE_SIZE, -1UL, -16UL, -4096UL,
		1UL << 63, 1UL << 52, 0xffff800000000000, (u64)ring };
	static const u8 which[] = { QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE };
	u32 k;

	if (!find_device())
		return;
	for (i = 0; i < ARRAY_SIZE(wild); i++)
		for (k = 0; k < 3; k++) {
			up();
			begin(F_VERSION_1);
			select(dev.work);
			out(dev.common + QUEUE_SIZE, 2, RING_SIZE);
			set_address(QUEUE_DESC, phys(&ring[dev.work].desc));
			set_address(QUEUE_DRIVER, phys(&ring[dev.work].avail));
			set_address(QUEUE_DEVICE, phys(&ring[dev.work].used));
			set_address(which[k], wild[i]);
			out(dev.common + QUEUE_ENABLE, 2, 1);
			set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
			set_desc(dev.work, 0, phys(buffer[0]), 16,
				 direction(dev.work), 0);
			offer(dev.work, 0);
			kick(dev.work);
			select(dev.work);
			if (!(status() & NEEDS_RESET) &&
			    in(dev.common + QUEUE_ENABLE, 2))
				expect_broken("a ring outside of the memory");
		}
	check_device();
}

/* Sizes, numbers and enabling of queues, in the wrong order too. */
static void dev_queue_size(void)
{
	static const u16 sizes[] = { 0, 1, 2, 3, 7, 15, 17, 100, 255, 257, 512,
		1000, 4096, 32768, 32769, 65535 };
	u32 i, q, max;

	if (!find_device())
		return;
	begin(F_VERSION_1);
	select(0);
	max = in(dev.common + QUEUE_SIZE, 2);
	if (!max || max > 32768 || (max & (max - 1)))
		wrong("the largest queue", max);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (q = 0; q < 3; q++) {
			up();
			if (q) {		/* in use or not */
				reset();
				begin(F_VERSION_1);
			}
			select(q == 2 ? dev.work : 0);
			out(dev.common + QUEUE_SIZE, 2, sizes[i]);
			out(dev.common + QUEUE_ENABLE, 2, 1);
			if (q && (!sizes[i] || sizes[i] & (sizes[i] - 1) ||
				  sizes[i] > max) &&
			    in(dev.common + QUEUE_ENABLE, 2))
				wrong("a queue of this size is on", sizes[i]);
			out(dev.common + QUEUE_SIZE, 2, 65535);
			set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
			offer(0, 0);
			kick(q == 2 ? dev.work : 0);
			kick(0);
		}
	/* two registers at once, the second one read-only */
	begin(F_VERSION_1);
	select(0);
	for (i = 25; i < 32; i++)
		for (q = 0; q < 20; q++)
			out(dev.common + i, 1 << q % 3, rnd() | 0x40004000);
	if (in(dev.common + QUEUE_NOTIFY_OFF, 2))
		wrong("queue_notify_off was written", i);
	/* queues there are not */
	begin(F_VERSION_1);
	for (i = 0; i < 2000; i++) {
		out(dev.common + QUEUE_SELECT, 2, rnd());
		if (in(dev.common + QUEUE_SELECT, 2) >=
		    in(dev.common + NUM_QUEUES, 2)) {
			if (in(dev.common + QUEUE_SIZE, 2))
				wrong("a queue too many", 0);
			if (in(dev.common + QUEUE_ENABLE, 2))
				wrong("a queue too many is on", 0);
		}
		set_address(QUEUE_DESC + rnd() % 24, rnd());
		out(dev.common + QUEUE_ENABLE, 2, rnd());
		out(dev.notify + rnd() % 64, 2, rnd());
	}
	check_device();
}

static void dev_status(void)
{
	u32 i, s;

	if (!find_device())
		return;
	for (i = 0; i < 256; i++) {		/* every value, from anywhere */
		if (i % 3 == 0)
			up();
		set_status(i);
		offer(dev.work, 0);
		kick(dev.work);
		s = status();
		if (i == 0 && s)
			wrong("a reset that is none", s);
	}
	/* a feature that was not offered */
	for (i = 0; i < 64; i++) {
		u64 offered = begin(F_VERSION_1);

		if (offered & 1UL << i)
			continue;
		set_status(0);
		set_status(ACKNOWLEDGE | DRIVER);
		out(dev.common + DRIVER_FEATURE_SELECT, 4, 1);
		out(dev.common + DRIVER_FEATURE, 4, 1 | (1UL << i) >> 32);
		out(dev.common + DRIVER_FEATURE_SELECT, 4, 0);
		out(dev.common + DRIVER_FEATURE, 4, 1UL << i);
		set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
		if (status() & FEATURES_OK)
			wrong("a feature nobody offered is taken", i);
	}
	/* features without VERSION_1, and selectors that select nothing */
	begin(0);
	if (status() & FEATURES_OK)
		wrong("a driver of the old kind is welcome", 0);
	for (i = 2; i < 300; i++) {
		out(dev.common + DEVICE_FEATURE_SELECT, 4, i < 100 ? i : rnd() | 2);
		out(dev.common + DRIVER_FEATURE_SELECT, 4, i < 100 ? i : rnd() | 2);
		if (in(dev.common + DEVICE_FEATURE, 4))
			wrong("features beyond bit 63", i);
		out(dev.common + DRIVER_FEATURE, 4, ~0);
	}
	/* rings are not read before DRIVER_OK */
	begin(F_VERSION_1);
	make_queue(0);
	if (dev.type == 1)
		make_queue(1);
	set_desc(dev.work, 0, phys(buffer[0]), 64, direction(dev.work), 0);
	offer(dev.work, 0);
	kick(dev.work);
	for (i = 0; i < 200; i++)
		hypercall(SCHED_OP, 0, 0, 0, 0);
	if (ring[dev.work].used.idx)
		wrong("work before DRIVER_OK", 0);
	check_device();
}

/* A reset means that nothing more is written to us. */
static void dev_reset_in_flight(void)
{
	u32 i, k, late = 0;
	u64 round;

	if (!find_device())
		return;
	for (round = 0; round < 200; round++) {
		up();
		for (i = 0; i < 5; i++) {
			if (dev.type == 2) {
				*(volatile u64 *)buffer[0] = 0;
				*(volatile u64 *)(buffer[0] + 8) = 0;
				set_desc(0, 3 * i, phys(buffer[0]), 16, NEXT,
					 3 * i + 1);
				set_desc(0, 3 * i + 1, phys(buffer[1 + i]), 4096,
					 IN | NEXT, 3 * i + 2);
				set_desc(0, 3 * i + 2, phys(buffer[7]), 1, IN, 0);
				offer(0, 3 * i);
			} else {
				set_desc(0, i, phys(buffer[1 + i]), 4096, IN, 0);
				offer(0, i);
			}
		}
		kick(0);
		if (dev.type == 1)
			ask_arp();
		for (i = rnd() % 50; i; i--)
			asm volatile("pause");
		reset();
		for (i = 1; i < 8; i++)
			for (k = 0; k < PAGE_SIZE; k += 512)
				buffer[i][k] = 0x5a;
		clear(ring, sizeof(ring));
		for (i = 0; i < 20; i++)
			hypercall(SCHED_OP, 0, 0, 0, 0);
		for (i = 1; i < 8; i++)
			for (k = 0; k < PAGE_SIZE; k += 512)
				late += buffer[i][k] != 0x5a;
		late += ring[0].used.idx || ring[1].used.idx;
	}
	if (late)
		wrong("written to after a reset", late);
	check_device();
}

/* Bells by the thousand: on empty queues, on disabled ones, on none. */
static void dev_bells(void)
{
	u32 i;

	if (!find_device())
		return;
	up();
	for (i = 0; i < 20000; i++)
		out(dev.notify + i % 3 * dev.multiplier, 2, i);
	reset();
	for (i = 0; i < 5000; i++)
		out(dev.notify + rnd() % 64, 1 << rnd() % 3, rnd());
	check_device();
}

/* Change what the device is reading. */
static void dev_race(void)
{
	u64 round, end = start_info->nr_pages * PAGE_SIZE;
	u32 i, q = dev.work;

	if (!find_device())
		return;
	q = dev.work;
	for (round = 0; round < 60; round++) {
		up();
		for (i = 0; i < RING_SIZE; i++) {
			set_desc(q, i, phys(buffer[0]), 512, direction(q), 0);
			offer(q, i);
		}
		kick(q);
		for (i = 0; i < 3000; i++) {
			volatile struct desc *d = &ring[q].desc[i % RING_SIZE];

			d->len = i & 1 ? 0xfffff000 : 16;
			d->addr = i & 2 ? end - 8 : phys(buffer[0]);
			d->flags = rnd() % 8;
			d->next = rnd() % 32;
			ring[q].avail.ring[i % RING_SIZE] = rnd() % 20;
			if (i % 64 == 0) {
				ring[q].avail.idx += rnd() % 4;
				kick(q);
			}
		}
	}
	check_device();
}

/* Interrupts: pirqs of all numbers, bound, acknowledged, closed. */
static void dev_pirq(void)
{
	static u32 arg[4], eoi[2];
	u32 i, port = 0, pirq;

	if (!find_device())
		return;
	pirq = pci_read(dev.slot, 0x3c, 1);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		hypercall(EVENT_CHANNEL_OP, 2, bad[i], 0, 0);
		hypercall(33, 12, bad[i], 0, 0);
		hypercall(33, 5, bad[i], 0, 0);
	}
	for (i = 0; i < 600; i++) {
		u32 nr = i < 300 ? i : i < 400 ? 1U << i % 32 : rnd();

		arg[0] = nr;
		arg[1] = rnd() % 4;
		if (!hypercall(EVENT_CHANNEL_OP, 2, (u64)arg, 0, 0) &&
		    nr >= 64)
			wrong("a pirq of no device was bound", nr);
		eoi[0] = nr;
		hypercall(33, 12, (u64)eoi, 0, 0);
		hypercall(33, 5, (u64)eoi, 0, 0);
	}
	for (i = 0; i < NR_PORTS; i++) {	/* close whatever is a port */
		arg[0] = i;
		if (i > 2 && i != timer_port)
			hypercall(EVENT_CHANNEL_OP, 3, (u64)arg, 0, 0);
	}
	for (i = 0; i < 50; i++) {
		u32 k;

		arg[0] = pirq;
		arg[1] = 1;
		if (hypercall(EVENT_CHANNEL_OP, 2, (u64)arg, 0, 0)) {
			wrong("the device's pirq cannot be bound", pirq);
			break;
		}
		port = arg[2];
		eoi[0] = pirq;
		eoi[1] = 0;
		if (hypercall(33, 5, (u64)eoi, 0, 0) || !(eoi[1] & 1))
			wrong("irq_status_query does not say needs_eoi", eoi[1]);
		up();
		if (dev.type == 1)
			ask_arp();
		else {
			set_desc(0, 0, phys(buffer[0]), 64, direction(0), 0);
			offer(0, 0);
			kick(0);
		}
		for (k = 0; k < 30; k++)
			hypercall(33, 12, (u64)eoi, 0, 0);
		in(dev.isr, 1);
		reset();
		arg[0] = port;
		hypercall(EVENT_CHANNEL_OP, 3, (u64)arg, 0, 0);
		hypercall(33, 12, (u64)eoi, 0, 0);
	}
	/* an interrupt comes, and comes again at the eoi until ISR is read */
	arg[0] = pirq;
	arg[1] = 1;
	hypercall(EVENT_CHANNEL_OP, 2, (u64)arg, 0, 0);
	port = arg[2];
	up();
	shared->pending[port / 64] &= ~(1UL << port % 64);
	set_desc(dev.work, 0, phys(buffer[0]), 64, direction(dev.work), 0);
	if (dev.type == 2)
		block_works();
	else if (dev.type == 1)
		network_works();
	else
		entropy_works();
	for (i = 0; i < 2000 && !(shared->pending[port / 64] >> port % 64 & 1); i++)
		hypercall(SCHED_OP, 0, 0, 0, 0);
	if (!(shared->pending[port / 64] >> port % 64 & 1))
		wrong("no interrupt for used buffers", port);
	shared->pending[port / 64] &= ~(1UL << port % 64);
	hypercall(33, 12, (u64)eoi, 0, 0);
	if (!(shared->pending[port / 64] >> port % 64 & 1))
		wrong("not raised again at the eoi", port);
	if (!(in(dev.isr, 1) & 1) || in(dev.isr, 1))
		wrong("reading the ISR does not clear it", 0);
	shared->pending[port / 64] &= ~(1UL << port % 64);
	hypercall(33, 12, (u64)eoi, 0, 0);
	if (shared->pending[port / 64] >> port % 64 & 1)
		wrong("raised again though the ISR was read", port);
	arg[0] = port;
	hypercall(EVENT_CHANNEL_OP, 3, (u64)arg, 0, 0);
	check_device();
}

/* Device configuration: read and written at all sizes, beyond its end. */
static void dev_own_config(void)
{
	u32 i, size;

	if (!find_device())
		return;
	up();
	for (i = 0; i < 128; i++)
		for (size = 1; size <= 4; size *= 2) {
			in(dev.config + i, size);
			out(dev.config + i, size, rnd());
			out(dev.config + i, size, ~0);
			in(dev.config + i, size);
		}
	check_device();
}

/* ---- what only one kind of device takes ---- */

/* Requests that no disk can serve; each must be answered, and not by "ok". */
static void dev_block_requests(void)
{
	static const u64 sectors[] = { ~0UL, 1UL << 63, 1UL << 55, 1UL << 54,
		(1UL << 55) - 1, 1UL << 40, 8192, 8191, 0x7fffffffffffff };
	static const u32 lengths[] = { 512, 0, 1, 511, 513, 1024, 4096 };
	u32 type, i, k, good;

	if (!find_device())
		return;
	for (type = 0; type < 16; type++)
		for (i = 0; i < ARRAY_SIZE(sectors); i++)
			for (k = 0; k < ARRAY_SIZE(lengths); k++) {
				up();
				clear(buffer[1], PAGE_SIZE);
				if (k % 2)	/* ranges of their own */
					for (good = 0; good < 16; good += 2) {
						((volatile u64 *)buffer[1])[good] =
							sectors[i];
						((volatile u64 *)buffer[1])[good + 1]
							= rnd();
					}
				block_request(type, sectors[i],
					      type == 0 || type == 8 ? IN : 0,
					      lengths[k]);
				if (!wait_used(0, 1)) {
					if (!(status() & NEEDS_RESET))
						wrong("a request without an answer",
						      type << 8 | i << 4 | k);
					continue;
				}
				good = type == 4 || type == 8 ||
					(i == 7 && lengths[k] == 512) ||
					((type <= 1 || k == 1 || k % 2 == 0)
					 && lengths[k] == 0);
				if (type < 2 && !good && !buffer[2][0])
					wrong("beyond the end, and well",
					      type << 8 | i << 4 | k);
				if (buffer[2][0] > 2)
					wrong("a status that is none",
					      buffer[2][0]);
			}
	check_device();
}

/* Requests in odd pieces: no header, no status, the wrong directions. */
static void dev_block_shapes(void)
{
	u32 head, data, last, flags;

	if (!find_device())
		return;
	for (head = 0; head < 20; head += 1 + head / 2)
		for (data = 0; data < 1100; data = data * 2 + 1)
			for (last = 0; last < 3; last++)
				for (flags = 0; flags < 8; flags++) {
					u16 before;

					up();
					before = ring[0].used.idx;
					clear(buffer[0], 32);
					set_desc(0, 0, phys(buffer[0]), head,
						 NEXT | (flags & 1 ? IN : 0), 1);
					set_desc(0, 1, phys(buffer[1]), data,
						 (last ? NEXT : 0) |
						 (flags & 2 ? IN : 0), 2);
					set_desc(0, 2, phys(buffer[2]), last - 1,
						 flags & 4 ? IN : 0, 0);
					offer(0, 0);
					kick(0);
					wait_used(0, before + 1);
				}
	check_device();
}

/* Packets whose headers lie. */
static void dev_net_packets(void)
{
	static const u32 lengths[] = { 0, 1, 3, 11, 12, 13, 25, 26, 27, 54, 66,
		1526, 4096 };
	u64 round, i;

	if (!find_device())
		return;
	for (round = 0; round < 120; round++) {
		begin(~0UL);			/* all that is offered */
		make_queue(0);
		make_queue(1);
		set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
		for (i = 0; i < RING_SIZE; i++) {
			u32 b = i % 8, k;

			for (k = 0; k < 80; k++)
				buffer[b][k] = rnd();
			buffer[b][0] = rnd() % 4;	/* flags */
			buffer[b][1] = rnd() % 2 ? rnd() % 6 : rnd();
			*(volatile u16 *)(buffer[b] + 2) = rnd() % 200;
			if (rnd() % 2) {
				buffer[b][24] = 8;	/* IPv4, TCP */
				buffer[b][25] = 0;
				buffer[b][26] = 0x45;
				buffer[b][35] = 6;
			}
			set_desc(1, i, phys(buffer[b]),
				 lengths[rnd() % ARRAY_SIZE(lengths)], 0, 0);
			offer(1, i);
		}
		kick(1);
		wait_used(1, RING_SIZE);
	}
	check_device();
}

/* Buffers for packets that are too small, or for reading only. */
static void dev_net_buffers(void)
{
	static const u32 lengths[] = { 0, 1, 11, 12, 13, 41 };
	u32 i, k;

	if (!find_device())
		return;
	for (k = 0; k < ARRAY_SIZE(lengths); k++) {
		up();
		for (i = 0; i < 4; i++) {
			set_desc(0, i, phys(buffer[1]), lengths[k], IN, 0);
			offer(0, i);
		}
		kick(0);
		ask_arp();
		wait_used(1, 1);
	}
	up();
	set_desc(0, 0, phys(buffer[1]), 2048, 0, 0);
	offer(0, 0);
	kick(0);
	ask_arp();
	wait_used(1, 1);
	check_device();
}

/* All of it, at random. */
static void dev_fuzz(void)
{
	u64 i, end = start_info->nr_pages * PAGE_SIZE;
	u32 k, q;

	if (!find_device())
		return;
	for (i = 0; i < rounds; i++) {
		if (i % 50 == 0)
			up();
		q = rnd() % 2 ? dev.work : rnd() % 3;
		switch (rnd() % 8) {
		case 0:
			out(dev.io + rnd() % 256, 1 << rnd() % 3,
			    rnd() % 2 ? rnd() % 32 : rnd());
			break;
		case 1:
			in(dev.io + rnd() % 256, 1 << rnd() % 3);
			break;
		case 2: case 3:
			k = rnd() % RING_SIZE;
			set_desc(q, k, rnd() % 8 ? phys(buffer[rnd() % 8])
				 : rnd() % 2 ? end - rnd() % 64 : rnd(),
				 rnd() % 4 ? rnd() % 4097 : rnd(), rnd() % 8,
				 rnd() % 8 ? rnd() % RING_SIZE : rnd());
			break;
		case 4: case 5:
			offer(q, rnd() % 16 ? rnd() % RING_SIZE : rnd());
			break;
		case 6:
			for (k = 0; k < 32; k++)
				buffer[rnd() % 8][k] = rnd() % 3 ? rnd() % 16
								 : rnd();
			break;
		case 7:
			out(dev.notify + q * dev.multiplier, 2, q);
			break;
		}
	}
	check_device();
}
