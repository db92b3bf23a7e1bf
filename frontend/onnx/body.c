/* body.c - the nodes of one body (the graph, or a function being inlined): names, order, import.
 *
 * Files need not be in topological order: a depth-first walk from the outputs (with a stack of its own, as depth is the
 * file's choice) marks what is needed and orders it; the order of the file is kept where it was valid. Nodes that
 * nothing needs are only checked for names. Every name has one producer.
 */
#include "frontend/onnx/text/text.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_ATTRS = 256 };

xfc_loc xfc_node_loc(xfc_importer *im, const xfc_body *body, uint32_t index) {
    const Onnx__NodeProto *p = body->node[index];
    const char *name = p->name && *p->name ? p->name : xfc_sprintf(im->arena, "#%u", index);
    const char *domain = xfc_onnx_domain(p->domain), *op = p->op_type ? p->op_type : "";
    xfc_loc loc = {.file = im->file.path, .opset = xfc_body_opset(body, domain)};
    loc.node = xfc_str(im->ctx, *body->prefix ? xfc_sprintf(im->arena, "%s%s", body->prefix, name) : name);
    loc.op = xfc_str(im->ctx, *domain ? xfc_sprintf(im->arena, "%s::%s", domain, op) : op);
    return loc;
}

uint32_t xfc_body_opset(const xfc_body *body, const char *domain) {
    for (size_t i = 0; i < body->n_opsets; i++) {
        int64_t version = body->opset[i]->version;
        if (!strcmp(xfc_onnx_domain(body->opset[i]->domain), domain))
            return version < 0 || version > 0xffff ? 0xffff : (uint32_t)version;
    }
    return 0;
}

xfc_bound *xfc_body_find(xfc_importer *im, const xfc_body *body, const char *name) {
    const char *key = name ? xfc_str(im->ctx, name) : NULL;
    for (xfc_bound *b = NULL; key && body; body = body->outer)
        if ((b = xfc_map_get_ptr(&body->names, key))) return b;
    return NULL;
}

xfc_status xfc_body_bind(xfc_importer *im, xfc_body *body, const char *name, xfc_bound bound, xfc_loc loc) {
    const char *key = xfc_str(im->ctx, name);
    if (xfc_map_get_ptr(&body->names, key))
        return xfc_fail(im->ctx, XFC_ERR_INPUT, loc, "the name '%s' is given to two values; export the model again",
                        key);
    xfc_map_set_ptr(&body->names, key, xfc_memdup(im->arena, &bound, sizeof bound, _Alignof(xfc_bound)));
    return XFC_OK;
}

static xfc_value *make_initializer(xfc_importer *im, xfc_bound *b, xfc_loc loc) {
    const char *name = b->init ? b->init->name : b->sparse->values->name;
    const char *what = xfc_sprintf(im->arena, "%sinitializer '%s'", b->init ? "" : "sparse ", name);
    const xfc_tensor *t = b->init ? xfc_onnx_tensor(&im->file, b->init, loc, what)
                                  : xfc_onnx_sparse_tensor(&im->file, b->sparse, loc, what);
    if (!t) return NULL;
    xfc_loc saved = im->builder.loc;
    im->builder.loc = (xfc_loc){.file = im->file.path};
    xfc_value *v = xfc_b_const(&im->builder, t);
    im->builder.loc = saved;
    if (v && !v->name) v->name = xfc_str(im->ctx, name);
    return v;
}

static xfc_result make_strings(xfc_importer *im, const Onnx__TensorProto *p, xfc_loc loc) {
    xfc_node n = {.im = im, .ctx = im->ctx, .b = &im->builder, .loc = loc};
    return xfc_texts_tensor(&n, p, xfc_sprintf(im->arena, "initializer '%s'", p->name));
}

xfc_result xfc_bound_result(xfc_importer *im, xfc_bound *b, xfc_loc loc) {
    if (b && b->kind == XFC_BOUND_INIT)
        *b = xfc_bound_to(b->init && b->init->data_type == XFC_ONNX_STRING
                              ? make_strings(im, b->init, loc)
                              : (xfc_result){.value = make_initializer(im, b, loc)});
    if (b && b->kind == XFC_BOUND_SEQUENCE) return (xfc_result){.sequence = b->sequence};
    return b && b->kind == XFC_BOUND_VALUE ? (xfc_result){.value = b->value, .texts = b->texts} : (xfc_result){0};
}

