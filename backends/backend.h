/* backend.h - what a backend is: a target's numbers, and emission of a planned graph. */
#ifndef XFC_BACKEND_H
#define XFC_BACKEND_H
#include "ir/code.h"
#include "ir/target.h"

typedef struct {
    void *data;
    size_t n;
} xfc_blob; /* malloc'ed by the backend, freed by the caller */

/* The kernels of planned graphs that run on the same weights: the plans of one artefact (XF_PLAN_* of abi.h; all but
 * the first may be NULL). Made once; emission for each ISA and the plans all read it. */
typedef struct {
    const xfc_op *op;
    uint32_t number;   /* of its kernel: equal code, equal number */
    uint32_t n_values; /* what the step hands to the kernel in frame->values */
    const xfc_int *value;
} xfc_kernel_step;
typedef struct {
    const xfc_graph *const *graph;
    uint32_t n_graphs, n_steps, n_kernels;
    uint32_t *first;       /* by graph: its first step */
    xfc_kernel_step *step; /* of every kernel op, by graph and by order in it */
    xfc_code *code;        /* by number */
    uint32_t *length;      /* by number: of its text, which tells how much code it becomes, about */
    /* By number, for a link: objects hold code only, find each other's by these names, and share one set of tiles. NULL:
     * an object is complete. */
    const char *const *name;
} xfc_kernel_set;
xfc_kernel_set xfc_kernel_set_of(const xfc_graph *const *graph, uint32_t n_graphs, xfc_arena *);
/* Those of n numbers, which have names. */
xfc_kernel_set xfc_kernel_set_some(const xfc_kernel_set *, const uint32_t *number, uint32_t n, xfc_arena *);
/* Names by number and ISA; and such that are the same for the same code, in whatever program, and others for other code. */
const char *const *xfc_kernel_set_names(const xfc_kernel_set *, const char *isa, xfc_arena *);
const char *const *xfc_kernel_set_digests(const xfc_kernel_set *, xfc_arena *);

/* Is there a tile in it that the target computes by what no level of a CPU brings? */
bool xfc_kernel_set_gains(const xfc_kernel_set *, const xfc_target *);

/* Seconds of processor time that parts of an emission took. */
typedef struct {
    double write, optimise, code; /* LLVM's IR is made; its passes run; it becomes machine code */
} xfc_emit_times;

typedef struct {
    const char *name;
    const char *const *isas;   /* NULL-terminated, worst first */
    const xfc_target *generic; /* of all of them: passes up to plan run once with it */
    xfc_status (*configure)(xfc_ctx *, xfc_target *, const char *isa); /* names, features, vector width */
    /* One relocatable object (what == "obj"), assembly ("asm"), LLVM IR ("llvm") or PTX ("ptx") holding every kernel of
     * the set for one ISA, by number. times may be NULL. */
    xfc_status (*emit)(xfc_ctx *, const xfc_target *, const xfc_kernel_set *, const char *what, int opt_level,
                       xfc_blob *out, xfc_emit_times *times);
} xfc_backend;

extern const xfc_backend xfc_backend_cpu, xfc_backend_cuda;
extern const xfc_target xfc_target_cpu_generic, xfc_target_cuda_generic;
extern const xfc_backend *const xfc_backends[]; /* NULL-terminated; first is the default */
const xfc_backend *xfc_backend_find(const char *name);
const char *xfc_backend_isas(const xfc_backend *, xfc_arena *, const char *between); /* all of them, as one text */

/* Bytes of temporaries a worker needs in scratch, a multiple of 64, over graph symbols (kernel.c;
 * xf_step_info.scratch). */
xfc_int xfc_kernel_scratch_bytes(xfc_ctx *, const xfc_kernel *);

/* plan_blob.c: the flat plans of runtime/include/xfc/abi.h, one for each graph of the set, which must share their
 * weights (xfc_share_weights); {0} where there is no graph, and for all on failure. The build id of the first covers
 * all. meta, which the first gets: key, value, ... NULL. */
xfc_status xfc_plan_blobs(const xfc_kernel_set *, const char *const *meta, xfc_blob *out);
/* share_weights.c: all plans then speak of the weights of the first, to which those are added that only others have. All
 * graphs but the first may be NULL. */
void xfc_share_weights(xfc_graph *const *, uint32_t n);
/* Symbols whose values a run of the graph needs: its dims, then what ops define. */
uint32_t xfc_graph_symbols(const xfc_graph *, xfc_arena *, xfc_int **out);

/* link.c, artefact.c: objects + runtime archive + sections -> output file, written beside it and renamed. linker NULL:
 * cc, gcc or clang. */
typedef struct {
    const xfc_blob *objects;
    uint32_t n_objects;
    const xfc_blob *plan;   /* XF_N_PLANS of them, {0} where there is none */
    const xfc_graph *graph; /* for its weights; NULL: none */
    const char *ir_text;
    size_t ir_bytes;
    const char *output, *linker;
    bool sidecar; /* weights in OUTPUT.weights, not inside */
    const char *const *isas;
    const char *const *const *name; /* by ISA: xfc_kernel_set.name of its objects */
    uint32_t n_isas, n_kernels, n_others;
    struct xfc_outfile
        *other; /* files of the same compile, done: they take their places with the output, or none does */
} xfc_link_job;
xfc_status xfc_link(xfc_ctx *, const xfc_link_job *);

#endif
