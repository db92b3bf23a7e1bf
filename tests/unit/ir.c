/* Tests of ir/ir, op, build and nest: uses and order under edits, attributes, cloning, what the builder refuses,
 * nests. */
#include "ir/build.h"

#include "tests/unit/test.h"
#include <math.h>

/* The invariants of ir.c: every slot in its value's list exactly once, links both ways, attributes sorted, return
 * last. */
static void check_graph(const xfc_graph *g) {
    uint32_t n_slots = 0, n_links = 0;
    const xfc_op *prev = NULL;
    for (uint32_t i = 0; i < g->n_in; i++) n_links += xfc_value_n_uses(g->in[i]);
    xfc_foreach_op(op, g) {
        CHECK(op->prev == prev && op->graph == g);
        for (uint32_t i = 0; i < op->n_in; i++) {
            xfc_use *in = &op->in[i];
            n_slots += in->value != NULL;
            CHECK(in->user == op && (!in->value || *in->prev == in) && (!in->next || in->next->prev == &in->next));
        }
        for (uint32_t i = 0; i < op->n_out; i++) {
            CHECK(op->out[i].def == op && op->out[i].out == i && op->out[i].id < g->next_value_id);
            xfc_foreach_use(u, &op->out[i]) CHECK(u->value == &op->out[i]);
            n_links += xfc_value_n_uses(&op->out[i]);
        }
        for (uint32_t i = 1; i < op->n_attr; i++) CHECK(op->attr[i - 1].key < op->attr[i].key);
        prev = op;
    }
    CHECK_INT(n_slots, n_links);
    CHECK(g->tail == prev && (!g->last || (g->last == prev && prev->code == XFC_OP_RETURN)));
}

static xfc_type type2(xfc_ctx *c, xfc_dtype t, xfc_int a, int64_t b) {
    return xfc_type_make(t, 2, (xfc_int[]){a, xfc_int_const(c, b)});
}

static xfc_value *raw(xfc_graph *g, xfc_op *before, xfc_opcode code, xfc_value *a, xfc_value *b) {
    xfc_op *op = xfc_op_new(g, before, code, (xfc_value *[]){a, b}, b ? 2 : 1, 1, NULL, 0, (xfc_loc){0});
    op->out[0].type = a->type;
    return &op->out[0];
}

static void edits(xfc_ctx *c) {
    xfc_graph *g = xfc_graph_new(c, "edits");
    xfc_type t = type2(c, XFC_F32, xfc_int_symbol(c, "batch", 1, 8), 4);
    xfc_value *x = xfc_graph_add_input(g, "x", t), *y = xfc_graph_add_input(g, "y", t);
    for (int i = 0; i < 20; i++) xfc_graph_add_input(g, NULL, t);
    CHECK(g->in[0] == x && g->in[1] == y && g->n_in == 22 && g->in[21]->out == 21);
    xfc_value *s = raw(g, NULL, XFC_OP_ADD, x, x), *e = raw(g, NULL, XFC_OP_EXP, s, NULL);
    CHECK(g->last == NULL && g->tail == e->def);
    xfc_op *ret = xfc_graph_set_outputs(g, (xfc_value *[]){e, s, e}, (const char *[]){"p", "q", "r"}, 3);
    CHECK(g->last == ret && g->n_out == 3 && strcmp(g->out_name[2], "r") == 0);
    CHECK_INT(xfc_value_n_uses(x), 2);
    CHECK_INT(xfc_value_n_uses(e), 2);
    check_graph(g);
    xfc_value *m = raw(g, NULL, XFC_OP_MUL, s, y); /* before return */
    CHECK(m->def->next == ret);
    m->name = xfc_str(c, "product");
    xfc_value *n = raw(g, e->def, XFC_OP_NEG, s, NULL);
    CHECK(n->def->next == e->def && n->def->prev == s->def);
    check_graph(g);
    xfc_value_replace(e, m);
    CHECK(xfc_value_n_uses(e) == 0 && xfc_value_n_uses(m) == 2 && ret->in[0].value == m && ret->in[2].value == m);
    xfc_value_replace(m, m);
    check_graph(g);
    xfc_op_remove(e->def);
    CHECK_EXIT(70, xfc_op_remove(s->def)); /* still used */
    xfc_op_set_in(m->def, 1, m->def->in[0].value);
    xfc_op_set_in(m->def, 0, NULL);
    check_graph(g);
    CHECK_INT(xfc_value_n_uses(y), 0);
    for (int i = 0; i < 9; i++) xfc_op_add_in(m->def, i % 3 ? s : x);
    CHECK(m->def->n_in == 11 && m->def->in[2].value == x && m->def->in[3].value == s);
    check_graph(g);
    xfc_op_move_before(m->def, n->def);
    CHECK(m->def->next == n->def && s->def->next == m->def);
    xfc_op_move_before(m->def, n->def);
    xfc_op_move_before(n->def, m->def);
    CHECK(n->def->next == m->def && m->def->next == ret);
    check_graph(g);
    xfc_value *w = raw(g, NULL, XFC_OP_NEG, n, NULL);
    xfc_value_replace(m, w); /* the name moves to the value that takes over */
    CHECK_STR(w->name, "product");
    int ops = 0;
    xfc_foreach_op_safe(op, g) {
        ops++;
        if (op == m->def) xfc_op_remove(op);
    }
    CHECK_INT(ops, 5);
    check_graph(g);
    xfc_graph_free(g);
}

