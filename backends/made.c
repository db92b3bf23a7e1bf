/* made.c - what of the weights an artefact stores: those that `open` makes again stand as what they are made of.
 *
 * xfc_share_weights put them behind the others, so the plan's offsets of those stay what they are in the file. Sources
 * follow, equal ones once. */
#include "ir/made.h"
#include "backends/artefact.h"
#include "ir/eval/eval.h"
#include "runtime/include/xfc/check.h"

enum { ALIGN = 64 };
_Static_assert((int)XFC_MADE_OPERANDS == (int)XF_MADE_OPERANDS, "a row holds the call");

static uint64_t aligned(uint64_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

static uint64_t add_source(xfc_stored *s, const xfc_tensor *t) {
    for (uint32_t i = 0; i < s->n_sources; i++)
        if (s->source[i] == t) return s->source_offset[i];
    s->source[s->n_sources] = t;
    s->source_offset[s->n_sources++] = s->bytes;
    s->bytes = aligned(s->bytes + t->bytes);
    return s->source_offset[s->n_sources - 1];
}

static xf_made_array array_of(const xfc_tensor *t, uint64_t offset) {
    xf_made_array a = {.offset = offset, .dtype = xfc_dtype_dlpack(t->dtype), .rank = t->rank};
    xfc_assert(t->rank <= XF_MADE_RANK);
    for (uint32_t d = 0; d < t->rank; d++) a.dim[d] = (uint64_t)t->dim[d];
    return a;
}

static void add_row(xfc_stored *s, const xfc_made *made, const xfc_tensor *t, uint64_t offset) {
    xf_made *row = &s->row[s->n_rows++];
    *row = (xf_made){.routine = xfc_routine_number(made->routine),
                     .n_operands = made->n_in,
                     .number = made->number,
                     .sum = xf_crc32c(0, t->data, t->bytes)};
    for (uint32_t i = 0; i < made->n_in; i++) row->array[i] = array_of(made->in[i], add_source(s, made->in[i]));
    row->array[made->n_in] = array_of(t, offset);
}

xfc_stored xfc_stored_weights(const xfc_graph *g, xfc_arena *arena) {
    const xfc_plan *p = g->plan;
    xfc_stored s = {.n_kept = p->n_weights, .kept = p->weight_bytes};
    while (s.n_kept && xfc_tensor_made(g->ctx, p->weight[s.n_kept - 1])) s.n_kept--;
    const uint32_t n = p->n_weights - s.n_kept;
    if (n) s.kept = p->weight_offset[s.n_kept];
    s.bytes = s.kept;
    s.row = xfc_new_array(arena, xf_made, n);
    s.source = xfc_new_array(arena, const xfc_tensor *, n *XFC_MADE_OPERANDS);
    s.source_offset = xfc_new_array(arena, uint64_t, n *XFC_MADE_OPERANDS);
    for (uint32_t i = s.n_kept; i < p->n_weights; i++)
        add_row(&s, xfc_tensor_made(g->ctx, p->weight[i]), p->weight[i], p->weight_offset[i]);
    return s;
}
