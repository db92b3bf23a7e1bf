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

int main(void) {
    for (unsigned code = 0; code < XFC_OP_COUNT; code++) check_row((xfc_opcode)code);
    for (unsigned s = 0; s < XFC_S_COUNT; s++) { /* a scalar and the op of the same name agree in arity */
        xfc_opcode code;
        if (s < XFC_S_ADD) continue;
        if (CHECK(xfc_opcode_from_name(xfc_scalar_name((xfc_scalar_op)s), &code)))
            CHECK_INT(xfc_ops[code].n_in, xfc_scalar_arity((xfc_scalar_op)s));
    }
    return test_end();
}
