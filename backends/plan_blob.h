/* plan_blob.h - between plan_blob.c and plan_sizes.c: a plan as it is written. */
#ifndef XFC_PLAN_BLOB_H
#define XFC_PLAN_BLOB_H
#include "backends/artefact.h"
#include "ir/defined.h"
#include "ir/program.h"
#include "runtime/include/xfc/abi.h"

typedef struct {
    const xfc_graph *g;
    xfc_ctx *ctx;
    xfc_arena *arena;
    xfc_status status;
    const xfc_kernel_step *kernel_step; /* of its next kernel op */
    xfc_map values;                     /* xfc_int id -> value + 1 */
    uint32_t own_inputs;                /* xfc_graph_caches */
    xfc_cached *caches;
    xfc_defined defined;
    xfc_map strings; /* interned text -> offset */
    xfc_buf text;
    xf_plan_header head;
    xf_symbol *symbols;
    uint32_t n_symbols;
    xf_instr *instrs;
    uint32_t n_instrs, cap_instrs;
    xf_dim *dims;
    uint32_t n_dims, cap_dims;
    xf_arg *args;
    uint32_t n_args, cap_args;
    xf_check *checks;
    uint32_t n_checks, cap_checks;
    xf_operand *operands;
    uint32_t n_operands, cap_operands;
    xf_step_info *steps;
    uint32_t n_steps, cap_steps;
    xf_val *numbers;
    uint32_t n_numbers, cap_numbers;
    uint32_t *nodes;
    uint32_t n_nodes, cap_nodes;
    xf_range *ranges;
    uint32_t n_ranges, cap_ranges;
    xfc_map known; /* xfc_int id -> 1 + can it be computed before the first step? */
    uint32_t *meta;
    uint32_t n_meta, cap_meta;
} xfc_blob_writer;

uint32_t xfc_blob_text(xfc_blob_writer *, const char *); /* its offset; equal ones have the same */
xf_val xfc_blob_value(xfc_blob_writer *, xfc_int);
xf_val xfc_blob_most(xfc_blob_writer *, xfc_int); /* the most that it can be; XF_VAL_NONE: only data knows */
uint32_t xfc_blob_asker(xfc_blob_writer *, const xfc_constraint *);
xf_symbol *xfc_blob_bounded(xfc_blob_writer *, const xfc_constraint *, int64_t *lo, int64_t *hi);
void xfc_blob_symbols(xfc_blob_writer *); /* first of all */

#endif
