/* web.c - residual webs: the values whose mean over the channels must be dead for a norm to be converted.
 *
 * From the operand of each layernorm backwards and forwards along ops that commute with R (prenorm/axis.c), until
 * writers are met: values whose op does not commute. A web is a connected set of inner values with the norms that read
 * them. It is legal if every use of its values is one of its ops or norms. Writers stand at the edge of webs and may
 * be read elsewhere too: then R is computed for the web alone. A writer whose weights can take R binds all webs that
 * read it together, one whose R must be computed only shares its cost. Constants are no nodes: an op of the web gets
 * its own copy. Walks the graph once per value, so the time is linear in it.
 */
#include "passes/prenorm/prenorm.h"

enum { MAX_SLICES = 64 }; /* of one linear, each compared with each */

typedef struct {
    xfc_webs *w;
    xfc_arena *arena;
    uint32_t *todo, n_todo, cap_todo;
    uint32_t *parent, n_slots; /* of readers, then nodes */
    const xfc_use **edge;      /* by slot: what forbids the web; by root after unions */
    const char **why;
} finder;

xfc_web_node *xfc_web_node_of(const xfc_webs *w, const xfc_value *v) {
    uint64_t i = v ? xfc_map_get(&w->node_of, v->id) : 0;
    return i ? &w->node[i - 1] : NULL;
}

/* --- growing --- */

static bool is_reader(const xfc_op *op, xfc_channels *at) {
    const xfc_type *t = op->code == XFC_OP_LAYERNORM ? &op->in[0].value->type : NULL;
    if (!t || xfc_op_int(op, XFC_K_AXIS, 0) + 1 != (int64_t)t->rank || !op->out[0].uses) return false;
    at->axis = t->rank - 1;
    return xfc_int_value(op->graph->ctx, t->dim[at->axis], &at->d) && at->d >= 2 &&
           !xfc_value_is_const(op->in[0].value, NULL);
}

static void find_readers(finder *f) {
    xfc_foreach_op(op, f->w->pass->graph) {
        xfc_channels at;
        if (!is_reader(op, &at)) continue;
        xfc_push(f->arena, f->w->reader, f->w->n_readers, f->w->cap_readers) = (xfc_web_reader){.op = op, .at = at};
        xfc_map_set(&f->w->reader_of, op->out[0].id, f->w->n_readers);
    }
}

/* R of such a table would be another matrix beside it. */
static bool reads_shared(const finder *f, const xfc_op *op) {
    const xfc_tensor *t;
    for (uint32_t i = 0; i < op->n_in; i++)
        if (op->in[i].value && xfc_value_is_const(op->in[i].value, &t) && xfc_map_find(&f->w->shared, t->id, NULL))
            return true;
    return false;
}

static void visit(finder *f, xfc_value *v, xfc_channels at, bool inner) {
    if (xfc_value_is_const(v, NULL)) return;
    xfc_web_node *old = xfc_web_node_of(f->w, v);
    if (old) {
        old->twice |= old->at.axis != at.axis || old->at.d != at.d;
        if (!inner || old->source == XFC_SOURCE_NONE) return;
        old->source = XFC_SOURCE_NONE;
    } else {
        bool commutes = v->def && xfc_commutes_backward(v->def) && xfc_commutes_all(f->w->axes, v->def, at) &&
                        !reads_shared(f, v->def);
        xfc_source source = inner || commutes ? XFC_SOURCE_NONE : XFC_SOURCE_OPAQUE;
        xfc_push(f->arena, f->w->node, f->w->n_nodes, f->w->cap_nodes) =
            (xfc_web_node){.value = v, .at = at, .source = source};
        xfc_map_set(&f->w->node_of, v->id, f->w->n_nodes);
    }
    xfc_push(f->arena, f->todo, f->n_todo, f->cap_todo) = (uint32_t)xfc_map_get(&f->w->node_of, v->id) - 1;
}

