/* xf.h - the C ABI of a model compiled by xfc. C99, also valid C++.
 *
 * A compiled model is one shared object that exports ONE symbol, xf_get_api. Everything else is reached through the
 * table it returns, so any number of models live in one process, and an application needs this header and dlopen,
 * nothing to link:
 *
 *     void *so = dlopen("./model.so", RTLD_NOW | RTLD_LOCAL);
 *     const xf_api *xf = ((xf_get_api_fn)dlsym(so, "xf_get_api"))(XF_ABI_VERSION);
 *     xf_model *model;  xf_ctx *ctx;
 *     if (xf->open(NULL, &model) || xf->ctx_create(model, NULL, &ctx)) puts(xf->last_error(NULL));
 *     xf_tensor in[2] = {...}, out[1] = {{0}};
 *     if (xf->run(ctx, in, 2, out, 1)) puts(xf->last_error(ctx));  // else out[0] is the result
 *     xf->ctx_destroy(ctx);  xf->release(model);  dlclose(so);
 *
 * Rules that hold everywhere
 * - Errors: a function that can fail returns an xf_status; the text is in last_error. After any error the model and
 *   the context work as before; outputs are then unspecified, and xf_tensor structs are left as they were.
 * - Pointers: a model, context, or result pointer that is NULL is XF_E_ARG; functions that have no status answer
 *   NULL or 0, or do nothing.
 * - Threads: a model is immutable and may be used by any number of threads. A context serves one call at a time; use
 *   one context for each concurrent caller. Only cancel may be called on a context while it runs: another call is
 *   refused with XF_E_ARG, and last_error says so to the thread that made it.
 * - Nothing prints, aborts, raises signals, changes errno, the locale or the floating-point environment, or starts
 *   threads other than those of a context with num_threads > 1. Where the system starts no more, it has fewer.
 * - fork: a child may use models and contexts that are not in use at that moment. Contexts start threads of their own
 *   there.
 * - Options structs start with struct_size = sizeof(the struct); zero every other field for the default. NULL means
 *   all defaults.
 * - Pointers returned from a model live until its last release; from a context, until ctx_destroy unless said
 *   otherwise. The shared object must stay loaded as long as any of its models does.
 *
 * Compatibility: entries and fields are only ever appended; XF_ABI_VERSION changes only if that rule is broken
 * (docs/c-api.md).
 */
#ifndef XF_H
#define XF_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define XF_ABI_VERSION 1u

typedef enum xf_status {
    XF_OK = 0,
    XF_E_ARG = 1,       /* a wrong count, a NULL or misaligned pointer, overlapping or unusable arguments */
    XF_E_DTYPE = 2,     /* a tensor's element type is not the declared one */
    XF_E_SHAPE = 3,     /* rank, a dim, its range, dims that must agree, strides that are not dense, overflow */
    XF_E_NOMEM = 4,     /* out of memory; an arena or buffer too small (the message says what is needed) */
    XF_E_IO = 5,        /* the file is damaged; the weights cannot be read, or do not belong to this code */
    XF_E_CPU = 6,       /* no code variant for this CPU, or the forced one cannot run here */
    XF_E_DEVICE = 7,    /* a device or stream that this artefact does not serve */
    XF_E_RANGE = 8,     /* an index in the data outside its range; bad cu_seqlens; NaN under XF_CHECK_FINITE */
    XF_E_CANCELLED = 9, /* cancel was called */
    XF_E_ABI = 10,      /* a struct or a plan of another version */
    XF_E_INTERNAL = 99  /* a bug in xfc, or a host's parallel_for that failed */
} xf_status;

/* xf_device, xf_dtype and xf_tensor are byte for byte DLPack's DLDevice, DLDataType and DLTensor. */
typedef struct {
    int32_t device_type, device_id;
} xf_device; /* type: 1 CPU, 2 CUDA; {0, 0} also means CPU */
typedef struct {
    uint8_t code, bits;
    uint16_t lanes;
} xf_dtype; /* int 0, uint 1, float 2, bfloat 4, bool 6; floats of 8 and 4 bits: as in DLPack, 10 to 14 and 17; lanes 1 */

/* An n-dimensional array, dense and row-major. Never owns memory. n elements of b bits have ceil(n * b / 8) bytes: of
 * fewer bits than a byte several share one, the first in its lowest bits. */
typedef struct {
    void *data; /* may be NULL when there are no elements; aligned to its element size after byte_offset */
    xf_device device;
    int32_t ndim;
    xf_dtype dtype;
    int64_t *shape;       /* ndim entries >= 0; may be NULL when ndim is 0 */
    int64_t *strides;     /* in elements; NULL = dense row-major. Else XF_E_SHAPE, but for room in caches (run) */
    uint64_t byte_offset; /* added to data */
} xf_tensor;

typedef struct xf_model xf_model; /* code, plan and weights: immutable, shared between threads, reference-counted */
typedef struct xf_ctx xf_ctx;     /* one caller's workspace, error text, taps and profile */

