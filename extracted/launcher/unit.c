// SPDX-License-Identifier: GPL-2.0
#include <archive.h>
#include <archive_entry.h>
#include <elf.h>
#include <sys/wait.h>
#include <termios.h>
/* further headers of the tests */
#include <sys/un.h>

#include "launcher.h"
#include "xen.h"

/* run a test in a child */
/* tell the checkers how to die */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
	return "detect_leaks=0:exitcode=77";
}

const char *__ubsan_default_options(void)
{
	return "exitcode=77";
}

static int passed, failed;
static char scratch[] = "/tmp/lguest-unit-XXXXXX";

static void expect(unsigned int statuses, const char *name,
		   void (*test)(void *), void *arg)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		dup2(open("messages", O_CREAT | O_TRUNC | O_RDWR, 0600), 2);
		dup2(2, 1);
		alarm(60);
		test(arg);
		exit(OK);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) < 32 &&
	    statuses >> WEXITSTATUS(status) & 1) {
		passed++;
		return;
	}
	failed++;
	printf("FAILED: %s: status %#x, expected mask %#x\n", name, status,
	       statuses);
	fflush(stdout);
	if (system("cat messages"))
		exit(INTERNAL);
}

#define ONLY(code)	(1u << (code))

#define CHECK(condition) do {						\
	if (!(condition)) {						\
		fprintf(stderr, "line %d: not %s\n", __LINE__,		\
			#condition);					\
		_exit(20);						\
	}								\
} while (0)

static void save(const char *name, const void *data, size_t size)
{
	FILE *f = fopen(name, "w");

	CHECK(f && fwrite(data, 1, size, f) == size && !fclose(f));
}

/* tests of options */
static void test_sizes(void *arg)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "1K", 1024 }, { "256M", 256 << 20 }, { "2g", 2UL << 30 },
		{ "0M", 0 }, { "16T", 16UL << 40 }, { "007k", 7168 },
	};
	static const char *const bad[] = {
		"", "M", "256", "-1M", "+1M", " 1M", "1MB", "1 M", "0x10M",
		"1.5G", "16777216T", "18446744073709551615K", "1P",
		"99999999999999999999999M",
	};
	uint64_t n;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		CHECK(parse_size(good[i].text, &n) && n == good[i].bytes);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK(!parse_size(bad[i], &n));
}

static void parse(struct options *opt, const char *line)
{
	char *copy = strdup(line), *argv[16] = { "lguest" };
	int argc = 1;

	for (char *s = strtok(copy, " "); s; s = strtok(NULL, " "))
		argv[argc++] = s;
	options_parse(opt, argc, argv);
}

static void test_line(void *line)
{
	struct options opt;

	parse(&opt, line);
	options_check_memory(&opt);
}

static void test_append(void *arg)
{
	struct options opt;

	parse(&opt, "--console file=x -a quiet -k K -i I -m 64M");
	CHECK(!strncmp(opt.append, "quiet ", 6) &&
	      strstr(opt.append, " console=hvc0"));
	CHECK(!strcmp(opt.kernel, "K") && !strcmp(opt.initrd, "I"));
	CHECK(opt.memory == 64 * MiB);
	parse(&opt, "--console file=x -a earlyconsole=a");
	CHECK(strstr(opt.append, " console=hvc0"));
	parse(&opt, "--console file=x -a console=tty0");
	CHECK(!strstr(opt.append, "console=hvc0"));
}

static void test_options(void)
{
	expect(ONLY(OK), "sizes", test_sizes, NULL);
	expect(ONLY(OK), "append", test_append, NULL);
	expect(ONLY(OK), "a good line", test_line, "-v -m 64M -q");
	expect(ONLY(OK), "--help", test_line, "--help");
	expect(ONLY(BAD_USAGE), "unknown option", test_line, "--nonsense");
	expect(ONLY(BAD_USAGE), "bad size", test_line, "-m 64");
	expect(ONLY(BAD_USAGE), "missing value", test_line, "-m");
	expect(ONLY(BAD_USAGE), "bad console", test_line, "--console tty");
	expect(ONLY(BAD_USAGE), "no file", test_line, "--console file=");
	expect(ONLY(BAD_USAGE), "stray word", test_line, "-m 64M ls");
	expect(ONLY(NO_RESOURCE), "little memory", test_line, "-m 15M");
	expect(ONLY(NO_RESOURCE), "huge memory", test_line, "-m 65G");
	expect(ONLY(NO_RESOURCE), "endless memory", test_line, "-m 9999T");
}

