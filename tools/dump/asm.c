/* asm.c - the code of a compiled model: which variants it holds, and kernels as assembly.
 *
 * Kernels are found through the tables xf_kernels_<isa> in the symbol table and the relocations that fill them. A
 * stripped file still runs, but no longer tells. */
#include "backends/artefact.h"
#include "tools/dump/dump.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TABLES = 16 }; /* one per ISA; more are damage */

typedef struct { /* the kernels of one ISA */
    const char *isa;
    uint64_t address, n;
} kernel_table;

/* xf_kernels_x86_64_v4 -> x86-64-v4 */
static const char *isa_name(xfc_arena *arena, const char *suffix) {
    char *s = xfc_sprintf(arena, "%.64s", suffix);
    for (char *c = s; *c; c++)
        if (*c == '_') *c = '-';
    return s;
}

/* Tables lie in the file, whatever their symbols say of their size: so the file bounds how much there is to do. */
static uint32_t kernel_tables(xfc_arena *arena, const xf_elf_view *v, kernel_table out[MOST_TABLES]) {
    static const char prefix[] = "xf_kernels_";
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n && n < MOST_TABLES; i++) {
        const xf_symbol_view *s = &v->symbol[i];
        if (strncmp(s->name, prefix, sizeof prefix - 1) != 0 || !xf_elf_bytes(v, s->address, s->bytes)) continue;
        out[n++] = (kernel_table){isa_name(arena, s->name + sizeof prefix - 1), s->address, s->bytes / 8};
    }
    return n;
}

static const xf_symbol_view *kernel_code(const xf_elf_view *v, const kernel_table *t, uint64_t k) {
    return xf_elf_code_at(v, xf_elf_pointer(v, t->address + 8 * k));
}

xfc_status xf_dump_isas(xf_dump *d, const xf_elf_view *v, const xf_plan *p) {
    static const char *const head[] = {"isa", "#kernels", "#bytes of kernels"};
    const char *known = xf_plan_meta(p, "isa");
    xf_table t = xf_table_begin(d, "variants", head, 3);
    kernel_table table[MOST_TABLES];
    uint32_t found = kernel_tables(d->arena, v, table);
    for (uint32_t i = 0; i < found; i++) {
        uint64_t bytes = 0;
        for (uint64_t k = 0; k < table[i].n; k++) {
            const xf_symbol_view *f = kernel_code(v, &table[i], k);
            bytes += f ? f->bytes : 0;
        }
        xf_cell(&t, "%s", table[i].isa);
        xf_cell(&t, "%" PRIu64, table[i].n);
        xf_cell(&t, "%" PRIu64, bytes);
    }
    for (const char *s = found || !known ? "" : known; *s;) {
        size_t n = strcspn(s, ",");
        xf_cell(&t, "%.*s", (int)n, s);
        xf_cell(&t, "stripped");
        xf_cell(&t, "stripped");
        s += n + (s[n] == ',');
    }
    xf_table_end(&t);
    return XFC_OK;
}

static bool name_of(void *user, uint64_t address, char *text, size_t n) {
    const xf_symbol_view *s = xf_elf_code_at(user, address);
    if (s) snprintf(text, n, address == s->address ? "%.96s" : "%.96s+0x%" PRIx64, s->name, address - s->address);
    return s != NULL;
}

typedef struct {
    xf_dump *d;
    const xf_elf_view *v;
    const char *path;
    xfc_buf out;
    uint64_t bytes; /* of machine code so far */
} listing;

/* Functions of a whole file do not overlap, so all of them together are smaller than it. */
static xfc_status list_function(listing *l, const char *title, const xf_symbol_view *s) {
    const uint8_t *code = s ? xf_elf_bytes(l->v, s->address, s->bytes) : NULL;
    if (!code) return XFC_OK;
    l->bytes += s->bytes;
    if (l->bytes > l->v->file->size)
        return xfc_fail(l->d->ctx, XFC_ERR_INPUT, (xfc_loc){.file = l->path},
                        "its functions overlap, so its symbols are damaged; compile the model again");
    xfc_buf_printf(&l->out, "%s%s: # %" PRIu64 " bytes\n", l->out.n ? "\n" : "", title, s->bytes);
    return xfc_disassemble(l->d->ctx, code, (size_t)s->bytes, s->address, name_of, (void *)(uintptr_t)l->v, &l->out);
}

/* Kernel `number`, or all; of one ISA, or of each (""). */
static xfc_status list_kernels(listing *l, const uint64_t *number, const char *isa) {
    kernel_table table[MOST_TABLES];
    uint32_t n = kernel_tables(l->d->arena, l->v, table);
    for (uint32_t i = 0; i < n; i++) {
        if (*isa && strcmp(isa, table[i].isa) != 0) continue;
        uint64_t k = number ? *number : 0, end = number && k < table[i].n ? k + 1 : table[i].n;
        for (; k < end; k++) {
            const char *title = xfc_sprintf(l->d->arena, "xf_kernel_%" PRIu64 "@%s", k, table[i].isa);
            XFC_TRY(list_function(l, title, kernel_code(l->v, &table[i], k)));
        }
    }
    return XFC_OK;
}

/* KERNEL is a number, with @ISA or of each, or a symbol (xf_tile_8x3x1_1: the first of that name); "": every kernel. */
xfc_status xf_dump_asm(xf_dump *d, const xf_elf_view *v, const char *path, const char *kernel) {
    listing l = {.d = d, .v = v, .path = path, .out = {.arena = d->arena}};
    size_t n = strcspn(kernel, "@");
    const char *name = xfc_sprintf(d->arena, "%.*s", (int)n, kernel), *isa = kernel + n + (kernel[n] == '@');
    char *end;
    uint64_t number = strtoull(name, &end, 10);
    bool numeric = n > 0 && *end == '\0';
    const xf_symbol_view *s = numeric || n == 0 ? NULL : xf_elf_symbol(v, name);
    if (numeric || n == 0)
        XFC_TRY(list_kernels(&l, numeric ? &number : NULL, isa));
    else if (s)
        XFC_TRY(list_function(&l, s->name, s));
    if (!l.out.n)
        return xfc_fail(d->ctx, XFC_ERR_INPUT, (xfc_loc){.file = path},
                        v->n ? "it has no code '%s'; --isa and --plan show the variants and the numbers of kernels"
                             : "its symbols were stripped, so kernels cannot be found ('%s'); dump the .onnx",
                        kernel);
    xf_dump_text(d, "assembly", l.out.text, l.out.n);
    return XFC_OK;
}
