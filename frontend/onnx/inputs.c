/* inputs.c - graph inputs: their types, and symbols for the dims that are not numbers.
 *
 * The same dim_param is the same symbol everywhere; a dim without a name gets one from its input ("x_dim0"). --dim
 * fixes or bounds a named dim or makes it another one, or (same) says that dims which meet in broadcasting are equal;
 * --shape fixes the dims of one input, and holds wherever the name of such a dim occurs; "?" twice says that a name
 * which an exporter gave to two dims of one input means nothing. A dim_param that is an expression over other dims of
 * the model is that expression, so no second unknown comes up for it. Dims that the model needs to be equal are one
 * symbol (unify.c).
 */
#include "frontend/onnx/sequence/sequence.h"
#include "frontend/onnx/text/text.h"
#include "ir/base/nearest.h"
#include <string.h>

enum { MAX_LISTED = 200 }; /* bytes of names in a message */

typedef struct {
    xfc_importer *im;
    xfc_map spec;   /* interned dim name -> xfc_dim_spec * (from --dim and --shape) */
    xfc_map other;  /* interned dim name -> interned name of the dim that it is (from --dim) */
    xfc_map names;  /* interned dim_params -> non-zero */
    xfc_map symbol; /* interned name as printed -> interned dim name it stands for */
    xfc_map used;   /* interned dim names that occur in the model */
} dims;

static xfc_status usage(dims *d, const char *option, const char *text, const char *why) {
    return xfc_fail(d->im->ctx, XFC_ERR_INPUT, (xfc_loc){.file = d->im->file.path}, "--%s '%.80s': %s", option, text,
                    why);
}

static xfc_status set_spec(dims *d, const char *name, xfc_dim_spec spec, const char *option, const char *text) {
    const char *key = xfc_str(d->im->ctx, name);
    const xfc_dim_spec *old = xfc_map_get_ptr(&d->spec, key);
    if (old && (old->lo != spec.lo || old->hi != spec.hi))
        return usage(d, option, text, "the same dim was given another value before");
    xfc_map_set_ptr(&d->spec, key, xfc_memdup(d->im->arena, &spec, sizeof spec, _Alignof(xfc_dim_spec)));
    return XFC_OK;
}

/* The dim that this name stands for. */
static const char *same_dim(const dims *d, const char *key) {
    for (const char *next; (next = xfc_map_get_ptr(&d->other, key));) key = next;
    return key;
}

static xfc_status set_other(dims *d, const char *name, const char *other, const char *text) {
    const char *key = xfc_str(d->im->ctx, name), *target = same_dim(d, xfc_str(d->im->ctx, other));
    if (target == key || xfc_map_get_ptr(&d->other, key))
        return usage(d, "dim", text, "the dim is that one already, or was made another one before");
    xfc_map_set_ptr(&d->other, key, target);
    return XFC_OK;
}

static bool is_same(const char *text) { return strcmp(text, "same") == 0; }

static xfc_status read_dim_options(dims *d) {
    for (uint32_t i = 0; i < d->im->opts->n_dims; i++) {
        const char *text = d->im->opts->dims[i], *eq = strrchr(text, '=');
        xfc_dim_spec spec;
        d->im->same_dims |= is_same(text);
        if (is_same(text)) continue;
        if (!eq || eq == text || !eq[1])
            return usage(d, "dim", text, "expected NAME=N, NAME=LO..HI or NAME=OTHER, or the word same");
        const char *name = xfc_intern_n(d->im->ctx->strings, text, (size_t)(eq - text));
        bool number = eq[1] >= '0' && eq[1] <= '9', read = xfc_parse_dim_spec(eq + 1, strlen(eq + 1), &spec);
        if (!read && !number)
            XFC_TRY(set_other(d, name, eq + 1, text));
        else if (!read || spec.kind == XFC_DIM_ANY)
            return usage(d, "dim", text, "expected NAME=N or NAME=LO..HI, or NAME=OTHER");
        else
            XFC_TRY(set_spec(d, name, spec, "dim", text));
    }
    return XFC_OK;
}

static const Onnx__TensorShapeProto *shape_of(const Onnx__ValueInfoProto *v) {
    return v->type && v->type->tensor_type ? v->type->tensor_type->shape : NULL;
}