xfc_bound xfc_bound_to(xfc_result r) {
    return (xfc_bound){.kind = r.sequence ? XFC_BOUND_SEQUENCE
                               : r.value  ? XFC_BOUND_VALUE
                                          : XFC_BOUND_POISON,
                       .value = r.value,
                       .sequence = r.sequence,
                       .texts = r.texts};
}

static xfc_status bind_producers(xfc_importer *im, xfc_body *body) {
    for (uint32_t i = 0; i < body->n_nodes; i++) {
        const Onnx__NodeProto *p = body->node[i];
        for (size_t k = 0; k < p->n_output; k++) {
            if (!*p->output[k]) continue;
            xfc_loc loc = {.file = im->file.path};
            if (xfc_map_get_ptr(&body->names, xfc_str(im->ctx, p->output[k])))
                loc = xfc_node_loc(im, body, i); /* it is taken: name the node */
            XFC_TRY(xfc_body_bind(im, body, p->output[k], (xfc_bound){.kind = XFC_BOUND_NODE, .node = i}, loc));
        }
    }
    return XFC_OK;
}

/* --- order --- */

static void add_name(xfc_importer *im, xfc_names *list, char *name) {
    if (name && *name) xfc_push(im->arena, list->name, list->n, list->cap) = name;
}

static void node_captures(xfc_importer *im, const Onnx__NodeProto *p, xfc_names *out) {
    for (size_t i = 0; i < p->n_attribute; i++)
        if (p->attribute[i]->g) xfc_graph_captures(im, p->attribute[i]->g, out);
}

void xfc_graph_captures(xfc_importer *im, const Onnx__GraphProto *g, xfc_names *out) {
    xfc_map own = {.arena = im->arena};
    xfc_names used = {.n = 0};
    for (size_t i = 0; i < g->n_input; i++)
        if (g->input[i]->name) xfc_map_set_ptr(&own, xfc_str(im->ctx, g->input[i]->name), g);
    for (size_t i = 0; i < g->n_initializer; i++)
        if (g->initializer[i]->name) xfc_map_set_ptr(&own, xfc_str(im->ctx, g->initializer[i]->name), g);
    for (size_t i = 0; i < g->n_sparse_initializer; i++) {
        const Onnx__TensorProto *t = g->sparse_initializer[i]->values;
        if (t && t->name) xfc_map_set_ptr(&own, xfc_str(im->ctx, t->name), g);
    }
    for (size_t i = 0; i < g->n_node; i++) {
        const Onnx__NodeProto *p = g->node[i];
        for (size_t k = 0; k < p->n_output; k++) xfc_map_set_ptr(&own, xfc_str(im->ctx, p->output[k]), g);
        for (size_t k = 0; k < p->n_input; k++) add_name(im, &used, p->input[k]);
        node_captures(im, p, &used);
    }
    for (size_t i = 0; i < g->n_output; i++) add_name(im, &used, g->output[i]->name);
    for (uint32_t i = 0; i < used.n; i++)
        if (!xfc_map_get_ptr(&own, xfc_str(im->ctx, used.name[i]))) add_name(im, out, used.name[i]);
}

/* The walk: a node is entered, the producers of what it uses are walked, then it is appended to the order. */
typedef struct {
    uint32_t node;
    size_t next;
} frame;
typedef struct {
    xfc_importer *im;
    const xfc_body *body;
    uint8_t *state;      /* 0 new, 1 on the stack, 2 done */
    xfc_names *captured; /* by node: what its branches use */
    frame *stack;
    uint32_t n_stack, cap_stack, *order, n_order;
} walk;

static xfc_status report_cycle(walk *w, uint32_t node) {
    uint32_t first = w->n_stack;
    while (first > 0 && w->stack[first - 1].node != node) first--;
    xfc_buf b = {.arena = w->im->arena};
    enum { SHOWN = 6 };
    for (uint32_t i = first - 1; i < w->n_stack && i < first - 1 + SHOWN; i++)
        xfc_buf_printf(&b, "%s'%.60s'", i == first - 1 ? "" : " needs ",
                       xfc_node_loc(w->im, w->body, w->stack[i].node).node);
    if (w->n_stack - (first - 1) > SHOWN) xfc_buf_str(&b, " needs ...");
    return xfc_fail(w->im->ctx, XFC_ERR_INPUT, xfc_node_loc(w->im, w->body, node),
                    "the graph has a cycle: %s needs '%.60s'; export the model again", b.text,
                    xfc_node_loc(w->im, w->body, node).node);
}