static void grow_from(finder *f, uint32_t i) {
    xfc_web_node node = f->w->node[i];
    if (node.source != XFC_SOURCE_NONE) return;
    xfc_op *op = node.value->def;
    for (uint32_t k = 0; k < op->n_in; k++) {
        xfc_role role;
        xfc_channels in;
        if (op->in[k].value && xfc_commutes(f->w->axes, op, node.at, k, &role, &in) && role == XFC_ROLE_STREAM)
            visit(f, op->in[k].value, in, false);
    }
    xfc_foreach_use(u, node.value) {
        xfc_channels out;
        if (xfc_commutes_forward(f->w->axes, u->user, (uint32_t)(u - u->user->in), node.at, &out))
            visit(f, &u->user->out[0], out, true);
    }
}

/* --- slots: readers and nodes in one numbering, joined to webs --- */

static uint32_t find(finder *f, uint32_t slot) {
    while (f->parent[slot] != slot) slot = f->parent[slot] = f->parent[f->parent[slot]];
    return slot;
}

static void forbid(finder *f, uint32_t slot, const xfc_use *edge, const char *why) {
    slot = find(f, slot);
    if (f->why[slot]) return;
    f->edge[slot] = edge;
    f->why[slot] = why;
}

static void join(finder *f, uint32_t a, uint32_t b) {
    a = find(f, a);
    b = find(f, b);
    if (a == b) return;
    if (b < a) {
        uint32_t other = a;
        a = b;
        b = other;
    }
    f->parent[b] = a;
    if (f->why[b]) forbid(f, a, f->edge[b], f->why[b]);
}

/* The norm or the inner value that this use of a node belongs to. */
static bool slot_of_use(const xfc_webs *w, const xfc_use *u, uint32_t *slot) {
    const xfc_op *op = u->user;
    const xfc_web_node *node = xfc_web_node_of(w, u->value);
    uint32_t i = (uint32_t)(u - op->in);
    if (!node || op->n_out != 1) return false;
    uint64_t reader = xfc_map_get(&w->reader_of, op->out[0].id);
    if (reader && i == 0) {
        *slot = (uint32_t)reader - 1;
        return node->at.axis == w->reader[*slot].at.axis && node->at.d == w->reader[*slot].at.d;
    }
    const xfc_web_node *result = xfc_web_node_of(w, &op->out[0]);
    xfc_role role;
    xfc_channels in;
    if (!result || result->source != XFC_SOURCE_NONE) return false;
    *slot = w->n_readers + (uint32_t)(result - w->node);
    return xfc_commutes(w->axes, op, result->at, i, &role, &in) && role == XFC_ROLE_STREAM && in.axis == node->at.axis;
}

static const char *why_not(const xfc_use *u) {
    const xfc_op *op = u->user;
    switch ((unsigned)op->code) {
    case XFC_OP_RETURN: return "is an output of the model";
    case XFC_OP_LINEAR:
    case XFC_OP_MATMUL: return "is read by a product without a norm before it";
    case XFC_OP_LAYERNORM:
    case XFC_OP_RMSNORM: return "is also normalised in another way";
    case XFC_OP_CONCAT: return "is joined with others along the channels";
    case XFC_OP_SLICE:
    case XFC_OP_RESHAPE: return "has its channels divided";
    default: return "is read by an op that sees its mean";
    }
}

static void join_inner(finder *f) {
    for (uint32_t i = 0; i < f->w->n_nodes; i++) {
        const xfc_web_node *node = &f->w->node[i];
        uint32_t slot = f->w->n_readers + i, other;
        if (node->source != XFC_SOURCE_NONE) continue;
        if (node->twice) forbid(f, slot, node->value->uses, "has its channels in two places");
        xfc_foreach_use(u, node->value) {
            if (slot_of_use(f->w, u, &other))
                join(f, slot, other);
            else
                forbid(f, slot, u, why_not(u));
        }
    }
}

/* --- writers --- */

/* First column and number of columns of a slice along the last axis alone of a linear's result. */
static bool column_range(const xfc_op *op, int64_t *from, int64_t *n) {
    const xfc_ctx *ctx = op->graph->ctx;
    if (op->code != XFC_OP_SLICE) return false;
    uint32_t last = op->out[0].type.rank - 1;
    return xfc_op_attr(op, XFC_K_STEP)->u.ints[last] == 1 &&
           xfc_int_value(ctx, xfc_op_attr(op, XFC_K_START)->u.dims[last], from) &&
           xfc_int_value(ctx, op->out[0].type.dim[last], n);
}