/* make a small kernel */
#define KERNEL_SIZE	0x2000UL
#define BASE		0xffffffff80000000UL
#define LOADED		0x1000000UL
#define ALL_NOTES	(1 << NOTE_ENTRY | 1 << NOTE_VIRT_BASE |	\
			 1 << NOTE_PADDR_OFFSET | 1 << NOTE_INIT_P2M |	\
			 1 << NOTE_HYPERCALL_PAGE | 1 << NOTE_MOD_START_PFN)

struct kernel {
	Elf64_Ehdr eh;
	Elf64_Phdr load, note;
	struct {
		Elf64_Nhdr h;
		char name[4];
		uint64_t value;
	} notes[6];
	uint8_t pad[0x1000 - 64 - 2 * 56 - 6 * 24];
	uint8_t text[0x1000];
};

static const uint64_t values[NR_NOTES] = {
	[NOTE_ENTRY] = BASE + LOADED + 16,
	[NOTE_VIRT_BASE] = BASE,
	[NOTE_HYPERCALL_PAGE] = BASE + LOADED + PAGE_SIZE,
	[NOTE_INIT_P2M] = 0x8000000000,
	[NOTE_MOD_START_PFN] = 1,
};

static void make_kernel(struct kernel *k, uint32_t notes)
{
	static const int types[] = { 1, 2, 3, 4, 15, 16 };

	/* fill in the ELF header */
	_Static_assert(sizeof(*k) == KERNEL_SIZE, "layout of struct kernel");
	memset(k, 0, sizeof(*k));
	memset(k->text, 0xcc, sizeof(k->text));
	memcpy(k->eh.e_ident, ELFMAG "\2\1\1", 7);
	k->eh.e_type = ET_EXEC;
	k->eh.e_machine = EM_X86_64;
	k->eh.e_version = EV_CURRENT;
	k->eh.e_phoff = sizeof(k->eh);
	k->eh.e_ehsize = sizeof(k->eh);
	k->eh.e_phentsize = sizeof(k->load);
	k->eh.e_phnum = 2;
	k->load = (Elf64_Phdr) { PT_LOAD, PF_R | PF_X, 0x1000, BASE + LOADED,
		LOADED, 0x1000, 0x3000, 0x1000 };
	k->note = (Elf64_Phdr) { PT_NOTE, PF_R, offsetof(struct kernel, notes),
		0, 0, sizeof(k->notes), sizeof(k->notes), 4 };
	/* fill in the notes */
	for (int i = 0; i < 6; i++) {
		k->notes[i].h = (Elf64_Nhdr) { 4, 8, types[i] };
		memcpy(k->notes[i].name, notes >> types[i] & 1 ?
		       "Xen" : "GNU", 4);
		k->notes[i].value = values[types[i]];
	}
}

/* pack a kernel into a bzImage */
enum { LZ4, GZIP, XZ, LZMA, ZSTD, NR_FORMATS };
#define ROOM	16384

static size_t squeeze(int format, const void *in, size_t size, uint8_t *out)
{
	static const int filters[] = { [GZIP] = ARCHIVE_FILTER_GZIP,
		[XZ] = ARCHIVE_FILTER_XZ, [LZMA] = ARCHIVE_FILTER_LZMA,
		[ZSTD] = ARCHIVE_FILTER_ZSTD };
	struct archive_entry *e = archive_entry_new();
	struct archive *a = archive_write_new();
	size_t used;

	archive_write_set_format_raw(a);
	archive_write_set_bytes_per_block(a, 0);
	archive_entry_set_filetype(e, AE_IFREG);
	CHECK(!archive_write_add_filter(a, filters[format]) &&
	      !archive_write_open_memory(a, out, ROOM, &used) &&
	      !archive_write_header(a, e) &&
	      archive_write_data(a, in, size) == (ssize_t)size &&
	      !archive_write_free(a));
	archive_entry_free(e);
	return used;
}

static size_t lz4_block(const void *in, size_t size, uint8_t *out)
{
	uint8_t *p = out + 4;
	uint32_t length;
	size_t more;

	*p++ = 0xf0;		/* a literal of 15 bytes and more, no match */
	for (more = size - 15; more >= 255; more -= 255)
		*p++ = 255;
	*p++ = more;
	memcpy(p, in, size);
	length = p + size - out - 4;
	memcpy(out, &length, 4);
	return length + 4;
}

