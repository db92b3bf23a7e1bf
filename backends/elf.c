/* elf.c - adds sections to a linked shared object without linking again.
 *
 * The loaded part of the file stays as it is. Behind the last byte that a section or segment uses come the new
 * sections, a longer table of section names and a new table of section headers; the ELF header points to that.
 * Sections that belong to no segment are not mapped by any loader, and `strip` and `objcopy` keep them with their
 * alignment. Contents are written by callbacks, so they may be larger than memory. The input comes from our own
 * linker run, yet every offset is checked: a linker may be configured into anything.
 */
#define _POSIX_C_SOURCE 200809L
#include "backends/artefact.h"
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

xfc_status xfc_write_all(xfc_ctx *ctx, const char *path, int fd, const void *data, size_t n) {
    const char *p = data;
    while (n > 0) {
        ssize_t k = write(fd, p, n < 1u << 30 ? n : 1u << 30);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0)
            return xfc_fail(ctx, XFC_ERR_IO, (xfc_loc){.file = path},
                            "cannot be written: %s; free some space or choose another -o",
                            strerror(k < 0 ? errno : ENOSPC));
        p += k;
        n -= (size_t)k;
    }
    return XFC_OK;
}

typedef struct {
    xfc_ctx *ctx;
    const char *path;
    int fd;
    uint64_t at; /* bytes written */
    const uint8_t *elf;
    size_t n;
    Elf64_Ehdr head;
    Elf64_Shdr *section; /* old ones, then new ones */
    uint32_t n_old, n_new;
    xfc_buf names;
} editor;

static xfc_status refuse(const editor *e, const char *why) {
    return xfc_fail(e->ctx, XFC_ERR_TOOL, (xfc_loc){.file = e->path},
                    "the linker's output is not a usable ELF file (%s); try --linker=gcc", why);
}

static bool inside(const editor *e, uint64_t offset, uint64_t bytes) {
    return offset <= e->n && bytes <= e->n - offset;
}

static xfc_status read_headers(editor *e, uint32_t n_new, xfc_arena *arena) {
    if (e->n < sizeof e->head) return refuse(e, "too short");
    memcpy(&e->head, e->elf, sizeof e->head);
    const Elf64_Ehdr *h = &e->head;
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_ident[EI_CLASS] != ELFCLASS64 ||
        h->e_ident[EI_DATA] != ELFDATA2LSB)
        return refuse(e, "not 64-bit little-endian");
    if (h->e_shentsize != sizeof(Elf64_Shdr) || h->e_shnum == 0 || h->e_shnum + n_new >= SHN_LORESERVE ||
        h->e_shstrndx >= h->e_shnum || !inside(e, h->e_shoff, (uint64_t)h->e_shnum * sizeof(Elf64_Shdr)))
        return refuse(e, "section table");
    if (h->e_phnum &&
        (h->e_phentsize != sizeof(Elf64_Phdr) || !inside(e, h->e_phoff, (uint64_t)h->e_phnum * sizeof(Elf64_Phdr))))
        return refuse(e, "program headers");
    e->n_old = h->e_shnum;
    e->n_new = n_new;
    e->section = xfc_new_array(arena, Elf64_Shdr, e->n_old + n_new);
    memcpy(e->section, e->elf + h->e_shoff, e->n_old * sizeof *e->section);
    for (uint32_t i = 0; i < e->n_old; i++)
        if (e->section[i].sh_type != SHT_NOBITS && !inside(e, e->section[i].sh_offset, e->section[i].sh_size))
            return refuse(e, "a section");
    const Elf64_Shdr *names = &e->section[h->e_shstrndx];
    if (names->sh_type != SHT_STRTAB || names->sh_size == 0) return refuse(e, "section names");
    xfc_buf_bytes(&e->names, e->elf + names->sh_offset, names->sh_size);
    return XFC_OK;
}

/* Where the bytes that somebody uses end; the tables that are replaced usually stand behind. */
static uint64_t used_bytes(const editor *e) {
    uint64_t end = sizeof(Elf64_Ehdr);
    for (uint32_t i = 0; i < e->n_old; i++) {
        const Elf64_Shdr *s = &e->section[i];
        if (i != e->head.e_shstrndx && s->sh_type != SHT_NOBITS && s->sh_offset + s->sh_size > end)
            end = s->sh_offset + s->sh_size;
    }
    for (uint32_t i = 0; i < e->head.e_phnum; i++) {
        Elf64_Phdr p;
        memcpy(&p, e->elf + e->head.e_phoff + i * sizeof p, sizeof p);
        if (inside(e, p.p_offset, p.p_filesz) && p.p_offset + p.p_filesz > end) end = p.p_offset + p.p_filesz;
    }
    return end;
}

static xfc_status put(editor *e, const void *data, size_t n) {
    XFC_TRY(xfc_write_all(e->ctx, e->path, e->fd, data, n));
    e->at += n;
    return XFC_OK;
}

static xfc_status pad(editor *e, uint64_t align) {
    static const char zeros[4096] = {0};
    xfc_assert(align > 0 && align <= sizeof zeros);
    return put(e, zeros, (size_t)((align - e->at % align) % align));
}

static xfc_status add_section(editor *e, Elf64_Shdr *out, const xfc_elf_section *s) {
    XFC_TRY(pad(e, s->align));
    *out = (Elf64_Shdr){.sh_name = (Elf64_Word)e->names.n,
                        .sh_type = SHT_PROGBITS,
                        .sh_offset = e->at,
                        .sh_size = s->bytes,
                        .sh_addralign = s->align};
    xfc_buf_bytes(&e->names, s->name, strlen(s->name) + 1);
    XFC_TRY(s->write(e->ctx, e->fd, s->user));
    e->at += s->bytes;
    return XFC_OK;
}

static xfc_status edit(editor *e, const xfc_elf_section *added) {
    XFC_TRY(put(e, e->elf, (size_t)used_bytes(e)));
    for (uint32_t i = 0; i < e->n_new; i++) XFC_TRY(add_section(e, &e->section[e->n_old + i], &added[i]));
    Elf64_Shdr *names = &e->section[e->head.e_shstrndx];
    names->sh_offset = e->at;
    names->sh_size = e->names.n;
    XFC_TRY(put(e, e->names.text, e->names.n));
    XFC_TRY(pad(e, 8));
    e->head.e_shoff = e->at;
    e->head.e_shnum = (Elf64_Half)(e->n_old + e->n_new);
    XFC_TRY(put(e, e->section, (e->n_old + e->n_new) * sizeof *e->section));
    if (lseek(e->fd, 0, SEEK_SET) != 0)
        return xfc_fail(e->ctx, XFC_ERR_IO, (xfc_loc){.file = e->path},
                        "cannot be rewound: %s; write to a regular file", strerror(errno));
    return xfc_write_all(e->ctx, e->path, e->fd, &e->head, sizeof e->head);
}

xfc_status xfc_elf_append(xfc_ctx *ctx, const char *path, const void *elf, size_t n, const xfc_elf_section *added,
                          uint32_t n_added, int fd) {
    xfc_arena *arena = xfc_arena_new();
    editor e = {.ctx = ctx, .path = path, .fd = fd, .elf = elf, .n = n, .names = {.arena = arena}};
    xfc_status s = read_headers(&e, n_added, arena);
    if (s == XFC_OK) s = edit(&e, added);
    xfc_arena_free(arena);
    return s;
}
