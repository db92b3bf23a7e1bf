/* eval_onnx.c - runs ONNX test data through importer and interpreter: eval_onnx [options] MODEL.onnx [DATA_SET_DIR...]
 *
 * A data set holds input_N.pb and output_N.pb in graph order, as ONNX's own test suite has them. Prints one line a
 * failure; exit code 0: everything agrees; 5: a difference; else that of the error (1 model, 3 unsupported, 4 I/O).
 * Without data sets it only imports. Options: --rtol R, --atol A (|a - b| <= A + R |b|), --dim NAME=.., --shape
 * INPUT=.., --print, --verify.
 */
#include "frontend/frontend.h"
#include "ir/eval/eval.h"
#include "ir/text/text.h"
#include "ir/verify/verify.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_OPTIONS = 16, MAX_IO = 256 };
typedef struct {
    double rtol, atol;
    bool print, verify, overridable, follow_links;
    const char *dims[MAX_OPTIONS], *shapes[MAX_OPTIONS], *model, *sets[MAX_IO];
    uint32_t n_dims, n_shapes, n_sets;
} options;

static int report(const xfc_ctx *c) {
    xfc_diags_print(c, stderr, false);
    for (uint32_t i = 0; i < c->n_diags; i++)
        if (!c->diags[i].is_note) return xfc_exit_code(c->diags[i].status);
    return 1;
}

static bool close_enough(double a, double b, const options *o) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    if (a == b) return true;
    return isfinite(a) && isfinite(b) && fabs(a - b) <= o->atol + o->rtol * fabs(b);
}

/* Integers and codes, which have few values, are exact. */
static bool element_ok(const xfc_tensor *got, const xfc_tensor *want, int64_t i, const options *o) {
    static const options exactly = {0};
    bool code = xfc_dtype_is_code(xfc_dtype_unpacked(got->dtype));
    if (!code && !xfc_dtype_is_float(got->dtype)) return xfc_tensor_get_i(got, i) == xfc_tensor_get_i(want, i);
    return close_enough(xfc_tensor_get_f(got, i), xfc_tensor_get_f(want, i), code ? &exactly : o);
}

/* True iff equal within the tolerance; prints the first difference. */
static bool compare(xfc_ctx *c, const char *name, const xfc_array *got, const xfc_tensor *want, const options *o) {
    bool same = got->dtype == want->dtype && got->rank == want->rank;
    for (uint32_t d = 0; same && d < got->rank; d++) same = got->dim[d] == want->dim[d];
    if (!same) {
        printf("output '%s': type %s rank %u, expected %s rank %u (or dims differ:", name, xfc_dtype_name(got->dtype),
               got->rank, xfc_dtype_name(want->dtype), want->rank);
        for (uint32_t d = 0; d < got->rank; d++) printf(" %lld", (long long)got->dim[d]);
        printf(" /");
        for (uint32_t d = 0; d < want->rank; d++) printf(" %lld", (long long)want->dim[d]);
        printf(")\n");
        return false;
    }
    const xfc_tensor *t = xfc_tensor_new(c, got->dtype, got->rank, got->dim, got->data, NULL);
    int64_t wrong = 0, first = 0;
    for (int64_t i = 0; i < t->count; i++)
        if (!element_ok(t, want, i, o) && !wrong++) first = i;
    if (wrong)
        printf("output '%s': %lld of %lld differ, first [%lld]: %.9g, expected %.9g\n", name, (long long)wrong,
               (long long)t->count, (long long)first, xfc_tensor_get_f(t, first), xfc_tensor_get_f(want, first));
    return wrong == 0;
}

/* What an input or output of the graph is, in a file or in parts. */
static xfc_border kind_of(const xfc_graph *g, const char *name) {
    for (uint32_t i = 0; i < g->n_meta; i += 2)
        if (!strncmp(g->meta[i], XFC_BORDER_META, strlen(XFC_BORDER_META)) &&
            !strcmp(g->meta[i] + strlen(XFC_BORDER_META), name))
            return xfc_border_of(g->meta[i + 1]);
    return XFC_BORDER_TENSOR;
}

/* first, shapes: types of its parts, NULL where it has none. */
static bool read_pb(xfc_ctx *c, const char *dir, const char *file, uint32_t i, xfc_border kind, const xfc_type *first,
                    const xfc_type *shapes, const xfc_tensor **out, bool *exists) {
    const char *path = xfc_sprintf(c->arena, "%s/%s_%u.pb", dir, file, i);
    int64_t rank = -1;
    if (shapes && (kind == XFC_BORDER_TEXT || !xfc_int_value(c, shapes->dim[1], &rank))) rank = -1;
    *exists = access(path, R_OK) == 0;
    return *exists && xfc_read_parts_pb(c, path, kind, first ? first->dtype : XFC_F32, rank, out) == XFC_OK;
}

