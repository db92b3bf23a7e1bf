/* unique.c - which rows are there, each once.
 *
 * Operand 0: x [n, m] of any type. Numbers: whether they are to be in order, or each where it is first found. Results,
 * i64: first [n], the number of the first row of each kind; kind [n], of which kind each row is; count [n], how many
 * rows of each kind there are; found [1], how many kinds. What stands behind the found ones is 0. Rows are ordered by
 * their first elements that differ; -0 is 0, and NaN is one number, the largest.
 */
#include "runtime/kernels/keys.h"

typedef struct {
    const void *x;
    xk_i64 m;
} rows;

#define XK_TYPE(ID, T, CLASS, code, bits, one, infinity)                                                               \
    static int before_##ID(const void *user, xk_i64 a, xk_i64 b) {                                                     \
        const rows *r = user;                                                                                          \
        const T *x = (const T *)r->x + a * r->m, *y = (const T *)r->x + b * r->m;                                      \
        for (xk_i64 i = 0; i < r->m; i++) {                                                                            \
            T p = (T)XK_KEY_##CLASS(T, x[i], infinity), q = (T)XK_KEY_##CLASS(T, y[i], infinity);                      \
            if (p != q) return p < q;                                                                                  \
        }                                                                                                              \
        return 0;                                                                                                      \
    }
#include "runtime/kernels/types.def"
#undef XK_TYPE

static xk_before *before_of(xk_u32 dtype) {
    switch (dtype & 0xffffu) {
#define XK_TYPE(ID, T, CLASS, code, bits, ...)                                                                         \
    case (code) | (bits) << 8: return before_##ID;
#include "runtime/kernels/types.def"
#undef XK_TYPE
    default: return 0;
    }
}

xk_work xk_unique_work(const xk_call *c) {
    xk_i64 n = c->array[0].dim[0], most = XK_MOST(xk_i64) / (xk_i64)(2 * sizeof(xk_i64));
    return (xk_work){.tasks = 1, .grain = 1, .scratch = n < most ? n * (xk_i64)(2 * sizeof(xk_i64)) : XK_MOST(xk_i64)};
}

/* Numbers of kinds by what is found first, where they were numbered in order. */
static void number_by_place(xk_i64 n, xk_i64 found, xk_i64 *first, xk_i64 *kind, xk_i64 *count, xk_i64 *spare) {
    xk_i64 next = 0, *number = spare, *counted = spare + n;
    for (xk_i64 k = 0; k < found; k++) number[k] = -1, counted[k] = count[k];
    for (xk_i64 i = 0; i < n; i++) {
        xk_i64 k = kind[i];
        if (number[k] < 0) {
            first[next] = i, count[next] = counted[k];
            number[k] = next++;
        }
        kind[i] = number[k];
    }
}

void xk_unique(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const xk_array *x = &c->array[0];
    const rows r = {x->data, x->dim[1]};
    xk_before *before = before_of(x->dtype);
    xk_i64 n = x->dim[0], found = 0, *at = scratch, *first = c->array[1].data, *kind = c->array[2].data,
           *count = c->array[3].data;
    if (begin == end) return;
    for (xk_i64 i = 0; i < n; i++) at[i] = i, first[i] = count[i] = 0;
    xk_sort(at, at + n, n, before, &r);
    for (xk_i64 i = 0; i < n; i++) {
        if (i == 0 || before(&r, at[i - 1], at[i])) first[found++] = at[i];
        kind[at[i]] = found - 1;
        count[found - 1]++;
    }
    if (!c->number[0].i) number_by_place(n, found, first, kind, count, at);
    *(xk_i64 *)c->array[4].data = found;
}