static size_t squeeze_lz4(const uint8_t *in, size_t size, uint8_t *out)
{
	size_t n = 4;

	memcpy(out, "\x02\x21\x4c\x18", 4);
	n += lz4_block(in, size / 2, out + n);
	return n + lz4_block(in + size / 2, size / 2, out + n);
}

#define PAYLOAD	1024

static size_t pack(int format, const struct kernel *k, uint8_t *out)
{
	uint8_t *in = (uint8_t *)k, *to = out + PAYLOAD;
	uint32_t size = KERNEL_SIZE, offset = 0, n;

	memset(out, 0, PAYLOAD);
	n = format == LZ4 ? squeeze_lz4(in, size, to) :
	    squeeze(format, in, size, to);
	if (format != GZIP) {
		memcpy(to + n, &size, 4);
		n += 4;
	}
	out[0x1f1] = 1;
	memcpy(out + 0x202, "HdrS\x0f\x02", 6);
	memcpy(out + 0x248, &offset, 4);
	memcpy(out + 0x24c, &n, 4);
	return PAYLOAD + n;
}

/* tests of images */
struct bytes {
	const void *data;
	size_t size;
};

static void test_image(void *arg)
{
	struct options opt = { .kernel = "image", .append = "",
			       .memory = 32 * MiB };
	struct bytes *b = arg;
	struct image img;
	struct domain d;

	save("image", b->data, b->size);
	image_load(&img, "image");
	domain_build(&d, &opt, &img);
	image_free(&img);
	domain_free(&d);
}

static void image(unsigned int statuses, const char *name, const void *data,
		  size_t size)
{
	struct bytes b = { data, size };

	expect(statuses, name, test_image, &b);
}

static void test_notes(struct kernel *k)
{
	for (int type = 1; type < NR_NOTES; type++) {
		bool needed = type == NOTE_ENTRY || type == NOTE_VIRT_BASE;

		if (!(ALL_NOTES >> type & 1))
			continue;
		make_kernel(k, ALL_NOTES & ~(1 << type));
		image(ONLY(needed ? BAD_IMAGE : OK), "a note less", k,
		      KERNEL_SIZE);
	}
	make_kernel(k, ALL_NOTES);
	image(ONLY(OK), "all notes", k, KERNEL_SIZE);
}

#define FIELD(f)	offsetof(struct kernel, f), \
			sizeof(((struct kernel *)0)->f)

static const struct lie {
	const char *name;
	size_t at, size;
	uint64_t value;
	int status;
} lies[] = {
	{ "32-bit class", FIELD(eh.e_ident[EI_CLASS]), 1, BAD_IMAGE },
	{ "another machine", FIELD(eh.e_machine), EM_ARM, BAD_IMAGE },
	{ "headers far out", FIELD(eh.e_phoff), 1UL << 40, BAD_IMAGE },
	{ "headers past the end", FIELD(eh.e_phoff), 0x1ff0, BAD_IMAGE },
	{ "no headers", FIELD(eh.e_phnum), 0, BAD_IMAGE },
	{ "65535 headers", FIELD(eh.e_phnum), 0xffff, BAD_IMAGE },
	{ "offset past end", FIELD(load.p_offset), 0x2001, BAD_IMAGE },
	{ "offset near 2^64", FIELD(load.p_offset), -8UL, BAD_IMAGE },
	{ "size past end", FIELD(load.p_filesz), 0x1001, BAD_IMAGE },
	{ "size near 2^64", FIELD(load.p_filesz), -1UL, BAD_IMAGE },
	{ "less memory than file", FIELD(load.p_memsz), 0xfff, BAD_IMAGE },
	{ "memory near 2^64", FIELD(load.p_memsz), -1UL, BAD_IMAGE },
	{ "memory of 1 GiB", FIELD(load.p_memsz), 1UL << 30, NO_RESOURCE },
	{ "address near 2^64", FIELD(load.p_paddr), -4096UL, BAD_IMAGE },
	{ "address of 4 GiB", FIELD(load.p_paddr), 1UL << 32, BAD_IMAGE },
	{ "notes past end", FIELD(note.p_filesz), 0x2000, BAD_IMAGE },
	{ "a name of 4 GiB", FIELD(notes[0].h.n_namesz), -1, BAD_IMAGE },
	{ "a value of 4 GiB", FIELD(notes[0].h.n_descsz), -1, BAD_IMAGE },
	{ "entry below", FIELD(notes[0].value), BASE, BAD_IMAGE },
	{ "entry above", FIELD(notes[0].value), -1UL, BAD_IMAGE },
	{ "odd hypercall page", FIELD(notes[1].value), BASE + LOADED + 8,
	  BAD_IMAGE },
	{ "hypercall page at end", FIELD(notes[1].value),
	  BASE + LOADED + 0x3000, BAD_IMAGE },
	{ "base is hypervisor's", FIELD(notes[2].value),
	  0xffff800000000000, BAD_IMAGE },
	{ "base not canonical", FIELD(notes[2].value), 1UL << 47, BAD_IMAGE },
	{ "base not aligned", FIELD(notes[2].value), BASE + 4096, BAD_IMAGE },
	{ "offset above address", FIELD(notes[3].value), LOADED + 1,
	  BAD_IMAGE },
	{ "list in kernel's slot", FIELD(notes[4].value),
	  0xffffff8000000000, BAD_IMAGE },
	{ "list is hypervisor's", FIELD(notes[4].value),
	  0xffff87fffffff000, BAD_IMAGE },
	{ "list crosses a slot", FIELD(notes[4].value), 0xfffffff000,
	  BAD_IMAGE },
};

