// SPDX-License-Identifier: GPL-2.0
#include <archive.h>
#include <asm/bootparam.h>
#include <gelf.h>
/* headers of the image */
#include <lzma.h>

#include "launcher.h"

#define MAX_KERNEL	(1UL << 30)

/* map a file */
struct file file_map(const char *path, const char *what)
{
	struct file f = { .path = path };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		die(BAD_IMAGE, "cannot open the %s %s: %m", what, path);
	if (!S_ISREG(st.st_mode) || !st.st_size)
		die(BAD_IMAGE, "the %s %s is %s", what, path,
		    S_ISREG(st.st_mode) ? "empty" : "not a regular file");
	/* map the whole file */
	f.size = st.st_size;
	f.data = mmap(NULL, f.size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (f.data == MAP_FAILED)
		die(NO_RESOURCE, "cannot map %s: %m", path);
	close(fd);
	return f;
}

void file_unmap(struct file *f)
{
	if (f->data)
		munmap(f->data, f->size);
	f->data = NULL;
}

/* unpack a kernel */
/* unpack some in a shorter way */
static bool unpack_elf(struct file *f, const uint8_t *in, size_t size)
{
	const Elf64_Ehdr *eh = (void *)f->data;
	lzma_stream z = { .next_in = in, .avail_in = size,
			  .next_out = f->data, .avail_out = sizeof(*eh) };
	bool ok = !lzma_stream_decoder(&z, MAX_KERNEL, LZMA_IGNORE_CHECK) &&
		  !lzma_code(&z, LZMA_RUN) && !z.avail_out;
	uint64_t end = eh->e_shoff + (uint64_t)eh->e_shnum * eh->e_shentsize;

	z.avail_out = end - sizeof(*eh);
	ok = ok && end > sizeof(*eh) + f->size / 2 && end <= f->size &&
	     lzma_code(&z, LZMA_RUN) <= LZMA_STREAM_END && !z.avail_out;
	lzma_end(&z);
	f->size = ok ? end : f->size;
	return ok;
}

static struct archive *unpacker(const uint8_t *in, size_t size)
{
	struct archive *a = archive_read_new();

