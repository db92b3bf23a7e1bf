/* tile.c - a tile: everything that the generator of tiles assumes and the interpreter does not need.
 *
 * The generator knows the types of tiles.def, panels of XFC_PANEL columns, and writes whole vectors: the rows of the
 * result must have room behind the last column. As with nests, a tile leaves a buffer only if it surely does, for some
 * task.
 */
#include "ir/contract.h"
#include "ir/verify/verify_impl.h"

enum { LANES = 16 }; /* f32 in the longest vectors there are; they divide a panel */

static void say(const xfc_kernel_check *c, const char *text) {
    xfc_vf_defect(c->v, "step %u: a tile %s", (unsigned)c->step, text);
}

static bool check_ints(const xfc_kernel_check *c, const xfc_tile *t) {
    xfc_verifier *v = c->v;
    bool ok = xfc_vf_int(v, t->a_row, "a tile's row distance");
    ok = xfc_vf_int(v, t->c_row, "a tile's row distance") && ok;
    ok = xfc_vf_int(v, t->rows, "a tile's rows") && ok;
    ok = xfc_vf_int(v, t->depth, "a tile's depth") && ok;
    ok = xfc_vf_int(v, t->columns, "a tile's columns") && ok;
    if (t->panel != XFC_PANEL) {
        xfc_vf_defect(v, "step %u: a tile's panel has %u columns; code is made for %u", (unsigned)c->step,
                      (unsigned)t->panel, (unsigned)XFC_PANEL);
        return false;
    }
    return xfc_vf_int(v, xfc_tile_apart(v->ctx, t), "the distance of a tile's panels") && ok;
}

/* All that the generator lays out by the rows of the result has as many as there are rows in its temporary. */
static void check_rows(const xfc_kernel_check *c, const xfc_tile *t) {
    const xfc_type *r = &c->k->buffers[t->c.buffer].type;
    xfc_int most = t->rows;
    if (r->rank != 2) {
        say(c, "writes a temporary of two dims");
        return;
    }
    if (xfc_int_le(c->v->ctx, t->rows, r->dim[0]) == 1) return;
    if (!xfc_vf_extreme(c, NULL, &most, true) || xfc_int_le(c->v->ctx, most, r->dim[0]) != 1)
        say(c, "may have more rows than the temporary that it writes");
}

static void check_buffers(const xfc_kernel_check *c, const xfc_tile *t) {
    const xfc_buffer *a = &c->k->buffers[t->a.buffer], *b = &c->k->buffers[t->b.buffer],
                     *r = &c->k->buffers[t->c.buffer];
    if (r->kind != XFC_BUF_TEMP) say(c, "writes a temporary, nothing else");
    const xfc_contract type = xfc_tile_contract(c->k, t);
    if (!xfc_tile_for(NULL, &type))
        xfc_vf_defect(c->v, "step %u: no tile multiplies %s by %s into %s in groups of %u", (unsigned)c->step,
                      xfc_dtype_name(type.a), xfc_dtype_name(type.b), xfc_dtype_name(type.sum), (unsigned)type.group);
    else if (!xfc_int_is(c->v->ctx, xfc_int_mod(c->v->ctx, t->depth, xfc_int_const(c->v->ctx, t->group)), 0))
        say(c, "has a depth that is no whole number of groups");
    if (a == r || b == r) say(c, "reads what it writes");
    const xfc_access *read[] = {&t->a, &t->b};
    for (size_t i = 0; i < XFC_COUNT(read); i++) {
        bool made = c->k->buffers[read[i]->buffer].kind == XFC_BUF_IN || c->stored[read[i]->buffer];
        if (!made)
            xfc_vf_defect(c->v, "step %u: a tile reads buffer %u before it is stored", (unsigned)c->step,
                          (unsigned)read[i]->buffer);
    }
}

/* n runs of `length` elements, `apart` elements from one to the next. */
static void check_bounds(const xfc_kernel_check *c, const xfc_access *a, xfc_int n, xfc_int apart, xfc_int length,
                         const char *what) {
    xfc_ctx *ctx = c->v->ctx;
    xfc_int first = xfc_access_linear(ctx, c->k, a), zero = xfc_int_const(ctx, 0);
    xfc_int last = xfc_int_add(ctx, first, xfc_int_mul(ctx, xfc_int_addc(ctx, n, -1), apart));
    last = xfc_int_addc(ctx, xfc_int_add(ctx, last, length), -1);
    if (xfc_vf_extreme(c, NULL, &first, false) && xfc_int_lt(ctx, first, zero) == 1)
        xfc_vf_defect(c->v, "step %u: %s begins before its buffer", (unsigned)c->step, what);
    if (xfc_vf_extreme(c, NULL, &last, true) &&
        xfc_int_le(ctx, xfc_type_count(ctx, &c->k->buffers[a->buffer].type), last) == 1)
        xfc_vf_defect(c->v, "step %u: %s reaches beyond its buffer", (unsigned)c->step, what);
}

static void check_room(const xfc_kernel_check *c, const xfc_tile *t) {
    xfc_ctx *ctx = c->v->ctx;
    xfc_int zero = xfc_int_const(ctx, 0), one = xfc_int_const(ctx, 1), panel = xfc_int_const(ctx, t->panel);
    xfc_int lanes = xfc_int_const(ctx, LANES);
    if (xfc_int_lt(ctx, t->rows, zero) == 1 || xfc_int_lt(ctx, t->depth, zero) == 1 ||
        xfc_int_lt(ctx, t->columns, zero) == 1)
        say(c, "has a negative number of rows, columns or steps");
    if (!c->nonempty || xfc_int_lt(ctx, zero, t->rows) != 1 || xfc_int_lt(ctx, zero, t->columns) != 1) return;
    xfc_int written = xfc_int_mul(ctx, xfc_int_ceildiv(ctx, t->columns, lanes), lanes);
    check_bounds(c, &t->c, t->rows, t->c_row, written, "a tile's result");
    if (xfc_int_lt(ctx, one, t->rows) == 1 && xfc_int_lt(ctx, t->c_row, written) == 1)
        say(c, "writes whole vectors: its result's rows are too close");
    if (xfc_int_lt(ctx, zero, t->depth) != 1) return;
    check_bounds(c, &t->a, t->rows, t->a_row, t->depth, "a tile's left operand");
    check_bounds(c, &t->b, xfc_int_ceildiv(ctx, t->columns, panel), xfc_tile_apart(ctx, t),
                 xfc_int_mul(ctx, t->depth, panel), "a tile's right operand");
}

void xfc_vf_tile(xfc_kernel_check *c, const xfc_tile *t) {
    bool ok = xfc_vf_access(c, &t->a, "a tile's left operand");
    ok = xfc_vf_access(c, &t->b, "a tile's right operand") && ok;
    ok = xfc_vf_access(c, &t->c, "a tile's result") && ok;
    if (!check_ints(c, t) || !ok) return;
    check_buffers(c, t);
    check_rows(c, t);
    check_room(c, t);
    c->stored[t->c.buffer] = true;
}