static xfc_status enter_producer(walk *w, uint32_t user, const char *name) {
    if (!*name) return XFC_OK;
    const xfc_bound *b = xfc_body_find(w->im, w->body, name);
    bool around = b && !xfc_map_get_ptr(&w->body->names, xfc_str(w->im->ctx, name));
    if (!b || (around && b->kind == XFC_BOUND_NODE)) /* what a branch uses was made before it */
        return xfc_fail(w->im->ctx, XFC_ERR_INPUT, xfc_node_loc(w->im, w->body, user),
                        "operand '%s' is produced by no node, input or initializer; export the model again", name);
    if (b->kind != XFC_BOUND_NODE || w->state[b->node] == 2) return XFC_OK;
    if (w->state[b->node] == 1) return report_cycle(w, b->node);
    w->state[b->node] = 1;
    xfc_push(w->im->arena, w->stack, w->n_stack, w->cap_stack) = (frame){.node = b->node};
    return XFC_OK;
}

static xfc_status visit(walk *w, uint32_t root) {
    if (w->state[root]) return XFC_OK;
    w->state[root] = 1;
    xfc_push(w->im->arena, w->stack, w->n_stack, w->cap_stack) = (frame){.node = root};
    while (w->n_stack) {
        frame *top = &w->stack[w->n_stack - 1];
        const Onnx__NodeProto *p = w->body->node[top->node];
        const xfc_names *captured = &w->captured[top->node];
        if (top->next < p->n_input + captured->n) {
            size_t at = top->next++;
            XFC_TRY(enter_producer(w, top->node, at < p->n_input ? p->input[at] : captured->name[at - p->n_input]));
            continue;
        }
        w->state[top->node] = 2;
        w->order[w->n_order++] = top->node;
        w->n_stack--;
    }
    return XFC_OK;
}

static int by_number(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Needed nodes, each after its producers. A second walk over them in file order keeps valid files as they are. */
static xfc_status order_nodes(xfc_importer *im, const xfc_body *body, char *const *outputs, size_t n_outputs, walk *w) {
    *w = (walk){.im = im,
                .body = body,
                .state = xfc_new_array(im->arena, uint8_t, body->n_nodes),
                .captured = xfc_new_array(im->arena, xfc_names, body->n_nodes),
                .order = xfc_new_array(im->arena, uint32_t, body->n_nodes)};
    for (uint32_t i = 0; i < body->n_nodes; i++) node_captures(im, body->node[i], &w->captured[i]);
    for (size_t i = 0; i < n_outputs; i++) {
        const xfc_bound *b = xfc_body_find(im, body, outputs[i]);
        if (!b)
            return xfc_fail(im->ctx, XFC_ERR_INPUT, (xfc_loc){.file = im->file.path},
                            "output '%s' is produced by no node, input or initializer; export the model again",
                            outputs[i]);
        if (b->kind == XFC_BOUND_NODE && xfc_map_get_ptr(&body->names, xfc_str(im->ctx, outputs[i])))
            XFC_TRY(visit(w, b->node));
    }
    uint32_t n = w->n_order, *needed = xfc_dup_array(im->arena, uint32_t, w->order, n);
    qsort(needed, n, sizeof *needed, by_number);
    memset(w->state, 0, body->n_nodes);
    w->n_order = 0;
    for (uint32_t i = 0; i < n; i++) XFC_TRY(visit(w, needed[i]));
    return XFC_OK;
}

static bool attr_allowed(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *at = list; n && (at = strstr(at, name)); at += n)
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || !at[n])) return true;
    return false;
}

