/* make_window.c - the maker of sliding windows. */
#include "tests/diff/make.h"

xfc_value *make_windows(maker *m, xfc_opcode code, xfc_dtype t) {
    int64_t axes[3], step[3], dilation[3];
    xfc_int size[3];
    uint32_t n = 0;
    xfc_value *x = maker_pick(m, t, 1, 5);
    if (!x) return NULL;
    for (uint32_t d = 0; d < x->type.rank && n < 3; d++) {
        int64_t lo, hi;
        xfc_int_range(m->ctx, x->type.dim[d], &lo, &hi);
        if (maker_chance(m, 40)) continue;
        int64_t most = lo > 4 ? 4 : lo + 1; /* one more than there are: no window */
        axes[n] = d;
        dilation[n] = most < 4 ? 1 : diff_between(&m->seed, 1, 2);
        size[n] = maker_constant(m, diff_between(&m->seed, 1, (most - 1) / dilation[n] + 1));
        step[n++] = diff_between(&m->seed, 1, 3);
    }
    xfc_attr attr[] = {xfc_attr_ints(XFC_K_AXES, axes, n), xfc_attr_dims(XFC_K_SIZE, size, n),
                       xfc_attr_ints(XFC_K_STEP, step, n), xfc_attr_ints(XFC_K_DILATION, dilation, n)};
    return maker_build(m, code, &x, 1, attr, 4);
}
