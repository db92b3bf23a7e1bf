/* elf_view.c - looks into an ELF file without loading it. Every number in the file is taken as hostile. */
#include "tools/dump.h"
#include <elf.h>
#include <string.h>

static bool header(const xf_file *f, Elf64_Ehdr *h) {
    if (!xf_elf_is(f->data, f->size) || f->size < sizeof *h) return false;
    memcpy(h, f->data, sizeof *h);
    return true;
}

/* A NUL-terminated string of a string table, or NULL. */
static const char *text_at(const char *table, size_t n, uint64_t at) {
    return at < n && memchr(table + at, 0, n - (size_t)at) ? table + at : NULL;
}

xf_elf_view xf_elf_open(const xf_file *f, xfc_arena *arena) {
    xf_elf_view v = {.file = f};
    size_t at, bytes, text_offset, text_bytes;
    if (!xf_elf_section(f->data, f->size, ".symtab", &at, &bytes)) return v;
    if (!xf_elf_section(f->data, f->size, ".strtab", &text_offset, &text_bytes)) return v;
    const char *text = (const char *)f->data + text_offset;
    size_t n = bytes / sizeof(Elf64_Sym);
    if (n > UINT32_MAX) return v;
    v.symbol = xfc_new_array(arena, xf_symbol_view, n);
    for (size_t i = 0; i < n; i++) {
        Elf64_Sym s;
        memcpy(&s, f->data + at + i * sizeof s, sizeof s);
        const char *name = text_at(text, text_bytes, s.st_name);
        int type = ELF64_ST_TYPE(s.st_info);
        if (!name || !*name || s.st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_OBJECT)) continue;
        v.symbol[v.n++] = (xf_symbol_view){name, s.st_value, s.st_size, type == STT_FUNC};
    }
    return v;
}

const xf_symbol_view *xf_elf_symbol(const xf_elf_view *v, const char *name) {
    for (uint32_t i = 0; i < v->n; i++)
        if (strcmp(v->symbol[i].name, name) == 0) return &v->symbol[i];
    return NULL;
}

const xf_symbol_view *xf_elf_code_at(const xf_elf_view *v, uint64_t address) {
    for (uint32_t i = 0; i < v->n; i++)
        if (v->symbol[i].is_code && address - v->symbol[i].address < v->symbol[i].bytes) return &v->symbol[i];
    return NULL;
}

const uint8_t *xf_elf_bytes(const xf_elf_view *v, uint64_t address, uint64_t n) {
    Elf64_Ehdr h;
    if (!header(v->file, &h) || h.e_phentsize != sizeof(Elf64_Phdr)) return NULL;
    for (uint32_t i = 0; i < h.e_phnum; i++) {
        Elf64_Phdr p;
        uint64_t at = h.e_phoff + (uint64_t)i * sizeof p;
        if (at > v->file->size || v->file->size - at < sizeof p) return NULL;
        memcpy(&p, v->file->data + at, sizeof p);
        uint64_t into = address - p.p_vaddr;
        if (p.p_type != PT_LOAD || address < p.p_vaddr || into > p.p_filesz || n > p.p_filesz - into) continue;
        if (p.p_offset > v->file->size || p.p_filesz > v->file->size - p.p_offset) return NULL;
        return v->file->data + p.p_offset + into;
    }
    return NULL;
}

uint64_t xf_elf_pointer(const xf_elf_view *v, uint64_t address) {
    size_t at, bytes;
    uint64_t in_place = 0;
    if (xf_elf_section(v->file->data, v->file->size, ".rela.dyn", &at, &bytes))
        for (size_t i = 0; i + sizeof(Elf64_Rela) <= bytes; i += sizeof(Elf64_Rela)) {
            Elf64_Rela r;
            memcpy(&r, v->file->data + at + i, sizeof r);
            if (r.r_offset == address && ELF64_R_TYPE(r.r_info) == R_X86_64_RELATIVE) return (uint64_t)r.r_addend;
        }
    const uint8_t *p =
        xf_elf_bytes(v, address, sizeof in_place); /* packed relative relocations keep the addend in place */
    if (p) memcpy(&in_place, p, sizeof in_place);
    return in_place;
}