/* What the model declares of one input or output. Lives as long as the model. */
typedef struct {
    const char *name;
    xf_dtype dtype;
    int32_t ndim;
    const int64_t *dim;          /* the size, or -1 = decided at run time */
    const char *const *dim_name; /* ONNX dim_param, or NULL for that dim; equal names must have equal sizes in a call */
    const int64_t *dim_min, *dim_max; /* inclusive range accepted; both the size for a fixed dim; max -1 = no bound */
} xf_io_info;

typedef struct {
    size_t struct_size;       /* = sizeof(xf_open_opts) */
    const char *weights_path; /* a file, or a .so that holds them; NULL: the .so itself, else FILE.so.weights */
    const void *weights;      /* the same bytes in memory that outlives the model; wins over weights_path */
    size_t weights_size;
    const char *isa;  /* "x86-64-v3" ... forces a variant; NULL: environment XF_ISA, else the best */
    xf_device device; /* {0, 0} = CPU */
    uint32_t flags;   /* XF_OPEN_VERIFY */
} xf_open_opts;

/* Reads all weights and compares them with the checksums that xfc wrote; a damaged file is then XF_E_IO, with the
 * place. Without it the plan, and what stands before the weights, are compared. */
#define XF_OPEN_VERIFY 1u

/* Calls body(arg, begin, end, worker) on ranges that cover [0, n) once, about `grain` items each, and returns when all
 * are done: 0, or the first status that was not 0. 0 <= worker < num_threads of the context; never two calls at once
 * with the same worker. */
typedef int32_t (*xf_parallel_for)(void *pool, int64_t n, int64_t grain,
                                   int32_t (*body)(void *arg, int64_t begin, int64_t end, int32_t worker), void *arg);

typedef struct {
    size_t struct_size;           /* = sizeof(xf_ctx_opts) */
    int32_t num_threads;          /* 0: XF_NUM_THREADS, OMP_NUM_THREADS, then the CPUs allowed; at most 1024 */
    xf_parallel_for parallel_for; /* the host's own pool; NULL: the context's (with 1 thread: none) */
    void *pool;                   /* first argument of parallel_for */
    void *arena;                  /* caller's memory, of any alignment; NULL: the context's own, which grows */
    size_t arena_size;            /* see workspace_size */
    void *stream;                 /* CUstream of a CUDA model; NULL on the CPU */
    uint32_t flags;               /* XF_DETERMINISTIC, XF_CHECK_FINITE */
} xf_ctx_opts;

#define XF_DETERMINISTIC 1u /* same bits for any thread count; on the CPU it is always so */
#define XF_CHECK_FINITE 2u  /* fail with XF_E_RANGE if a floating-point output holds a NaN or an infinity */

/* Sees a value right after the kernel that made it. onnx_node: the node whose output it is (kernels hold several; this
 * is the last); output: which of the kernel's outputs. value is valid, and must not be changed, until the callback
 * returns. */
typedef void (*xf_tap)(void *user, const char *onnx_node, int32_t output, const xf_tensor *value);

