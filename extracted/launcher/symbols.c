// SPDX-License-Identifier: GPL-2.0
#include <gelf.h>

#include "launcher.h"

/* read a word of the guest's memory */
#define PTE_P		0x01
#define PTE_LARGE	0x80
#define PTE_FRAME(e)	((e) >> PAGE_SHIFT & ((1UL << 40) - 1))

bool guest_read(const struct domain *d, uint64_t root, uint64_t va,
		uint64_t *value)
{
	uint64_t pfn = root;

	if (va % 8)
		return false;
	for (int shift = 39; shift >= 3; shift -= 9) {
		/* step down one level */
		if (pfn >= d->frames)
			return false;
		*value = ((uint64_t *)frame_at(d, pfn))[va >> shift & 511];
		if ((shift > 3 && !(*value & PTE_P)) || (shift > 12 && *value & PTE_LARGE))
			return false;
		pfn = PTE_FRAME(*value);
	}
	return true;
}

/* keep the kernel's symbols */
static Elf_Data *symbols;
static Elf *elf;
static GElf_Shdr table;

void symbols_open(const char *path)
{
	Elf_Scn *s = NULL;

	if (elf)
		return;
	elf_version(EV_CURRENT);
	elf = elf_begin(open(path, O_RDONLY | O_CLOEXEC), ELF_C_READ_MMAP,
			NULL);
	while (!symbols && (s = elf_nextscn(elf, s)))
		if (gelf_getshdr(s, &table) && table.sh_type == SHT_SYMTAB)
			symbols = elf_getdata(s, NULL);
}

/* print an address and its symbol */
bool symbols_print(uint64_t addr)
{
	const char *name = NULL;
	uint64_t offset = MiB;
	GElf_Sym sym;

	for (int i = 0; symbols && gelf_getsym(symbols, i, &sym); i++)
		if (GELF_ST_TYPE(sym.st_info) <= STT_FUNC && sym.st_name &&
		    addr - sym.st_value < offset) {
			offset = addr - sym.st_value;
			name = elf_strptr(elf, table.sh_link, sym.st_name);
		}
	if (name)
		fprintf(stderr, " %s+%#lx", name, offset);
	return symbols;
}

/* print a backtrace */
static bool follows_call(const struct guest *g, uint64_t addr)
{
	uint64_t at = addr - 5, word;
	uint64_t root = g->run.regs.cr3;

	return (int64_t)addr < 0 &&
		guest_read(&g->dom, root, at & -8, &word) &&
		(word >> at % 8 * 8 & 0xff) == 0xe8;
}

void print_backtrace(const struct guest *g)
{
	const struct lg_regs *r = &g->run.regs;
	uint64_t word, sp = r->rsp & -8;

	for (int words = 0, lines = 0; words < 1024 && lines < 16; words++) {
		if (!guest_read(&g->dom, r->cr3, sp + words * 8, &word))
			break;
		if (!follows_call(g, word))
			continue;
		fprintf(stderr, "  %016lx", word);
		symbols_print(word);
		fprintf(stderr, "\n");
		lines++;
	}
}