/* v is a slice of columns that no other slice of the same linear reads. */
static bool is_columns(xfc_web_node *node) {
    const xfc_op *slice = node->value->def;
    int64_t from, n, other_from, other_n;
    uint32_t slices = 0;
    if (!column_range(slice, &from, &n) || node->at.axis + 1 != node->value->type.rank) return false;
    xfc_op *linear = slice->in[0].value->def;
    if (!xfc_has_constant_weights(linear)) return false;
    xfc_foreach_use(u, &linear->out[0]) {
        if (++slices > MAX_SLICES) return false;
        if (u->user == slice) continue;
        if (!column_range(u->user, &other_from, &other_n)) return false;
        if (other_from < from + n && from < other_from + other_n) return false;
    }
    node->linear = linear;
    node->column = from;
    node->source = XFC_SOURCE_LINEAR;
    return true;
}

/* scale * views(linear), each read once. */
static bool is_scaled(xfc_axes *axes, xfc_web_node *node) {
    const xfc_op *mul = node->value->def;
    if (mul->code != XFC_OP_MUL) return false;
    uint32_t c = xfc_value_is_const(mul->in[1].value, NULL) ? 1 : 0;
    const xfc_tensor *scale;
    xfc_value *v = mul->in[1 - c].value;
    uint32_t missing = mul->out[0].type.rank - mul->in[c].value->type.rank;
    if (!xfc_value_is_const(mul->in[c].value, &scale) || scale->count != node->at.d || node->at.axis < missing ||
        scale->dim[node->at.axis - missing] != node->at.d || !xfc_type_same(&v->type, &mul->out[0].type))
        return false;
    xfc_channels at = node->at, in;
    for (xfc_role role; v->def && xfc_value_n_uses(v) == 1; v = v->def->in[0].value, at = in) {
        if (xfc_has_constant_weights(v->def) && at.axis + 1 == v->type.rank) {
            node->linear = v->def;
            node->scale = scale;
            node->source = XFC_SOURCE_SCALED;
            return true;
        }
        if (!xfc_keeps_channels(axes, v->def, at) || !xfc_commutes(axes, v->def, at, 0, &role, &in)) return false;
    }
    return false;
}

/* Every use belongs to a legal web; then they are one. */
static bool all_uses_legal(finder *f, const xfc_web_node *node) {
    uint32_t slot;
    xfc_foreach_use(u, node->value)
        if (!slot_of_use(f->w, u, &slot) || f->why[find(f, slot)]) return false;
    return true;
}

static void classify(finder *f) {
    for (uint32_t i = 0; i < f->w->n_nodes; i++) {
        xfc_web_node *node = &f->w->node[i];
        uint32_t first, slot;
        if (node->source == XFC_SOURCE_NONE || !node->value->def || node->twice || !all_uses_legal(f, node)) continue;
        if (xfc_has_constant_weights(node->value->def) && node->at.axis + 1 == node->value->type.rank) {
            node->source = XFC_SOURCE_LINEAR;
            node->linear = node->value->def;
        } else if (!is_columns(node) && !is_scaled(f->w->axes, node)) {
            continue;
        }
        (void)slot_of_use(f->w, node->value->uses, &first);
        xfc_foreach_use(u, node->value)
            if (slot_of_use(f->w, u, &slot)) join(f, first, slot);
    }
}

static void number_webs(finder *f) {
    xfc_webs *w = f->w;
    uint32_t *number = xfc_new_array(f->arena, uint32_t, f->n_slots);
    w->web = xfc_new_array(f->arena, xfc_web, f->n_slots);
    for (uint32_t s = 0; s < f->n_slots; s++) {
        bool reader = s < w->n_readers;
        if (!reader && w->node[s - w->n_readers].source != XFC_SOURCE_NONE) continue;
        uint32_t root = find(f, s);
        if (root == s) {
            number[s] = w->n_webs++;
            w->web[number[s]] = (xfc_web){.group = number[s], .edge = f->edge[s], .why = f->why[s]};
        }
        *(reader ? &w->reader[s].web : &w->node[s - w->n_readers].web) = number[root];
    }
}