static uint32_t noise(void)
{
	static uint64_t state = 42;

	state = state * 6364136223846793005 + 1442695040888963407;
	return state >> 33;
}

static void test_noise(struct kernel *k)
{
	unsigned int any = ONLY(OK) | ONLY(BAD_IMAGE) | ONLY(NO_RESOURCE);
	uint8_t *byte = (uint8_t *)k;

	for (int i = 0; i < 500; i++) {
		make_kernel(k, ALL_NOTES);
		for (int n = noise() % 4 + 1; n; n--)
			byte[noise() % 0x140] = noise();
		image(any, "noise in the headers", k, KERNEL_SIZE);
	}
	make_kernel(k, ALL_NOTES);
	for (size_t size = 1; size < KERNEL_SIZE; size += 97)
		image(ONLY(BAD_IMAGE), "a truncated vmlinux", k, size);
}

static void test_format(int format, struct kernel *k)
{
	unsigned int any = ONLY(OK) | ONLY(BAD_IMAGE) | ONLY(NO_RESOURCE);
	uint8_t file[PAYLOAD + ROOM];
	size_t size = pack(format, k, file);
	uint32_t lie = 0xfffffff0;

	image(ONLY(OK), "a bzImage", file, size);
	for (size_t cut = 1; cut < size; cut += 41)
		image(ONLY(BAD_IMAGE), "a truncated bzImage", file, cut);
	for (size_t at = PAYLOAD; at < size; at += 7) {
		file[at] ^= 0x10;
		image(any, "a spoiled bzImage", file, size);
		file[at] ^= 0x10;
	}
	/* lie in the header */
	memcpy(file + size - 4, &lie, 4);
	image(ONLY(BAD_IMAGE), "a size of 4 GiB", file, size);
	memcpy(file + 0x248, &lie, 4);
	image(ONLY(BAD_IMAGE), "a payload past the end", file, size);
	file[0x207] = 1;
	image(ONLY(BAD_IMAGE), "an old protocol", file, size);
	file[0x202] = 0;
	image(ONLY(BAD_IMAGE), "no header", file, size);
}

static void test_missing(void *path)
{
	struct image img;

	image_load(&img, path);
}

static void test_images(void)
{
	struct kernel *k = malloc(sizeof(*k));

	test_notes(k);
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		make_kernel(k, ALL_NOTES);
		memcpy((uint8_t *)k + lies[i].at, &lies[i].value, lies[i].size);
		image(ONLY(lies[i].status), lies[i].name, k, KERNEL_SIZE);
	}
	test_noise(k);
	for (int format = 0; format < NR_FORMATS; format++)
		test_format(format, k);
	save("empty", "", 0);
	expect(ONLY(BAD_IMAGE), "an empty file", test_missing, "empty");
	expect(ONLY(BAD_IMAGE), "a directory", test_missing, "/");
	expect(ONLY(BAD_IMAGE), "no file", test_missing, "missing");
	image(ONLY(BAD_IMAGE), "a text", "#!/bin/sh\necho\n", 15);
	free(k);
}

/* tests of the domain */
static uint64_t entry_of(const struct domain *d, uint64_t va)
{
	uint64_t pfn = d->cr3, entry = 0;

	for (int shift = 39; shift >= 12; shift -= 9) {
		CHECK(pfn < d->frames);
		entry = ((uint64_t *)frame_at(d, pfn))[va >> shift & 511];
		if (!(entry & 1))
			return 0;
		pfn = entry >> PAGE_SHIFT;
	}
	return entry;
}