	archive_read_support_filter_gzip(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_lzma(a);
	archive_read_support_filter_lz4(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_format_raw(a);
	if (archive_read_open_memory(a, in, size) == ARCHIVE_OK &&
	    archive_filter_code(a, 0) != ARCHIVE_FILTER_NONE)
		return a;
	archive_read_free(a);
	return NULL;
}

static struct file unpack(const char *path, const uint8_t *in, size_t size)
{
	bool gzip = in[0] == 0x1f && in[1] == 0x8b;
	struct archive *a = unpacker(in, size - (gzip ? 0 : 4));
	struct file f = { .path = path };
	uint32_t length;

	if (!a)
		die(BAD_IMAGE, "the kernel in %s is packed in a way that is "
		    "none of gzip, xz, lzma, lz4, zstd: choose one of them "
		    "with CONFIG_KERNEL_*, or give the vmlinux", path);
	memcpy(&length, in + size - sizeof(length), sizeof(length));
	if (!length || length > MAX_KERNEL)
		die(BAD_IMAGE, "%s claims an unpacked size of %u bytes: the "
		    "file is corrupt, copy it again", path, length);
	/* fill exactly the size that was claimed */
	struct archive_entry *entry;

	f.size = length;
	f.data = mmap(NULL, f.size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f.data == MAP_FAILED)
		die(NO_RESOURCE, "no memory to unpack %s", path);
	if (
	    /* there was no shorter way, and */
	    !unpack_elf(&f, in, size - 4) &&
	    (archive_read_next_header(a, &entry) != ARCHIVE_OK ||
	     archive_read_data(a, f.data, f.size) != (ssize_t)f.size ||
	     archive_read_data(a, &(char) { 0 }, 1) != 0))
		die(BAD_IMAGE, "the %s data in %s is corrupt: copy the file "
		    "again", archive_filter_name(a, 0), path);
	archive_read_free(a);
	return f;
}

/* find the ELF file in a bzImage */
static struct file vmlinux_in(struct file *f)
{
	const struct setup_header *h = (void *)(f->data + 0x1f1);
	struct file elf;
	uint64_t start;

	if (f->size > SELFMAG && !memcmp(f->data, ELFMAG, SELFMAG))
		return *f;
	/* refuse what is no modern bzImage */
	if (f->size < 0x1f1 + sizeof(*h) || h->header != 0x53726448)
		die(BAD_IMAGE, "%s is neither a bzImage nor an ELF file: "
		    "--kernel wants a Linux kernel, such as /boot/vmlinuz-*",
		    f->path);
	if (h->version < 0x208)
		die(BAD_IMAGE, "%s has boot protocol %#x, from before Linux "
		    "2.6.26: it has no 64-bit Xen PV entry", f->path,
		    h->version);
	/* find the payload */
	start = ((h->setup_sects ?: 4) + 1) * 512UL + h->payload_offset;
	if (start + h->payload_length > f->size || h->payload_length < 16)
		die(BAD_IMAGE, "%s ends at byte %zu, but its header says that the "
		    "kernel lies in bytes %lu to %lu: the file is truncated, copy it "
		    "again", f->path, f->size, start, start + h->payload_length);
	elf = unpack(f->path, f->data + start, h->payload_length);
	file_unmap(f);
	return elf;
}

/* read the Xen notes */
static void read_notes(struct image *img, const GElf_Phdr *ph)
{
	Elf_Data *data = elf_getdata_rawchunk(img->handle, ph->p_offset,
					      ph->p_filesz, ELF_T_NHDR);
	size_t at = 0, name, desc;
	GElf_Nhdr n;

	while (data && (at = gelf_getnote(data, at, &n, &name, &desc)) > 0) {
		/* take a note of ours */
		uint64_t value = 0;

		if (n.n_namesz != 4 || memcmp(data->d_buf + name, "Xen", 4) ||
		    n.n_type >= NR_NOTES)
			continue;
		memcpy(&value, data->d_buf + desc,
		       n.n_descsz < 8 ? n.n_descsz : 8);
		img->note[n.n_type] = value;
		img->notes |= 1u << n.n_type;
	}
}

/* check a segment */
static void corrupt(const struct image *img, const char *what)
{
	die(BAD_IMAGE, "%s: %s: no kernel is like that, so the file is "
	    "corrupt", img->elf.path, what);
}

static void check_segment(struct image *img, const GElf_Phdr *ph)
{
	if (ph->p_offset > img->elf.size ||
	    ph->p_filesz > img->elf.size - ph->p_offset)
		corrupt(img, "a segment lies beyond the end of the file");
	if (ph->p_type != PT_LOAD || !ph->p_memsz)
		return;
	/* check and note its place in memory */
	if (ph->p_filesz > ph->p_memsz || ph->p_memsz > MAX_KERNEL ||
	    ph->p_paddr > UINT64_MAX - MAX_KERNEL)
		corrupt(img, "a segment has an impossible size or address");
	if (ph->p_paddr < img->first)
		img->first = ph->p_paddr;
	if (ph->p_paddr + ph->p_memsz > img->last)
		img->last = ph->p_paddr + ph->p_memsz;
}

/* check what the notes ask for */
static void need_pv_entry(const struct image *img)
{
	if (has_note(img, NOTE_ENTRY) && has_note(img, NOTE_VIRT_BASE))
		return;
	die(BAD_IMAGE, "%s has no Xen PV entry, so it cannot run without "
	    "virtual-machine hardware. Debian's stock kernels have one. For "
	    "a kernel of your own, set CONFIG_XEN_PV and what it needs, in "
	    "its source:\n"
	    "  scripts/config -e HYPERVISOR_GUEST -e PARAVIRT -e XEN "
	    "-e XEN_PV -e HVC_XEN && make olddefconfig\n"
	    "or merge lguest's whole fragment:\n"
	    "  scripts/kconfig/merge_config.sh .config guest-kernel-config",
	    img->elf.path);
}

static bool reserved(uint64_t va)
{
	int64_t top = (int64_t)va >> 47;
	int slot = va >> 39 & 511;

	return (top != 0 && top != -1) || (slot >= 256 && slot < 272);
}

static void check_layout(struct image *img)
{
	const uint64_t *note = img->note;
	uint64_t size = img->last - img->first;
	uint64_t start = note[NOTE_VIRT_BASE] + img->first -
			 note[NOTE_PADDR_OFFSET];

	if (img->first < note[NOTE_PADDR_OFFSET] || img->last <= img->first ||
	    img->last - note[NOTE_PADDR_OFFSET] > LG_MAX_FRAMES * PAGE_SIZE)
		corrupt(img, "its segments do not fit its Xen notes");
	if (note[NOTE_VIRT_BASE] % (4 * MiB) || reserved(note[NOTE_VIRT_BASE]))
		corrupt(img, "VIRT_BASE is an address that no guest has");
	if (note[NOTE_ENTRY] - start >= size)
		corrupt(img, "ENTRY points outside the kernel");
	/* check the optional notes */
	if (has_note(img, NOTE_HYPERCALL_PAGE) &&
	    (note[NOTE_HYPERCALL_PAGE] % PAGE_SIZE || size < PAGE_SIZE ||
	     note[NOTE_HYPERCALL_PAGE] - start > size - PAGE_SIZE))
		corrupt(img, "HYPERCALL_PAGE points outside the kernel");
	if (has_note(img, NOTE_INIT_P2M) &&
	    (note[NOTE_INIT_P2M] % PAGE_SIZE || reserved(note[NOTE_INIT_P2M]) ||
	     note[NOTE_INIT_P2M] >> 39 == note[NOTE_VIRT_BASE] >> 39))
		corrupt(img, "INIT_P2M is an address that no guest has");
}

/* load an image */
void image_load(struct image *img, const char *path)
{
	struct file f = file_map(path, "kernel");
	GElf_Ehdr eh;
	GElf_Phdr ph;
	size_t n;

	*img = (struct image) { .elf = vmlinux_in(&f), .first = UINT64_MAX };
	elf_version(EV_CURRENT);
	img->handle = elf_memory((char *)img->elf.data, img->elf.size);
	if (!img->handle || !gelf_getehdr(img->handle, &eh) ||
	    elf_getphdrnum(img->handle, &n) < 0)
		corrupt(img, elf_errmsg(-1));
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_machine != EM_X86_64)
		corrupt(img, "it is not for x86-64");
	/* walk through the program headers */
	for (size_t i = 0; i < n; i++) {
		if (!gelf_getphdr(img->handle, i, &ph))
			corrupt(img, elf_errmsg(-1));
		check_segment(img, &ph);
		if (ph.p_type == PT_NOTE)
			read_notes(img, &ph);
	}
	need_pv_entry(img);
	check_layout(img);
}

void image_free(struct image *img)
{
	elf_end(img->handle);
	file_unmap(&img->elf);
}