static const char *param_of(const Onnx__DimensionProto *dim) {
    return dim->dim_param && xfc_is_dim_name(dim->dim_param) ? dim->dim_param : NULL;
}

/* A symbol's name is printed and parsed: what is no letter, digit, '_' or '.' becomes '_', and clashes get a number. */
static const char *printable(dims *d, const char *name) {
    xfc_ctx *c = d->im->ctx;
    xfc_buf b = {.arena = d->im->arena};
    if (*name >= '0' && *name <= '9') xfc_buf_char(&b, '_');
    for (const char *s = name; *s; s++) {
        bool ok =
            (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || *s == '_' || *s == '.';
        xfc_buf_char(&b, ok ? *s : '_');
    }
    const char *key = xfc_str(c, name);
    for (uint32_t k = 0;; k++) {
        const char *text = xfc_str(c, k ? xfc_sprintf(d->im->arena, "%s_%u", b.text, k) : b.text);
        const char *owner = xfc_map_get_ptr(&d->symbol, text);
        if (!owner) xfc_map_set_ptr(&d->symbol, text, key);
        if (!owner || owner == key) return text;
    }
}

static xfc_int spec_dim(dims *d, const char *name, const xfc_dim_spec *spec) {
    const char *key = xfc_str(d->im->ctx, name);
    xfc_map_set_ptr(&d->used, key, key);
    name = key = same_dim(d, key);
    if (!spec || spec->kind == XFC_DIM_ANY) spec = xfc_map_get_ptr(&d->spec, key);
    if (spec && spec->kind == XFC_DIM_FIXED) return xfc_int_const(d->im->ctx, spec->lo);
    return xfc_unified(
        d->im, xfc_int_symbol(d->im->ctx, printable(d, name), spec ? spec->lo : 0, spec ? spec->hi : XFC_DIM_MAX));
}

static xfc_int named_dim(dims *d, const char *name) { return spec_dim(d, name, NULL); }

static xfc_int lookup_plain(void *user, const char *name, size_t n) {
    dims *d = user;
    const char *key = xfc_intern_n(d->im->ctx->strings, name, n);
    return xfc_map_get_ptr(&d->names, key) || xfc_map_get_ptr(&d->spec, key) ? named_dim(d, key) : XFC_INT_NONE;
}

static bool is_number(const char *s) { return *s && strspn(s, "0123456789") == strlen(s); }

static xfc_int param_dim(dims *d, const char *name) {
    xfc_int value = XFC_INT_NONE;
    if (!xfc_map_get_ptr(&d->spec, xfc_str(d->im->ctx, name)) && strpbrk(name, "+-*/(") && !is_number(name))
        value = xfc_parse_dim_expr(d->im->ctx, name, lookup_plain, d);
    return xfc_int_known(value) ? value : named_dim(d, name);
}

static bool names(const char *text, const char *end, const char *input) {
    return (size_t)(end - text) == strlen(input) && !strncmp(text, input, (size_t)(end - text));
}

/* "INPUT=1x128" for this input; NULL if there is none. */
static const char *shape_option(const dims *d, const char *input) {
    const char *found = NULL;
    for (uint32_t i = 0; i < d->im->opts->n_shapes; i++) {
        const char *text = d->im->opts->shapes[i], *eq = strrchr(text, '=');
        if (eq && names(text, eq, input)) found = text;
    }
    return found;
}

static xfc_status parse_shape_option(dims *d, const char *text, xfc_dim_spec *out, uint32_t *rank) {
    *rank = 0;
    for (const char *at = strrchr(text, '=') + 1; *at;) {
        size_t n = strcspn(at, "x");
        if (*rank == XFC_MAX_RANK) return usage(d, "shape", text, "too many dims");
        if (!xfc_parse_dim_spec(at, n, &out[*rank]))
            return usage(d, "shape", text, "expected INPUT=DIMxDIM..., a DIM being N, LO..HI, or ?");
        (*rank)++;
        at += n;
        if (*at == 'x' && !*++at) return usage(d, "shape", text, "a dim is missing after the last x");
    }
    return XFC_OK;
}

/* First look at every input: which names there are, and what --shape says of named dims. */
static xfc_status survey(dims *d, const Onnx__ValueInfoProto *v) {
    const Onnx__TensorShapeProto *shape = shape_of(v);
    const char *text = shape_option(d, v->name);
    xfc_dim_spec spec[XFC_MAX_RANK];
    uint32_t rank = 0;
    if (text) XFC_TRY(parse_shape_option(d, text, spec, &rank));
    if (text && shape && rank != shape->n_dim)
        return usage(d, "shape", text, xfc_sprintf(d->im->arena, "the input has %zu dims, not %u", shape->n_dim, rank));
    for (size_t i = 0; shape && i < shape->n_dim; i++) {
        const char *name = param_of(shape->dim[i]);
        if (!name) continue;
        const char *key = xfc_str(d->im->ctx, name);
        xfc_map_set_ptr(&d->names, key, key);
        if (text && spec[i].kind != XFC_DIM_ANY) XFC_TRY(set_spec(d, name, spec[i], "shape", text));
    }
    return XFC_OK;
}

/* A name that no dim of the model has. */
static const char *own_name(const dims *d, const char *input, uint32_t i) {
    const char *name = xfc_str(d->im->ctx, xfc_sprintf(d->im->arena, "%s_dim%u", input, i));
    while (xfc_map_get_ptr(&d->names, name)) name = xfc_str(d->im->ctx, xfc_sprintf(d->im->arena, "%s_", name));
    return name;
}

/* Does --shape take this dim and another one of the same name apart? */
static bool is_apart(const Onnx__TensorShapeProto *shape, const char *name, uint32_t i, const xfc_dim_spec *given) {
    for (uint32_t k = 0; given && given[i].kind == XFC_DIM_ANY && k < shape->n_dim; k++) {
        const char *other = k != i && given[k].kind == XFC_DIM_ANY ? param_of(shape->dim[k]) : NULL;
        if (other && !strcmp(other, name)) return true;
    }
    return false;
}

static xfc_status read_dim(dims *d, const Onnx__ValueInfoProto *v, uint32_t i, const xfc_dim_spec *all, xfc_int *out) {
    xfc_ctx *c = d->im->ctx;
    const Onnx__TensorShapeProto *shape = shape_of(v);
    const Onnx__DimensionProto *dim = shape ? shape->dim[i] : NULL;
    const xfc_dim_spec *given = all ? &all[i] : NULL;
    const char *name = dim ? param_of(dim) : NULL;
    if (name && !is_apart(shape, name, i, all)) return *out = param_dim(d, name), XFC_OK;
    bool fixed = dim && dim->has_dim_value && dim->dim_value != -1; /* old exporters wrote -1 for a dynamic dim */
    if (fixed && (dim->dim_value < 0 || dim->dim_value > XFC_DIM_MAX))
        return xfc_fail(c, XFC_ERR_INPUT, (xfc_loc){.file = d->im->file.path},
                        "input '%s': dim %u is %lld; export the model again", v->name, i, (long long)dim->dim_value);
    if (fixed && given && given->kind != XFC_DIM_ANY && (dim->dim_value < given->lo || dim->dim_value > given->hi))
        return usage(d, "shape", v->name,
                     xfc_sprintf(d->im->arena, "the model fixes dim %u at %lld", i, (long long)dim->dim_value));
    if (fixed) return *out = xfc_int_const(c, dim->dim_value), XFC_OK;
    *out = spec_dim(d, own_name(d, v->name, i), given);
    return XFC_OK;
}

/* The tensors of an input that is no tensor itself. */
static const Onnx__TensorTypeProto *tensors_of(const Onnx__TypeProto *t, xfc_border *kind) {
    const Onnx__TypeProto *inner = t && t->optional_type ? t->optional_type->elem_type : t;
    const Onnx__TypeProto *item = inner && inner->sequence_type ? inner->sequence_type->elem_type : inner;
    *kind = inner == t ? (item == t ? XFC_BORDER_TENSOR : XFC_BORDER_SEQUENCE)
                       : (item == inner ? XFC_BORDER_OPTIONAL : XFC_BORDER_OPTIONAL_SEQUENCE);
    return item ? item->tensor_type : NULL;
}

static xfc_status read_dtype(dims *d, const Onnx__ValueInfoProto *v, xfc_border *kind, xfc_dtype *out) {
    xfc_ctx *c = d->im->ctx;
    xfc_loc loc = {.file = d->im->file.path};
    const Onnx__TypeProto *type = v->type;
    const Onnx__TensorTypeProto *tensor = tensors_of(type, kind);
    if (!tensor && *kind != XFC_BORDER_TENSOR)
        return xfc_fail(
            c, XFC_ERR_UNSUPPORTED, loc,
            "input '%s' is a sequence or an optional of what is no tensor; only those of tensors are supported",
            v->name);
    if (!tensor && type && (type->has_map_type || type->has_opaque_type || type->has_sparse_tensor_type))
        return xfc_fail(c, XFC_ERR_UNSUPPORTED, loc, "input '%s' is a %s; only dense tensors are supported", v->name,
                        type->has_map_type      ? "map"
                        : type->has_opaque_type ? "opaque value"
                                                : "sparse tensor");
    if (!tensor) return xfc_fail(c, XFC_ERR_INPUT, loc, "input '%s' has no type; export the model again", v->name);
    bool known = xfc_dtype_from_onnx(tensor->elem_type, out);
    if (known && (*kind == XFC_BORDER_TENSOR || xfc_dtype_bits(*out) >= 8)) return XFC_OK;
    return xfc_fail(c, XFC_ERR_UNSUPPORTED, loc,
                    "input '%s' has element type %s (%d), which is not supported; convert it", v->name,
                    xfc_onnx_dtype_name(tensor->elem_type), (int)tensor->elem_type);
}

static xfc_status read_shape(dims *d, const Onnx__ValueInfoProto *v, xfc_type *out) {
    xfc_ctx *c = d->im->ctx;
    xfc_loc loc = {.file = d->im->file.path};
    const Onnx__TensorShapeProto *shape = shape_of(v);
    const char *text = shape_option(d, v->name);
    xfc_dim_spec spec[XFC_MAX_RANK];
    if (text) XFC_TRY(parse_shape_option(d, text, spec, &out->rank));
    if (!shape && !text)
        return xfc_fail(c, XFC_ERR_UNSUPPORTED, loc, "the rank of input '%s' is unknown; give it with --shape %s=1x128",
                        v->name, v->name);
    if (shape && shape->n_dim > XFC_MAX_RANK)
        return xfc_fail(c, XFC_ERR_LIMIT, loc, "input '%s' has rank %zu; the limit is %d", v->name, shape->n_dim,
                        XFC_MAX_RANK);
    if (shape) out->rank = (uint32_t)shape->n_dim;
    for (uint32_t i = 0; i < out->rank; i++) XFC_TRY(read_dim(d, v, i, text ? spec : NULL, &out->dim[i]));
    return XFC_OK;
}

/* What to say about a name that no input has. */
static const char *no_such_input(const dims *d, const Onnx__GraphProto *g, const char *name, size_t n) {
    xfc_nearest near = {.wanted = name, .n = n};
    xfc_buf b = {.arena = d->im->arena};
    xfc_buf_str(&b, "the model has no such input; it has ");
    for (size_t k = 0; k < g->n_input; k++) {
        if (!g->input[k]->name) continue;
        xfc_nearest_offer(&near, g->input[k]->name);
        if (b.n < MAX_LISTED) xfc_buf_printf(&b, "%s'%.60s'", k ? ", " : "", g->input[k]->name);
    }
    xfc_buf_str(&b, xfc_did_you_mean(d->im->arena, &near, ""));
    return b.text;
}

static xfc_status check_options_used(dims *d, const Onnx__GraphProto *g) {
    for (uint32_t i = 0; i < d->im->opts->n_shapes; i++) {
        const char *text = d->im->opts->shapes[i], *eq = strrchr(text, '=');
        if (!eq || eq == text) return usage(d, "shape", text, "expected INPUT=DIMxDIM...");
        const char *used = NULL;
        for (size_t k = 0; k < g->n_input; k++)
            if (g->input[k]->name && names(text, eq, g->input[k]->name)) used = shape_option(d, g->input[k]->name);
        if (used == text) continue;
        if (used) return usage(d, "shape", text, "the input's shape was given before");
        return usage(d, "shape", text, no_such_input(d, g, text, (size_t)(eq - text)));
    }
    return XFC_OK;
}

/* A --dim for a name the model does not have is a typing error: say what there is. */
static xfc_status check_dims_used(dims *d) {
    for (uint32_t i = 0; i < d->im->opts->n_dims; i++) {
        const char *text = d->im->opts->dims[i], *eq = strrchr(text, '=');
        if (is_same(text)) continue;
        const char *name = xfc_intern_n(d->im->ctx->strings, text, (size_t)(eq - text));
        bool has_other = !xfc_map_get_ptr(&d->other, name) || xfc_map_get_ptr(&d->used, xfc_str(d->im->ctx, eq + 1));
        if (xfc_map_get_ptr(&d->used, name) && has_other) continue;
        bool is_other = xfc_map_get_ptr(&d->used, name) != NULL; /* which it is then said to be */
        xfc_nearest near = {.wanted = is_other ? eq + 1 : text, .n = is_other ? strlen(eq + 1) : (size_t)(eq - text)};
        xfc_buf b = {.arena = d->im->arena};
        for (uint32_t k = 0; k < d->used.n; k++) {
            const char *have = (const char *)(uintptr_t)d->used.entry[k].key;
            xfc_nearest_offer(&near, have);
            if (b.n < MAX_LISTED) xfc_buf_printf(&b, "%s'%.60s'", k ? ", " : "", have);
        }
        if (!b.n) return usage(d, "dim", text, "all dims of the model are fixed");
        return usage(d, "dim", text,
                     xfc_sprintf(d->im->arena, "the model has no such dim; it has %s%s", b.text,
                                 xfc_did_you_mean(d->im->arena, &near, "")));
    }
    return XFC_OK;
}

/* Of numbers that callers hold packed: with a byte each. */
static xfc_value *input_value(xfc_importer *im, const char *name, xfc_type type) {
    xfc_dtype inside = type.dtype;
    type.dtype = xfc_dtype_packed(inside);
    xfc_value *v = xfc_graph_add_input(im->graph, xfc_str(im->ctx, name), type);
    return type.dtype == inside ? v : xfc_b_unary(&im->builder, XFC_OP_UNPACK_BITS, v);
}

/* A dim of a part of a sequence. */
static xfc_int part_dim(dims *d, const char *input, const char *what, int64_t most) {
    const char *name = xfc_str(d->im->ctx, xfc_sprintf(d->im->arena, "%s.%s", input, what));
    const xfc_dim_spec range = {.kind = XFC_DIM_RANGE, .hi = most};
    while (xfc_map_get_ptr(&d->names, name)) name = xfc_str(d->im->ctx, xfc_sprintf(d->im->arena, "%s_", name));
    return spec_dim(d, name, xfc_map_get_ptr(&d->spec, name) ? NULL : &range);
}

/* Its parts become inputs (sequence.h). */
static xfc_status add_sequence(dims *d, const Onnx__ValueInfoProto *v, xfc_border kind, xfc_dtype t, xfc_result *out) {
    xfc_importer *im = d->im;
    const Onnx__TensorTypeProto *tensor = tensors_of(v->type, &kind);
    const Onnx__TensorShapeProto *shape = tensor->shape;
    if (shape_option(d, v->name))
        return usage(d, "shape", v->name, "it is a sequence or an optional, whose tensors have shapes of their own");
    if (shape && shape->n_dim > XFC_MAX_RANK)
        return xfc_fail(im->ctx, XFC_ERR_LIMIT, (xfc_loc){.file = im->file.path},
                        "the tensors of input '%s' have rank %zu; the limit is %d", v->name, shape->n_dim,
                        XFC_MAX_RANK);
    xfc_sequence *s = xfc_new(im->arena, xfc_sequence);
    xfc_int size = part_dim(d, v->name, "size", XFC_DIM_MAX), row[2];
    row[0] = part_dim(d, v->name, "length", kind == XFC_BORDER_OPTIONAL ? 1 : XFC_DIM_MAX);
    row[1] = shape ? xfc_int_const(im->ctx, (int64_t)shape->n_dim) : part_dim(d, v->name, "rank", XFC_MAX_RANK);
    *s = (xfc_sequence){.dtype = t, .optional = kind == XFC_BORDER_OPTIONAL};
    s->elements = xfc_graph_add_input(im->graph, xfc_str(im->ctx, v->name), xfc_type_make(t, 1, &size));
    s->shapes = xfc_graph_add_input(im->graph, xfc_border_name(im, v->name, 1), xfc_type_make(XFC_I64, 2, row));
    if (kind == XFC_BORDER_OPTIONAL_SEQUENCE)
        s->present = xfc_graph_add_input(im->graph, xfc_border_name(im, v->name, 2), (xfc_type){.dtype = XFC_BOOL});
    s->known = xfc_new_array(im->arena, xfc_int, shape ? shape->n_dim + 1 : 1);
    for (size_t i = 0; shape && i < shape->n_dim; i++) {
        const Onnx__DimensionProto *dim = shape->dim[i];
        bool fixed = dim->has_dim_value && dim->dim_value >= 0 && dim->dim_value <= XFC_DIM_MAX;
        s->known[i] = fixed ? xfc_int_const(im->ctx, dim->dim_value) : XFC_INT_NONE;
    }
    xfc_border_note(im, v->name, kind);
    out->sequence = s;
    return XFC_OK;
}

static xfc_status add_input(dims *d, xfc_body *body, const Onnx__ValueInfoProto *v) {
    xfc_importer *im = d->im;
    const xfc_bound *bound = xfc_body_find(im, body, v->name);
    if (bound && bound->kind == XFC_BOUND_INIT) return XFC_OK; /* an initializer: a constant */
    xfc_type type = {0};
    xfc_border kind;
    xfc_result made = {0};
    bool strings = v->type && v->type->tensor_type && v->type->tensor_type->elem_type == XFC_ONNX_STRING;
    xfc_status status = strings ? XFC_OK : read_dtype(d, v, &kind, &type.dtype);
    if (strings && read_shape(d, v, &type) == XFC_OK)
        made = xfc_border_text_input(im, v->name, part_dim(d, v->name, "size", XFC_DIM_MAX), &type);
    else if (!strings && status == XFC_OK && kind != XFC_BORDER_TENSOR)
        (void)add_sequence(d, v, kind, type.dtype, &made);
    else if (!strings && status == XFC_OK && read_shape(d, v, &type) == XFC_OK)
        made.value = input_value(im, v->name, type);
    return xfc_body_bind(im, body, v->name, xfc_bound_to(made),
                         (xfc_loc){.file = im->file.path}); /* a bad type is recorded; go on */
}

xfc_status xfc_import_inputs(xfc_importer *im, xfc_body *body) {
    const Onnx__GraphProto *g = im->model->graph;
    dims d = {.im = im,
              .spec = {.arena = im->arena},
              .other = {.arena = im->arena},
              .names = {.arena = im->arena},
              .symbol = {.arena = im->arena},
              .used = {.arena = im->arena}};
    xfc_loc loc = {.file = im->file.path};
    xfc_map seen = {.arena = im->arena};
    for (size_t i = 0; i < g->n_input; i++) {
        const char *name = xfc_str(im->ctx, g->input[i]->name);
        if (!name || !*name)
            return xfc_fail(im->ctx, XFC_ERR_INPUT, loc, "graph input %zu has no name; export the model again", i);
        if (xfc_map_get_ptr(&seen, name))
            return xfc_fail(im->ctx, XFC_ERR_INPUT, loc, "graph input '%s' is listed twice; export the model again",
                            name);
        xfc_map_set_ptr(&seen, name, name);
    }
    XFC_TRY(check_options_used(&d, g));
    XFC_TRY(read_dim_options(&d));
    for (size_t i = 0; i < g->n_input; i++) XFC_TRY(survey(&d, g->input[i]));
    for (size_t i = 0; i < g->n_input; i++) XFC_TRY(add_input(&d, body, g->input[i]));
    return check_dims_used(&d);
}
