// SPDX-License-Identifier: GPL-2.0
#include <gelf.h>

#include "launcher.h"
#include "xen.h"

/* create the guest's memory */
static void memory_create(struct domain *d, uint64_t bytes)
{
	size_t size = bytes + PAGE_SIZE;
	int memfd = -1;

	d->frames = bytes >> PAGE_SHIFT;
	/* choose shared memory */
	memfd = vhost_memory(size);
	d->mem = mmap(NULL, size, PROT_READ | PROT_WRITE, memfd < 0 ?
		      MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, memfd, 0);
	/* refuse if the host does */
	if (d->mem == MAP_FAILED)
		die(NO_RESOURCE, "the host refuses %lu MiB of memory for the "
		    "guest (%m): try a smaller --memory, or see ulimit -v",
		    bytes / MiB);
	madvise(d->mem, size, MADV_DONTFORK);
	/* ask for large pages */
	madvise(d->mem, size, MADV_HUGEPAGE);
}

void domain_free(struct domain *d)
{
	munmap(d->mem, (d->frames + 1) << PAGE_SHIFT);
	d->mem = NULL;
}

/* plan the start of day */
struct layout {
	uint64_t initrd, initrd_bytes;
	uint64_t p2m, p2m_bytes, p2m_va;
	uint64_t p2m_tables, nr_p2m_tables;
	uint64_t start_info, store, console;
	uint64_t tables, nr_tables, stack;
	uint64_t end;		/* of the bootstrap area */
	uint64_t used;		/* of all */
};

static uint64_t take(uint64_t *next, uint64_t bytes)
{
	uint64_t at = *next;

	*next += PAGES(bytes);
	return at;
}

static uint64_t chunks(uint64_t start, uint64_t bytes, int shift)
{
	return ((start + bytes - 1) >> shift) - (start >> shift) + 1;
}

static uint64_t count_tables(uint64_t start, uint64_t bytes)
{
	return chunks(start, bytes, 39) + chunks(start, bytes, 30) +
		chunks(start, bytes, 21);
}

static void stay_in_slot(uint64_t start, uint64_t bytes, const char *what)
{
	if (start >> 39 != (start + bytes - 1) >> 39)
		die(BAD_IMAGE, "%s at %#lx would need %lu MiB and so cross a "
		    "512 GiB boundary: no kernel for Xen asks for that",
		    what, start, bytes / MiB);
}

static void plan(struct layout *l, const struct image *img, uint64_t frames)
{
	uint64_t base = img->note[NOTE_VIRT_BASE];
	uint64_t next = PAGES(ALIGN(img->last - img->note[NOTE_PADDR_OFFSET],
				    4 * MiB));

	l->p2m_bytes = frames * 8;
	if (!img->note[NOTE_MOD_START_PFN])
		l->initrd = take(&next, l->initrd_bytes);
	if (!has_note(img, NOTE_INIT_P2M)) {
		l->p2m = take(&next, l->p2m_bytes);
		l->p2m_va = base + (l->p2m << PAGE_SHIFT);
	}
	/* plan the single pages */
	l->start_info = take(&next, PAGE_SIZE);
	l->store = take(&next, PAGE_SIZE);
	l->console = take(&next, PAGE_SIZE);
	l->tables = next;
	/* plan the tables and the end */
	for (uint64_t n = 1; l->nr_tables != n; ) {
		uint64_t bytes;

		l->nr_tables = n;
		l->stack = l->tables + n;
		bytes = ALIGN(((l->stack + 1) << PAGE_SHIFT) + MiB / 2, 4 * MiB);
		stay_in_slot(base, bytes, "the kernel");
		l->end = PAGES(bytes);
		n = 1 + count_tables(base, bytes);
	}
	/* plan what lies above the bootstrap area */
	next = l->end;
	if (has_note(img, NOTE_INIT_P2M)) {
		l->p2m_va = img->note[NOTE_INIT_P2M];
		stay_in_slot(l->p2m_va, l->p2m_bytes, "the frame list");
		l->p2m = take(&next, l->p2m_bytes);
		l->nr_p2m_tables = count_tables(l->p2m_va, l->p2m_bytes);
		l->p2m_tables = take(&next, l->nr_p2m_tables << PAGE_SHIFT);
	}
	if (img->note[NOTE_MOD_START_PFN])
		l->initrd = take(&next, l->initrd_bytes);
	l->used = next;
}

