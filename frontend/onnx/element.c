/* element.c - what a tensor holds at a position, where that is a function of shapes and of the position.
 *
 * The builder tracks the contents of small integer tensors as they are made. Some models need more: elements of ranges
 * whose length is a symbol, sizes computed in floats (ceil(length / 2.0)), quotients of products. Here one element is
 * found by walking back from the value on demand (ir/probe.h). Numbers are taken to be sizes: integers that do not
 * wrap, floats that are exact, indices that lie inside. A divisor is taken not to be 0, where no runtime has an answer
 * either.
 *
 * Numbers are told as the interpreter computes them, with nothing assumed: int(math.sqrt(patches)), scales of a Resize.
 */
#include "frontend/onnx/import.h"

xfc_probe xfc_element_probe(xfc_importer *im) {
    xfc_probe p = xfc_probe_new(im->graph, im->arena);
    p.assumes = XFC_PROBE_NO_WRAP | XFC_PROBE_DIVISORS | XFC_PROBE_SIZES;
    return p;
}

xfc_int xfc_element(xfc_importer *im, const xfc_value *v, const xfc_int *index) {
    return xfc_fact_formula(xfc_probe_in_cases(&im->probe, v, index));
}

/* The value's element as a number: as bits of its type at out[i]. */
static bool write_number(xfc_probe *p, const xfc_value *v, int64_t i, void *out) {
    xfc_ctx *c = p->graph->ctx;
    xfc_int index[XFC_MAX_RANK];
    int64_t whole;
    double number;
    xfc_type_delinear(c, &v->type, xfc_int_const(c, i), index);
    xfc_fact f = xfc_probe_at(p, v, index);
    if (xfc_dtype_is_float(v->type.dtype)) {
        if (!xfc_fact_number(c, f, &number)) return false;
        xfc_element_set_f(v->type.dtype, out, i, number);
    } else {
        if (!xfc_int_value(c, xfc_fact_formula(f), &whole)) return false;
        xfc_element_set_i(v->type.dtype, out, i, whole);
    }
    return true;
}

const xfc_tensor *xfc_node_known(const xfc_node *n, const xfc_value *v) {
    const xfc_tensor *t = NULL;
    int64_t dim[XFC_MAX_RANK], count, known = 0;
    if (!v || xfc_value_is_const(v, &t)) return t;
    if (!xfc_type_static(n->ctx, &v->type, dim, &count) || count > XFC_MAX_CONTENT || !xfc_probe_is_closed(v))
        return NULL;
    xfc_arena *arena = xfc_arena_new();
    xfc_probe p = xfc_probe_new(n->im->graph, arena);
    void *data = xfc_alloc_array(arena, XFC_MAX_CONTENT, sizeof(int64_t), 64);
    while (known < count && write_number(&p, v, known, data)) known++;
    if (known == count) t = xfc_tensor_copy(n->ctx, v->type.dtype, v->type.rank, dim, data, NULL);
    xfc_arena_free(arena);
    return t;
}

void xfc_node_track(const xfc_node *n, xfc_value *v) {
    if (!v || v->content || xfc_dtype_is_float(v->type.dtype)) return;
    const xfc_tensor *t = xfc_node_known(n, v);
    if (!t || t->count > XFC_MAX_CONTENT) return;
    xfc_int *content = xfc_new_array(n->im->graph->arena, xfc_int, (size_t)t->count + 1);
    for (int64_t i = 0; i < t->count; i++) content[i] = xfc_int_const(n->ctx, xfc_tensor_get_i(t, i));
    v->content = content;
}
