/* kernel.c - kernels: buffers, outer axes, lets, and that every output is stored exactly once.
 *
 * Coverage is counted, not traced: the elements a store writes are the product of the extents of the axes its index
 * depends on; over all stores they must add up to the buffer. Where a count depends on data or on ragged extents
 * nothing is claimed.
 */
#include "ir/verify/verify_impl.h"

bool xfc_vf_open(xfc_verifier *v, xfc_int symbol, const char *what) {
    bool fit = xfc_int_known(symbol);
    if (fit) {
        const xfc_int_info *i = xfc_int_look(v->ctx, symbol);
        fit = i->kind == XFC_INT_SYMBOL && (i->sym == XFC_SYM_AXIS || i->sym == XFC_SYM_LET);
    }
    if (!fit)
        xfc_vf_defect(v, "%s has no symbol of its own", what);
    else if (xfc_map_get(&v->scope, symbol.id) || xfc_map_get(&v->defined, symbol.id))
        xfc_vf_defect(v, "%s defines a symbol that is already in scope", what);
    else
        xfc_map_set(&v->scope, symbol.id, 1);
    return fit;
}

void xfc_vf_close(xfc_verifier *v, xfc_int symbol) {
    if (xfc_int_known(symbol)) xfc_map_set(&v->scope, symbol.id, 0);
}

bool xfc_vf_depends(const xfc_kernel_check *c, xfc_int e, xfc_int symbol) {
    const xfc_kernel *k = c->k;
    if (!xfc_int_known(e) || !xfc_int_known(symbol)) return false;
    if (xfc_int_uses(c->v->ctx, e, symbol)) return true;
    for (uint32_t i = k->n_lets; i-- > 0;) { /* a let reads earlier ones: expand from the last */
        const xfc_let *l = &k->lets[i];
        if (!xfc_int_uses(c->v->ctx, e, l->symbol)) continue;
        for (uint32_t d = 0; l->load && d < l->load->rank; d++)
            if (xfc_vf_depends(c, l->load->index[d], symbol)) return true;
        if (l->load) continue;
        e = xfc_int_substitute(c->v->ctx, e, &l->symbol, &l->value, 1);
        if (xfc_int_uses(c->v->ctx, e, symbol)) return true;
    }
    return false;
}

bool xfc_vf_access(xfc_kernel_check *c, const xfc_access *a, const char *what) {
    xfc_verifier *v = c->v;
    if (a->buffer >= c->k->n_buffers) {
        xfc_vf_defect(v, "step %u: %s names buffer %u of %u", (unsigned)c->step, what, (unsigned)a->buffer,
                      (unsigned)c->k->n_buffers);
        return false;
    }
    uint32_t rank = c->k->buffers[a->buffer].type.rank;
    if (a->rank != rank) {
        xfc_vf_defect(v, "step %u: %s has %u indices into a buffer of rank %u", (unsigned)c->step, what,
                      (unsigned)a->rank, (unsigned)rank);
        return false;
    }
    bool ok = true;
    for (uint32_t d = 0; d < rank; d++) ok = xfc_vf_int(v, a->index[d], what) && ok;
    return ok;
}

/* --- buffers --- */

static bool check_buffers(xfc_verifier *v, const xfc_op *op) {
    const xfc_kernel *k = op->kernel;
    if (k->n_in != op->n_in || k->n_out != op->n_out || k->n_buffers < k->n_in + k->n_out) {
        xfc_vf_defect(v, "its buffers are not its operands");
        return false;
    }
    bool ok = true;
    for (uint32_t i = 0; i < k->n_buffers; i++) {
        const xfc_buffer *b = &k->buffers[i];
        xfc_buffer_kind kind = i < k->n_in ? XFC_BUF_IN : i < k->n_in + k->n_out ? XFC_BUF_OUT : XFC_BUF_TEMP;
        if (b->kind != kind) xfc_vf_defect(v, "buffer %u has the wrong kind", (unsigned)i);
        ok = xfc_vf_type(v, &b->type, kind == XFC_BUF_TEMP ? "a temporary" : "a buffer") && b->kind == kind && ok;
        if (!ok || kind == XFC_BUF_TEMP) continue;
        const xfc_type *t = kind == XFC_BUF_IN ? &op->in[i].value->type : &op->out[i - k->n_in].type;
        if (xfc_type_same(t, &b->type)) continue;
        if (t->dtype == b->type.dtype &&
            xfc_int_eq(v->ctx, xfc_type_count(v->ctx, t), xfc_type_count(v->ctx, &b->type)) != 0)
            continue;
        xfc_vf_defect(v, "buffer %u has another element type or count than its value", (unsigned)i);
    }
    return ok;
}

/* --- axes, lets --- */

