/* dump.h - the parts of xf-dump. What is printed goes through xf_dump, as text for people or as one JSON object. */
#ifndef XF_DUMP_H
#define XF_DUMP_H
#include "ir/base/diag.h"
#include "ir/ir.h"
#include "passes/entries.h"
#include "runtime/plan.h"

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena;
    xfc_buf out;
    bool json;
    uint32_t n_parts;
} xf_dump;
void xf_dump_text(xf_dump *, const char *key, const char *text, size_t n);
void xf_dump_end(xf_dump *); /* closes the JSON object */

/* A table, cell by cell, row by row. Columns whose heading begins with '#' hold numbers. */
typedef struct {
    xf_dump *d;
    const char *key, *title; /* title: for people, where it is not the key */
    const char *const *head;
    uint32_t columns;
    const char **cell;
    uint32_t n, cap;
} xf_table;
xf_table xf_table_begin(xf_dump *, const char *key, const char *const *head, uint32_t columns);
void xf_cell(xf_table *, const char *fmt, ...) XFC_PRINTF(2, 3);
void xf_table_end(xf_table *);

typedef struct {
    bool ops, signature, plan, weights, isa, meta, ir, passes, assembly, verify, lossy, json, locations;
    bool packed_entry;                     /* of a model: what xfc --packed-entry makes of it */
    const char *ir_stage, *kernel, *march; /* "": not given */
    xfc_pass_opts pass_opts;
} xf_dump_what;

/* dump/plan.c: from the plan blob, of a .so or made for a model. */
void xf_dump_signature(xf_dump *, const xf_plan *);
/* XF_N_PLANS of them; head NULL: there is none. */
void xf_dump_plans(xf_dump *, const xf_plan *);
void xf_dump_meta(xf_dump *, const xf_plan *);
void xf_dump_passes(xf_dump *, const xf_plan *); /* the notes of passes that the metadata holds */

void xf_dump_lossy(xf_dump *, const xf_plan *); /* what --lossy did, where, and what it costs */

/* dump/model.c, dump/so.c, dump/asm.c */
/* Passes may put other graphs in the places of the given ones. */
xfc_status xf_dump_model(xf_dump *, const char *path, xfc_entries *, const xf_dump_what *);
xfc_status xf_dump_so(xf_dump *, const char *path, const xf_file *, const xf_dump_what *);

/* elf_view.c: symbols and addresses of a file that may be damaged; nothing outside it is ever read. */
typedef struct {
    const char *name;
    uint64_t address, bytes;
    bool is_code;
} xf_symbol_view;
typedef struct {
    uint64_t at, to;
} xf_pointer_view; /* the loader puts load address + to at load address + at */
typedef struct {
    const xf_file *file;
    xf_symbol_view *symbol;   /* of functions and objects, by address */
    xf_pointer_view *pointer; /* by place */
    uint32_t n, n_pointers;
} xf_elf_view;
xf_elf_view xf_elf_open(const xf_file *, xfc_arena *); /* n 0: stripped or damaged */
const xf_symbol_view *xf_elf_symbol(const xf_elf_view *, const char *name);
const xf_symbol_view *xf_elf_code_at(const xf_elf_view *, uint64_t address); /* the function that contains it */
/* Bytes of the file that are loaded at address, NULL when they are not all in the file. */
const uint8_t *xf_elf_bytes(const xf_elf_view *, uint64_t address, uint64_t n);
/* The pointer that the loader puts at address, relative to the load address; 0: unknown. */
uint64_t xf_elf_pointer(const xf_elf_view *, uint64_t address);

xfc_status xf_dump_isas(xf_dump *, const xf_elf_view *, const xf_plan *);
xfc_status xf_dump_asm(xf_dump *, const xf_elf_view *, const char *path, const char *kernel);

#endif
