/* op.c - the tables: ops from ops.def and scalar.def, attribute keys from attr.def, and look-up by name.
 *
 * Constant data only. What a row means is in ir/ops; that each row has exactly one meaning is a test.
 */
#include "ir/ops/op.h"

#include "ir/ops/ops.h"
#include <string.h>

/* A trait cannot be a column of scalar.def without every includer of that file carrying it. */
#define COMMUTES(op)                                                                                                   \
    ((op) == XFC_OP_ADD || (op) == XFC_OP_MUL || (op) == XFC_OP_MIN || (op) == XFC_OP_MAX || (op) == XFC_OP_EQ ||      \
             (op) == XFC_OP_NE || (op) == XFC_OP_AND || (op) == XFC_OP_OR || (op) == XFC_OP_XOR || (op) == XFC_OP_FMA  \
         ? XFC_COMMUTES                                                                                                \
         : 0)

const xfc_op_info xfc_ops[XFC_OP_COUNT] = {
#define XFC_SCALAR(id, text, arity, ...)                                                                               \
    [XFC_OP_##id] = {.name = text,                                                                                     \
                     .n_in = (arity),                                                                                  \
                     .n_out = 1,                                                                                       \
                     .traits = XFC_PURE | XFC_MAP | COMMUTES(XFC_OP_##id),                                             \
                     .help = "element-wise " text ", broadcasting",                                                    \
                     .infer = xfc_infer_map,                                                                           \
                     .nest = xfc_nest_map},
#define INFER(function) .infer = function,
#define NEST(function) .nest = function,
#define DECOMPOSE(function) .decompose = function,
#define CALL(routine) .call = routine,
#define NONE
#define XFC_OP(id, text, types, meaning, ...) [XFC_OP_##id] = {.name = text, types meaning __VA_ARGS__},
#include "ir/ops/ops.def"
#undef XFC_SCALAR
#undef XFC_OP
#undef INFER
#undef NEST
#undef DECOMPOSE
#undef CALL
#undef NONE
};

bool xfc_opcode_from_name(const char *name, xfc_opcode *out) {
    for (unsigned code = 0; code < XFC_OP_COUNT; code++) {
        if (strcmp(xfc_ops[code].name, name) != 0) continue;
        *out = (xfc_opcode)code;
        return true;
    }
    return false;
}

static const struct {
    const char *name;
    xfc_attr_kind kind;
} keys[XFC_K_COUNT] = {
#define X(id, name, kind) [XFC_K_##id] = {name, XFC_ATTR_##kind},
#include "ir/ops/attr.def"
#undef X
};

const char *xfc_key_name(xfc_key k) {
    xfc_assert((unsigned)k < XFC_K_COUNT);
    return keys[k].name;
}

xfc_attr_kind xfc_key_kind(xfc_key k) {
    xfc_assert((unsigned)k < XFC_K_COUNT);
    return keys[k].kind;
}

bool xfc_key_from_name(const char *name, xfc_key *out) {
    for (unsigned k = 0; k < XFC_K_COUNT; k++) {
        if (strcmp(keys[k].name, name) != 0) continue;
        *out = (xfc_key)k;
        return true;
    }
    return false;
}
