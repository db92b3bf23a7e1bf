/* prune_find.c - which blocks, heads and neurons a network has.
 *
 * A block is what an add brings into a stream: y = x + f(x), with products of weights in f that nobody else needs, and no
 * other block. It is known by y's other operand, not by norms, so pre-norm, post-norm and no norm look alike. It is
 * called attention if it holds one, else ffn. The reader of a block is the last linear of f; each of its rows says what one column of its input adds.
 * Which columns can go together is not guessed from shapes: it is whatever the walk up from the reader can narrow
 * (narrow.h), tried with the columns of one head, then of two, and so on, since heads that share keys go only together.
 * Neurons stand in GROUPS groups, those with the smallest rows in the first.
 */
#include "passes/lossy/prune.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_REGION = 512, MAX_HEADS = 512, GROUPS = 8, MAX_STEPS = 16 };

typedef struct {
    xfc_lossy *l;
    xfc_prune_block *block;
    uint32_t n, cap, n_attention;
    xfc_map joins; /* ops that are joins of blocks */
} finder;

typedef struct { /* what lies between a stream and an add, last first */
    xfc_op *op[MAX_REGION];
    uint32_t n;
    xfc_map seen;
    bool reaches, weights, block, attention;
    const xfc_type *heads; /* of the attention */
} region;

/* --- blocks --- */

static bool has_weights(const xfc_op *op) {
    return (op->code == XFC_OP_LINEAR || op->code == XFC_OP_MATMUL) && xfc_value_is_const(op->in[1].value, NULL);
}

/* All ops between the stream and v: they stand behind the op that makes the stream. False: too many. */
static bool walk_region(const finder *f, region *r, const xfc_value *stream, const xfc_value *v) {
    uint32_t from = stream->def ? stream->def->mark : 0;
    r->op[r->n++] = v->def;
    for (uint32_t i = 0; i < r->n; i++) {
        xfc_op *op = r->op[i];
        r->weights |= has_weights(op);
        r->block |= xfc_map_get_ptr(&f->joins, op) != NULL;
        r->attention |= op->code == XFC_OP_ATTENTION || op->code == XFC_OP_SOFTMAX;
        if (op->code == XFC_OP_ATTENTION && xfc_attention_is_plain(op)) r->heads = &op->out[0].type;
        for (uint32_t k = 0; k < op->n_in; k++) {
            const xfc_value *x = op->in[k].value;
            r->reaches |= x == stream;
            if (!x || x == stream || !x->def || x->def->mark < from || xfc_map_get_ptr(&r->seen, x->def)) continue;
            if (r->n == MAX_REGION) return false;
            xfc_map_set_ptr(&r->seen, x->def, x->def);
            r->op[r->n++] = x->def;
        }
    }
    return true;
}

/* The last linear on the way from the branch up: behind it only views, and maps whose other operands are constant. */
static xfc_op *find_reader(const xfc_value *v) {
    for (uint32_t i = 0; i < MAX_STEPS && v->def; i++) {
        xfc_op *op = v->def;
        const xfc_value *next = NULL;
        bool bias = op->n_in > 2 && op->in[2].value;
        if (op->code == XFC_OP_LINEAR && has_weights(op))
            return !bias || xfc_value_is_const(op->in[2].value, NULL) ? op : NULL;
        if (!xfc_op_has(op, XFC_MAP | XFC_VIEW)) return NULL;
        for (uint32_t k = 0; k < op->n_in; k++) {
            if (xfc_value_is_const(op->in[k].value, NULL)) continue;
            if (next) return NULL;
            next = op->in[k].value;
        }
        if (!next) return NULL;
        v = next;
    }
    return NULL;
}

static int by_place(const void *a, const void *b) {
    const xfc_op *const *x = a, *const *y = b;
    return (*x)->mark < (*y)->mark ? 1 : -1;
}

/* Multiplications of what nobody else needs. */
static double saves_of(finder *f, region *r, xfc_op *join) {
    xfc_map inside = {.arena = r->seen.arena};
    double saves = 0;
    xfc_map_set_ptr(&inside, join, join);
    qsort(r->op, r->n, sizeof r->op[0], by_place);
    for (uint32_t i = 0; i < r->n; i++) {
        bool alone = true;
        for (uint32_t k = 0; k < r->op[i]->n_out && alone; k++)
            xfc_foreach_use(u, &r->op[i]->out[k]) alone &= xfc_map_get_ptr(&inside, u->user) != NULL;
        if (!alone) continue;
        xfc_map_set_ptr(&inside, r->op[i], r->op[i]);
        saves += xfc_lossy_products(f->l, r->op[i]);
    }
    return saves;
}

