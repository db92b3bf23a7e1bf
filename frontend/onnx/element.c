/* element.c - what a tensor holds at a position, where that is a function of shapes and of the position.
 *
 * The builder tracks the contents of small integer tensors as they are made. Some models need more: elements of
 * ranges whose length is a symbol, sizes computed in floats (ceil(length / 2.0)), quotients of products. Here one
 * element is found by walking back from the value on demand (ir/probe.h). Numbers are taken to be sizes: integers that do
 * not wrap, floats that are exact, indices that lie inside. A divisor is taken not to be 0, where no runtime has an answer
 * either.
 */
#include "frontend/onnx/import.h"
#include "ir/probe.h"

xfc_int xfc_element(xfc_graph *g, const xfc_value *v, const xfc_int *index) {
    xfc_arena *arena = xfc_arena_new();
    xfc_probe p = xfc_probe_new(g, arena);
    p.assumes = XFC_PROBE_NO_WRAP | XFC_PROBE_SIZES;
    xfc_int e = xfc_fact_formula(xfc_probe_in_cases(&p, v, index));
    xfc_arena_free(arena);
    return e;
}