void xfc_webs_find(xfc_webs *w) {
    finder f = {.w = w, .arena = w->pass->scratch};
    w->node_of = w->reader_of = (xfc_map){.arena = f.arena};
    find_readers(&f);
    for (uint32_t i = 0; i < w->n_readers; i++) visit(&f, w->reader[i].op->in[0].value, w->reader[i].at, false);
    while (f.n_todo > 0) grow_from(&f, f.todo[--f.n_todo]);
    f.n_slots = w->n_readers + w->n_nodes;
    f.parent = xfc_new_array(f.arena, uint32_t, f.n_slots);
    f.edge = xfc_new_array(f.arena, const xfc_use *, f.n_slots);
    f.why = xfc_new_array(f.arena, const char *, f.n_slots);
    for (uint32_t s = 0; s < f.n_slots; s++) f.parent[s] = s;
    join_inner(&f);
    classify(&f);
    number_webs(&f);
}

/* --- what they cost --- */

bool xfc_web_of_use(const xfc_webs *w, const xfc_use *u, uint32_t *web) {
    uint32_t slot;
    if (!slot_of_use(w, u, &slot)) return false;
    *web = slot < w->n_readers ? w->reader[slot].web : w->node[slot - w->n_readers].web;
    return true;
}

static uint32_t group_of(xfc_webs *w, uint32_t web) {
    while (w->web[web].group != web) web = w->web[web].group = w->web[w->web[web].group].group;
    return web;
}

/* The group of the legal webs that read this value, made one; false: no legal one does. */
static bool share(xfc_webs *w, const xfc_web_node *node, uint32_t *group) {
    uint32_t web;
    bool any = false;
    xfc_foreach_use(u, node->value) {
        if (!xfc_web_of_use(w, u, &web) || w->web[web].why) continue;
        web = group_of(w, web);
        if (any && web != *group) {
            uint32_t last = web > *group ? web : *group;
            *group = web > *group ? *group : web;
            w->web[last].group = *group;
        } else {
            *group = web;
        }
        any = true;
    }
    return any;
}

/* Bytes of constants that the op adds to the stream or reads it from; each constant once. */
static uint64_t tables_of(xfc_axes *axes, const xfc_web_node *node, xfc_map *seen) {
    const xfc_op *op = node->value->def;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < op->n_in; i++) {
        const xfc_tensor *t;
        xfc_role role;
        xfc_channels in;
        if (!op->in[i].value || !xfc_value_is_const(op->in[i].value, &t) ||
            !xfc_commutes(axes, op, node->at, i, &role, &in) || role != XFC_ROLE_STREAM ||
            xfc_map_find(seen, t->id, NULL))
            continue;
        xfc_map_set(seen, t->id, 1);
        bytes += t->bytes;
    }
    return bytes;
}

void xfc_webs_count(xfc_webs *w) {
    xfc_map seen = {.arena = w->pass->scratch};
    uint32_t group;
    for (uint32_t i = 0; i < w->n_webs; i++) w->web[i].group = i;
    for (uint32_t i = 0; i < w->n_nodes; i++)
        if (w->node[i].source == XFC_SOURCE_OPAQUE) (void)share(w, &w->node[i], &group);
    for (uint32_t i = 0; i < w->n_nodes; i++)
        if (w->node[i].source == XFC_SOURCE_OPAQUE && share(w, &w->node[i], &group)) w->web[group].recentred++;
    for (uint32_t i = 0; i < w->n_webs; i++) w->web[i].group = group_of(w, i);
    for (uint32_t i = 0; i < w->n_readers; i++) w->web[w->web[w->reader[i].web].group].norms++;
    for (uint32_t i = 0; i < w->n_nodes; i++) {
        const xfc_web_node *node = &w->node[i];
        if (node->source != XFC_SOURCE_NONE || w->web[node->web].why) continue;
        w->web[w->web[node->web].group].table_bytes += tables_of(w->axes, node, &seen);
    }
}