static void check_outer(xfc_kernel_check *c) {
    xfc_verifier *v = c->v;
    bool scheduled = v->g->stage >= XFC_STAGE_SCHEDULED;
    c->nonempty = true;
    for (uint32_t i = 0; i < c->k->n_axes; i++) {
        const xfc_axis *a = &c->k->axes[i];
        if (!xfc_vf_size(v, a->extent, "the extent of an outer axis")) continue;
        if (a->kind != XFC_AXIS_PARALLEL) xfc_vf_defect(v, "outer axis %u is not parallel", (unsigned)i);
        if (a->how == XFC_HOW_VECTOR || (scheduled && a->how != XFC_HOW_THREADS))
            xfc_vf_defect(v, "outer axis %u is not of threads", (unsigned)i);
        xfc_vf_open(v, a->symbol, "an outer axis");
        c->nonempty = c->nonempty && xfc_int_lt(v->ctx, xfc_int_const(v->ctx, 0), a->extent) == 1;
    }
    if (xfc_int_known(c->k->grain))
        xfc_vf_size(v, c->k->grain, "the grain");
    else if (scheduled)
        xfc_vf_defect(v, "has no grain");
}

static bool check_loaded(xfc_kernel_check *c, uint32_t let) {
    const xfc_access *a = c->k->lets[let].load;
    if (!xfc_vf_access(c, a, "a let")) return false;
    const xfc_buffer *b = &c->k->buffers[a->buffer];
    if (b->kind == XFC_BUF_IN && xfc_dtype_is_int(b->type.dtype)) return true;
    xfc_vf_defect(c->v, "let %u is loaded from something that is no operand of integers", (unsigned)let);
    return false;
}

static void check_lets(xfc_kernel_check *c) {
    xfc_verifier *v = c->v;
    for (uint32_t i = 0; i < c->k->n_lets; i++) {
        const xfc_let *l = &c->k->lets[i];
        bool ok = l->load ? check_loaded(c, i) : xfc_vf_int(v, l->value, "a let");
        if (!xfc_vf_open(v, l->symbol, "a let")) continue;
        const xfc_int_info s = *xfc_int_look(v->ctx, l->symbol);
        ok = xfc_vf_int(v, s.lo, "the range of a let") && xfc_vf_int(v, s.hi, "the range of a let") && ok;
        if (!ok || l->load) continue;
        if (xfc_int_lt(v->ctx, l->value, s.lo) == 1 || xfc_int_lt(v->ctx, s.hi, l->value) == 1)
            xfc_vf_defect(v, "let %u lies outside its range", (unsigned)i);
    }
}

/* --- the kernel --- */

static void check_outputs(xfc_kernel_check *c) {
    xfc_ctx *ctx = c->v->ctx;
    for (uint32_t i = 0; i < c->k->n_out; i++) {
        uint32_t b = c->k->n_in + i;
        xfc_int all = xfc_type_count(ctx, &c->k->buffers[b].type);
        if (!c->stored[b] && !xfc_int_is(ctx, all, 0)) {
            xfc_vf_defect(c->v, "output %u is never stored", (unsigned)i);
            continue;
        }
        if (!c->stored[b] || xfc_int_eq(ctx, c->covered[b], all) != 0) continue;
        xfc_buf n = {.arena = c->v->scratch}, of = {.arena = c->v->scratch};
        xfc_int_print(ctx, &n, c->covered[b], NULL, NULL);
        xfc_int_print(ctx, &of, all, NULL, NULL);
        xfc_vf_defect(c->v, "output %u: %s elements are stored, but it has %s", (unsigned)i, n.text, of.text);
    }
}

void xfc_vf_kernel(xfc_verifier *v, const xfc_op *op) {
    const xfc_kernel *k = op->kernel;
    if (!check_buffers(v, op)) return;
    xfc_kernel_check c = {.v = v,
                          .k = k,
                          .stored = xfc_new_array(v->scratch, bool, k->n_buffers),
                          .covered = xfc_new_array(v->scratch, xfc_int, k->n_buffers)};
    for (uint32_t i = 0; i < k->n_buffers; i++) c.covered[i] = xfc_int_const(v->ctx, 0);
    v->scope = (xfc_map){.arena = v->scratch};
    bool before = v->ok;
    v->ok = true;
    check_outer(&c);
    check_lets(&c);
    for (c.step = 0; c.step < k->n_steps; c.step++) {
        const xfc_step *s = &k->steps[c.step];
        if (s->kind == XFC_STEP_NEST)
            xfc_vf_nest(&c, s->u.nest);
        else
            xfc_vf_tile(&c, s->u.tile);
    }
    if (v->ok) check_outputs(&c); /* a broken body would only repeat itself here */
    v->ok = v->ok && before;
    v->scope = (xfc_map){.arena = v->scratch};
}