static void attributes(xfc_ctx *c) {
    xfc_graph *g = xfc_graph_new(c, "attributes");
    int64_t perm[3] = {2, 0, 1};
    xfc_int dims[2] = {xfc_int_const(c, 5), xfc_int_symbol(c, "batch", 1, 8)};
    xfc_attr attr[] = {xfc_attr_float(XFC_K_EPS, 1e-5), xfc_attr_ints(XFC_K_PERM, perm, 3),
                       xfc_attr_int(XFC_K_AXIS, -1), xfc_attr_dims(XFC_K_SHAPE, dims, 2)};
    xfc_op *op = xfc_op_new(g, NULL, XFC_OP_COPY, NULL, 0, 1, attr, 4, (xfc_loc){0});
    perm[0] = 7;
    dims[0] = XFC_INT_NONE; /* the lists were copied */
    CHECK(xfc_op_attr(op, XFC_K_PERM)->u.ints[0] == 2 && xfc_int_is(c, xfc_op_attr(op, XFC_K_SHAPE)->u.dims[0], 5));
    CHECK(xfc_op_int(op, XFC_K_AXIS, 0) == -1 && xfc_op_int(op, XFC_K_KEEPDIMS, 3) == 3);
    CHECK(xfc_op_float(op, XFC_K_EPS, 0) == 1e-5 && xfc_op_float(op, XFC_K_SCALE, 2) == 2);
    CHECK(!xfc_op_attr(op, XFC_K_TO));
    CHECK_EXIT(70, xfc_op_int(op, XFC_K_EPS, 0));
    for (int i = 0; i < XFC_K_COUNT; i++) {
        xfc_key back = XFC_K_COUNT;
        CHECK(xfc_key_from_name(xfc_key_name((xfc_key)i), &back) && (int)back == i);
    }
    xfc_graph_free(g);
}

static void constraints(xfc_ctx *c) {
    xfc_graph *g = xfc_graph_new(c, "constraints");
    xfc_int a = xfc_int_symbol(c, "a", 1, 9), b = xfc_int_symbol(c, "b", 1, 9), d = xfc_int_symbol(c, "d", 1, 9);
    xfc_graph_require_equal(g, a, a, (xfc_loc){0});
    CHECK_INT(g->n_constraints, 0);
    xfc_graph_require_equal(g, a, b, (xfc_loc){0});
    xfc_graph_require_equal(g, b, a, (xfc_loc){0});
    xfc_graph_require_equal(g, a, b, (xfc_loc){0});
    CHECK_INT(g->n_constraints, 1);
    xfc_graph_require_equal(g, a, d, (xfc_loc){.node = "n"});
    CHECK(g->n_constraints == 2 && xfc_int_same(g->constraint[1].b, d) && g->constraint[1].loc.node);
    xfc_graph_free(g);
}

