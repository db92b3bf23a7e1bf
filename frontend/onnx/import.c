/* import.c - ModelProto to graph: the model as a whole, and the table of operators.
 *
 * Order: file, opsets, functions, inputs and initializers, nodes, outputs. Whole-model defects end the import; defects
 * of a node are recorded and the rest goes on, so that one run reports all of them. The graph is given away only when
 * there was none.
 */
#include "frontend/onnx/sequence/sequence.h"
#include <string.h>

enum { MAX_OPSETS = 256 };

static const xfc_onnx_row rows[] = {
#define MEANING(opcode, sequence, of_text, moves, ...)                                                                 \
    .code = XFC_OP_##opcode, .takes = sequence, .texts = of_text, .moves_texts = moves
#define X(dom, name, first, last, fn, least, most, outs, names, ...)                                                   \
    {.domain = dom,                                                                                                    \
     .op = name,                                                                                                       \
     .since = first,                                                                                                   \
     .until = last,                                                                                                    \
     .import = xfc_import_##fn,                                                                                        \
     .min_in = least,                                                                                                  \
     .max_in = most,                                                                                                   \
     .max_out = outs,                                                                                                  \
     .attrs = names,                                                                                                   \
     MEANING(__VA_ARGS__, XFC_NO_SEQUENCE, 0, false, )},
#include "frontend/onnx/onnx_ops.def"
#undef X
#undef MEANING
};

const xfc_onnx_row *xfc_onnx_find(const char *domain, const char *op, uint32_t opset, bool *known) {
    *known = false;
    for (size_t i = 0; i < XFC_COUNT(rows); i++) {
        if (strcmp(rows[i].op, op) != 0 || strcmp(rows[i].domain, domain) != 0) continue;
        *known = true;
        if (opset >= rows[i].since && opset <= rows[i].until) return &rows[i];
    }
    return NULL;
}

/* '*' stands for anything, once. */
static bool fits(const char *pattern, const char *name) {
    const char *star = strchr(pattern, '*');
    if (!star) return strcmp(pattern, name) == 0;
    size_t before = (size_t)(star - pattern), behind = strlen(star + 1), n = strlen(name);
    return n >= before + behind && !strncmp(pattern, name, before) && !strcmp(star + 1, name + n - behind);
}

const char *xfc_onnx_advice(const char *domain, const char *op) {
    static const char *const advice[][3] = {
#define X(domain, op, text) {domain, op, text},
#include "frontend/onnx/unsupported.def"
#undef X
    };
    size_t i = 0;
    while (!fits(advice[i][0], domain) || !fits(advice[i][1], op)) i++; /* the last one fits all */
    return advice[i][2];
}

const char *xfc_onnx_domain(const char *domain) { return !domain || !strcmp(domain, "ai.onnx") ? "" : domain; }

static xfc_status check_opsets(xfc_importer *im, Onnx__OperatorSetIdProto *const *opset, size_t n, const char *where) {
    xfc_loc loc = {.file = im->file.path};
    if (n > MAX_OPSETS)
        return xfc_fail(im->ctx, XFC_ERR_LIMIT, loc, "%s imports more than %d opsets", where, MAX_OPSETS);
    for (size_t i = 0; i < n; i++) {
        const char *domain = xfc_onnx_domain(opset[i]->domain);
        for (size_t k = 0; k < i; k++) {
            if (strcmp(xfc_onnx_domain(opset[k]->domain), domain) != 0 || opset[k]->version == opset[i]->version)
                continue;
            return xfc_fail(im->ctx, XFC_ERR_INPUT, loc, "%s imports domain '%s' in versions %lld and %lld; keep one",
                            where, *domain ? domain : "ai.onnx", (long long)opset[k]->version,
                            (long long)opset[i]->version);
        }
        if (*domain) continue;
        if (opset[i]->version < XFC_ONNX_OPSET_MIN || opset[i]->version > XFC_ONNX_OPSET_MAX)
            return xfc_fail(im->ctx, XFC_ERR_UNSUPPORTED, loc,
                            "%s uses opset %lld; opsets %d to %d are supported; convert it with onnx.version_converter",
                            where, (long long)opset[i]->version, XFC_ONNX_OPSET_MIN, XFC_ONNX_OPSET_MAX);
    }
    return XFC_OK;
}