typedef struct xf_api {
    uint32_t abi_version; /* XF_ABI_VERSION the artefact was built with */
    size_t struct_size;   /* bytes of this table; entries beyond it do not exist in this artefact */

    /* A short constant English text; never NULL. */
    const char *(*status_string)(xf_status);

    /* --- model --- */

    /* Picks the code variant and maps the weights read-only (pages are shared between processes). *model: one
     * reference; on failure NULL. Several opens give independent models. Fails with ARG, ABI, CPU, DEVICE, IO, NOMEM;
     * text: last_error(NULL). */
    xf_status (*open)(const xf_open_opts *opts, xf_model **model);
    void (*retain)(xf_model *);
    void (*release)(xf_model *); /* NULL is allowed. The last one unmaps the weights. Contexts hold a reference. */

    /* --- introspection: valid without running anything, constant for the life of the model --- */

    size_t (*num_inputs)(const xf_model *);
    size_t (*num_outputs)(const xf_model *);
    const xf_io_info *(*input_info)(const xf_model *, size_t index); /* NULL if index is too large */
    const xf_io_info *(*output_info)(const xf_model *, size_t index);
    /* The same as JSON: {"inputs": [{"name", "dtype", "dims": [{"size"} or {"name", "min", "max"}]}], "outputs": []};
     * outputs with "zero_where": the input that marks padding, see docs/c-api.md. With a packed entry also "packed":
     * {"inputs", "outputs"}. */
    const char *(*signature_json)(const xf_model *);
    /* "isa" (the variant in use), "xfc.version", "onnx.sha256", "passes", ...; NULL for a key that is not there. */
    const char *(*metadata)(const xf_model *, const char *key);

    /* --- planning: reads ndim and shape of `in`, nothing else of them. Text of errors: last_error(NULL) --- */

    /* Output dims for these input dims; of one that data decides, the most that it can be, or -1 where only data knows.
     * out[i].shape: room for out[i].ndim dims, at least the output's rank, which are written; or NULL, then only rank and
     * dtype are answered. Sets ndim, dtype, device; leaves data, strides and byte_offset alone. */
    xf_status (*infer_shapes)(const xf_model *, const xf_tensor *in, size_t n_in, xf_tensor *out, size_t n_out);
    /* Bytes of arena, of any alignment, with which run cannot fail for lack of memory for these dims and num_threads
     * workers (0: the default of ctx_create): intermediates, scratch of each worker, and outputs that the caller leaves
     * to the context. Not in it is what only data knows the size of. */
    xf_status (*workspace_size)(const xf_model *, const xf_tensor *in, size_t n_in, int32_t num_threads, size_t *bytes);

    /* --- execution --- */

    /* Starts the context's threads; they sleep between runs. *ctx is NULL on failure; text: last_error(NULL). */
    xf_status (*ctx_create)(xf_model *, const xf_ctx_opts *opts, xf_ctx **ctx);
    void (*ctx_destroy)(xf_ctx *); /* NULL is allowed; not while it runs */
    /* Runs the model. in: every input in order, checked completely before anything is written. out: every output in
     * order; each
     *   data != NULL: written in place. dtype, ndim and shape must be exactly the output's (see infer_shapes; of one
     *                 with a dim that data decides, run writes the dims that it has into shape, and its elements stand
     *                 at the front, or, of a cache with room, where its strides say; a dim that is -1 there may be any,
     *                 as long as the bytes suffice), data aligned to the element and not overlapping any input or other
     *                 output. A cache (metadata "cache:NAME", of models compiled with --cache=inplace) may begin where
     *                 its past does: then only new rows are written. Both have the same strides, which may leave room
     *                 behind the rows;
     *   data == NULL: the rest of the struct is ignored and filled on success: data and shape point into the context and
     *                 stay valid until its next run or its end (or, of a caller's arena, until the arena is reused). The
     *                 struct may be passed to that next run as it is, which fills it anew; as an input it is XF_E_ARG,
     *                 as is whatever lies in the arena.
     * Allocates nothing when the context has an arena, or ran before with dims (and sizes from data) that needed as
     * much. */
    xf_status (*run)(xf_ctx *, const xf_tensor *in, size_t n_in, xf_tensor *out, size_t n_out);
    /* Ragged batches that were never padded: the sequences stand one behind another, so that batch and sequence axes
     * become one token axis, and there is no mask. cu_seqlens has n_seq + 1 entries: 0, then where each sequence ends,
     * the last being the number of tokens; entries that fall, or end elsewhere, are XF_E_RANGE. in: the packed inputs
     * (see packed_input_info). out: the model's outputs, as of run; those with a token axis hold all tokens' rows,
     * those with a batch axis n_seq. Everything else is as of run. Only for artefacts built with --packed-entry; others
     * answer XF_E_ARG. */
    xf_status (*run_packed)(xf_ctx *, const xf_tensor *in, size_t n_in, const int32_t *cu_seqlens, size_t n_seq,
                            xf_tensor *out, size_t n_out);
    /* Text of the context's last error, "" if none; valid until its next call. NULL: the calling thread's last error of
     * open, ctx_create, infer_shapes and workspace_size of this artefact, valid until the thread's next such call. */
    const char *(*last_error)(const xf_ctx *);
    /* From any thread: the run in progress stops before its next kernel with XF_E_CANCELLED. Without one, nothing
     * happens. */
    void (*cancel)(xf_ctx *);

    /* --- observation --- */

    /* From now on run calls tap for every kernel that holds a node matching the glob (* and ?; "*" for all). NULL tap:
     * none. The callback must not call back into the context, cancel excepted. */
    xf_status (*set_tap)(xf_ctx *, const char *node_glob, xf_tap tap, void *user);
    /* Starts (or restarts from zero) timing each kernel. Costs two clock reads a kernel, for the rest of the context's
     * life. */
    xf_status (*profile_start)(xf_ctx *);
    /* The times so far as JSON text, NUL-terminated. *len: its length without the NUL. buf NULL and cap 0 asks for the
     * length only; a cap that is too small is XF_E_NOMEM with *len set and buf untouched. */
    xf_status (*profile_json)(xf_ctx *, char *buf, size_t cap, size_t *len);

    /* --- the packed entry: see run_packed. Text of errors: last_error(NULL) --- */

    size_t (*num_packed_inputs)(const xf_model *);                          /* 0: built without --packed-entry */
    const xf_io_info *(*packed_input_info)(const xf_model *, size_t index); /* NULL if index is too large */
    const xf_io_info *(*packed_output_info)(const xf_model *, size_t index);
    /* As infer_shapes and workspace_size, for run_packed. */
    xf_status (*packed_infer_shapes)(const xf_model *, const xf_tensor *in, size_t n_in, const int32_t *cu_seqlens,
                                     size_t n_seq, xf_tensor *out, size_t n_out);
    xf_status (*packed_workspace_size)(const xf_model *, const xf_tensor *in, size_t n_in, const int32_t *cu_seqlens,
                                       size_t n_seq, int32_t num_threads, size_t *bytes);
} xf_api;

/* The only exported symbol. NULL if the artefact cannot serve this version of the ABI. The table is constant. */
const xf_api *xf_get_api(uint32_t abi_version);
typedef const xf_api *(*xf_get_api_fn)(uint32_t abi_version); /* its type, for dlsym */

#ifdef __cplusplus
}
#endif
#endif