/* One size is not two numbers. */
static void numbers(xfc_ctx *c) {
    xfc_graph *g = xfc_graph_new(c, "numbers");
    const xfc_loc none = {0};
    xfc_int n = xfc_int_symbol(c, "n", 0, 9), m = xfc_int_symbol(c, "m", 0, 9), three = xfc_int_const(c, 3),
            four = xfc_int_const(c, 4);
    CHECK(xfc_graph_require(g, m, three, 0, none) && xfc_graph_require(g, three, m, 0, none));
    CHECK(xfc_graph_require(g, m, four, XFC_A_MAY_BE_1, none) && xfc_graph_require(g, n, four, 0, none));
    CHECK(!xfc_graph_require(g, m, four, 0, none) && !xfc_graph_require(g, three, n, 0, none));
    xfc_graph_free(g);
}

/* Requirements of one pair are one: what each allows in the place of equality, all allow. */
static void broadcasts(xfc_ctx *c) {
    static const unsigned A = XFC_A_MAY_BE_1, B = XFC_B_MAY_BE_1, both = XFC_BROADCAST;
    xfc_graph *g = xfc_graph_new(c, "broadcasts");
    xfc_int n = xfc_int_symbol(c, "n", 0, 9), m = xfc_int_symbol(c, "m", 0, 9), one = xfc_int_const(c, 1),
            few = xfc_int_symbol(c, "few", 2, 9), many = xfc_int_symbol(c, "many", 20, 90);
    CHECK(xfc_graph_require(g, one, n, A, (xfc_loc){0}) && xfc_graph_require(g, n, one, both, (xfc_loc){0}));
    CHECK_INT(g->n_constraints, 0); /* hold whatever n is */
    CHECK(!xfc_graph_requires(g, n, m, both) && !xfc_graph_requires(g, one, n, B));
    CHECK(xfc_graph_require(g, n, m, both, (xfc_loc){.node = "first"}));
    CHECK(xfc_graph_requires(g, n, m, both) && xfc_graph_requires(g, m, n, both));
    CHECK(!xfc_graph_requires(g, n, m, A) && !xfc_graph_requires_equal(g, n, m));
    CHECK(xfc_graph_require(g, m, n, A, (xfc_loc){.node = "second"})); /* m may be 1, n may not */
    CHECK(xfc_graph_requires(g, m, n, A) && xfc_graph_requires(g, n, m, B) && !xfc_graph_requires(g, n, m, A));
    CHECK(g->n_constraints == 1 && xfc_int_same(g->constraint[0].a, n) && g->constraint[0].ones == B);
    CHECK_STR(g->constraint[0].loc.node, "second");
    CHECK(xfc_graph_require(g, n, m, A, (xfc_loc){0})); /* if both were 1 they would be equal */
    CHECK(g->n_constraints == 1 && xfc_graph_requires_equal(g, m, n));
    CHECK(xfc_graph_require(g, n, few, both, (xfc_loc){0}) && g->constraint[1].ones == A); /* few is not 1 */
    CHECK(xfc_graph_require(g, n, many, both, (xfc_loc){0}));                              /* n may be 1 */
    CHECK(!xfc_graph_require(g, few, many, both, (xfc_loc){0}));
    CHECK(xfc_graph_require(g, one, n, XFC_UNEQUAL, (xfc_loc){0}) && !xfc_graph_requires_equal(g, one, n));
    CHECK(xfc_graph_requires(g, n, one, XFC_UNEQUAL) && xfc_graph_requires(g, few, one, XFC_UNEQUAL));
    CHECK(!xfc_graph_requires(g, m, one, XFC_UNEQUAL) && !xfc_graph_require(g, one, one, XFC_UNEQUAL, (xfc_loc){0}));
    const xfc_constraint *differ = &g->constraint[4];
    CHECK(xfc_constraint_holds(differ, 0, 1) && !xfc_constraint_holds(differ, 1, 1));
    xfc_graph *h = xfc_graph_clone(g);
    CHECK(h->n_constraints == 6 && xfc_graph_requires(h, one, n, XFC_UNEQUAL) && h->constraint[1].ones == A &&
          xfc_graph_requires(h, few, n, B));
    xfc_graph_free(h);
    xfc_graph_free(g);
}