static xfc_status check_model(xfc_importer *im) {
    const Onnx__ModelProto *m = im->model;
    xfc_loc loc = {.file = im->file.path};
    if (!m->graph) return xfc_fail(im->ctx, XFC_ERR_INPUT, loc, "the file holds no ONNX graph; is it an ONNX model?");
    if (m->ir_version < XFC_ONNX_IR_MIN || m->ir_version > XFC_ONNX_IR_MAX)
        return xfc_fail(im->ctx, XFC_ERR_UNSUPPORTED, loc,
                        "IR version %lld is not supported (%d to %d are); export the model again",
                        (long long)m->ir_version, XFC_ONNX_IR_MIN, XFC_ONNX_IR_MAX);
    if (!m->n_opset_import)
        return xfc_fail(im->ctx, XFC_ERR_INPUT, loc, "the model has no opset_import; export it again");
    XFC_TRY(check_opsets(im, m->opset_import, m->n_opset_import, "the model"));
    for (size_t i = 0; i < m->n_functions; i++)
        XFC_TRY(check_opsets(im, m->functions[i]->opset_import, m->functions[i]->n_opset_import,
                             "a function of the model"));
    return xfc_functions_check(im);
}

/* Initializers become constants at their first use, so unused ones of any type do no harm. */
xfc_status xfc_bind_initializers(xfc_importer *im, xfc_body *body, const Onnx__GraphProto *g) {
    xfc_loc loc = {.file = im->file.path};
    xfc_map inputs = {.arena = im->arena};
    for (size_t i = 0; i < g->n_input; i++)
        if (g->input[i]->name) xfc_map_set_ptr(&inputs, xfc_str(im->ctx, g->input[i]->name), g);
    for (size_t i = 0; i < g->n_initializer; i++) {
        const Onnx__TensorProto *t = g->initializer[i];
        if (!t->name || !*t->name)
            return xfc_fail(im->ctx, XFC_ERR_INPUT, loc, "initializer %zu has no name; export the model again", i);
        if (im->opts->overridable && xfc_map_get_ptr(&inputs, xfc_str(im->ctx, t->name))) continue;
        XFC_TRY(xfc_body_bind(im, body, t->name, (xfc_bound){.kind = XFC_BOUND_INIT, .init = t}, loc));
    }
    for (size_t i = 0; i < g->n_sparse_initializer; i++) {
        const Onnx__TensorProto *t = g->sparse_initializer[i]->values;
        if (!t || !t->name || !*t->name)
            return xfc_fail(im->ctx, XFC_ERR_INPUT, loc, "sparse initializer %zu has no name; export the model again",
                            i);
        const xfc_bound bound = {.kind = XFC_BOUND_INIT, .sparse = g->sparse_initializer[i]};
        XFC_TRY(xfc_body_bind(im, body, t->name, bound, loc));
    }
    return XFC_OK;
}

/* Does data decide this size? */
static bool has_found_size(const xfc_ctx *c, xfc_int e) {
    const xfc_int_info *i = xfc_int_look(c, e);
    if (i->kind == XFC_INT_CONST || i->kind == XFC_INT_SYMBOL)
        return i->kind == XFC_INT_SYMBOL && i->sym == XFC_SYM_LET;
    for (uint32_t t = 0; i->kind == XFC_INT_SUM && t < i->n_terms; t++)
        for (uint32_t k = 0; k < i->term[t].n; k++)
            if (has_found_size(c, i->term[t].atom[k])) return true;
    return i->kind != XFC_INT_SUM && (has_found_size(c, i->a) || has_found_size(c, i->b));
}

/* The number that the file declares for dim d of an output. */
static bool declared(const Onnx__ValueInfoProto *o, uint32_t d, int64_t *out) {
    const Onnx__TensorTypeProto *t = o->type ? o->type->tensor_type : NULL;
    if (!t || !t->shape || d >= t->shape->n_dim || !t->shape->dim[d]->has_dim_value) return false;
    *out = t->shape->dim[d]->dim_value;
    return *out >= 0 && *out <= XFC_DIM_MAX;
}

