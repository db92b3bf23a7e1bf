/* inner.c - graphs that are attributes of a node: bodies of If, Loop, Scan and SequenceMap.
 *
 * A body is imported where its node stands, with the names around it in sight, so that sizes are known through its
 * borders; what becomes of its ops then is the operator's matter (ir/program.h: outlining).
 */
#include "frontend/onnx/import.h"
#include <string.h>

enum { ATTR_GRAPH = 5, MAX_DEPTH = 128 };

const Onnx__GraphProto *xfc_node_graph(xfc_node *n, const char *name) {
    const Onnx__AttributeProto *a = xfc_node_attr(n, name);
    const Onnx__GraphProto *g = a && (a->type == ATTR_GRAPH || !a->has_type) ? a->g : NULL;
    if (!g) xfc_node_fail(n, XFC_ERR_INPUT, "attribute '%s' is missing or no graph; export the model again", name);
    return g;
}

xfc_value *xfc_plain(xfc_node *n, xfc_result r, const char *what, uint32_t number) {
    if (r.value && !r.texts) return r.value;
    if (r.value || r.sequence)
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "%s %u is %s, which is not supported here", what, number,
                      r.sequence ? "a sequence" : "a tensor of strings");
    return NULL;
}

static xfc_body *new_body(xfc_node *n, const Onnx__GraphProto *g) {
    xfc_importer *im = n->im;
    xfc_body *body = xfc_new(im->arena, xfc_body);
    *body = *n->body;
    body->outer = n->body;
    body->node = g->node;
    body->n_nodes = (uint32_t)g->n_node;
    body->depth++;
    body->names = (xfc_map){.arena = im->arena};
    body->prefix = xfc_sprintf(im->arena, "%s/", n->loc.node);
    if (body->depth <= MAX_DEPTH && strlen(body->prefix) <= XFC_MAX_NAME) return body;
    xfc_node_fail(n, XFC_ERR_LIMIT, "branches and functions nest more than %d deep", MAX_DEPTH);
    return NULL;
}

static void bind_inputs(xfc_node *n, xfc_body *body, const Onnx__GraphProto *g, const xfc_result *input) {
    for (size_t i = 0; i < g->n_input && n->status == XFC_OK; i++) {
        const char *name = g->input[i]->name;
        if (name && *name)
            n->status = xfc_body_bind(n->im, body, name, xfc_bound_to(input[i]), n->loc);
        else
            xfc_node_fail(n, XFC_ERR_INPUT, "input %zu of its body has no name; export the model again", i);
    }
}

xfc_result *xfc_import_inner(xfc_node *n, const Onnx__GraphProto *g, const char *name, const xfc_result *input) {
    xfc_importer *im = n->im;
    xfc_body *body = new_body(n, g);
    if (!body) return NULL;
    im->n_nodes++; /* empty branches count, too */
    char **wanted = xfc_new_array(im->arena, char *, g->n_output);
    xfc_result *out = xfc_new_array(im->arena, xfc_result, g->n_output);
    for (size_t i = 0; i < g->n_output; i++) {
        if (!g->output[i]->name || !*g->output[i]->name) {
            xfc_node_fail(n, XFC_ERR_INPUT, "output %zu of '%s' has no name; export the model again", i, name);
            return NULL;
        }
        wanted[i] = g->output[i]->name;
    }
    if (input) bind_inputs(n, body, g, input);
    if (n->status == XFC_OK) n->status = xfc_bind_initializers(im, body, g);
    if (n->status == XFC_OK) n->status = xfc_import_body(im, body, wanted, g->n_output);
    if (n->status != XFC_OK) return NULL;
    for (size_t i = 0; i < g->n_output; i++) out[i] = xfc_bound_result(im, xfc_body_find(im, body, wanted[i]), n->loc);
    n->b->loc = n->loc;
    return out;
}
