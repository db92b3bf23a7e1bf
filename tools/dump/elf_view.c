/* elf_view.c - looks into an ELF file without loading it.
 *
 * Every number in the file is taken as hostile. Symbols and relocations are sorted once, so that looking something up
 * costs a logarithm however large a file says that its tables are.
 */
#include "tools/dump/dump.h"
#include <elf.h>
#include <stdlib.h>
#include <string.h>

static bool header(const xf_file *f, Elf64_Ehdr *h) {
    if (!xf_elf_is(f->data, f->size) || f->size < sizeof *h) return false;
    memcpy(h, f->data, sizeof *h);
    return true;
}

static int by_address(const void *a, const void *b) {
    const xf_symbol_view *x = a, *y = b;
    if (x->address != y->address) return x->address < y->address ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static void read_symbols(xf_elf_view *v, xfc_arena *arena) {
    const xf_file *f = v->file;
    size_t at, bytes, text_at, text_bytes;
    if (!xf_elf_section(f->data, f->size, ".symtab", &at, &bytes)) return;
    if (!xf_elf_section(f->data, f->size, ".strtab", &text_at, &text_bytes)) return;
    const char *text = (const char *)f->data + text_at;
    size_t n = bytes / sizeof(Elf64_Sym);
    if (n > UINT32_MAX || text_bytes == 0 || text[text_bytes - 1] != '\0') return;
    v->symbol = xfc_new_array(arena, xf_symbol_view, n);
    for (size_t i = 0; i < n; i++) {
        Elf64_Sym s;
        memcpy(&s, f->data + at + i * sizeof s, sizeof s);
        int type = ELF64_ST_TYPE(s.st_info);
        if (s.st_name >= text_bytes || !text[s.st_name] || s.st_shndx == SHN_UNDEF || s.st_size == 0) continue;
        if (type != STT_FUNC && type != STT_OBJECT) continue;
        v->symbol[v->n++] = (xf_symbol_view){text + s.st_name, s.st_value, s.st_size, type == STT_FUNC};
    }
    if (v->n) qsort(v->symbol, v->n, sizeof *v->symbol, by_address);
}

static int by_place(const void *a, const void *b) {
    const xf_pointer_view *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

static void read_pointers(xf_elf_view *v, xfc_arena *arena) {
    const xf_file *f = v->file;
    size_t at, bytes;
    if (!xf_elf_section(f->data, f->size, ".rela.dyn", &at, &bytes)) return;
    size_t n = bytes / sizeof(Elf64_Rela);
    if (n > UINT32_MAX) return;
    v->pointer = xfc_new_array(arena, xf_pointer_view, n);
    for (size_t i = 0; i < n; i++) {
        Elf64_Rela r;
        memcpy(&r, f->data + at + i * sizeof r, sizeof r);
        if (ELF64_R_TYPE(r.r_info) != R_X86_64_RELATIVE) continue;
        v->pointer[v->n_pointers++] = (xf_pointer_view){r.r_offset, (uint64_t)r.r_addend};
    }
    if (v->n_pointers) qsort(v->pointer, v->n_pointers, sizeof *v->pointer, by_place);
}

xf_elf_view xf_elf_open(const xf_file *f, xfc_arena *arena) {
    xf_elf_view v = {.file = f};
    read_symbols(&v, arena);
    read_pointers(&v, arena);
    return v;
}

const xf_symbol_view *xf_elf_symbol(const xf_elf_view *v, const char *name) {
    for (uint32_t i = 0; i < v->n; i++)
        if (strcmp(v->symbol[i].name, name) == 0) return &v->symbol[i];
    return NULL;
}

const xf_symbol_view *xf_elf_code_at(const xf_elf_view *v, uint64_t address) {
    uint32_t n = 0; /* symbols at or below the address */
    for (uint32_t end = v->n; n < end;) {
        uint32_t middle = n + (end - n) / 2;
        if (v->symbol[middle].address <= address)
            n = middle + 1;
        else
            end = middle;
    }
    const xf_symbol_view *s = n ? &v->symbol[n - 1] : NULL;
    return s && s->is_code && address - s->address < s->bytes ? s : NULL;
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
    const xf_pointer_view key = {.at = address};
    const xf_pointer_view *found = NULL;
    uint64_t in_place = 0;
    if (v->n_pointers) found = bsearch(&key, v->pointer, v->n_pointers, sizeof key, by_place);
    if (found) return found->to;
    /* Packed relative relocations keep the addend in place. */
    const uint8_t *p = xf_elf_bytes(v, address, sizeof in_place);
    if (p) memcpy(&in_place, p, sizeof in_place);
    return in_place;
}