/* Attributes with references to the call replaced by what the call gave; absent ones dropped. */
static bool resolve_attrs(xfc_node *n) {
    const Onnx__NodeProto *p = n->proto;
    if (p->n_attribute > MAX_ATTRS)
        return xfc_node_fail(n, XFC_ERR_LIMIT, "has more than %d attributes", MAX_ATTRS), false;
    const Onnx__AttributeProto **out = xfc_new_array(n->im->arena, const Onnx__AttributeProto *, p->n_attribute);
    uint32_t count = 0;
    for (size_t i = 0; i < p->n_attribute; i++) {
        const Onnx__AttributeProto *a = p->attribute[i];
        if (!a->name || !*a->name)
            return xfc_node_fail(n, XFC_ERR_INPUT, "an attribute has no name; export the model again"), false;
        for (size_t k = 0; k < i; k++)
            if (!strcmp(p->attribute[k]->name, a->name))
                return xfc_node_fail(n, XFC_ERR_INPUT, "attribute '%s' is given twice; export the model again",
                                     a->name),
                       false;
        if (xfc_legacy_hint(n, a->name)) continue;
        if (!a->ref_attr_name || !*a->ref_attr_name) {
            out[count++] = a;
            continue;
        }
        if (!n->body->in_function)
            return xfc_node_fail(n, XFC_ERR_INPUT, "attribute '%s' refers to a function's attribute outside a function",
                                 a->name),
                   false;
        for (uint32_t k = 0; k < n->body->refs.n; k++) {
            if (strcmp(n->body->refs.attr[k]->name, a->ref_attr_name) != 0) continue;
            Onnx__AttributeProto *copy =
                xfc_memdup(n->im->arena, n->body->refs.attr[k], sizeof *copy, _Alignof(Onnx__AttributeProto));
            copy->name = a->name;
            out[count++] = copy;
        }
    }
    n->attrs = (xfc_attrs){.attr = out, .n = count};
    return true;
}

static bool check_signature(xfc_node *n) {
    const xfc_onnx_row *r = n->row;
    for (uint32_t i = 0; i < n->attrs.n; i++)
        if (!attr_allowed(r->attrs, n->attrs.attr[i]->name))
            return xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                                 "attribute '%s' is not known for this operator; export the model without it",
                                 n->attrs.attr[i]->name),
                   false;
    uint32_t given = n->n_in;
    while (given && !*n->proto->input[given - 1]) given--;
    if (given < r->min_in || given > r->max_in)
        return xfc_node_fail(n, XFC_ERR_INPUT, "has %u operands; %u to %u are allowed", given, r->min_in, r->max_in),
               false;
    for (uint32_t i = 0; i < r->min_in; i++)
        if (!*n->proto->input[i] && r->max_in != UINT32_MAX)
            return xfc_node_fail(n, XFC_ERR_INPUT, "operand %u is missing", i), false;
    if (n->n_out > r->max_out)
        return xfc_node_fail(n, XFC_ERR_INPUT, "has %u outputs; at most %u are allowed", n->n_out, r->max_out), false;
    return true;
}

/* Finds the row; every unsupported node of the model is reported, also one whose operands are poisoned. */
static bool find_row(xfc_node *n) {
    const char *domain = xfc_onnx_domain(n->proto->domain), *op = n->proto->op_type ? n->proto->op_type : "";
    if (!n->opset) {
        if (!*domain)
            return xfc_node_fail(n, XFC_ERR_INPUT,
                                 "opset_import names no version of the default domain; export the model again"),
                   false;
        n->opset = n->loc.opset =
            1; /* custom domains used without an import: files that onnxruntime writes and reads */
    }
    bool known;
    n->row = xfc_onnx_find(domain, op, n->opset, &known);
    if (n->row) return true;
    if (known)
        return xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                             "this operator is not supported in opset %u; convert the model to a newer one", n->opset),
               false;
    return xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "operator %s is not supported; %s", *op ? n->loc.op : "''",
                         xfc_onnx_advice(domain, op)),
           false;
}

/* False: an operand is poisoned (silently) or cannot be made. */
static bool read_operands(xfc_node *n) {
    bool ok = true;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const char *name = n->proto->input[i];
        if (!*name) continue;
        xfc_bound *b = xfc_body_find(n->im, n->body, name);
        if (b->kind == XFC_BOUND_ABSENT) continue;
        if (b->kind == XFC_BOUND_SEQUENCE) {
            bool fits = !n->row || n->row->takes == XFC_ANY_SEQUENCE || (n->row->takes && i == 0); /* or a function */
            n->in_sequence[i] = b->sequence;
            ok = ok && fits;
            if (!fits)
                xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "operand '%s' is a sequence, which this operator does not take",
                              name);
            continue;
        }
        xfc_result made = xfc_bound_result(n->im, b, n->loc);
        bool fits = !made.texts || !n->row || n->row->texts >> (i < 31 ? i : 31) & 1;
        n->in[i] = made.value, n->in_texts[i] = made.texts;
        ok = ok && n->in[i] && fits;
        if (!fits)
            xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "operand '%s' holds strings, which this operator does not take",
                          name);
    }
    return ok;
}

