/* if.c - If: the branch that is taken, or both and a selection.
 *
 * A condition that shape arithmetic decides has one branch; the other one is not looked at. Where it is known at run
 * time only, both branches are computed, which is right because nothing in them has side effects, and their results are
 * selected; so they must agree in type and shape.
 */
#include "frontend/onnx/import.h"
#include <string.h>

enum { ATTR_GRAPH = 5, MAX_DEPTH = 128 };

static const Onnx__GraphProto *branch_of(xfc_node *n, const char *name) {
    const Onnx__AttributeProto *a = xfc_node_attr(n, name);
    const Onnx__GraphProto *g = a && (a->type == ATTR_GRAPH || !a->has_type) ? a->g : NULL;
    if (!g)
        xfc_node_fail(n, XFC_ERR_INPUT, "attribute '%s' is missing or no graph; export the model again", name);
    else if (g->n_input || g->n_output != n->n_out)
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "graph '%s' has %zu inputs and %zu outputs, not 0 and %u; export the model again", name,
                      g->n_input, g->n_output, n->n_out);
    return n->status == XFC_OK ? g : NULL;
}

/* The values of the branch's outputs; one that is a sequence or could not be made is NULL. */
static xfc_value **import_branch(xfc_node *n, const char *name) {
    xfc_importer *im = n->im;
    const Onnx__GraphProto *g = branch_of(n, name);
    if (!g) return NULL;
    xfc_body *body = xfc_new(im->arena, xfc_body);
    *body = *n->body;
    body->outer = n->body;
    body->node = g->node;
    body->n_nodes = (uint32_t)g->n_node;
    body->depth++;
    body->names = (xfc_map){.arena = im->arena};
    body->prefix = xfc_sprintf(im->arena, "%s/", n->loc.node);
    if (body->depth > MAX_DEPTH || strlen(body->prefix) > XFC_MAX_NAME) {
        xfc_node_fail(n, XFC_ERR_LIMIT, "branches and functions nest more than %d deep", MAX_DEPTH);
        return NULL;
    }
    im->n_nodes++; /* empty branches count, too */
    char **wanted = xfc_new_array(im->arena, char *, g->n_output);
    xfc_value **out = xfc_new_array(im->arena, xfc_value *, g->n_output);
    for (size_t i = 0; i < g->n_output; i++) {
        if (!g->output[i]->name || !*g->output[i]->name) {
            xfc_node_fail(n, XFC_ERR_INPUT, "output %zu of '%s' has no name; export the model again", i, name);
            return NULL;
        }
        wanted[i] = g->output[i]->name;
    }
    n->status = xfc_bind_initializers(im, body, g);
    if (n->status == XFC_OK) n->status = xfc_import_body(im, body, wanted, g->n_output);
    if (n->status != XFC_OK) return NULL;
    for (size_t i = 0; i < g->n_output; i++) out[i] = xfc_bound_value(im, xfc_body_find(im, body, wanted[i]), n->loc);
    n->b->loc = n->loc;
    return out;
}

/* 1 or 0 where the condition is known, -1 otherwise. */
static int decided(const xfc_node *n, const xfc_value *cond) {
    xfc_int zero[XFC_MAX_RANK], e;
    int64_t v;
    for (uint32_t d = 0; d < cond->type.rank; d++) zero[d] = xfc_int_const(n->ctx, 0);
    e = xfc_element(n->im->graph, cond, zero);
    return xfc_int_known(e) && xfc_int_value(n->ctx, e, &v) ? v != 0 : -1;
}

static bool same_shape(const xfc_node *n, const xfc_type *a, const xfc_type *b) {
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    for (uint32_t d = 0; d < a->rank; d++)
        if (xfc_int_eq(n->ctx, a->dim[d], b->dim[d]) != 1) return false;
    return true;
}

static const char *shape_text(xfc_node *n, const xfc_type *t) {
    xfc_buf b = {.arena = n->im->arena};
    xfc_buf_printf(&b, "%s[", xfc_dtype_name(t->dtype));
    for (uint32_t d = 0; d < t->rank; d++) {
        if (d) xfc_buf_str(&b, ", ");
        xfc_int_print(n->ctx, &b, t->dim[d], NULL, NULL);
    }
    xfc_buf_char(&b, ']');
    return b.text;
}

static void select_outputs(xfc_node *n, xfc_value *cond, xfc_value **yes, xfc_value **no) {
    cond = xfc_b_reshape(n->b, cond, NULL, 0);
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (!yes[i] || !no[i]) continue;
        if (!same_shape(n, &yes[i]->type, &no[i]->type)) {
            xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                          "output %u is %s in one branch and %s in the other, and its condition is %s", i,
                          shape_text(n, &yes[i]->type), shape_text(n, &no[i]->type),
                          xfc_remedy(n, n->in[0], "known at run time only; export with the condition fixed"));
            return;
        }
        n->out[i] = yes[i] == no[i] ? yes[i] : xfc_b_select(n->b, cond, yes[i], no[i]);
    }
}

void xfc_import_if(xfc_node *n) {
    xfc_value *cond = n->in[0];
    int64_t count;
    if (cond->type.dtype != XFC_BOOL || !xfc_type_static(n->ctx, &cond->type, NULL, &count) || count != 1) {
        xfc_node_fail(n, XFC_ERR_INPUT, "the condition '%s' must be one bool; export the model again",
                      xfc_node_in_name(n, 0));
        return;
    }
    int taken = decided(n, cond);
    xfc_value **yes = taken != 0 ? import_branch(n, "then_branch") : NULL;
    xfc_value **no = taken != 1 && n->status == XFC_OK ? import_branch(n, "else_branch") : NULL;
    if (n->status != XFC_OK) return;
    if (taken < 0) {
        select_outputs(n, cond, yes, no);
        return;
    }
    for (uint32_t i = 0; i < n->n_out; i++) n->out[i] = taken ? yes[i] : no[i];
}
