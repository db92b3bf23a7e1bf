/* dump_asm.c - the code of a compiled model: which variants it holds, and kernels as assembly.
 *
 * Kernels are found through the tables xf_kernels_<isa> in the symbol table and the relocations that fill them. A
 * stripped file still runs, but no longer tells. */
#include "backends/artefact.h"
#include "tools/dump.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char prefix[] = "xf_kernels_";

static bool is_table(const xf_symbol_view *s) { return strncmp(s->name, prefix, sizeof prefix - 1) == 0; }

/* xf_kernels_x86_64_v4 -> x86-64-v4 */
static const char *isa_name(xfc_arena *arena, const xf_symbol_view *table) {
    char *s = xfc_sprintf(arena, "%s", table->name + sizeof prefix - 1);
    for (char *c = s; *c; c++)
        if (*c == '_') *c = '-';
    return s;
}

xfc_status xf_dump_isas(xf_dump *d, const xf_elf_view *v, const xf_plan *p) {
    static const char *const head[] = {"isa", "#kernels", "#bytes of kernels"};
    const char *known = xf_plan_meta(p, "isa");
    xf_table t = xf_table_begin(d, "variants", head, 3);
    uint32_t found = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        if (!is_table(&v->symbol[i])) continue;
        uint64_t bytes = 0, n = v->symbol[i].bytes / 8;
        for (uint64_t k = 0; k < n && k <= p->head->n_steps; k++) {
            const xf_symbol_view *f = xf_elf_code_at(v, xf_elf_pointer(v, v->symbol[i].address + 8 * k));
            bytes += f ? f->bytes : 0;
        }
        xf_cell(&t, "%s", isa_name(d->arena, &v->symbol[i]));
        xf_cell(&t, "%" PRIu64, n);
        xf_cell(&t, "%" PRIu64, bytes);
        found++;
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
    if (s) snprintf(text, n, address == s->address ? "%s" : "%s+0x%" PRIx64, s->name, address - s->address);
    return s != NULL;
}

static xfc_status dump_function(xf_dump *d, const xf_elf_view *v, const char *title, uint64_t address, xfc_buf *out) {
    const xf_symbol_view *s = xf_elf_code_at(v, address);
    const uint8_t *code = s ? xf_elf_bytes(v, s->address, s->bytes) : NULL;
    if (!code) return XFC_OK;
    xfc_buf_printf(out, "%s%s: # %" PRIu64 " bytes\n", out->n ? "\n" : "", title, s->bytes);
    return xfc_disassemble(d->ctx, code, (size_t)s->bytes, s->address, name_of, (void *)(uintptr_t)v, out);
}

/* KERNEL is a number, a symbol (xf_tile_8x3x1_1: the first of that name), or either with @ISA; "": every kernel. */
xfc_status xf_dump_asm(xf_dump *d, const xf_elf_view *v, const char *path, const char *kernel) {
    xfc_buf out = {.arena = d->arena};
    const char *at = strchr(kernel, '@');
    size_t n = at ? (size_t)(at - kernel) : strlen(kernel);
    char *end, *name = xfc_sprintf(d->arena, "%.*s", (int)n, kernel);
    unsigned long long number = strtoull(name, &end, 10);
    bool numeric = n > 0 && *end == '\0';
    for (uint32_t i = 0; i < v->n && (numeric || n == 0); i++) {
        const char *isa = is_table(&v->symbol[i]) ? isa_name(d->arena, &v->symbol[i]) : NULL;
        if (!isa || (at && strcmp(isa, at + 1) != 0)) continue;
        for (uint64_t k = numeric ? number : 0; k < v->symbol[i].bytes / 8; k++) {
            const char *title = xfc_sprintf(d->arena, "xf_kernel_%" PRIu64 "@%s", k, isa);
            XFC_TRY(dump_function(d, v, title, xf_elf_pointer(v, v->symbol[i].address + 8 * k), &out));
            if (numeric) break;
        }
    }
    const xf_symbol_view *s = numeric || n == 0 ? NULL : xf_elf_symbol(v, name);
    if (s) XFC_TRY(dump_function(d, v, s->name, s->address, &out));
    if (!out.n)
        return xfc_fail(d->ctx, XFC_ERR_INPUT, (xfc_loc){.file = path},
                        v->n ? "it has no code '%s'; --isa and --plan show the variants and the numbers of kernels"
                             : "its symbols were stripped, so kernels cannot be found ('%s'); dump the .onnx",
                        kernel);
    xf_dump_text(d, "assembly", out.text, out.n);
    return XFC_OK;
}