/* One layer with a composite, a constant, a dims op and an optional operand left out. */
static xfc_graph *small_model(xfc_ctx *c) {
    xfc_graph *g = xfc_graph_new(c, "model");
    xfc_int batch = xfc_int_symbol(c, "batch", 1, 8), six = xfc_int_const(c, 6);
    xfc_value *x = xfc_graph_add_input(g, "x", type2(c, XFC_F32, batch, 6));
    xfc_builder b = {.graph = g, .loc = {.node = "layer", .op = "Test", .opset = 17}};
    xfc_value *h = xfc_b_binary(&b, XFC_OP_ADD, x, xfc_b_scalar_f(&b, XFC_F32, 0.5));
    xfc_value *bias =
        xfc_b_const(&b, xfc_tensor_copy(c, XFC_F32, 1, (int64_t[]){6}, (float[6]){1, 2, 3, 4, 5, 6}, "bias"));
    xfc_attr norm[] = {xfc_attr_int(XFC_K_AXIS, 1), xfc_attr_float(XFC_K_EPS, 1e-5)};
    xfc_value *n = xfc_build_opt(&b, XFC_OP_LAYERNORM, (xfc_value *[]){h, NULL, bias}, 3, norm, 2);
    xfc_value *r = xfc_b_reshape(&b, n, (xfc_int[]){xfc_int_mulc(c, batch, 2), xfc_int_const(c, 3)}, 2);
    xfc_value *d = xfc_b_dims(&b, (xfc_int[]){batch, six}, 2);
    if (CHECK(r && d)) xfc_graph_set_outputs(g, (xfc_value *[]){r, d}, (const char *[]){"y", "shape"}, 2);
    xfc_graph_require_equal(g, batch, xfc_int_symbol(c, "other", 1, 8), b.loc);
    return g;
}

static void same_op(const xfc_op *a, const xfc_op *b) {
    CHECK(a != b && a->code == b->code && a->n_in == b->n_in && a->n_out == b->n_out && a->n_attr == b->n_attr);
    CHECK(a->loc.node == b->loc.node && a->loc.opset == b->loc.opset);
    for (uint32_t i = 0; i < a->n_in; i++) {
        CHECK(!a->in[i].value == !b->in[i].value && (!a->in[i].value || a->in[i].value != b->in[i].value));
        if (a->in[i].value && b->in[i].value) CHECK_INT(a->in[i].value->id, b->in[i].value->id);
    }
    for (uint32_t i = 0; i < a->n_out; i++)
        CHECK(a->out[i].id == b->out[i].id && xfc_type_same(&a->out[i].type, &b->out[i].type) &&
              a->out[i].name == b->out[i].name);
    for (uint32_t i = 0; i < a->n_attr; i++) {
        CHECK(a->attr[i].key == b->attr[i].key && a->attr[i].n == b->attr[i].n);
        if (xfc_key_kind(a->attr[i].key) == XFC_ATTR_DIMS && a->attr[i].n)
            CHECK(a->attr[i].u.dims != b->attr[i].u.dims);
    }
}

static void clones(xfc_ctx *c) {
    xfc_graph *g = small_model(c), *h = xfc_graph_clone(g);
    check_graph(h);
    CHECK(h->ctx == g->ctx && h->arena != g->arena && h->name == g->name && h->stage == g->stage);
    CHECK(h->n_in == g->n_in && h->n_out == g->n_out && h->next_value_id == g->next_value_id && h->last);
    CHECK(h->n_constraints == 1 && h->in[0]->id == g->in[0]->id && h->in[0]->name == g->in[0]->name);
    const xfc_op *a = g->first, *b = h->first;
    for (; a && b; a = a->next, b = b->next) same_op(a, b);
    CHECK(!a && !b);
    xfc_graph_require_equal(h, g->constraint[0].b, g->constraint[0].a, (xfc_loc){0}); /* known to the clone as well */
    CHECK_INT(h->n_constraints, 1);
    xfc_graph_free(g); /* the clone stands alone */
    check_graph(h);
    xfc_graph *again = xfc_graph_clone(h);
    check_graph(again);
    xfc_graph_free(h);
    xfc_graph_free(again);
}

static const char *last_message(xfc_ctx *c) { return c->n_diags ? c->diags[c->n_diags - 1].text : ""; }