static void add_block(finder *f, xfc_prune_block b) {
    uint32_t place = b.attention ? f->n_attention++ : f->n - f->n_attention;
    b.name = xfc_sprintf(f->l->arena, "%s%u", b.attention ? "attention" : "ffn", (unsigned)place);
    xfc_push(f->l->arena, f->block, f->n, f->cap) = b;
    xfc_map_set_ptr(&f->joins, b.join, b.join);
}

static void try_block(finder *f, xfc_op *add, uint32_t side) {
    const xfc_value *branch = add->in[side].value, *stream = add->in[1 - side].value;
    region r = {.seen.arena = xfc_arena_new()};
    if (branch->def && walk_region(f, &r, stream, branch) && r.reaches && r.weights && !r.block) {
        xfc_prune_block b = {.join = add, .side = side, .reader = find_reader(branch), .attention = r.attention};
        if (r.heads) (void)xfc_int_value(add->graph->ctx, r.heads->dim[1], &b.heads);
        b.saves = saves_of(f, &r, add);
        if (b.saves > 0) add_block(f, b);
    }
    xfc_arena_free(r.seen.arena);
}

static bool may_join(const xfc_op *op) {
    return op->code == XFC_OP_ADD && xfc_dtype_is_float(op->out[0].type.dtype) &&
           xfc_type_same(&op->in[0].value->type, &op->out[0].type) &&
           xfc_type_same(&op->in[1].value->type, &op->out[0].type);
}

static void find_blocks(finder *f) {
    uint32_t place = 0;
    xfc_foreach_op(op, f->l->graph) op->mark = ++place;
    xfc_foreach_op(op, f->l->graph) {
        uint32_t n = f->n;
        for (uint32_t side = 0; side < 2 && may_join(op) && f->n == n; side++) try_block(f, op, side);
    }
}

/* --- what is in a block --- */

xfc_part xfc_part_without(xfc_arena *arena, xfc_part gone) {
    int64_t *at = xfc_new_array(arena, int64_t, (size_t)gone.period);
    xfc_part rest = {0, at, gone.period};
    for (int64_t i = 0, k = 0; i < gone.period; i++) {
        if (k < gone.n && gone.at[k] == i)
            k++;
        else
            at[rest.n++] = i;
    }
    return rest;
}

const xfc_tensor *xfc_prune_weight(const xfc_prune_block *b) {
    const xfc_tensor *w = NULL;
    (void)xfc_value_is_const(b->reader->in[1].value, &w);
    return w;
}

static xfc_part columns(xfc_arena *arena, int64_t from, int64_t n, int64_t of) {
    int64_t *at = xfc_new_array(arena, int64_t, (size_t)n);
    for (int64_t i = 0; i < n; i++) at[i] = from + i;
    return (xfc_part){(uint32_t)n, at, of};
}

static bool used_by(const xfc_map *these, const xfc_op *op) {
    for (uint32_t i = 0; i < op->n_out; i++)
        xfc_foreach_use(u, &op->out[i])
            if (!xfc_map_get_ptr(these, u->user)) return false;
    return true;
}

/* What is built on less is more, as long as others need all of it. */
static double saves_above(xfc_lossy *l, xfc_op *reader, const xfc_narrow *n) {
    xfc_map gone = {.arena = n->arena};
    double saves = 0;
    xfc_map_set_ptr(&gone, reader, reader);
    for (uint32_t i = n->less.n; i-- > 0;) {
        const xfc_op *op = n->less.item[i].op;
        double products = xfc_lossy_products(l, op);
        saves -= products * (double)n->less.item[i].n / (double)n->less.item[i].of;
        if (xfc_map_get_ptr(&gone, op) || !used_by(&gone, op)) continue;
        xfc_map_set_ptr(&gone, op, op);
        saves += products;
    }
    return saves;
}

double xfc_prune_saves(xfc_lossy *l, const xfc_prune_block *b, xfc_part gone) {
    xfc_arena *scratch = xfc_arena_new();
    xfc_narrow n = {.arena = scratch};
    xfc_value *x = b->reader->in[0].value;
    double saves = xfc_lossy_products(l, b->reader) * gone.n / (double)gone.period;
    bool can = xfc_can_narrow(&n, x, x->type.rank - 1, xfc_part_without(scratch, gone));
    if (can) saves += saves_above(l, b->reader, &n);
    xfc_arena_free(scratch);
    return can ? saves : 0;
}

