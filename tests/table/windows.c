/* windows.c - sliding windows against plain C, and what must be refused or becomes a condition. */
#include "tests/table/table.h"

static xfc_dtype any_dtype(table *t) { return (xfc_dtype)test_between(&t->seed, 0, XFC_UNPACKED_COUNT - 1); }

static void one(table *t) {
    int64_t dim[5], axes[5], step[5], dilation[5], size[5], want[8], index[8], from[8];
    xfc_int sizes[5];
    uint32_t rank = (uint32_t)test_between(&t->seed, 1, 5), n = 0;
    table_next(t, "windows");
    for (uint32_t d = 0; d < rank; d++) want[d] = dim[d] = table_extent(t) % (rank > 3 ? 9 : 40);
    for (uint32_t d = rank; d-- > 0;) { /* axes in any order: from the last to the first */
        if (n == 3 || !test_between(&t->seed, 0, 1)) continue;
        axes[n] = d;
        step[n] = test_between(&t->seed, 1, 3);
        dilation[n] = test_between(&t->seed, 1, 3);
        size[n] = test_between(&t->seed, 1, 4);
        int64_t reach = (size[n] - 1) * dilation[n] + 1;
        while (dim[d] - reach < -step[n])
            reach -= dilation[n], size[n]--; /* no window at all is allowed, less is not */
        if (size[n] < 1) size[n] = 1, reach = 1;
        sizes[n] = xfc_int_const(t->ctx, size[n]);
        want[rank + n] = size[n];
        want[d] = dim[d] < reach ? 0 : (dim[d] - reach) / step[n] + 1;
        n++;
    }
    xfc_attr attr[] = {xfc_attr_ints(XFC_K_AXES, axes, n), xfc_attr_dims(XFC_K_SIZE, sizes, n),
                       xfc_attr_ints(XFC_K_STEP, step, n), xfc_attr_ints(XFC_K_DILATION, dilation, n)};
    table_operand(t, any_dtype(t), rank, dim, true);
    if (!CHECK(table_run(t, XFC_OP_WINDOWS, attr, 4)) || !table_shape(t, rank + n, want)) return;
    for (bool more = table_first(&t->out, index); more; more = table_step(&t->out, index)) {
        for (uint32_t d = 0; d < rank; d++) from[d] = index[d];
        for (uint32_t i = 0; i < n; i++) from[axes[i]] = index[axes[i]] * step[i] + index[rank + i] * dilation[i];
        table_same_bits(t, table_at(&t->out, index), &t->in[0], table_at(&t->in[0], from));
    }
}

typedef struct {
    int64_t axis[2], step[2], dilation[2], size[2];
    uint32_t n, n_size, rank;
    const char *message;
} refused;

static void refuse(table *t) {
    static const refused cases[] = {
        {{0}, {1}, {1}, {9}, 1, 1, 2, "does not fit into dim 0"},
        {{1}, {1}, {4}, {3}, 1, 1, 2, "does not fit into dim 1"},
        {{2}, {1}, {1}, {1}, 1, 1, 2, "axis 2 is outside"},
        {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 2, 2, 2, "named once"},
        {{0}, {0}, {1}, {1}, 1, 1, 2, "at least 1"},
        {{0}, {1}, {0}, {1}, 1, 1, 2, "at least 1"},
        {{0}, {1}, {1}, {0}, 1, 1, 2, "at least 1"},
        {{0, 1}, {1, 1}, {1, 1}, {1, 1}, 2, 1, 2, "correct their number"},
        {{0, 1}, {1, 1}, {1, 1}, {1, 1}, 2, 2, 7, "at most 8"},
    };
    bool dynamic = t->dynamic;
    t->dynamic = false;
    for (size_t i = 0; i < XFC_COUNT(cases); i++) {
        const refused *c = &cases[i];
        const int64_t dim[7] = {5, 7, 1, 1, 1, 1, 1};
        xfc_int size[2] = {xfc_int_const(t->ctx, c->size[0]), xfc_int_const(t->ctx, c->size[1])};
        xfc_attr attr[] = {xfc_attr_ints(XFC_K_AXES, c->axis, c->n), xfc_attr_dims(XFC_K_SIZE, size, c->n_size),
                           xfc_attr_ints(XFC_K_STEP, c->step, c->n), xfc_attr_ints(XFC_K_DILATION, c->dilation, c->n)};
        table_next(t, "windows that are refused");
        table_operand(t, XFC_F32, c->rank, dim, false);
        CHECK(!table_run(t, XFC_OP_WINDOWS, attr, 4));
        CHECK_CONTAINS(t->ctx->diags[t->ctx->n_diags - 1].text, c->message);
    }
    t->dynamic = dynamic;
}

/* A window that may not fit is a condition of the graph: checked when it runs. */
static void condition(table *t) {
    int64_t axis = 0, one_ = 1;
    xfc_int size = xfc_int_const(t->ctx, 5);
    xfc_attr attr[] = {xfc_attr_ints(XFC_K_AXES, &axis, 1), xfc_attr_dims(XFC_K_SIZE, &size, 1),
                       xfc_attr_ints(XFC_K_STEP, &one_, 1), xfc_attr_ints(XFC_K_DILATION, &one_, 1)};
    for (int64_t extent = 2; extent <= 6; extent++) {
        table_next(t, "a window that may not fit");
        table_operand(t, XFC_F32, 1, &extent, false);
        CHECK(table_run(t, XFC_OP_WINDOWS, attr, 4) == (extent >= 4));
        if (extent >= 4) table_shape(t, 2, (int64_t[]){extent - 4, 5});
    }
}

int main(void) {
    for (int dynamic = 0; dynamic < 2; dynamic++) {
        table t = table_new(dynamic);
        for (int i = 0; i < 200; i++) one(&t);
        refuse(&t);
        condition(&t);
        table_free(&t);
    }
    return test_end();
}
