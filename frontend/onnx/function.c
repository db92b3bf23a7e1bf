/* function.c - model-local functions: found, proved free of recursion, counted, inlined at each call.
 *
 * A call is a body of its own: formal operands are bound to the actual ones, attributes are passed by reference names,
 * and what the function's outputs became is handed to the call. The proof of non-recursion walks calls also through
 * subgraphs, and counts: ten functions of ten calls each are 10^10 nodes, which must be refused before they are made.
 */
#include "frontend/onnx/import.h"
#include <string.h>

enum { MAX_CALL_DEPTH = 64 };

/* One interned string for domain, name and overload: functions are found by its address. */
static const char *function_key(xfc_importer *im, const char *domain, const char *name, const char *overload) {
    xfc_buf b = {.arena = im->arena};
    xfc_buf_printf(&b, "%s\n%s\n%s", xfc_onnx_domain(domain), name ? name : "", overload ? overload : "");
    return xfc_intern_n(im->ctx->strings, b.text, b.n);
}

const Onnx__FunctionProto *xfc_function_find(xfc_importer *im, const Onnx__NodeProto *p) {
    if (!im->model->n_functions) return NULL;
    uint64_t index =
        xfc_map_get(&im->functions, (uint64_t)(uintptr_t)function_key(im, p->domain, p->op_type, p->overload));
    return index ? im->model->functions[index - 1] : NULL;
}

typedef struct {
    xfc_importer *im;
    uint8_t *state;   /* by function: 0 new, 1 being walked, 2 done */
    uint32_t *weight; /* by function: nodes of a call of it, no more than TOO_MANY */
} checker;
enum { TOO_MANY = XFC_MAX_NODES + 1 };

static xfc_status check_function(checker *c, size_t index, uint32_t depth);

static void count(uint32_t *total, uint32_t more) { *total = more > TOO_MANY - *total ? TOO_MANY : *total + more; }

static xfc_status check_nodes(checker *c, Onnx__NodeProto *const *node, size_t n, uint32_t depth, uint32_t *total) {
    for (size_t i = 0; i < n; i++) {
        const char *key = function_key(c->im, node[i]->domain, node[i]->op_type, node[i]->overload);
        uint64_t index = xfc_map_get(&c->im->functions, (uint64_t)(uintptr_t)key);
        if (index) XFC_TRY(check_function(c, (size_t)index - 1, depth + 1));
        count(total, index ? c->weight[index - 1] : 1);
        for (size_t k = 0; k < node[i]->n_attribute; k++) { /* graphs nest no deeper than the scan allowed */
            const Onnx__GraphProto *g = node[i]->attribute[k]->g;
            if (g) XFC_TRY(check_nodes(c, g->node, g->n_node, depth, total));
        }
    }
    return XFC_OK;
}

static xfc_status check_function(checker *c, size_t index, uint32_t depth) {
    const Onnx__FunctionProto *f = c->im->model->functions[index];
    xfc_loc loc = {.file = c->im->file.path};
    if (c->state[index] == 2) return XFC_OK;
    if (c->state[index] == 1)
        return xfc_fail(c->im->ctx, XFC_ERR_INPUT, loc,
                        "function '%s' calls itself, which ONNX forbids; export the model again",
                        f->name ? f->name : "");
    if (depth > MAX_CALL_DEPTH)
        return xfc_fail(c->im->ctx, XFC_ERR_LIMIT, loc, "functions call each other more than %d deep", MAX_CALL_DEPTH);
    c->state[index] = 1;
    c->weight[index] = 1; /* calls of empty functions count, too */
    XFC_TRY(check_nodes(c, f->node, f->n_node, depth, &c->weight[index]));
    c->state[index] = 2;
    return XFC_OK;
}