/* Can the reader do without these columns of its input? If not, the block says why. */
static bool can_go(const finder *f, xfc_prune_block *b, xfc_part gone) {
    xfc_arena *scratch = xfc_arena_new();
    xfc_narrow n = {.arena = scratch};
    xfc_value *x = b->reader->in[0].value;
    b->whole = NULL;
    if (!xfc_can_narrow(&n, x, x->type.rank - 1, xfc_part_without(scratch, gone))) {
        xfc_buf text = {.arena = f->l->arena};
        xfc_buf_str(&text, "no part of ");
        if (n.stuck->name) xfc_buf_printf(&text, "'%s' ", n.stuck->name);
        xfc_buf_printf(&text, "(%s) is computed alone", n.stuck->def ? xfc_ops[n.stuck->def->code].name : "an input");
        b->whole = text.text;
    } else if (!(xfc_prune_saves(f->l, b, gone) > 0)) {
        b->whole = "what makes its parts is needed elsewhere, too";
    }
    xfc_arena_free(scratch);
    return !b->whole;
}

static void find_heads(const finder *f, xfc_prune_block *b) {
    int64_t size = xfc_prune_weight(b)->dim[0];
    if (b->heads < 2 || b->heads > MAX_HEADS || size % b->heads) return;
    for (int64_t together = 1; together < b->heads; together++) {
        int64_t width = size / b->heads * together;
        if (b->heads % together || !can_go(f, b, columns(f->l->arena, 0, width, size))) continue;
        b->n_units = (uint32_t)(b->heads / together);
        b->unit = xfc_new_array(f->l->arena, xfc_part, b->n_units);
        for (uint32_t i = 0; i < b->n_units; i++) b->unit[i] = columns(f->l->arena, i * width, width, size);
        return;
    }
}

typedef struct {
    double size;
    int64_t at;
} neuron;

static int by_size(const void *a, const void *b) {
    const neuron *x = a, *y = b;
    return x->size < y->size ? -1 : x->size > y->size ? 1 : (x->at > y->at) - (x->at < y->at);
}

static int by_number(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static neuron *sorted_neurons(xfc_arena *arena, const xfc_tensor *w) {
    neuron *list = xfc_new_array(arena, neuron, (size_t)w->dim[0]);
    for (int64_t i = 0; i < w->dim[0]; i++) {
        list[i].at = i;
        for (int64_t j = 0; j < w->dim[1]; j++) {
            double v = xfc_tensor_get_f(w, i * w->dim[1] + j);
            list[i].size += v * v;
        }
        if (isnan(list[i].size)) list[i].size = (double)INFINITY;
    }
    qsort(list, (size_t)w->dim[0], sizeof *list, by_size);
    return list;
}

static void find_neurons(const finder *f, xfc_prune_block *b) {
    const xfc_tensor *w = xfc_prune_weight(b);
    if (w->dim[0] < GROUPS || !can_go(f, b, columns(f->l->arena, 0, 1, w->dim[0]))) return;
    const neuron *list = sorted_neurons(f->l->arena, w);
    b->n_units = GROUPS;
    b->unit = xfc_new_array(f->l->arena, xfc_part, GROUPS);
    for (int64_t g = 0; g < GROUPS; g++) {
        int64_t from = w->dim[0] * g / GROUPS, n = w->dim[0] * (g + 1) / GROUPS - from;
        int64_t *at = xfc_new_array(f->l->arena, int64_t, (size_t)n);
        for (int64_t i = 0; i < n; i++) at[i] = list[from + i].at;
        qsort(at, (size_t)n, sizeof *at, by_number);
        b->unit[g] = (xfc_part){(uint32_t)n, at, w->dim[0]};
    }
}

void xfc_prune_find(xfc_lossy *l, xfc_prune_block **out, uint32_t *n) {
    finder f = {.l = l, .joins.arena = l->arena};
    find_blocks(&f);
    for (uint32_t i = 0; i < f.n; i++) {
        if (!f.block[i].reader) continue;
        if (f.block[i].attention)
            find_heads(&f, &f.block[i]);
        else
            find_neurons(&f, &f.block[i]);
    }
    *out = f.block;
    *n = f.n;
}
