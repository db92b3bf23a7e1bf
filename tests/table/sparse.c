/* sparse.c - matmul_sparse against plain C that multiplies entry by entry, and what it refuses. */
#include "tests/table/table.h"

static void product(table *t, xfc_dtype x_type, xfc_dtype value_type, xfc_dtype row_type) {
    int64_t k = test_between(&t->seed, 1, 300), n = test_between(&t->seed, 1, 70), s = test_between(&t->seed, 0, 20),
            group = test_between(&t->seed, 1, 8), lead[3] = {test_between(&t->seed, 0, 3), 2, k},
            dim[3] = {(n + group - 1) / group, s, group};
    uint32_t rank = (uint32_t)test_between(&t->seed, 1, 3);
    table_next(t, "matmul_sparse");
    const xfc_array *x = table_operand(t, x_type, rank, lead + 3 - rank, false);
    const xfc_array *row = table_ints(t, row_type, 3, dim, 0, (row_type == XFC_U8 && k > 256 ? 256 : k) - 1);
    const xfc_array *value = table_operand(t, value_type, 3, dim, false);
    xfc_int size = table_dim(t, n);
    xfc_attr attr = xfc_attr_dims(XFC_K_SIZE, &size, 1);
    bool dynamic = t->dynamic;
    if (!CHECK(table_run(t, XFC_OP_MATMUL_SPARSE, &attr, 1))) return;
    t->dynamic = dynamic;
    lead[2] = n;
    if (!table_shape(t, rank, lead + 3 - rank)) return;
    for (int64_t i = 0; i < t->out.count; i++) {
        double sum = 0, size_of = 0, ulps = x_type == XFC_F16 || x_type == XFC_BF16 ? 1 : 0;
        for (int64_t e = 0, j = i % n; e < s; e++) {
            int64_t at = (j / group * s + e) * group + j % group;
            double term = table_f(x, i / n * k + table_i(row, at)) * table_f(value, at);
            sum += term, size_of += fabs(term);
        }
        table_same(t, i, sum, ulps, size_of * (x_type == XFC_F64 ? 1e-14 : 2e-6));
    }
}

static void refused(table *t, xfc_dtype x, xfc_dtype row, xfc_dtype value, int64_t panels, int64_t s,
                    const char *text) {
    table_next(t, "what matmul_sparse refuses");
    table_operand(t, x, 2, (int64_t[]){2, 9}, false);
    table_ints(t, row, 3, (int64_t[]){3, 5, 4}, 0, 8);
    table_operand(t, value, 3, (int64_t[]){panels, s, 4}, false);
    const xfc_int size = xfc_int_const(t->ctx, 10);
    const xfc_attr attr = xfc_attr_dims(XFC_K_SIZE, &size, 1);
    CHECK(!table_run(t, XFC_OP_MATMUL_SPARSE, &attr, 1));
    CHECK_CONTAINS(t->ctx->diags[t->ctx->n_diags - 1].text, text);
}

static void refusals(table *t) {
    refused(t, XFC_I32, XFC_U8, XFC_I32, 3, 5, "needs x [.., k] of a float type");
    refused(t, XFC_F32, XFC_I64, XFC_F32, 3, 5, "rows u8 or u16");
    refused(t, XFC_F16, XFC_U8, XFC_F32, 3, 5, "values of its type");
    refused(t, XFC_F32, XFC_U8, XFC_F32, 3, 6, "the rows and the values of matmul_sparse");
    refused(t, XFC_F32, XFC_U8, XFC_F32, 4, 5, "the rows and the values of matmul_sparse");
    table_next(t, "a row outside");
    table_operand(t, XFC_F32, 2, (int64_t[]){2, 9}, false);
    table_ints(t, XFC_U8, 3, (int64_t[]){3, 5, 4}, 9, 9);
    table_operand(t, XFC_F32, 3, (int64_t[]){3, 5, 4}, false);
    const xfc_int size = xfc_int_const(t->ctx, 10);
    const xfc_attr attr = xfc_attr_dims(XFC_K_SIZE, &size, 1);
    CHECK(!table_run(t, XFC_OP_MATMUL_SPARSE, &attr, 1));
    CHECK_CONTAINS(t->ctx->diags[t->ctx->n_diags - 1].text, "index out of range: 9");
}

int main(void) {
    for (int dynamic = 0; dynamic < 2; dynamic++) {
        table t = table_new(dynamic);
        for (int times = 0; times < 20; times++) {
            xfc_dtype row = times % 2 ? XFC_U8 : XFC_U16;
            product(&t, XFC_F32, XFC_F32, row);
            product(&t, XFC_F32, times % 2 ? XFC_F16 : XFC_BF16, row);
            product(&t, XFC_F64, XFC_F64, row);
            product(&t, times % 2 ? XFC_F16 : XFC_BF16, times % 2 ? XFC_F16 : XFC_BF16, row);
        }
        xfc_diags_print(t.ctx, stderr, false);
        t.dynamic = false;
        refusals(&t);
        table_free(&t);
    }
    return test_end();
}
