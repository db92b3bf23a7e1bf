/* tokens.c - match_tokens, match_ragged and merge_tokens against plain C that compares every token with every other, in double; and
 * what must hold whatever the tokens are: masses add up, protected tokens stay, means lie between what they are of, and
 * tokens that are equal come back as they were. */
#include "tests/table/table.h"

enum { B = 3, D = 5, MOST = 70 };

typedef struct {
    int64_t n, r, protect, end, heads; /* end: so many are protected at the end */
    double threshold;                  /* those that go are as alike */
    bool ties;                         /* keys along an axis, or 0: scores are -1, 0 or 1, to the bit */
} kind;

/* --- the reference --- */

static void mean_key(const float *k, const kind *c, int64_t b, int64_t i, double *out) {
    double length = 0;
    for (int64_t d = 0; d < D; d++) {
        out[d] = 0;
        for (int64_t h = 0; h < c->heads; h++) out[d] += (double)k[((b * c->heads + h) * c->n + i) * D + d];
        length += out[d] * out[d];
    }
    for (int64_t d = 0; d < D && length > 0; d++) out[d] /= sqrt(length);
}

static double score(const float *k, const kind *c, int64_t b, int64_t even, int64_t odd) {
    double x[D], y[D], sum = 0;
    mean_key(k, c, b, even, x);
    mean_key(k, c, b, odd, y);
    for (int64_t d = 0; d < D; d++) sum += x[d] * y[d];
    return round(sum * 1e5); /* equal ones are, whatever the order of sums */
}

/* Where each token of batch element b goes; answers how many places there are. */
static int64_t match(const float *k, const kind *c, int64_t b, int64_t *to) {
    double best[MOST];
    int64_t partner[MOST], next = 0, end = c->n - c->end;
    bool goes[MOST] = {false};
    for (int64_t i = 0; i < end; i += 2) {
        best[i] = -HUGE_VAL, partner[i] = -1;
        for (int64_t j = 1; j < end; j += 2) {
            double s = score(k, c, b, i, j);
            if (j >= c->protect && (partner[i] < 0 || s > best[i])) best[i] = s, partner[i] = j;
        }
    }
    for (int64_t left = c->r; left > 0; left--) {
        int64_t first = -1;
        for (int64_t i = 0; i < end; i += 2)
            if (i >= c->protect && !goes[i] && (first < 0 || best[i] > best[first])) first = i;
        if (best[first] < c->threshold * 1e5) break;
        goes[first] = true;
    }
    for (int64_t i = 0; i < c->protect; i++) to[i] = next++;
    for (int64_t odd = 0; odd < 2; odd++)
        for (int64_t i = odd; i < end; i += 2)
            if (i >= c->protect && !goes[i]) to[i] = next++;
    for (int64_t i = end; i < c->n; i++) to[i] = next++;
    for (int64_t i = 0; i < end; i += 2)
        if (goes[i]) to[i] = to[partner[i]];
    return next;
}

/* --- running --- */

static void fill(table *t, xfc_array *a) {
    for (int64_t i = 0; i < a->count; i++) ((float *)a->data)[i] = (float)test_between(&t->seed, -999, 999) / 99;
}

static void fill_ties(table *t, xfc_array *k, const kind *c) {
    for (int64_t i = 0; i < k->count; i++) ((float *)k->data)[i] = 0;
    for (int64_t b = 0; b < B; b++)
        for (int64_t i = 0; i < c->n; i++) {
            int64_t d = test_between(&t->seed, 0, D - 1), v = test_between(&t->seed, -1, 2);
            for (int64_t h = 0; h < c->heads; h++)
                ((float *)k->data)[((b * c->heads + h) * c->n + i) * D + d] = (float)v;
        }
}

static xfc_value *input(table *t, xfc_graph *g, const char *name, uint32_t rank, const int64_t *size) {
    xfc_int dim[XFC_MAX_RANK];
    for (uint32_t d = 0; d < rank; d++) dim[d] = xfc_int_const(t->ctx, size[d]);
    if (t->dynamic) dim[0] = table_dim(t, size[0]);
    return xfc_graph_add_input(g, name, xfc_type_make(XFC_F32, rank, dim));
}

