/* diag.h - the context and its messages.
 *
 * Two kinds of failure. The user's: xfc_fail records one message with its ONNX location and returns the status; a run
 * records all of them, the tool prints them. Ours: xfc_bug (base.h).
 * A message is one line: FILE: error: node 'NAME' (OP, opset N): TEXT. TEXT ends with what to do about it.
 */
#ifndef XFC_DIAG_H
#define XFC_DIAG_H
#include "ir/base/arena.h"
#include "ir/base/leftover.h"
#include "ir/base/map.h"
#include "ir/base/str.h"

typedef struct { /* where in the model; any field may be NULL / 0. Strings are interned. */
    const char *file;
    const char *node;     /* ONNX node name; "#17" when it has none */
    const char *op;       /* "MatMul", "com.microsoft::Attention" */
    uint32_t opset, line; /* line: in a .xf file */
    const char *what;     /* of a requirement: what must agree, "the inner dims of matmul" */
} xfc_loc;

typedef struct {
    xfc_status status;
    bool is_note;
    xfc_loc loc;
    const char *text;
} xfc_diag;

typedef struct xfc_ints xfc_ints;         /* ir/int/int.h: the table of symbolic integers */
typedef struct xfc_tensors xfc_tensors;   /* ir/tensor.h: the pool of constants */
typedef struct xfc_storages xfc_storages; /* ir/storage.h: their memory */
typedef struct xfc_at_exit xfc_at_exit;
typedef struct xfc_ctx {
    xfc_arena *arena; /* lives as long as the context */
    xfc_interner *strings;
    xfc_ints *ints;
    xfc_tensors *tensors;
    xfc_storages *storages;
    xfc_diag *diags;
    uint32_t n_diags, cap_diags, n_errors;
    xfc_at_exit *at_exit;
    struct xfc_file_id *read; /* the files that were read: outfile.h */
    uint32_t n_read, cap_read;
    xfc_leftovers *leftovers; /* NULL: nobody cleans up if the process ends early */
} xfc_ctx;

xfc_ctx *xfc_ctx_new(void); /* in ir/ir.c: wires strings, ints and tensors together */
void xfc_ctx_free(xfc_ctx *);
/* Calls fn(user) when the context is freed, the last registered first: unmapping model files. */
void xfc_ctx_at_exit(xfc_ctx *, void (*fn)(void *user), void *user);

/* Records one error at loc and returns status. After 200 errors further ones are counted, not stored. */
xfc_status xfc_fail(xfc_ctx *, xfc_status status, xfc_loc loc, const char *fmt, ...) XFC_PRINTF(4, 5);
void xfc_diag_format(xfc_buf *, const xfc_diag *); /* one line, no newline */
void xfc_diags_print(const xfc_ctx *, void *stdio_file, bool json);
int xfc_exit_code(xfc_status); /* 0 ok, 1 model, 3 unsupported, 4 I/O, 5 verification, 1 limit, 1 tool */

static inline const char *xfc_str(xfc_ctx *c, const char *s) { return xfc_intern_z(c->strings, s); }

/* Of a requirement there, and what it compares. */
static inline xfc_loc xfc_loc_of(xfc_ctx *c, xfc_loc at, const char *what) {
    at.what = xfc_str(c, what);
    return at;
}

#endif