/* Binds a file to an input by its name, else by position. */
static int read_inputs(xfc_ctx *c, const xfc_graph *g, const char *dir, xfc_array *in) {
    bool set[MAX_IO] = {false};
    for (uint32_t i = 0, first = 0; i < MAX_IO; i++) {
        const xfc_tensor *t[XFC_BORDER_MOST];
        bool exists, inside = first < g->n_in;
        xfc_border kind = inside ? kind_of(g, g->in[first]->name) : XFC_BORDER_TENSOR;
        uint32_t at = first, parts = xfc_border_parts(kind);
        first += parts;
        if (!read_pb(c, dir, "input", i, kind, inside ? &g->in[at]->type : NULL,
                     parts > 1 ? &g->in[at + 1]->type : NULL, t, &exists)) {
            if (exists) return report(c);
            continue;
        }
        for (uint32_t k = 0; t[0]->name && *t[0]->name && k < g->n_in; k++)
            if (!strcmp(g->in[k]->name, t[0]->name)) at = k;
        for (uint32_t p = 0; p < parts && at < g->n_in; p++, at++) { /* else an initializer */
            in[at] = (xfc_array){
                .dtype = t[p]->dtype, .rank = t[p]->rank, .count = t[p]->count, .data = (void *)(uintptr_t)t[p]->data};
            memcpy(in[at].dim, t[p]->dim, sizeof t[p]->dim);
            set[at] = true;
        }
    }
    for (uint32_t k = 0; k < g->n_in; k++) {
        if (set[k]) continue;
        fprintf(stderr, "%s: no data for input '%s'\n", dir, g->in[k]->name);
        return 4;
    }
    return 0;
}

static int run_set(xfc_ctx *c, const xfc_graph *g, const char *dir, const options *o) {
    xfc_array in[MAX_IO] = {0}, out[MAX_IO] = {0};
    if (g->n_in > MAX_IO || g->n_out > MAX_IO) return 4;
    int code = read_inputs(c, g, dir, in);
    if (code) return code;
    xfc_eval_opts opts = {.arena = c->arena};
    if (xfc_eval_graph(g, in, g->n_in, out, &opts) != XFC_OK) return report(c);
    for (uint32_t i = 0, at = 0; at < g->n_out; i++) {
        const xfc_tensor *want[XFC_BORDER_MOST];
        bool exists;
        xfc_border kind = kind_of(g, g->out_name[at]);
        uint32_t parts = xfc_border_parts(kind);
        if (!read_pb(c, dir, "output", i, kind, &g->last->in[at].value->type,
                     parts > 1 ? &g->last->in[at + 1].value->type : NULL, want, &exists)) {
            if (exists) return report(c);
            fprintf(stderr, "%s: no output_%u.pb\n", dir, i);
            return 4;
        }
        for (uint32_t p = 0; p < parts; p++, at++)
            if (!compare(c, g->out_name[at], &out[at], want[p], o)) code = 5;
    }
    return code;
}

static int run(const options *o) {
    xfc_ctx *c = xfc_ctx_new();
    xfc_import_opts opts = {.dims = o->dims,
                            .n_dims = o->n_dims,
                            .shapes = o->shapes,
                            .n_shapes = o->n_shapes,
                            .overridable = o->overridable,
                            .follow_links = o->follow_links};
    xfc_graph *g = xfc_import_file(c, o->model, &opts);
    int code = g ? 0 : report(c);
    xfc_buf text = {.arena = c->arena};
    if (g && o->print) {
        xfc_print_graph(&text, g, NULL);
        fputs(text.text, stdout);
    }
    xfc_buf defects = {.arena = c->arena};
    if (g && o->verify && !xfc_verify(g, &defects)) {
        fputs(defects.text, stderr);
        code = 5;
    }
    for (uint32_t i = 0; g && i < o->n_sets; i++) {
        int one = run_set(c, g, o->sets[i], o);
        if (one) code = one;
    }
    if (g) xfc_graph_free(g);
    xfc_ctx_free(c);
    return code;
}

int main(int argc, char **argv) {
    options o = {.rtol = 1e-3, .atol = 1e-7};
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(a, "--print"))
            o.print = true;
        else if (!strcmp(a, "--verify"))
            o.verify = true;
        else if (!strcmp(a, "--overridable"))
            o.overridable = true;
        else if (!strcmp(a, "--follow-links"))
            o.follow_links = true;
        else if (!strcmp(a, "--rtol"))
            o.rtol = atof(value), i++;
        else if (!strcmp(a, "--atol"))
            o.atol = atof(value), i++;
        else if (!strcmp(a, "--dim") && o.n_dims < MAX_OPTIONS)
            o.dims[o.n_dims++] = value, i++;
        else if (!strcmp(a, "--shape") && o.n_shapes < MAX_OPTIONS)
            o.shapes[o.n_shapes++] = value, i++;
        else if (!o.model)
            o.model = a;
        else if (o.n_sets < MAX_IO)
            o.sets[o.n_sets++] = a;
    }
    if (!o.model) {
        fputs("usage: eval_onnx [--rtol R] [--atol A] [--dim NAME=N] [--shape INPUT=DIMS] [--print] [--verify] "
              "MODEL.onnx [DATA_SET_DIR...]\n",
              stderr);
        return 2;
    }
    return run(&o);
}
