/* plan.h - reading the plan blob of abi.h and the sections of an artefact. Used by the runtime inside a .so and by the
 * tools that look at one from outside, so nothing here trusts a byte: after xf_plan_open every index and string in the
 * plan is in bounds. */
#ifndef XFC_RUNTIME_PLAN_H
#define XFC_RUNTIME_PLAN_H
#include "xfc/abi.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    uint32_t key, value;
} xf_meta;

typedef struct { /* views into the blob, which must outlive it */
    const xf_plan_header *head;
    const xf_symbol *symbols;
    const xf_instr *instrs;
    const xf_dim *dims;
    const xf_arg *args; /* inputs, outputs, tap args */
    const xf_check *checks;
    const xf_operand *operands;
    const xf_step_info *steps;
    const xf_val *numbers;
    const uint32_t *nodes;
    const xf_range *ranges;
    const xf_meta *meta;
    const char *strings;
    uint32_t n_values;
} xf_plan;

/* Checks the blob of at most n bytes (8-byte aligned) and fills the views. NULL, or a constant text of what is
 * wrong. */
const char *xf_plan_open(xf_plan *, const void *blob, size_t n);

static inline const char *xf_plan_str(const xf_plan *p, uint32_t offset) { return p->strings + offset; }
static inline const xf_arg *xf_plan_input(const xf_plan *p, size_t i) { return &p->args[i]; }
static inline const xf_arg *xf_plan_output(const xf_plan *p, size_t i) { return &p->args[p->head->n_inputs + i]; }
static inline uint32_t xf_arg_bits(const xf_arg *a) { return a->dtype >> 8 & 0xffu; } /* of one element */
/* Of one element; numbers of fewer bits share a byte. */
static inline uint32_t xf_arg_bytes(const xf_arg *a) { return (xf_arg_bits(a) + 7) / 8; }

/* The constant a value is: true, or false for one known only at run time. */
bool xf_plan_const(const xf_plan *, xf_val, int64_t *out);
/* Fills values[n_symbols ..] from values[0 .. n_symbols), and sets defined symbols to their bounds. False: overflow. */
bool xf_plan_eval(const xf_plan *, int64_t *values);
/* The same when defined symbols have their values. */
bool xf_plan_eval_again(const xf_plan *, int64_t *values);
/* The value of a key of the compiler's metadata, or NULL. */
const char *xf_plan_meta(const xf_plan *, const char *key);
/* The input that marks with 0 where this output (NULL: any) is 0, because padding is not computed; or NULL. */
const char *xf_plan_padding(const xf_plan *, const char *output);

/* Looks at a section of weights of n bytes, which any address may hold, and fills the header. NULL, or a constant text
 * of why they cannot be used with this plan. */
const char *xf_weights_look(const xf_plan_header *, const unsigned char *section, size_t n, xf_weights_header *);
/* After that: row i of the table of weights that are made, i < n_made. */
xf_made xf_made_row(const unsigned char *section, uint32_t i);
/* After that: reads all weights. True: bytes *from to *to of the section hold something that xfc did not write. */
bool xf_weights_damage(const unsigned char *section, const xf_weights_header *, size_t *from, size_t *to);

/* --- files --- */

typedef struct {
    const unsigned char *data;
    size_t size;
} xf_file; /* a read-only private mapping of a whole file */
/* 0, or an errno; an empty file maps to size 0. */
int xf_file_map(const char *path, xf_file *out);
void xf_file_unmap(xf_file *);

/* Finds a section of a 64-bit little-endian ELF file by its own section table. False: not such a file, or no such
 * section. */
bool xf_elf_section(const void *elf, size_t n, const char *name, size_t *offset, size_t *bytes);
bool xf_elf_is(const void *elf, size_t n); /* has the magic of a 64-bit little-endian ELF file */

#endif
