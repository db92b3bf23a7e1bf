/* routine.c - ops that call a routine of runtime/kernels: what it is told, and calling it natively.
 *
 * A routine sees its operands and results as they lie in memory, and the attributes of the op as one list of numbers in
 * the order of the row's keys: INT and FLOAT are one number (0 if absent), DIMS are as many as there are, a DTYPE is
 * none, as results say theirs. A FLOAT passes for the integer that has its bits.
 */
#include "ir/eval/eval_impl.h"

#include "runtime/kernels/routines.h"
#include <string.h>

_Static_assert(sizeof(xk_i64) == sizeof(int64_t) && XK_MAX_NUMBERS >= 1, "numbers are shared with the routines");

static uint32_t find(const char *name) {
    uint32_t i = 0;
    while (i < xk_n_routines && strcmp(xk_routines[i]->name, name) != 0) i++;
    return i;
}

uint32_t xfc_routine_number(const char *name) { return find(name); }
const char *xfc_routine_name(uint32_t number) { return number < xk_n_routines ? xk_routines[number]->name : NULL; }

bool xfc_op_routine(const xfc_op *op, uint32_t *number) {
    const char *name = xfc_ops[op->code].call;
    *number = name ? find(name) : xk_n_routines;
    return *number < xk_n_routines;
}

/* What attribute `key` says as number i; absent: a NULL. */
static xfc_int number_of(xfc_ctx *ctx, const xfc_attr *a, uint32_t i) {
    xk_number n = {0};
    if (a && xfc_key_kind(a->key) == XFC_ATTR_DIMS) return a->u.dims[i];
    if (a && xfc_key_kind(a->key) == XFC_ATTR_FLOAT) n.f = a->u.f;
    if (a && xfc_key_kind(a->key) == XFC_ATTR_INT) n.i = a->u.i;
    return xfc_int_const(ctx, n.i);
}

uint32_t xfc_routine_numbers(const xfc_op *op, xfc_int *out) {
    xfc_ctx *ctx = op->graph->ctx;
    uint32_t n = 0;
    for (const char *at = xfc_ops[op->code].keys; at && *at; at += strspn(at, "! ")) {
        size_t length = strcspn(at, "! ");
        xfc_key key;
        bool found = xfc_key_from_name(xfc_intern_n(ctx->strings, at, length), &key);
        xfc_assert(found);
        const xfc_attr *a = xfc_op_attr(op, key);
        xfc_attr_kind kind = xfc_key_kind(key);
        at += length;
        if (kind == XFC_ATTR_DTYPE) continue;
        xfc_assert(kind == XFC_ATTR_DIMS || kind == XFC_ATTR_INT || kind == XFC_ATTR_FLOAT);
        for (uint32_t i = 0; i < (kind == XFC_ATTR_DIMS ? (a ? a->n : 0) : 1); i++) {
            xfc_assert(n < XFC_ROUTINE_NUMBERS);
            out[n++] = number_of(ctx, a, i);
        }
    }
    return n;
}

xfc_status xfc_routine_run(const xfc_op *op, const xfc_eval_env *env, const xfc_array *operands, xfc_arena *scratch) {
    _Static_assert((int)XFC_ROUTINE_NUMBERS == (int)XK_MAX_NUMBERS, "one limit");
    xk_array array[XK_MAX_ARRAYS] = {{0}};
    xk_number number[XK_MAX_NUMBERS] = {{0}};
    xfc_int value[XFC_ROUTINE_NUMBERS];
    uint32_t routine, n = xfc_routine_numbers(op, value), n_arrays = (uint32_t)op->n_in + op->n_out;
    bool known = xfc_op_routine(op, &routine) && n_arrays <= XK_MAX_ARRAYS;
    xfc_assert(known);
    for (uint32_t i = 0; i < n; i++) {
        int64_t v;
        if (!xfc_int_evaluate(env->ctx, value[i], env->lookup, env->user, &v))
            return xfc_fail(env->ctx, XFC_ERR_INPUT, op->loc,
                            "an attribute of %s has no value: give every input its shape", xfc_ops[op->code].name);
        number[i].i = v;
    }
    for (uint32_t i = 0; i < n_arrays; i++) {
        const xfc_array *a = &operands[i];
        array[i] = (xk_array){.data = a->data, .dim = a->dim, .rank = a->rank, .dtype = xfc_dtype_dlpack(a->dtype)};
    }
    const xk_call call = {array, number};
    xk_work work = xk_routines[routine]->work(&call);
    if (work.scratch < 0 || (uint64_t)work.scratch > XFC_EVAL_MAX_BYTES)
        return xfc_fail(env->ctx, XFC_ERR_LIMIT, op->loc, "%s needs too much memory to evaluate: use smaller inputs",
                        xfc_ops[op->code].name);
    xk_routines[routine]->run(&call, 0, work.tasks, xfc_alloc(scratch, (size_t)work.scratch, 64));
    return XFC_OK;
}
