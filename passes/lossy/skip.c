/* skip.c - residual branches are left out: x + f(x) becomes x.
 *
 * A site is an addition of a value and of something computed from it that has matrix products which nobody else needs;
 * it has one level. What x + f(x) feeds takes x, which has the same type.
 */
#include "ir/ops/op.h"
#include "passes/lossy/lossy.h"

typedef struct {
    xfc_op *add;
    uint32_t stream;   /* which operand of it */
    uint32_t products; /* of the branch, */
    double saves;      /* and their multiplications */
    bool reads;        /* the branch reads the stream */
} residual;

/* Marks of the walk from one addition. */
typedef struct {
    uint32_t seen, inside, open; /* open: so many ops were seen that were not reached yet */
} walk;

static void see(walk *w, const xfc_value *v) {
    if (!v || !v->def || v->def->mark >= w->seen || v->def->code == XFC_OP_CONST) return;
    v->def->mark = w->seen;
    w->open++;
}

/* Needed by ops inside only. */
static bool is_inside(const walk *w, const xfc_op *op) {
    bool inside = op->mark == w->seen;
    for (uint32_t i = 0; i < op->n_out && inside; i++)
        xfc_foreach_use(u, &op->out[i]) inside &= u->user->mark == w->inside;
    return inside;
}

/* Back through the list, from the addition: what nobody needs without it is the branch. */
static void measure(xfc_lossy *l, residual *r, uint32_t epoch) {
    const xfc_value *stream = r->add->in[r->stream].value;
    walk w = {.seen = epoch, .inside = epoch + 1};
    r->add->mark = w.inside;
    see(&w, r->add->in[1 - r->stream].value);
    for (xfc_op *op = r->add->prev; op && w.open; op = op->prev) {
        w.open -= op->mark == w.seen;
        if (!is_inside(&w, op)) continue;
        op->mark = w.inside;
        double products = xfc_lossy_products(l, op);
        r->products += products > 0;
        r->saves += products;
        for (uint32_t i = 0; i < op->n_in; i++) {
            r->reads |= op->in[i].value == stream;
            if (op->in[i].value != stream) see(&w, op->in[i].value);
        }
    }
}

static void add_site(xfc_lossy *l, const residual *r) {
    double saves[2] = {0, r->saves};
    static const char *const says[] = {"stays", "left out"};
    xfc_lossy_site *s = xfc_lossy_add(l, r->add);
    s->what =
        xfc_sprintf(l->arena, "residual branch of %u product%s", (unsigned)r->products, r->products > 1 ? "s" : "");
    s->levels = 1;
    s->saves = xfc_dup_array(l->arena, double, saves, 2);
    s->says = says;
    s->data = xfc_memdup(l->arena, r, sizeof *r, _Alignof(residual));
}

xfc_status xfc_skip_sites(xfc_lossy *l) {
    uint32_t epoch = 0;
    xfc_foreach_op(op, l->graph) op->mark = 0;
    xfc_foreach_op(op, l->graph) {
        residual r = {.add = op};
        for (; op->code == XFC_OP_ADD && r.stream < 2; r.stream++) {
            if (!xfc_type_same(&op->in[r.stream].value->type, &op->out[0].type)) continue;
            r.reads = false, r.products = 0, r.saves = 0;
            measure(l, &r, epoch += 2);
            if (r.reads && r.products) break;
        }
        if (r.reads && r.products) add_site(l, &r);
    }
    int64_t last = xfc_lossy_number(l, "last", 1);
    for (uint32_t i = l->n_sites; i-- > 0 && last-- > 0;) l->site[i].asked = 1;
    return XFC_OK;
}

xfc_status xfc_skip_apply(xfc_lossy *l, const uint32_t *level) {
    for (uint32_t i = 0; i < l->n_sites; i++) {
        const residual *r = l->site[i].data;
        if (level[i]) xfc_value_replace(&r->add->out[0], r->add->in[r->stream].value);
    }
    return XFC_OK;
}