static void check_fit(const struct layout *l, const struct options *opt,
		      uint64_t frames)
{
	uint64_t need = ALIGN(l->used << PAGE_SHIFT, MiB) / MiB;

	if (l->used <= frames)
		return;
	/* say what does not fit */
	if (l->used - PAGES(l->initrd_bytes) <= frames)
		die(NO_RESOURCE, "the initrd %s (%lu MiB) does not fit beside "
		    "the kernel into %lu MiB of memory: give --memory more "
		    "than %luM", opt->initrd, l->initrd_bytes / MiB,
		    frames >> 8, need);
	die(NO_RESOURCE, "the kernel %s does not fit into %lu MiB of memory: "
	    "give --memory more than %luM", opt->kernel, frames >> 8, need);
}

/* choose an entry's permissions */
#define PTE_P		0x01
#define PTE_RW		0x02
#define PTE_AD		0x60

static uint64_t flags(const struct layout *l, uint64_t pfn, int shift)
{
	bool table = pfn - l->tables < l->nr_tables;

	return PTE_P | PTE_AD | (shift == 12 && table ? 0 : PTE_RW);
}

/* build the page tables */
static void map(struct domain *d, const struct layout *l, uint64_t tables,
		uint64_t va, uint64_t bytes, uint64_t pfn)
{
	uint64_t parent = l->tables;

	for (int shift = 39; shift >= 12; shift -= 9) {
		/* fill the entries of one level */
		uint64_t child = shift == 12 ? pfn : tables;
		uint64_t n = chunks(va, bytes, shift);
		uint64_t *entry = (uint64_t *)frame_at(d, parent) +
			(va >> shift & 511);

		for (uint64_t i = 0; i < n; i++)
			entry[i] = (child + i) << PAGE_SHIFT |
				flags(l, child + i, shift);
		parent = tables;
		tables += n;
	}
}

/* fill the hypercall page */
static void fill_hypercall_page(uint8_t *stub)
{
	/* push %rcx; push %r11 */
	static const uint8_t head[] = { 0x51, 0x41, 0x53 };
	/* syscall; pop %r11; pop %rcx; ret */
	static const uint8_t tail[] = { 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3 };

	for (int nr = 0; nr < 128; nr++, stub += 32) {
		/* write one stub */
		uint8_t *p = memcpy(stub, head, sizeof(head)) + sizeof(head);

		if (nr == 23)
			*p++ = 0x50;	/* push %rax */
		*p++ = 0xb8;		/* mov $nr, %eax */
		memcpy(p, &nr, 4);
		memcpy(p + 4, tail, sizeof(tail));
	}
}

/* load the kernel */
static void load_kernel(struct domain *d, const struct image *img)
{
	GElf_Phdr ph;

	for (int i = 0; gelf_getphdr(img->handle, i, &ph); i++)
		if (ph.p_type == PT_LOAD && ph.p_memsz)
			memcpy(d->mem + ph.p_paddr -
			       img->note[NOTE_PADDR_OFFSET],
			       img->elf.data + ph.p_offset, ph.p_filesz);
}

static void drop_locks(struct domain *d, const struct image *img)
{
	Elf_Scn *scn = NULL;
	size_t names = 0;
	GElf_Shdr s;

	elf_getshdrstrndx(img->handle, &names);
	while ((scn = elf_nextscn(img->handle, scn)) && gelf_getshdr(scn, &s)) {
		if (strcmp(elf_strptr(img->handle, names, s.sh_name) ?: "",
			   ".smp_locks"))
			continue;
		/* replace the prefixes of a table */
		Elf_Data *table = elf_getdata(scn, NULL);

		for (size_t i = 0; table && table->d_buf && i + 4 <= table->d_size; i += 4) {
			uint64_t to = s.sh_addr - img->note[NOTE_VIRT_BASE] + i;
			int32_t distance;

			memcpy(&distance, table->d_buf + i, 4);
			to += distance;
			if (to < d->frames << PAGE_SHIFT && d->mem[to] == 0xf0)
				d->mem[to] = 0x3e;
		}
	}
}