static void *at(const struct domain *d, uint64_t va)
{
	uint64_t entry = entry_of(d, va);

	CHECK(entry && entry >> PAGE_SHIFT < d->frames);
	return frame_at(d, entry >> PAGE_SHIFT) + va % PAGE_SIZE;
}

static void walk_domain(const struct domain *d, const struct image *img)
{
	const struct start_info *si = at(d, d->rsi);
	uint64_t base = img->note[NOTE_VIRT_BASE], pfn = 0, spare;

	for (uint64_t e; (e = entry_of(d, base + pfn * PAGE_SIZE)); pfn++) {
		bool table = pfn - d->cr3 < si->nr_pt_frames;

		CHECK(e == (pfn << PAGE_SHIFT | (table ? 0x61 : 0x63)));
	}
	spare = base + pfn * PAGE_SIZE - d->rsp;
	CHECK(pfn % 1024 == 0 && spare >= MiB / 2 && spare < 5 * MiB);
	/* look at the start information */
	CHECK(!strcmp(si->magic, "xen-3.0-x86_64"));
	CHECK(si->nr_pages == d->frames);
	CHECK(si->shared_info == d->frames << PAGE_SHIFT);
	CHECK(si->pt_base == base + (d->cr3 << PAGE_SHIFT));
	CHECK(!si->store_evtchn && si->console_evtchn == LG_PORT_CONSOLE);
	CHECK(frame_at(d, si->console_mfn) == (void *)d->console);
	CHECK(strstr(si->cmd_line, "console="));
	for (pfn = 0; pfn < d->frames; pfn++)
		CHECK(*(uint64_t *)at(d, si->mfn_list + pfn * 8) == pfn);
	if (has_note(img, NOTE_INIT_P2M))
		CHECK(si->mfn_list == img->note[NOTE_INIT_P2M] &&
		      at(d, si->mfn_list) == frame_at(d, si->first_p2m_pfn));
	/* walk the initrd */
	if (si->mod_len) {
		struct file f = file_map("initrd", "initrd");
		void *start = si->flags & SIF_MOD_START_PFN ?
			frame_at(d, si->mod_start) : at(d, si->mod_start);

		CHECK(si->mod_len == f.size && !memcmp(start, f.data, f.size));
		CHECK((uint8_t *)start >= d->mem + img->last);
	}
	/* look at two hypercall stubs */
	if (has_note(img, NOTE_HYPERCALL_PAGE)) {
		const uint8_t *stub = at(d, img->note[NOTE_HYPERCALL_PAGE]);

		CHECK(stub[23 * 32 + 3] == 0x50 && stub[23 * 32 + 5] == 23);
		CHECK(stub[24 * 32 + 3] == 0xb8 && stub[24 * 32 + 4] == 24);
	}
}

static void test_domain(void *line)
{
	struct options opt;
	struct image img;
	struct domain d;

	parse(&opt, line);
	image_load(&img, opt.kernel);
	domain_build(&d, &opt, &img);
	walk_domain(&d, &img);
	CHECK(!memcmp(at(&d, d.rip), img.elf.data + 0x1010, 16) ||
	      strcmp(opt.kernel, "kernel"));
	image_free(&img);
	domain_free(&d);
}

static void test_domains(int argc, char **argv)
{
	static const uint32_t optional[] = { 0, 1 << NOTE_INIT_P2M,
		1 << NOTE_MOD_START_PFN, 1 << NOTE_HYPERCALL_PAGE,
		1 << NOTE_INIT_P2M | 1 << NOTE_MOD_START_PFN };
	struct kernel k;
	char line[256];

	for (int i = 0; i < 5; i++) {
		make_kernel(&k, ALL_NOTES & ~optional[i]);
		save("kernel", &k, KERNEL_SIZE);
		expect(ONLY(OK), "a domain", test_domain,
		       "-k kernel -m 35001K");
		expect(ONLY(OK), "with an initrd", test_domain,
		       "-k kernel -i initrd -m 35001K");
	}
	/* try limits and real kernels */
	expect(ONLY(NO_RESOURCE), "kernel too big", test_domain,
	       "-k kernel -m 20M");
	expect(ONLY(NO_RESOURCE), "initrd too big", test_domain,
	       "-k kernel -i big -m 32M");
	for (int i = 1; i < argc; i++) {
		snprintf(line, sizeof(line), "-k %s -i initrd -m 130001K",
			 argv[i]);
		expect(ONLY(OK), argv[i], test_domain, line);
	}
}

