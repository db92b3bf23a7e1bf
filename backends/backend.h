/* backend.h - what a backend is: a target's numbers, and emission of a planned graph. */
#ifndef XFC_BACKEND_H
#define XFC_BACKEND_H
#include "ir/target.h"

typedef struct {
    const char *const *isas;
    uint32_t n_isas; /* variants to emit, worst first */
    int opt_level;   /* 0..3: LLVM effort */
} xfc_emit_opts;

typedef struct {
    void *data;
    size_t n;
} xfc_blob; /* malloc'ed by the backend, freed by the caller */

typedef struct {
    const char *name;
    xfc_status (*configure)(xfc_ctx *, xfc_target *, const char *isa); /* names, features, vector width */
    /* One relocatable object (what == "obj"), assembly ("asm"), LLVM IR ("llvm") or PTX ("ptx") holding every kernel of
     * the graph for one ISA. Kernels with equal text are emitted once; the numbering is the one of xfc_plan_kernels. */
    xfc_status (*emit)(xfc_ctx *, const xfc_target *, const xfc_graph *, const char *what, int opt_level,
                       xfc_blob *out);
    /* Kernels of both graphs in one table, those of the second after those of the first. NULL: not served. */
    xfc_status (*emit_packed)(xfc_ctx *, const xfc_target *, const xfc_graph *, const xfc_graph *packed,
                              const char *what, int opt_level, xfc_blob *out);
} xfc_backend;

extern const xfc_backend xfc_backend_cpu, xfc_backend_cuda;
extern const xfc_backend *const xfc_backends[]; /* NULL-terminated; first is the default */
const xfc_backend *xfc_backend_find(const char *name);

/* Distinct kernels of a planned graph: number of each kernel op (by order in the graph), and one representative of
 * each. */
typedef struct {
    uint32_t *number;
    const xfc_op **kernel;
    uint32_t n_steps, n_kernels;
} xfc_kernel_set;
xfc_kernel_set xfc_plan_kernels(const xfc_graph *, xfc_arena *);

/* Bytes of temporaries a worker needs in scratch, a multiple of 64, over graph symbols (kernel.c;
 * xf_step_info.scratch). */
xfc_int xfc_kernel_scratch_bytes(xfc_ctx *, const xfc_kernel *);

/* plan_blob.c: the flat plan of runtime/include/xfc/abi.h. meta: key, value, ... NULL. */
xfc_status xfc_plan_blob(const xfc_graph *, const char *const *meta, xfc_blob *out);
/* The plans of two graphs that share weights and kernels: after xfc_share_weights (packed.c), for emit_packed. Either
 * blob is NULL on failure. The build id of the first covers both. */
xfc_status xfc_plan_blobs(const xfc_graph *, const xfc_graph *packed, const char *const *meta, xfc_blob *out,
                          xfc_blob *packed_out);
/* Both plans then speak of the weights of the first, to which those are added that only the second has. */
void xfc_share_weights(xfc_graph *, xfc_graph *packed);
/* Symbols a kernel may read from frame->values: the graph's dims, then sizes (each behind those in its formula), then
 * what ops define, in this order (used by plan blob and emitter alike). */
uint32_t xfc_graph_symbols(const xfc_graph *, xfc_arena *, xfc_int **out);

/* link.c, artefact.c: objects + runtime archive + sections -> output file, written beside it and renamed. linker NULL: cc, gcc or
 * clang. */
typedef struct {
    const xfc_blob *objects;
    uint32_t n_objects;
    const xfc_blob *plan, *packed; /* packed: NULL, or the plan of run_packed */
    const xfc_graph *graph;        /* for its weights; NULL: none */
    const char *ir_text;
    size_t ir_bytes;
    const char *output, *linker;
    bool sidecar; /* weights in OUTPUT.weights, not inside */
    const char *const *isas;
    uint32_t n_isas;
} xfc_link_job;
xfc_status xfc_link(xfc_ctx *, const xfc_link_job *);

#endif
