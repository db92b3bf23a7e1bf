/* rows.c - ops.def itself: every row has exactly one meaning and is consistent in its traits, keys and counts. */
#include "tests/table/table.h"

static void check_keys(const xfc_op_info *row) {
    char keys[256], *rest = keys;
    snprintf(keys, sizeof keys, "%s", row->keys ? row->keys : "");
    for (char *word = strtok_r(rest, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        xfc_key key;
        size_t n = strlen(word);
        if (n && word[n - 1] == '!') word[n - 1] = 0;
        if (!CHECK(xfc_key_from_name(word, &key))) fprintf(stderr, "    key '%s' of %s\n", word, row->name);
    }
}

static void check_row(xfc_opcode code) {
    const xfc_op_info *row = &xfc_ops[code];
    unsigned meanings = (row->nest != NULL) + (row->decompose != NULL) + (row->call != NULL);
    bool structural = (row->traits & XFC_STRUCT) != 0;
    unsigned before = test_failed;
    xfc_opcode found;
    CHECK(row->name && row->name[0] && row->help && row->help[0]);
    CHECK(meanings == (structural ? 0 : 1));
    CHECK(row->infer != NULL || structural);
    CHECK(xfc_opcode_from_name(row->name, &found) && found == code);
    CHECK(((row->traits & XFC_BIJECT) != 0) == (row->push != NULL));
    CHECK(!(row->traits & XFC_BIJECT) || (row->traits & XFC_VIEW));
    CHECK(!(row->traits & (XFC_MAP | XFC_VIEW | XFC_REDUCE | XFC_CONTRACT)) || row->nest);
    CHECK(row->min_in <= row->n_in || row->n_in < 0);
    CHECK(structural || row->call || row->n_out == 1);
    CHECK(!(row->traits & XFC_EFFECT) || (structural && row->n_out == 0));
    CHECK(!(row->traits & XFC_COMMUTES) || row->n_in >= 2);
    check_keys(row);
    if (test_failed != before) fprintf(stderr, "    in row %u, %s\n", (unsigned)code, row->name ? row->name : "?");
}

/* Integers, sizes and floats, the last by their bits, in the order of the row's keys. */
static void check_numbers(void) {
    xfc_ctx *ctx = xfc_ctx_new();
    xfc_graph *g = xfc_graph_new(ctx, "g");
    xfc_int dim[2] = {xfc_int_symbol(ctx, "n", 0, 9), xfc_int_const(ctx, 4)}, out[XFC_ROUTINE_NUMBERS];
    xfc_value *x = xfc_graph_add_input(g, "x", xfc_type_make(XFC_F32, 2, dim));
    xfc_attr norm[] = {xfc_attr_int(XFC_K_AXIS, 1), xfc_attr_float(XFC_K_EPS, -0.75)};
    xfc_builder b = {.graph = g};
    xfc_value *v = xfc_build(&b, XFC_OP_LAYERNORM, &x, 1, norm, 2);
    int64_t bits, want;
    memcpy(&want, &(double){-0.75}, sizeof want);
    if (CHECK(v) && CHECK_INT(xfc_routine_numbers(v->def, out), 2)) {
        CHECK(xfc_int_is(ctx, out[0], 1));
        CHECK(xfc_int_value(ctx, out[1], &bits) && bits == want);
    }
    xfc_attr first[] = {xfc_attr_int(XFC_K_AXIS, 0), xfc_attr_dims(XFC_K_SIZE, dim, 1), xfc_attr_int(XFC_K_LARGEST, 1)};
    v = xfc_build(&b, XFC_OP_TOP_K, &x, 1, first, 3);
    if (CHECK(v) && CHECK_INT(xfc_routine_numbers(v->def, out), 3)) CHECK(xfc_int_same(out[1], dim[0]));
    xfc_graph_free(g);
    xfc_ctx_free(ctx);
}

int main(void) {
    check_numbers();
    for (unsigned code = 0; code < XFC_OP_COUNT; code++) check_row((xfc_opcode)code);
    for (unsigned s = 0; s < XFC_S_COUNT; s++) { /* a scalar and the op of the same name agree in arity */
        xfc_opcode code;
        if (s < XFC_S_ADD) continue;
        if (CHECK(xfc_opcode_from_name(xfc_scalar_name((xfc_scalar_op)s), &code)))
            CHECK_INT(xfc_ops[code].n_in, xfc_scalar_arity((xfc_scalar_op)s));
    }
    return test_end();
}