/* A failed build leaves the graph as it was and says why. */
#define REFUSED(part, expr)                                                                                            \
    do {                                                                                                               \
        xfc_op *tail_ = g->tail;                                                                                       \
        uint32_t errors_ = c->n_errors, uses_ = xfc_value_n_uses(x);                                                   \
        CHECK((expr) == NULL);                                                                                         \
        CHECK_INT(c->n_errors, errors_ + 1);                                                                           \
        CHECK(g->tail == tail_ && xfc_value_n_uses(x) == uses_);                                                       \
        if (!test_check(strstr(last_message(c), (part)) != NULL, __FILE__, __LINE__, part))                            \
            fprintf(stderr, "    said: %s\n", last_message(c));                                                        \
    } while (0)

static void refusals(void) {
    xfc_ctx *c = xfc_ctx_new();
    xfc_graph *g = xfc_graph_new(c, "refusals");
    xfc_value *x = xfc_graph_add_input(g, "x", type2(c, XFC_F32, xfc_int_symbol(c, "batch", 1, 8), 6));
    xfc_value *k = xfc_graph_add_input(g, "k", type2(c, XFC_I32, xfc_int_symbol(c, "batch", 1, 8), 6));
    xfc_builder b = {.graph = g, .loc = {.node = "n"}};
    xfc_attr axis[] = {xfc_attr_int(XFC_K_AXIS, 1), xfc_attr_int(XFC_K_AXIS, 1)}, eps = xfc_attr_float(XFC_K_EPS, 1e-5);
    xfc_attr unknown_dim = xfc_attr_dims(XFC_K_SHAPE, (xfc_int[]){XFC_INT_NONE}, 1);
    REFUSED("missing",
            xfc_b_binary(&b, XFC_OP_ADD, x, NULL)); /* nothing was reported yet: NULL is not passed on silently */
    CHECK_INT(c->n_errors, 1);
    CHECK(!xfc_b_unary(&b, XFC_OP_EXP, xfc_b_binary(&b, XFC_OP_ADD, NULL, x)));
    CHECK_INT(c->n_errors, 1); /* but after a report it is */
    REFUSED("takes 2 operands, not 1", xfc_build(&b, XFC_OP_ADD, &x, 1, NULL, 0));
    REFUSED("takes 1 to 3 operands, not 0", xfc_build(&b, XFC_OP_LAYERNORM, NULL, 0, NULL, 0));
    REFUSED("takes 1 to 3 operands, not 4", xfc_build(&b, XFC_OP_LAYERNORM, (xfc_value *[]){x, x, x, x}, 4, NULL, 0));
    REFUSED("needs the attribute 'axis'", xfc_build(&b, XFC_OP_SOFTMAX, &x, 1, NULL, 0));
    REFUSED("takes no attribute 'eps'", xfc_build(&b, XFC_OP_SOFTMAX, &x, 1, (xfc_attr[]){axis[0], eps}, 2));
    REFUSED("'axis' twice", xfc_build(&b, XFC_OP_SOFTMAX, &x, 1, axis, 2));
    REFUSED("an entry of expand, 'shape' = [unknown], exceeds 63 bits",
            xfc_build(&b, XFC_OP_EXPAND, &x, 1, &unknown_dim, 1));
    xfc_int empty_dims[3] = {xfc_int_const(c, 0), xfc_int_const(c, INT64_C(1) << 59), xfc_int_const(c, 5)};
    xfc_attr empty = xfc_attr_dims(XFC_K_SHAPE, empty_dims, 3);
    xfc_value *one = xfc_graph_add_input(g, "one", xfc_type_make(XFC_F32, 1, (xfc_int[]){xfc_int_const(c, 1)}));
    REFUSED("exceeds 63 bits", xfc_build(&b, XFC_OP_EXPAND, &one, 1, &empty, 1)); /* though nothing stands in it */
    REFUSED("must have one type", xfc_b_binary(&b, XFC_OP_ADD, x, k));
    REFUSED("not defined for i32", xfc_b_unary(&b, XFC_OP_EXP, k));
    CHECK_STR(c->diags[c->n_diags - 1].loc.node, "n");
    xfc_value **many = xfc_new_array(c->arena, xfc_value *, 70000);
    for (int i = 0; i < 70000; i++) many[i] = x;
    REFUSED("at most 65535", xfc_build(&b, XFC_OP_CONCAT, many, 70000, axis, 1));
    REFUSED("at most 65535", xfc_graph_set_outputs(g, many, NULL, 70000));
    check_graph(g);
    xfc_graph_free(g);
    xfc_ctx_free(c);
}

