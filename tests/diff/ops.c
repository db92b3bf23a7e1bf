/* ops.c - every row of scalar.def and ops.def, on every type it takes: interpreter against compiled code.
 *
 * ops [TYPE...]: those element types (all of them without). The ops of one type stand side by side in a few graphs,
 * each an output over operands of its own: with constant dims, and with symbols of which some are 0 or 1 in some
 * runs.
 */
#include "tests/diff/diff.h"
#include "tests/unit/test.h"

typedef struct {
    xfc_dtype dtype;
    bool dynamic, scalars;
    uint32_t *built; /* by opcode: how often, in this graph */
} part;

enum { EACH = 2 }; /* ops of a row in a graph */

/* Which types a row of scalar.def takes: its third column. */
static bool scalar_takes(xfc_opcode code, xfc_dtype t) {
    static const char operands[XFC_OP_COUNT] = {
#define XFC_SCALAR(id, name, arity, operands, ...) [XFC_OP_##id] = #operands[0],
#include "ir/ops/scalar.def"
#undef XFC_SCALAR
    };
    switch (operands[code]) {
    case 'F': return xfc_dtype_is_float(t);
    case 'N': return t != XFC_BOOL;
    case 'I': return xfc_dtype_is_int(t);
    case 'L': return t == XFC_BOOL || xfc_dtype_is_int(t);
    case 'A': return true;
    default: return false;
    }
}

static bool is_scalar(unsigned code) { return code <= XFC_OP_SELECT; }

static void build_part(maker *m, const part *p) {
    for (unsigned code = 0; code < XFC_OP_COUNT; code++) {
        if (is_scalar(code) != p->scalars || (p->scalars && !scalar_takes((xfc_opcode)code, p->dtype))) continue;
        for (int tries = 0; tries < 3 * EACH && p->built[code] < EACH; tries++) {
            xfc_value *v = maker_op(m, (xfc_opcode)code, p->dtype);
            if (!v) continue;
            maker_output(m, v);
            p->built[code]++;
        }
    }
}

/* Chance may not leave out a row that takes the type. */
static bool all_built(const part *p) {
    bool ok = true;
    for (unsigned code = 0; p->scalars && code <= XFC_OP_SELECT; code++) {
        if (!scalar_takes((xfc_opcode)code, p->dtype) || p->built[code]) continue;
        fprintf(stderr, "%s of %s was not built\n", xfc_ops[code].name, xfc_dtype_name(p->dtype));
        ok = false;
    }
    return ok;
}

static bool run_part(void *arg, diff_counts *counts) {
    const part *p = arg;
    maker m;
    uint32_t built[XFC_OP_COUNT] = {0};
    part with = *p;
    with.built = built;
    maker_new(&m, 1000 + 4 * (uint64_t)p->dtype + 2 * p->dynamic + p->scalars, p->dynamic);
    build_part(&m, &with);
    char what[80];
    snprintf(what, sizeof what, "%s, %s, %s", xfc_dtype_name(p->dtype), p->dynamic ? "dynamic" : "static",
             p->scalars ? "scalars" : "others");
    const diff_how hows[] = {{.level = 2, .isas = 7},
                             {.level = 2, .isas = 6, .checked = true},
                             {.level = 0, .isas = 1u << p->dtype % 3, .checked = true}};
    bool ok = maker_end(&m) && diff_case(&m, hows, XFC_COUNT(hows), what, counts) && all_built(&with);
    maker_free(&m);
    return ok;
}

static bool run_type(xfc_dtype t, diff_counts *counts) {
    bool ok = true;
    for (int k = 0; k < 4; k++) {
        part p = {.dtype = t, .dynamic = k & 1, .scalars = k >> 1};
        ok = diff_apart(run_part, &p, xfc_dtype_name(t), counts) && ok;
    }
    return ok;
}

/* A new row must get a maker: each but const, return and kernel is built for some type. */
static void check_makers(void) {
    for (unsigned code = 0; code < XFC_OP_COUNT; code++) {
        bool found = (xfc_ops[code].traits & XFC_STRUCT) != 0;
        for (unsigned t = 0; t < XFC_COMPUTED_COUNT && !found; t++) {
            maker m;
            maker_new(&m, 77 + t, false);
            for (int tries = 0; tries < 20 && !found; tries++)
                found = maker_op(&m, (xfc_opcode)code, (xfc_dtype)t) != NULL;
            maker_free(&m);
        }
        test_check(found, __FILE__, __LINE__, xfc_ops[code].name);
    }
}

int main(int argc, char **argv) {
    diff_counts counts = {0};
    check_makers();
    for (int t = 0; t < XFC_COMPUTED_COUNT; t++) {
        bool wanted = argc < 2;
        for (int i = 1; i < argc; i++) wanted = wanted || strcmp(argv[i], xfc_dtype_name((xfc_dtype)t)) == 0;
        if (wanted) test_check(run_type((xfc_dtype)t, &counts), __FILE__, __LINE__, xfc_dtype_name((xfc_dtype)t));
    }
    CHECK(diff_enough(&counts));
    return test_end();
}