/* A size that data decides is what the file says that it will be: another is an error of the run. Of others callers
 * learn when the model has run. */
static xfc_value *as_declared(xfc_importer *im, const Onnx__ValueInfoProto *o, xfc_value *v) {
    const xfc_type *t = &v->type;
    xfc_builder b = im->builder;
    xfc_int start[XFC_MAX_RANK], size[XFC_MAX_RANK];
    int64_t step[XFC_MAX_RANK], number;
    bool any = false;
    if (v->def) b.loc = v->def->loc;
    for (uint32_t d = 0; d < t->rank; d++) {
        start[d] = xfc_int_const(im->ctx, 0), size[d] = t->dim[d], step[d] = 1;
        if (!has_found_size(im->ctx, t->dim[d]) || !declared(o, d, &number)) continue;
        any = true;
        size[d] = xfc_int_const(im->ctx, number);
        if (!xfc_graph_require(im->graph, t->dim[d], size[d], 0, b.loc))
            return xfc_fail(im->ctx, XFC_ERR_INPUT, b.loc,
                            "dim %u of output '%s' is never %lld, as the file declares; export the model again", d,
                            o->name, (long long)number),
                   NULL;
    }
    return any ? xfc_b_slice(&b, v, start, size, step) : v;
}

/* A part of a sequence must not have the name of something else that goes the same way. ret: the op with the outputs. */
static xfc_status check_parts(xfc_importer *im, const xfc_op *ret) {
    for (int out = 0; out < 2; out++) {
        xfc_map seen = {.arena = im->arena};
        uint32_t n = out ? im->graph->n_out : im->graph->n_in;
        for (uint32_t i = 0; i < n; i++) {
            const char *name = xfc_str(im->ctx, out ? im->graph->out_name[i] : im->graph->in[i]->name);
            uint64_t same = xfc_map_get(&seen, (uint64_t)(uintptr_t)name); /* counted from 1 */
            if (same && !(out && ret->in[same - 1].value == ret->in[i].value))
                return xfc_fail(im->ctx, XFC_ERR_INPUT, (xfc_loc){.file = im->file.path},
                                "'%s' is also the name of a part of a sequence; rename it", name);
            xfc_map_set(&seen, (uint64_t)(uintptr_t)name, i + 1);
        }
    }
    return XFC_OK;
}

/* The tensors of a graph output, and their names. Returns how many there are. */
static uint32_t parts_of_output(xfc_importer *im, const xfc_body *body, const Onnx__ValueInfoProto *o,
                                xfc_value **value, const char **name) {
    const char *of = xfc_str(im->ctx, o->name);
    xfc_result made = xfc_bound_result(im, xfc_body_find(im, body, of), (xfc_loc){.file = im->file.path});
    if (made.sequence) return xfc_border_output(im, of, made.sequence, value, name);
    if (made.texts) return xfc_border_texts(im, of, made, value, name);
    if (made.value) made.value = as_declared(im, o, made.value);
    if (made.value && xfc_dtype_bits(made.value->type.dtype) < 8)
        made.value = xfc_b_unary(&im->builder, XFC_OP_PACK_BITS, made.value); /* as callers hold them */
    *value = made.value, *name = of;
    return 1;
}