/* fill the start information */
static void fill_start_info(struct domain *d, const struct layout *l,
			    const struct options *opt, const struct image *img)
{
	struct start_info *si = frame_at(d, l->start_info);
	uint64_t base = img->note[NOTE_VIRT_BASE];

	strcpy(si->magic, "xen-3.0-x86_64");
	si->nr_pages = d->frames;
	si->shared_info = d->frames << PAGE_SHIFT;
	si->store_mfn = l->store;
	si->console_mfn = l->console;
	si->console_evtchn = LG_PORT_CONSOLE;
	/* tell of the page tables */
	si->pt_base = base + (l->tables << PAGE_SHIFT);
	si->nr_pt_frames = l->nr_tables;
	/* tell of the frame list and the initrd */
	si->mfn_list = l->p2m_va;
	if (l->nr_p2m_tables) {
		si->first_p2m_pfn = l->p2m;
		si->nr_p2m_frames = PAGES(l->p2m_bytes) + l->nr_p2m_tables;
	}
	if (l->initrd_bytes) {
		bool pfn = img->note[NOTE_MOD_START_PFN];

		si->mod_len = l->initrd_bytes;
		si->mod_start = pfn ? l->initrd : base + (l->initrd << PAGE_SHIFT);
		si->flags = pfn ? SIF_MOD_START_PFN : 0;
	}
	/* copy the command line */
	if (snprintf(si->cmd_line, sizeof(si->cmd_line), "%s",
		     opt->append) >= (int)sizeof(si->cmd_line))
		die(BAD_USAGE, "--append is longer than the %zu bytes that a "
		    "guest can be given", sizeof(si->cmd_line) - 1);
}

/* build the domain */
void domain_build(struct domain *d, const struct options *opt,
		  const struct image *img)
{
	uint64_t base = img->note[NOTE_VIRT_BASE];
	struct file initrd = { 0 };
	struct layout l = { 0 };
	uint64_t *p2m;

	if (opt->initrd)
		initrd = file_map(opt->initrd, "initrd");
	l.initrd_bytes = initrd.size;
	plan(&l, img, opt->memory >> PAGE_SHIFT);
	check_fit(&l, opt, opt->memory >> PAGE_SHIFT);

	/* fill the memory */
	memory_create(d, opt->memory);
	load_kernel(d, img);
	/* mend the kernel's text */
	if (opt->vcpus < 2 && !strstr(opt->append, "noreplace-smp"))
		drop_locks(d, img);
	if (initrd.size)
		memcpy(frame_at(d, l.initrd), initrd.data, initrd.size);
	file_unmap(&initrd);
	p2m = frame_at(d, l.p2m);
	for (uint64_t pfn = 0; pfn < d->frames; pfn++)
		p2m[pfn] = pfn;
	/* map the bootstrap area and the list */
	map(d, &l, l.tables + 1, base, l.end << PAGE_SHIFT, 0);
	if (l.nr_p2m_tables)
		map(d, &l, l.p2m_tables, l.p2m_va, l.p2m_bytes, l.p2m);
	if (has_note(img, NOTE_HYPERCALL_PAGE))
		fill_hypercall_page(d->mem + img->note[NOTE_HYPERCALL_PAGE] - base);
	fill_start_info(d, &l, opt, img);
	/* set the guest's first registers */
	d->console = frame_at(d, l.console);
	d->rip = img->note[NOTE_ENTRY];
	d->rsi = base + (l.start_info << PAGE_SHIFT);
	d->rsp = base + ((l.stack + 1) << PAGE_SHIFT);
	d->cr3 = l.tables;
}