/* to, y, the new masses, and y brought back. */
static bool build(table *t, xfc_graph *g, const kind *c) {
    const int64_t keys[] = {B, c->heads, c->n, D}, tokens[] = {B, c->n, D};
    xfc_value *k = input(t, g, "k", 4, keys), *x = input(t, g, "x", 3, tokens), *mass = input(t, g, "mass", 2, tokens);
    const xfc_int r = xfc_int_const(t->ctx, c->r), m = xfc_int_const(t->ctx, c->n - c->r),
                  one = xfc_int_const(t->ctx, 1);
    xfc_builder b = {.graph = g};
    const xfc_attr how[] = {xfc_attr_dims(XFC_K_SIZE, &r, 1), xfc_attr_int(XFC_K_PROTECT, c->protect)};
    const xfc_attr size = xfc_attr_dims(XFC_K_SIZE, &m, 1), batch = xfc_attr_int(XFC_K_BATCH_DIMS, 1);
    xfc_value *to = xfc_build(&b, XFC_OP_MATCH_TOKENS, &k, 1, how, 2);
    xfc_value *y = xfc_build(&b, XFC_OP_MERGE_TOKENS, (xfc_value *[]){x, to, mass}, 3, &size, 1);
    if (!to || !y) return false;
    const xfc_int tuple[] = {to->type.dim[0], to->type.dim[1], one};
    xfc_value *back =
        xfc_build(&b, XFC_OP_GATHER_ND, (xfc_value *[]){y, xfc_b_reshape(&b, to, tuple, 3)}, 2, &batch, 1);
    return back && xfc_graph_set_outputs(g, (xfc_value *[]){to, y, &y->def->out[1], back}, NULL, 4);
}

/* --- checks --- */

static bool is_near(double a, double b) { return fabs(a - b) <= 1e-4 * (1 + fabs(b)); }

static void check(table *t, const kind *c, const xfc_array *in, const xfc_array *out) {
    const float *x = in[1].data, *mass = in[2].data, *y = out[1].data, *sum = out[2].data, *back = out[3].data;
    int64_t m = c->n - c->r, to[MOST];
    for (int64_t b = 0; b < B; b++) {
        bool same = true;
        double total = 0, was = 0;
        (void)match(in[0].data, c, b, to);
        for (int64_t i = 0; i < c->n; i++) {
            same &= to[i] == table_i(&out[0], b * c->n + i);
            was += (double)mass[b * c->n + i];
        }
        CHECK(same);
        for (int64_t j = 0; j < m; j++) {
            double weight = 0, mean[D] = {0};
            int64_t n = 0;
            for (int64_t i = 0; i < c->n; i++) {
                double w = (double)mass[b * c->n + i];
                if (to[i] != j) continue;
                for (int64_t d = 0; d < D; d++) mean[d] += w * (double)x[(b * c->n + i) * D + d];
                weight += w;
                n++;
            }
            CHECK(n > 0 && is_near((double)sum[b * m + j], weight));
            for (int64_t d = 0; d < D; d++) CHECK(is_near((double)y[(b * m + j) * D + d], mean[d] / weight));
            total += (double)sum[b * m + j];
        }
        CHECK(is_near(total, was));
        for (int64_t i = 0; i < c->protect * D; i++) CHECK(y[b * m * D + i] == x[b * c->n * D + i]);
        for (int64_t i = 0; i < c->n * D; i++) CHECK(back[b * c->n * D + i] == y[b * m * D + to[i / D] * D + i % D]);
    }
    (void)t;
}

static void run(table *t, const kind *c) {
    table_next(t, "match_tokens");
    xfc_graph *g = xfc_graph_new(t->ctx, "g");
    const int64_t keys[] = {B, c->heads, c->n, D}, tokens[] = {B, c->n, D};
    if (CHECK(build(t, g, c))) {
        xfc_array out[4],
            in[3] = {*append(t, XFC_F32, 4, keys), *append(t, XFC_F32, 3, tokens), *append(t, XFC_F32, 2, tokens)};
        if (c->ties)
            fill_ties(t, &in[0], c);
        else
            fill(t, &in[0]);
        fill(t, &in[1]);
        for (int64_t i = 0; i < in[2].count; i++) ((float *)in[2].data)[i] = (float)test_between(&t->seed, 1, 9);
        if (CHECK(xfc_eval_graph(g, in, 3, out, &(xfc_eval_opts){.arena = t->arena}) == XFC_OK))
            check(t, c, in, out);
        else
            xfc_diags_print(t->ctx, stderr, false);
    }
    xfc_graph_free(g);
}

/* --- sequences of different lengths --- */