/* What is listed again gets the same values. */
static xfc_status set_outputs(xfc_importer *im, const xfc_body *body) {
    const Onnx__GraphProto *g = im->model->graph;
    xfc_value **value = xfc_new_array(im->arena, xfc_value *, XFC_MAX_PARTS * g->n_output);
    const char **name = xfc_new_array(im->arena, const char *, XFC_MAX_PARTS * g->n_output);
    uint32_t *first = xfc_new_array(im->arena, uint32_t, g->n_output + 1);
    xfc_map seen = {.arena = im->arena}; /* which output it was, counted from 1 */
    for (size_t i = 0; i < g->n_output; i++) {
        const char *of = xfc_str(im->ctx, g->output[i]->name);
        uint64_t same = xfc_map_get(&seen, (uint64_t)(uintptr_t)of);
        uint32_t n = first[i];
        if (!same) n += parts_of_output(im, body, g->output[i], value + n, name + n);
        for (uint32_t k = same ? first[same - 1] : 0; same && k < first[same]; k++)
            value[n] = value[k], name[n++] = name[k];
        if (!same) xfc_map_set(&seen, (uint64_t)(uintptr_t)of, i + 1);
        first[i + 1] = n;
    }
    uint32_t n = first[g->n_output];
    if (im->ctx->n_errors) return XFC_ERR_INPUT;
    for (uint32_t i = 0; i < n; i++) xfc_assert(value[i]);
    const xfc_op *ret = xfc_graph_set_outputs(im->graph, value, name, n);
    return ret ? check_parts(im, ret) : XFC_ERR_LIMIT;
}

/* A value may be an output more than once, under its one name: of a cell that returns its state as its result, too. */
static xfc_status check_output_names(xfc_importer *im, char **names) {
    const Onnx__GraphProto *g = im->model->graph;
    xfc_loc loc = {.file = im->file.path};
    if (!g->n_output) return xfc_fail(im->ctx, XFC_ERR_INPUT, loc, "the graph has no outputs; export the model again");
    for (size_t i = 0; i < g->n_output; i++) {
        names[i] = g->output[i]->name;
        if (!names[i] || !*names[i])
            return xfc_fail(im->ctx, XFC_ERR_INPUT, loc, "graph output %zu has no name; export the model again", i);
    }
    return XFC_OK;
}

static xfc_status import_model(xfc_importer *im) {
    XFC_TRY(check_model(im));
    const Onnx__GraphProto *g = im->model->graph;
    im->graph = xfc_graph_new(im->ctx, xfc_str(im->ctx, g->name && *g->name ? g->name : "main"));
    im->graph->source = im->file.path;
    im->sizes_read = (xfc_map){.arena = im->arena};
    im->builder = (xfc_builder){.graph = im->graph};
    im->probe = xfc_element_probe(im);
    xfc_body *body = xfc_new(im->arena, xfc_body);
    *body = (xfc_body){.node = g->node,
                       .n_nodes = (uint32_t)g->n_node,
                       .names = {.arena = im->arena},
                       .prefix = "",
                       .opset = im->model->opset_import,
                       .n_opsets = im->model->n_opset_import};
    char **outputs = xfc_new_array(im->arena, char *, g->n_output);
    XFC_TRY(check_output_names(im, outputs));
    XFC_TRY(xfc_bind_initializers(im, body, g));
    XFC_TRY(xfc_import_inputs(im, body));
    XFC_TRY(xfc_import_body(im, body, outputs, g->n_output));
    return set_outputs(im, body);
}

/* Rounds: what one finds out about dims, the next knows from the start. A size that looks like run-time data may be no
 * more than a formula of dims that were not known well enough: such errors count only if there is nothing more to
 * know. */
static bool import_rounds(xfc_importer *im) {
    enum { MAX_ROUNDS = 4 };
    uint32_t n_diags = im->ctx->n_diags;
    for (int round = 0;; round++) {
        bool ok = import_model(im) == XFC_OK && !im->ctx->n_errors;
        bool may_change = im->graph && im->ctx->n_errors == im->n_unknown && round < MAX_ROUNDS;
        if (!may_change || !xfc_unify_dims(im)) {
            if (!ok) return false;
            break;
        }
        im->ctx->n_diags = n_diags;
        im->ctx->n_errors = im->n_unknown = im->n_nodes = 0;
        xfc_graph_free(im->graph);
        im->graph = NULL;
    }
    xfc_note_undecided(im);
    return true;
}