/* tests of what a guest can touch */
/* tests of the console's rings */
static void test_ring(void *arg)
{
	struct xencons *ring = calloc(1, sizeof(*ring));
	char text[6000] = "";
	struct pollfd p[3];

	console_open("file=log");
	console_attach(ring);
	for (uint32_t i = 0; i < 600; i++) {
		for (uint32_t at = i * 10; at < i * 10 + 10; at++)
			ring->out[at % sizeof(ring->out)] = 'a' + i % 26;
		ring->out_prod += 10;
		if (i % 100 == 99)
			console_flush();
	}
	CHECK(ring->out_cons == 6000 && open("log", O_RDONLY) >= 0);
	CHECK(read(open("log", O_RDONLY), text, 6000) == 6000);
	for (int i = 0; i < 6000; i++)
		CHECK(text[i] == 'a' + i / 10 % 26);
	/* turn the indices wild */
	for (int i = 0; i < 10000; i++) {
		ring->out_prod = noise() * 2 + noise() % 2;
		ring->out_cons = ring->in_cons = ring->in_prod = noise();
		console_poll(p);
		p[2].revents = p[2].fd >= 0 ? POLLOUT : 0;
		console_work(p);
	}
	free(ring);
}

/* tests of the console's kinds */
static void work(void)
{
	struct pollfd p[3];

	console_poll(p);
	CHECK(poll(p, 3, 100) >= 0);
	console_work(p);
}

static void test_keys(void *keys)
{
	struct xencons *ring = calloc(1, sizeof(*ring));
	int master = *(int *)keys;
	char *name = ptsname(master);

	CHECK(dup2(open(name, O_RDWR | O_NOCTTY), 0) == 0);
	console_open("stdio");
	console_attach(ring);
	CHECK(write(master, "a\003\001\001b\001z", 7) == 7);
	while (ring->in_prod < 6)
		work();
	CHECK(!memcmp(ring->in, "a\003\001b\001z", 6));
	CHECK(write(master, "\001x", 2) == 2);
	for (;;)
		work();
}

static void test_death_in_raw_mode(void *keys)
{
	CHECK(dup2(open(ptsname(*(int *)keys), O_RDWR | O_NOCTTY), 0) == 0);
	console_open("stdio");
	die(NO_RESOURCE, "on purpose");
}

static void test_terminal(void *keys)
{
	struct termios t;

	CHECK(!tcgetattr(*(int *)keys, &t));
	CHECK((t.c_lflag & (ICANON | ECHO | ISIG)) == (ICANON | ECHO | ISIG));
}

static void test_consoles(void)
{
	int keys = posix_openpt(O_RDWR | O_NOCTTY);

	expect(ONLY(OK), "rings", test_ring, NULL);
	unlockpt(keys);
	expect(ONLY(OK), "keys", test_keys, &keys);
	expect(ONLY(OK), "the terminal", test_terminal, &keys);
	expect(ONLY(NO_RESOURCE), "death", test_death_in_raw_mode, &keys);
	expect(ONLY(OK), "the terminal again", test_terminal, &keys);
	close(keys);
}

/* further tests */

static void add_locks(struct kernel *k)
{
	static const char names[] = "\0.text\0.smp_locks\0.shstrtab";
	static const int32_t where[] = { 0x20, 0x30, 0x31, -0x2000000 };
	Elf64_Shdr sh[4] = { { 0 },
		{ 1, SHT_PROGBITS, 0, BASE + LOADED, 0x1000, 0x80 },
		{ 7, SHT_PROGBITS, 0, BASE + LOADED + 0x100, 0x1100, 18 },
		{ 18, SHT_STRTAB, 0, 0, 0x1280, sizeof(names) } };

	for (int i = 0; i < 4; i++) {
		int32_t distance = where[i] - 0x100 - 4 * i;

		memcpy(k->text + 0x100 + 4 * i, &distance, 4);
		if (i < 2)
			k->text[where[i]] = 0xf0;
	}
	memcpy(k->text + 0x280, names, sizeof(names));
	memcpy(k->text + 0x300, sh, sizeof(sh));
	k->eh.e_shoff = 0x1300;
	k->eh.e_shentsize = sizeof(*sh);
	k->eh.e_shnum = 4;
	k->eh.e_shstrndx = 3;
}

