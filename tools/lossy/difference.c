/* difference.c - outputs that are kept, and how far others are from them. */
#include "tools/lossy/lossy.h"
#include <math.h>
#include <string.h>

xf_kept xf_kept_new(xfc_arena *arena, const xfc_graph *g, const xfc_samples *samples) {
    return (xf_kept){arena, g->n_out, xfc_dup_array(arena, const char *, g->out_name, g->n_out),
                     xfc_new_array(arena, const xfc_tensor *const *, samples->n)};
}

xfc_status xf_keep(void *user, uint32_t sample, const xfc_tensor *const *out) {
    xf_kept *kept = user;
    const xfc_tensor **copy = xfc_new_array(kept->arena, const xfc_tensor *, kept->n_out);
    for (uint32_t i = 0; i < kept->n_out; i++) {
        xfc_tensor *t = xfc_memdup(kept->arena, out[i], sizeof *t, _Alignof(xfc_tensor));
        t->data = xfc_memdup(kept->arena, t->data, t->bytes, 64);
        copy[i] = t;
    }
    kept->of[sample] = copy;
    return XFC_OK;
}

xf_distances xf_distances_new(const xf_kept *exact) {
    return (xf_distances){exact, xfc_new_array(exact->arena, xf_distance, exact->n_out)};
}

static bool same_size(const xfc_tensor *a, const xfc_tensor *b) {
    return a->dtype == b->dtype && a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

static void add(xf_distance *d, double got, double want) {
    d->lost += isfinite(got) != isfinite(want);
    if (isfinite(got) && isfinite(want)) d->most = fmax(d->most, fabs(got - want));
    if (isfinite(want)) d->largest = fmax(d->largest, fabs(want));
}

xfc_status xf_see_distance(void *user, uint32_t sample, const xfc_tensor *const *out) {
    const xf_distances *all = user;
    for (uint32_t i = 0; i < all->exact->n_out; i++) {
        const xfc_tensor *want = all->exact->of[sample][i];
        xf_distance *d = &all->output[i];
        d->floats = xfc_dtype_is_float(want->dtype);
        bool same = same_size(out[i], want);
        d->other_size |= !same;
        for (int64_t k = 0; same && d->floats && k < want->count; k++)
            add(d, xfc_tensor_get_f(out[i], k), xfc_tensor_get_f(want, k));
    }
    return XFC_OK;
}