static void finish_node(xfc_node *n, uint32_t errors) {
    bool ok = n->status == XFC_OK;
    for (uint32_t k = 0; k < n->n_out; k++) {
        if (!*n->proto->output[k]) continue;
        xfc_bound *b = xfc_body_find(n->im, n->body, n->proto->output[k]);
        if (ok && n->out_sequence[k]) {
            *b = (xfc_bound){.kind = XFC_BOUND_SEQUENCE, .sequence = n->out_sequence[k]};
            continue;
        }
        if (ok && !n->out[k] && n->ctx->n_errors == errors)
            xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "output %u is not supported; remove its use", k);
        *b = xfc_bound_to((xfc_result){.value = ok ? n->out[k] : NULL, .texts = n->out_texts[k]});
        if (b->kind == XFC_BOUND_VALUE && !n->out[k]->name) n->out[k]->name = xfc_str(n->ctx, n->proto->output[k]);
    }
}

/* What only moves elements moves the numbers of texts. */
static void call_importer(xfc_node *n) {
    const xfc_texts *table = NULL;
    if (n->row->moves_texts && !xfc_node_one_table(n, n->row->texts, &table)) return;
    n->row->import(n);
    for (uint32_t k = 0; table && k < n->n_out; k++) n->out_texts[k] = table;
}

static void import_node(xfc_importer *im, const xfc_body *body, uint32_t index) {
    const Onnx__NodeProto *p = body->node[index];
    xfc_node n = {.im = im,
                  .ctx = im->ctx,
                  .b = &im->builder,
                  .body = body,
                  .proto = p,
                  .loc = xfc_node_loc(im, body, index),
                  .n_in = (uint32_t)p->n_input,
                  .n_out = (uint32_t)p->n_output};
    n.opset = n.loc.opset;
    n.in = xfc_new_array(im->arena, xfc_value *, p->n_input);
    n.out = xfc_new_array(im->arena, xfc_value *, p->n_output);
    n.in_sequence = xfc_new_array(im->arena, const xfc_sequence *, p->n_input);
    n.out_sequence = xfc_new_array(im->arena, const xfc_sequence *, p->n_output);
    n.in_texts = xfc_new_array(im->arena, const xfc_texts *, p->n_input);
    n.out_texts = xfc_new_array(im->arena, const xfc_texts *, p->n_output);
    uint32_t errors = im->ctx->n_errors;
    const Onnx__FunctionProto *function = xfc_function_find(im, p);
    bool ready = resolve_attrs(&n) && (function || (find_row(&n) && check_signature(&n)));
    ready = read_operands(&n) && ready;
    im->builder.loc = n.loc;
    if (ready && function)
        xfc_function_inline(&n, function);
    else if (ready)
        call_importer(&n);
    if (!ready && n.status == XFC_OK) n.status = XFC_ERR_INPUT; /* poisoned: the cause was reported */
    finish_node(&n, errors);
}

xfc_status xfc_too_many_nodes(xfc_importer *im) {
    return xfc_fail(im->ctx, XFC_ERR_LIMIT, (xfc_loc){.file = im->file.path},
                    "more than %d nodes after inlining functions; split the model", XFC_MAX_NODES);
}

xfc_status xfc_import_body(xfc_importer *im, xfc_body *body, char *const *outputs, size_t n_outputs) {
    if (body->n_nodes > XFC_MAX_NODES - im->n_nodes) return xfc_too_many_nodes(im);
    im->n_nodes += body->n_nodes;
    XFC_TRY(bind_producers(im, body));
    walk w;
    XFC_TRY(order_nodes(im, body, outputs, n_outputs, &w));
    for (uint32_t i = 0; i < w.n_order; i++) import_node(im, body, w.order[i]);
    return XFC_OK;
}