static void test_locks(void *line)
{
	bool noise = strstr(line, "noise"), stay = strstr(line, "stay");
	struct options opt;
	struct image img;
	struct kernel k;
	struct domain d;
	uint8_t *text;

	make_kernel(&k, ALL_NOTES);
	add_locks(&k);
	for (int i = 0; noise && i < 20; i++)
		k.text[0x100 + rand() % 0x300] = rand();
	save("kernel", &k, sizeof(k));
	parse(&opt, line);
	image_load(&img, opt.kernel);
	domain_build(&d, &opt, &img);
	text = d.mem + LOADED;
	CHECK(noise || (text[0x20] == (stay ? 0xf0 : 0x3e) &&
			text[0x30] == text[0x20] && text[0x31] == 0xcc));
}

static void put_sections(struct kernel *k, int at)
{
	make_kernel(k, ALL_NOTES);
	k->load.p_filesz = 0xe00;
	k->eh.e_shoff = at;
	k->eh.e_shentsize = sizeof(Elf64_Shdr);
	k->eh.e_shnum = 2;
}

static void test_shorter(void *at)
{
	uint8_t file[PAYLOAD + ROOM];
	struct image img;
	struct kernel k;

	put_sections(&k, *(int *)at);
	save("image", file, pack(XZ, &k, file));
	image_load(&img, "image");
	CHECK(img.elf.size == (*(int *)at == 0x1e00 ? 0x1e80 : KERNEL_SIZE) &&
	      !memcmp(img.elf.data, &k, img.elf.size));
	image_free(&img);
}

static void test_spoilt(void)
{
	uint8_t file[PAYLOAD + ROOM];
	uint32_t claim = 0x1d00;
	struct kernel k;
	size_t size;

	put_sections(&k, 0x1e00);
	test_format(XZ, &k);
	size = pack(XZ, &k, file);
	memcpy(file + size - 4, &claim, 4);
	image(ONLY(BAD_IMAGE), "a claim before the end", file, size);
	k.eh.e_shentsize = k.eh.e_shnum = 0xffff;
	test_format(XZ, &k);
}


#include "session.h"

static int messages;

static void check_message(void *arg, const struct message *m,
			  const uint8_t *body)
{
	uint32_t length = m->length;

	CHECK(m->session == messages % 7);
	if (length >= sizeof(length))
		CHECK(!memcmp(body, &length, sizeof(length)));
	messages++;
}

static void test_messages(void *arg)
{
	static struct frames f;
	static uint8_t text[1 << 20];
	struct message m = { .type = DATA };
	size_t n = 0;

	for (int i = 0; i < 300; i++) {
		m.session = i % 7;
		m.length = i * i % 3001;
		memcpy(text + n, &m, sizeof(m));
		memcpy(text + n + sizeof(m), &m.length, sizeof(m.length));
		n += sizeof(m) + m.length;
	}
	for (size_t at = 0, part = 1; at < n; at += part, part += 13) {
		part = part % 5000 < n - at ? part % 5000 : n - at;
		CHECK(frames_feed(&f, text + at, part, check_message, NULL));
	}
	CHECK(messages == 300);
	m.length = BODY_MAX + 1;
	CHECK(!frames_feed(&f, (void *)&m, sizeof(m), check_message, NULL));
}

static void test_session(void *arg)
{
	static uint8_t body[BODY_MAX];
	struct message m = { 0 };

	for (int i = 0; i < 20000; i++) {
		m.type = rand();
		m.stream = rand();
		m.length = rand() % 3 ? 4 : rand() % BODY_MAX;
		memset(body, rand(), 4);
		session_take(NULL, &m, body);
	}
	CHECK(session_end() == -1);
}

static int client(void)
{
	struct sockaddr_un a = { AF_UNIX, "socket" };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	CHECK(!connect(fd, (void *)&a, sizeof(a)));
	work();
	return fd;
}

static void test_socket(void *arg)
{
	struct xencons *ring = calloc(1, sizeof(*ring));
	char text[8];

	console_open("unix=socket");
	console_attach(ring);
	ring->out_prod = 5;
	work();
	for (int i = 1; i <= 2; i++) {
		int fd = client();

		CHECK(write(fd, "abc", 3) == 3);
		work();
		CHECK(ring->in_prod == 3 * i && ring->out_cons == 5 * i);
		CHECK(ring->in[3 * i - 1] == 'c');
		memcpy(ring->out + 5 * i, "hello", 5);
		ring->out_prod += 5;
		work();
		CHECK(read(fd, text, 8) == 5 && !memcmp(text, "hello", 5));
		close(fd);
		work();
	}
	console_close();
	CHECK(access("socket", F_OK) < 0);
}