static void builders(xfc_ctx *c) {
    xfc_graph *g = xfc_graph_new(c, "builders");
    xfc_int batch = xfc_int_symbol(c, "batch", 1, 8);
    xfc_value *x = xfc_graph_add_input(g, "x", type2(c, XFC_F32, batch, 6));
    xfc_builder b = {.graph = g, .loc = {.node = "where"}};
    const xfc_tensor *t = NULL;
    CHECK(xfc_b_cast(&b, x, XFC_F32) == x && xfc_b_reshape(&b, x, x->type.dim, 2) == x && g->first == NULL);
    CHECK(xfc_b_cast(&b, x, XFC_F16)->type.dtype == XFC_F16);
    CHECK(xfc_value_is_const(xfc_b_dims(&b, (xfc_int[]){xfc_int_const(c, 3), xfc_int_const(c, 4)}, 2), &t) &&
          t->count == 2);
    CHECK(t->rank == 1 && xfc_tensor_get_i(t, 1) == 4);
    CHECK(xfc_value_is_const(xfc_b_dims(&b, (xfc_int[]){xfc_int_const(c, 3)}, -1), &t) && t->rank == 0);
    CHECK(xfc_value_is_const(xfc_b_dims(&b, NULL, 0), &t) && t->rank == 1 && t->count == 0);
    xfc_value *d = xfc_b_dims(&b, &batch, -1);
    CHECK(d && d->def->code == XFC_OP_DIMS && d->type.rank == 0 && d->type.dtype == XFC_I64);
    CHECK(!xfc_value_is_const(d, NULL) && !xfc_value_is_const(x, NULL));
    CHECK(xfc_value_is_const(xfc_b_scalar_f(&b, XFC_BF16, 1.5), &t) && xfc_tensor_get_f(t, 0) == 1.5);
    CHECK(xfc_value_is_const(xfc_b_scalar_i(&b, XFC_BOOL, 7), &t) && xfc_tensor_get_i(t, 0) == 1);
    xfc_value *tr = xfc_b_transpose(&b, x, (int64_t[]){1, 0});
    CHECK(tr && xfc_int_same(tr->type.dim[1], batch) && tr->def->loc.node && strcmp(tr->def->loc.node, "where") == 0);
    xfc_value *mm = xfc_b_matmul(&b, x, tr), *red = xfc_b_reduce(&b, XFC_OP_REDUCE_SUM, mm, (int64_t[]){1}, 1, true);
    CHECK(red && red->type.rank == 2 && xfc_int_is(c, red->type.dim[1], 1));
    b.before = mm->def; /* the cursor */
    xfc_value *e = xfc_b_unary(&b, XFC_OP_EXP, x);
    CHECK(e->def->next == mm->def);
    CHECK(!xfc_int_known(e->type.dim[2]) && !xfc_int_known(e->type.dim[7]));
    xfc_op_set_in(mm->def, 0, e);
    CHECK_INT(xfc_infer_op(mm->def), XFC_OK);
    check_graph(g);
    xfc_graph_free(g);
}