/* The model once more, with dims that meet taken for the same. That it cannot be is no error. */
static void import_equal(xfc_importer *im) {
    xfc_ctx *ctx = im->ctx;
    const uint32_t n_diags = ctx->n_diags;
    xfc_graph *general = im->graph;
    im->same_dims = true;
    if (xfc_unify_dims(im)) {
        im->graph = NULL;
        im->n_unknown = im->n_nodes = 0;
        *im->opts->equal = import_rounds(im) ? im->graph : NULL;
        if (im->graph && !*im->opts->equal) xfc_graph_free(im->graph);
    }
    ctx->n_diags = n_diags;
    ctx->n_errors = 0;
    im->graph = general;
}

/* borrowed: no mapped file, but memory of the caller. */
static xfc_graph *import_bytes(xfc_ctx *ctx, const char *name, xfc_mapping bytes, bool borrowed,
                               const xfc_import_opts *opts) {
    static const xfc_import_opts defaults = {0};
    xfc_arena *arena = xfc_arena_new();
    xfc_importer im = {.ctx = ctx,
                       .arena = arena,
                       .opts = opts ? opts : &defaults,
                       .alias = {.arena = arena},
                       .file = xfc_onnx_file_new(ctx, arena, name)};
    im.file.follow_links = im.opts->follow_links;
    im.file.borrowed = borrowed;
    uint32_t errors = ctx->n_errors;
    ctx->n_errors = 0; /* errors of this import alone decide */
    im.model = xfc_unpack_model(&im.file, bytes);
    bool ok = im.model && import_rounds(&im);
    if (im.opts->equal) *im.opts->equal = NULL;
    if (ok && im.opts->equal && !im.same_dims) import_equal(&im);
    ctx->n_errors += errors;
    xfc_arena_free(arena);
    if (ok) return im.graph;
    if (im.graph) xfc_graph_free(im.graph);
    return NULL;
}

xfc_graph *xfc_import_file(xfc_ctx *ctx, const char *path, const xfc_import_opts *opts) {
    const char *name = xfc_str(ctx, path);
    xfc_mapping bytes;
    if (xfc_map_path(ctx, (xfc_loc){.file = name}, path, &bytes) != XFC_OK) return NULL;
    xfc_graph *g = import_bytes(ctx, name, bytes, false, opts);
    xfc_drop_pages(bytes.data, bytes.n);
    return g;
}

xfc_graph *xfc_import_memory(xfc_ctx *ctx, const char *name, const void *data, size_t n, const xfc_import_opts *opts) {
    return import_bytes(ctx, xfc_str(ctx, name), (xfc_mapping){.data = data, .n = n}, true, opts);
}

/* As callers hold it. */
static const xfc_tensor *as_packed(xfc_ctx *c, const xfc_tensor *t) {
    xfc_dtype dtype = xfc_dtype_packed(t->dtype);
    if (dtype == t->dtype) return t;
    void *data = xfc_tensor_alloc(c, dtype, t->rank, t->dim);
    for (int64_t i = 0; i < t->count; i++) xfc_element_set_i(dtype, data, i, xfc_tensor_get_i(t, i));
    return xfc_tensor_new(c, dtype, t->rank, t->dim, data, t->name);
}

xfc_status xfc_read_tensor_pb(xfc_ctx *ctx, const char *path, const xfc_tensor **out) {
    xfc_arena *arena = xfc_arena_new();
    const char *name = xfc_str(ctx, path);
    xfc_onnx_file file = xfc_onnx_file_new(ctx, arena, name);
    xfc_loc loc = {.file = name};
    xfc_mapping bytes;
    xfc_status status = xfc_map_path(ctx, loc, path, &bytes);
    const Onnx__TensorProto *t = status == XFC_OK ? xfc_unpack_tensor(&file, bytes) : NULL;
    const xfc_tensor *pooled = t ? xfc_onnx_tensor(&file, t, loc, "the tensor") : NULL;
    if (pooled) pooled = as_packed(ctx, pooled);
    xfc_tensor *named = pooled ? xfc_memdup(ctx->arena, pooled, sizeof *pooled, _Alignof(xfc_tensor)) : NULL;
    if (named) named->name = xfc_str(ctx, t->name); /* the pool may have given an equal tensor of another name */
    *out = named;
    xfc_arena_free(arena);
    if (status != XFC_OK) return status;
    return *out ? XFC_OK : XFC_ERR_INPUT;
}