static void test_lonely_pty(void *arg)
{
	struct xencons *ring = calloc(1, sizeof(*ring));

	console_open("pty");
	console_attach(ring);
	for (int i = 0; i < 100; i++) {
		ring->out_prod += sizeof(ring->out);
		while (ring->out_cons != ring->out_prod)
			work();
	}
}

static void test_name_free(void *arg)
{
	name_take("unit");
}

static void test_names(void)
{
	int pipes[2], status;
	pid_t holder;

	expect(ONLY(OK), "a name", test_name_free, NULL);
	if (pipe(pipes))
		exit(INTERNAL);
	holder = fork();
	if (!holder) {
		name_take("unit");
		CHECK(write(pipes[1], "x", 1) == 1);
		pause();
	}
	CHECK(read(pipes[0], &status, 1) == 1);
	expect(ONLY(NO_RESOURCE), "a name twice", test_name_free, NULL);
	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
	expect(ONLY(OK), "the name again", test_name_free, NULL);
}

static void test_reader(void *arg)
{
	struct domain d = { .frames = 16 };
	uint64_t value, *mem = malloc(16 * PAGE_SIZE);

	d.mem = (void *)mem;
	for (int i = 0; i < 16 * 512; i++)
		mem[i] = (uint64_t)(noise() % 20) << PAGE_SHIFT | noise() % 256;
	for (int i = 0; i < 200000; i++)
		guest_read(&d, noise() % 18, (uint64_t)noise() << 33 ^
			   (uint64_t)noise() << 12 ^ noise(), &value);
	CHECK(!guest_read(&d, 16, 0, &value));
	CHECK(!guest_read(&d, -1UL, 0, &value));
	mem[0] = 0x1003;
	mem[512] = 0x2003;
	mem[1024] = 0x3003;
	mem[1536] = 0x4003;
	mem[2048 + 5] = 99;
	CHECK(guest_read(&d, 0, 5 * 8, &value) && value == 99);
	mem[1536] = 0xfffffffff003;
	CHECK(!guest_read(&d, 0, 5 * 8, &value));
	free(mem);
}

/* run all tests */
int main(int argc, char **argv)
{
	struct bytes big = { calloc(1, 32 * MiB), 32 * MiB };

	setvbuf(stdout, NULL, _IONBF, 0);
	for (int i = 1; i < argc; i++)
		argv[i] = realpath(argv[i], NULL);
	if (!mkdtemp(scratch) || chdir(scratch))
		return INTERNAL;
	save("initrd", "not quite a RAM disk", 20);
	save("big", big.data, big.size);
	free((void *)big.data);
	test_options();
	test_images();
	test_domains(argc, argv);
	test_consoles();
	/* runs of further tests */
	expect(ONLY(OK), "locks", test_locks, "-k kernel -m 64M");
	expect(ONLY(OK), "locks asked for", test_locks,
	       "-k kernel -m 64M -a noreplace-smp,stay");
	expect(ONLY(OK), "locks of two", test_locks, "-k kernel -m 64M -c 2 -a stay");
	for (int i = 0; i < 200; i++) {
		srand(i);
		expect(ONLY(OK), "noise in sections", test_locks,
		       "-k kernel -m 64M -a noise");
	}
	test_spoilt();
	expect(ONLY(OK), "as much as is needed", test_shorter, &(int) { 0x1e00 });
	expect(ONLY(OK), "headers past the end", test_shorter, &(int) { 0x1fff });
	expect(ONLY(OK), "headers in front", test_shorter, &(int) { 0x200 });
	expect(ONLY(OK), "headers before the file", test_shorter, &(int) { -64 });
	expect(ONLY(OK), "messages in pieces", test_messages, NULL);
	expect(ONLY(OK), "a session that has not begun", test_session, NULL);
	expect(ONLY(OK), "a socket", test_socket, NULL);
	expect(ONLY(OK), "a pty without a reader", test_lonely_pty, NULL);
	test_names();
	expect(ONLY(OK), "a good name", test_line, "-m 64M --name x");
	expect(ONLY(BAD_USAGE), "a slash", test_line, "--name a/b");
	expect(ONLY(BAD_USAGE), "a dot", test_line, "--name .x");
	expect(ONLY(BAD_USAGE), "a dash", test_line, "--name -x");
	expect(ONLY(OK), "dead guests", test_reader, NULL);
	printf("%d passed, %d failed\n", passed, failed);
	if (chdir("/") || execlp("sh", "sh", "-c", failed ?
		"rm -r \"$0\"; exit 1" : "rm -r \"$0\"", scratch, NULL))
		return INTERNAL;
}