static void table(void) {
    for (unsigned i = 0; i < XFC_OP_COUNT; i++) {
        const xfc_op_info *row = &xfc_ops[i];
        xfc_opcode back = XFC_OP_COUNT;
        CHECK(xfc_opcode_from_name(row->name, &back) && back == i);
        int meanings = (row->nest != NULL) + (row->decompose != NULL) + (row->call != NULL);
        CHECK_INT(meanings, row->traits & XFC_STRUCT ? 0 : 1);
        CHECK(row->help && row->help[0] && (row->infer || row->traits & XFC_STRUCT));
        CHECK((row->push != NULL) == ((row->traits & XFC_BIJECT) != 0));
        CHECK(row->min_in == 0 || row->n_in < 0 || row->min_in < row->n_in);
        CHECK(!(row->traits & XFC_BIJECT) || row->traits & XFC_VIEW);
        const char *at = row->keys ? row->keys : ""; /* each word is a known key */
        while (*at) {
            char word[32] = "";
            size_t n = strcspn(at, " "), bare = strcspn(at, " !");
            memcpy(word, at, bare < sizeof(word) ? bare : 0);
            xfc_key key;
            CHECK(xfc_key_from_name(word, &key) && n - bare <= 1);
            at += n + (at[n] == ' ');
        }
    }
    xfc_opcode code;
    CHECK(!xfc_opcode_from_name("conv", &code) && !xfc_opcode_from_name("", &code));
    for (unsigned i = 0; i < XFC_S_COUNT; i++) {
        xfc_scalar_op back = XFC_S_COUNT;
        CHECK(xfc_scalar_from_name(xfc_scalar_name((xfc_scalar_op)i), &back) && back == i);
    }
    CHECK(xfc_scalar_arity(XFC_S_SELECT) == 3 && xfc_scalar_arity(XFC_S_ERF) == 1 && xfc_scalar_arity(XFC_S_LOAD) == 0);
    CHECK(xfc_ops[XFC_OP_MUL].traits & XFC_COMMUTES && !(xfc_ops[XFC_OP_SUB].traits & XFC_COMMUTES));
}

static void identities(void) {
    CHECK(xfc_combine_identity_f(XFC_S_MAX) == -(double)INFINITY && xfc_combine_identity_f(XFC_S_MUL) == 1);
    CHECK_INT(xfc_combine_identity_i(XFC_S_MIN, XFC_I8), 127);
    CHECK_INT(xfc_combine_identity_i(XFC_S_MAX, XFC_I8), -128);
    CHECK_INT(xfc_combine_identity_i(XFC_S_MAX, XFC_I64), INT64_MIN);
    CHECK_INT(xfc_combine_identity_i(XFC_S_MIN, XFC_U16), 65535);
    CHECK_INT(xfc_combine_identity_i(XFC_S_MIN, XFC_U64), -1);
    CHECK_INT(xfc_combine_identity_i(XFC_S_MAX, XFC_U32), 0);
    CHECK_INT(xfc_combine_identity_i(XFC_S_AND, XFC_BOOL), 1);
    CHECK_INT(xfc_combine_identity_i(XFC_S_MIN, XFC_BOOL), 1);
    CHECK_EXIT(70, xfc_combine_identity_f(XFC_S_XOR));
}