xfc_status xfc_functions_check(xfc_importer *im) {
    const Onnx__ModelProto *m = im->model;
    im->functions = (xfc_map){.arena = im->arena};
    for (size_t i = 0; i < m->n_functions; i++) {
        const Onnx__FunctionProto *f = m->functions[i];
        uint64_t key = (uint64_t)(uintptr_t)function_key(im, f->domain, f->name, f->overload);
        if (xfc_map_get(&im->functions, key))
            return xfc_fail(im->ctx, XFC_ERR_INPUT, (xfc_loc){.file = im->file.path},
                            "function '%s' is defined twice; export the model again", f->name ? f->name : "");
        xfc_map_set(&im->functions, key, i + 1);
    }
    if (m->n_functions == 0) return XFC_OK;
    checker c = {.im = im,
                 .state = xfc_new_array(im->arena, uint8_t, m->n_functions),
                 .weight = xfc_new_array(im->arena, uint32_t, m->n_functions)};
    uint32_t total = 0;
    for (size_t i = 0; i < m->n_functions; i++) XFC_TRY(check_function(&c, i, 0));
    XFC_TRY(check_nodes(&c, m->graph->node, m->graph->n_node, 0, &total));
    return total < TOO_MANY ? XFC_OK : xfc_too_many_nodes(im);
}

/* The call's attributes, then the defaults of those it left out. */
static xfc_attrs call_attrs(const xfc_node *call, const Onnx__FunctionProto *f) {
    const Onnx__AttributeProto **out =
        xfc_new_array(call->im->arena, const Onnx__AttributeProto *, call->attrs.n + f->n_attribute_proto);
    uint32_t n = 0;
    for (; n < call->attrs.n; n++) out[n] = call->attrs.attr[n];
    for (size_t i = 0; i < f->n_attribute_proto; i++) {
        const char *name = f->attribute_proto[i]->name;
        if (name && !xfc_node_attr(call, name)) out[n++] = f->attribute_proto[i];
    }
    return (xfc_attrs){.attr = out, .n = n};
}

static xfc_status bind_formals(xfc_node *call, const Onnx__FunctionProto *f, xfc_body *body) {
    if (call->n_in > f->n_input || call->n_out > f->n_output)
        return xfc_node_fail(call, XFC_ERR_INPUT, "calls a function of %zu operands and %zu outputs with %u and %u",
                             f->n_input, f->n_output, call->n_in, call->n_out);
    for (size_t i = 0; i < f->n_input; i++) {
        xfc_value *v = xfc_node_in(call, (uint32_t)i);
        const xfc_sequence *s = i < call->n_in ? call->in_sequence[i] : NULL;
        xfc_bound bound =
            v || s ? xfc_bound_to((xfc_result){v, s, call->in_texts[i]}) : (xfc_bound){.kind = XFC_BOUND_ABSENT};
        XFC_TRY(xfc_body_bind(call->im, body, f->input[i], bound, call->loc));
    }
    return XFC_OK;
}

void xfc_function_inline(xfc_node *call, const Onnx__FunctionProto *f) {
    xfc_importer *im = call->im;
    xfc_body *body = xfc_new(im->arena, xfc_body);
    *body = (xfc_body){.node = f->node,
                       .n_nodes = (uint32_t)f->n_node,
                       .depth = call->body->depth + 1,
                       .names = {.arena = im->arena},
                       .opset = f->opset_import,
                       .n_opsets = f->n_opset_import,
                       .refs = call_attrs(call, f),
                       .in_function = true,
                       .prefix = xfc_sprintf(im->arena, "%s/", call->loc.node)};
    if (strlen(body->prefix) > XFC_MAX_NAME) {
        xfc_node_fail(call, XFC_ERR_LIMIT, "the name of the call is longer than %d bytes", XFC_MAX_NAME);
        return;
    }
    im->n_nodes++; /* calls of empty functions count, too */
    call->status = bind_formals(call, f, body);
    if (call->status == XFC_OK) call->status = xfc_import_body(im, body, f->output, call->n_out);
    for (uint32_t i = 0; call->status == XFC_OK && i < call->n_out; i++) {
        xfc_result made = xfc_bound_result(im, xfc_body_find(im, body, f->output[i]), call->loc);
        call->out[i] = made.value, call->out_sequence[i] = made.sequence, call->out_texts[i] = made.texts;
        if (!made.value && !made.sequence) call->status = XFC_ERR_INPUT; /* poisoned inside: reported there */
    }
}
