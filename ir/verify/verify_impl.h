/* verify_impl.h - shared by verify.c, verify/kernel.c, verify/nest.c and verify/plan.c only. */
#ifndef XFC_VERIFY_IMPL_H
#define XFC_VERIFY_IMPL_H
#include "ir/defined.h"
#include "ir/program.h"
#include "ir/text/text.h"
#include "ir/verify/verify.h"

typedef struct {
    const xfc_graph *g;
    xfc_ctx *ctx;
    xfc_buf *out; /* NULL: only the answer is wanted */
    xfc_arena *scratch;
    const xfc_op *op; /* being checked; NULL: the graph itself */
    bool ok;
    uint32_t nesting; /* graphs around this body */
    xfc_map bound;    /* dim symbols that some input determines */
    xfc_map defined;  /* symbols that a define above has defined */
    xfc_map scope;    /* axes and lets in scope -> 1 */
} xfc_verifier;

static inline xfc_defined xfc_vf_defined(const xfc_verifier *v) {
    return (xfc_defined){.ctx = v->ctx, .n = v->defined.n, .position = v->defined};
}

/* One line of defect, naming the op. */
void xfc_vf_defect(xfc_verifier *, const char *fmt, ...) XFC_PRINTF(2, 3);
/* Every symbol of e is a bound dim or in scope; else says so. what: "the extent of axis 2". */
bool xfc_vf_int(xfc_verifier *, xfc_int e, const char *what);
/* The same for sizes that must be known before a kernel starts: dims only. */
bool xfc_vf_size(xfc_verifier *, xfc_int e, const char *what);
bool xfc_vf_type(xfc_verifier *, const xfc_type *, const char *what);
void xfc_vf_kernel(xfc_verifier *, const xfc_op *);
void xfc_vf_plan(xfc_verifier *);

/* --- between verify/kernel.c, verify/nest.c and verify/tile.c --- */

typedef struct {
    xfc_verifier *v;
    const xfc_kernel *k;
    uint32_t step;
    bool *stored;     /* by buffer: some earlier step stored it */
    xfc_int *covered; /* by buffer: elements stored so far; NONE: cannot tell */
    bool nonempty;    /* every outer axis surely has an index */
} xfc_kernel_check;

/* Opens a scope entry; false (and a defect) if the symbol is unfit or already there. */
bool xfc_vf_open(xfc_verifier *, xfc_int symbol, const char *what);
void xfc_vf_close(xfc_verifier *, xfc_int symbol);
void xfc_vf_nest(xfc_kernel_check *, const xfc_nest *);
void xfc_vf_tile(xfc_kernel_check *, const xfc_tile *);
/* The value of e that some iteration of the task (and of the nest, unless NULL) reaches and none exceeds; false: cannot
 * tell. */
bool xfc_vf_extreme(const xfc_kernel_check *, const xfc_nest *, xfc_int *e, bool largest);
/* Buffer, rank, symbols. */
bool xfc_vf_access(xfc_kernel_check *, const xfc_access *, const char *what);
/* Does e depend on the symbol, directly or through the kernel's lets? */
bool xfc_vf_depends(const xfc_kernel_check *, xfc_int e, xfc_int symbol);

#endif