/* y[i] = sum over j of x[i, ids[j]] if ids[j] != 0 */
static void nests(xfc_ctx *c) {
    xfc_arena *a = xfc_arena_new();
    xfc_int batch = xfc_int_symbol(c, "batch", 1, 8), six = xfc_int_const(c, 6), zero = xfc_int_const(c, 0);
    xfc_nestb nb = xfc_nestb_new(c, a);
    xfc_int i = xfc_nb_axis(&nb, "i", batch, XFC_AXIS_PARALLEL), j = xfc_nb_axis(&nb, "j", six, XFC_AXIS_REDUCE);
    uint32_t id = xfc_nb_load(&nb, XFC_I32, 1, &j, 1), nought = xfc_nb_const_i(&nb, XFC_I32, 0);
    uint32_t pred = xfc_nb_op(&nb, XFC_S_NE, XFC_BOOL, id, nought, 12345 /* ignored: arity 2 */);
    xfc_int k = xfc_nb_let(&nb, "k", id, zero, xfc_int_const(c, 5), true);
    uint32_t v = xfc_nb_load_if(&nb, pred, XFC_F32, 0, (xfc_int[]){i, k}, 2);
    CHECK_INT(xfc_nb_cast(&nb, XFC_F32, XFC_F32, v), v);
    uint32_t wide = xfc_nb_cast(&nb, XFC_F64, XFC_F32, v), at = xfc_nb_index(&nb, i);
    xfc_nb_store(&nb, wide, 2, &i, 1, XFC_S_ADD);
    xfc_nest *n = nb.nest;
    CHECK(n->n_axes == 2 && n->n_body == 7 && n->n_stores == 1 && n->body[pred].arg[2] == XFC_NO_ARG);
    CHECK(n->body[at].dtype == XFC_I64 && n->body[v].arg[0] == pred && n->body[id].arg[0] == XFC_NO_ARG);
    CHECK_EXIT(70, xfc_nb_op(&nb, XFC_S_NEG, XFC_F32, 7, 0, 0)); /* refers forward */
    xfc_nest *copy = xfc_nest_clone(a, n);
    xfc_int two = xfc_int_const(c, 2);
    xfc_nest_substitute(c, a, copy, (xfc_int[]){batch, i}, (xfc_int[]){six, two}, 2);
    CHECK(xfc_int_is(c, copy->axes[0].extent, 6) && xfc_int_is(c, copy->body[at].u.index, 2));
    CHECK(xfc_int_is(c, copy->body[v].u.access->index[0], 2) && xfc_int_same(copy->body[v].u.access->index[1], k));
    CHECK(xfc_int_is(c, copy->stores[0].to.index[0], 2));
    CHECK(xfc_int_same(n->body[v].u.access->index[0], i) &&
          xfc_int_same(n->axes[0].extent, batch)); /* the original stays */
    xfc_buffer buffers[2] = {{.type = type2(c, XFC_F32, batch, 6)}, {.type = type2(c, XFC_F32, batch, 6)}};
    xfc_step steps[2] = {{.kind = XFC_STEP_NEST, .u.nest = n}, {.kind = XFC_STEP_TILE, .u.tile = xfc_new(a, xfc_tile)}};
    xfc_kernel kernel = {.form = "map", .buffers = buffers, .n_buffers = 2, .steps = steps, .n_steps = 2};
    xfc_kernel *other = xfc_kernel_clone(a, &kernel);
    CHECK(other->buffers != buffers && other->steps[0].u.nest != n && other->steps[1].u.tile != steps[1].u.tile);
    CHECK(other->steps[0].u.nest->n_body == n->n_body && other->cap_buffers == 2);
    xfc_int flat = xfc_access_linear(c, &kernel, n->body[v].u.access);
    CHECK(xfc_int_same(flat, xfc_int_add(c, xfc_int_mulc(c, i, 6), k)));
    xfc_arena_free(a);
}

static void types(xfc_ctx *c) {
    xfc_int b = xfc_int_symbol(c, "batch", 1, 8), four = xfc_int_const(c, 4), three = xfc_int_const(c, 3);
    xfc_type t = xfc_type_make(XFC_F32, 3, (xfc_int[]){b, four, three}),
             s = xfc_type_make(XFC_F32, 2, (xfc_int[]){four, three});
    int64_t dim[XFC_MAX_RANK], count;
    CHECK(!xfc_type_static(c, &t, dim, &count) && xfc_type_static(c, &s, dim, &count) && count == 12 && dim[1] == 3);
    CHECK(xfc_type_static(c, &s, NULL, NULL));
    CHECK(xfc_int_same(xfc_type_count(c, &t), xfc_int_mulc(c, b, 12)));
    CHECK(xfc_type_same(&t, &t) && !xfc_type_same(&t, &s));
    xfc_int i[3] = {xfc_int_axis(c, "i", b), xfc_int_axis(c, "j", four), xfc_int_axis(c, "k", three)}, back[3];
    xfc_type_delinear(c, &t, xfc_type_linear(c, &t, i), back);
    for (int d = 0; d < 3; d++) CHECK(xfc_int_same(i[d], back[d]));
    xfc_type scalar = xfc_type_make(XFC_BOOL, 0, NULL);
    CHECK(xfc_int_is(c, xfc_type_count(c, &scalar), 1) && xfc_int_is(c, xfc_type_linear(c, &scalar, NULL), 0));
    for (int stage = 0; stage < XFC_STAGE_COUNT; stage++) CHECK(xfc_stage_name((xfc_stage)stage)[0]);
}

int main(void) {
    xfc_ctx *c = xfc_ctx_new();
    edits(c);
    attributes(c);
    constraints(c);
    numbers(c);
    broadcasts(c);
    clones(c);
    refusals();
    builders(c);
    table();
    identities();
    nests(c);
    types(c);
    CHECK_INT(c->n_errors, 0);
    xfc_diags_print(c, stderr, false);
    xfc_ctx_free(c);
    return test_end();
}