/* What is asked of a sequence of c->n tokens. */
static void ask(kind *c, int64_t ratio, int64_t front, int64_t back) {
    c->protect = front < c->n ? front : c->n;
    c->end = back < c->n - c->protect ? back : c->n - c->protect;
    int64_t most = (c->n - c->protect - c->end) / 2;
    c->r = c->n * ratio / 1000 < most ? c->n * ratio / 1000 : most;
}

static void fill_directions(table *t, float *x, int64_t rows, bool ties) {
    for (int64_t i = 0; i < rows; i++) {
        double length = 0;
        int64_t one = test_between(&t->seed, 0, D - 1), v = test_between(&t->seed, -1, 1);
        for (int64_t d = 0; d < D; d++) {
            x[i * D + d] = ties ? (float)(d == one ? v : 0) : (float)test_between(&t->seed, -999, 999);
            length += (double)x[i * D + d] * (double)x[i * D + d];
        }
        for (int64_t d = 0; d < D && length > 0; d++) x[i * D + d] = (float)((double)x[i * D + d] / sqrt(length));
    }
}

static void run_ragged(table *t, int64_t b, bool ties) {
    table_next(t, "match_ragged");
    xfc_graph *g = xfc_graph_new(t->ctx, "g");
    const int64_t starts = b + 1, ratio = test_between(&t->seed, 0, 500), front = test_between(&t->seed, 0, 2),
                  back = test_between(&t->seed, 0, 2);
    const double threshold = test_between(&t->seed, 0, 1) ? (double)-INFINITY : ties ? 0 : 0.3;
    int64_t rows[2] = {0, D}, place[MOST];
    xfc_array out[2], in[2] = {{0}, *append(t, XFC_I32, 1, &starts)};
    int32_t *cu = in[1].data;
    for (int64_t i = 0; i < b; i++) cu[i] = (int32_t)rows[0], rows[0] += test_between(&t->seed, 0, MOST);
    cu[b] = (int32_t)rows[0];
    in[0] = *append(t, XFC_F32, 2, rows);
    fill_directions(t, in[0].data, rows[0], ties);
    xfc_value *v[2] = {input(t, g, "x", 2, rows), NULL};
    const xfc_int n = t->dynamic ? table_dim(t, starts) : xfc_int_const(t->ctx, starts);
    v[1] = xfc_graph_add_input(g, "cu", xfc_type_make(XFC_I32, 1, &n));
    const xfc_attr how[] = {xfc_attr_int(XFC_K_RATIO, ratio), xfc_attr_float(XFC_K_THRESHOLD, threshold),
                            xfc_attr_int(XFC_K_PROTECT, front), xfc_attr_int(XFC_K_PROTECT_END, back)};
    xfc_builder at = {.graph = g};
    xfc_value *to = xfc_build(&at, XFC_OP_MATCH_RAGGED, v, 2, how, 4);
    if (CHECK(to && xfc_graph_set_outputs(g, (xfc_value *[]){to, &to->def->out[1]}, NULL, 2)) &&
        CHECK(xfc_eval_graph(g, in, 2, out, &(xfc_eval_opts){.arena = t->arena}) == XFC_OK))
        for (int64_t i = 0; i < b; i++) {
            kind c = {.n = cu[i + 1] - cu[i], .heads = 1, .threshold = threshold};
            ask(&c, ratio, front, back);
            int64_t left = match((const float *)in[0].data + cu[i] * D, &c, 0, place);
            CHECK(left == table_i(&out[1], i));
            bool same = true;
            for (int64_t k = 0; k < c.n; k++) same &= (left < c.n ? place[k] : k) == table_i(&out[0], cu[i] + k);
            CHECK(same);
        }
    xfc_graph_free(g);
}

int main(void) {
    for (int dynamic = 0; dynamic < 2; dynamic++) {
        table t = table_new(dynamic);
        for (int i = 0; i < 300; i++) {
            kind c = {.n = test_between(&t.seed, 2, MOST), .heads = test_between(&t.seed, 1, 4), .ties = i % 3 == 0};
            c.protect = test_between(&t.seed, 0, i % 2 ? 2 : c.n);
            c.threshold = (double)-INFINITY;
            run_ragged(&t, i % 4, c.ties);
            c.r = i % 5 ? test_between(&t.seed, 0, (c.n - c.protect) / 2) : (c.n - c.protect) / 2;
            run(&t, &c);
        }
        table_free(&t);
    }
    return test_end();
}
