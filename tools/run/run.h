/* run.h - the parts of xf-run: tensors from anywhere, a model opened with care, comparison, timing.
 *
 * A tensor of the tool is an xfc_tensor in the context's arena; errors are recorded in the context and printed at the
 * end.
 */
#ifndef XF_RUN_H
#define XF_RUN_H
#include "frontend/frontend.h"
#include "ir/tensor.h"
#include "runtime/plan.h"
#include "tools/cli.h"
#include "xf.h"

#define XF_PADDED_OUTPUT "padded-output:" /* metadata: + the name of an output = the input that masks it */

typedef struct {
    xfc_ctx *ctx;
    const char *path;
    void *so;
    const xf_api *api;
    xf_model *model;
    xf_plan plan; /* a copy of the one in the file */
    uint32_t n_in, n_out;
    double open_ms;                /* of xf_api.open alone */
    bool packed;                   /* xf_runner_run and xf_bench use run_packed */
    const struct xf_packed *given; /* its arguments, if they were given packed; outputs then stay so */
} xf_runner;

typedef struct {
    const char *name;
    const xfc_tensor *tensor;
} xf_named;
typedef struct {
    xf_named *item;
    uint32_t n, cap;
} xf_named_list;

/* --- run/model.c --- */

/* Looks at the file before it is loaded: anything but a whole model of this ABI is refused with a message. */
xfc_status xf_runner_open(xf_runner *, xfc_ctx *, const char *path, const xf_open_opts *);
void xf_runner_close(xf_runner *);
xfc_status xf_runner_context(xf_runner *, const xf_ctx_opts *, xf_ctx **out);
/* Runs once; out[i]: copies in the arena, or NULL array to leave them. Packed or not, both are those of run. */
xfc_status xf_runner_run(xf_runner *, xf_ctx *, const xfc_tensor *const *in, const xfc_tensor **out);
xfc_status xf_runner_failed(xf_runner *, const xf_ctx *, xf_status); /* records the last error */
void xf_runner_list(const xf_runner *);                              /* the signature, for people */
xf_tensor xf_tensor_view(const xfc_tensor *);
const xfc_tensor *xf_tensor_copy(xfc_ctx *, const xf_tensor *,
                                 const char *name); /* NULL: a type that xfc does not know */
bool xf_dtype_known(xf_dtype, xfc_dtype *out);
const char *xf_dtype_text(xfc_dtype); /* its name for people, who need not know that it is packed */
/* Where input or output `number` of the ONNX model begins among the parts of all, and what it is. */
uint32_t xf_find_part(const xf_runner *, bool output, uint32_t number, xfc_border *);
int xf_find_input(const xf_runner *, const char *name); /* -1: none */
int xf_find_output(const xf_runner *, const char *name);

/* --- run/lengths.c --- */

typedef struct {
    enum { XF_LENGTHS_FULL, XF_LENGTHS_ZIPF, XF_LENGTHS_UNIFORM, XF_LENGTHS_LIST } law;
    const char *text;
    int64_t most, *list;
    double least;
    uint32_t n_list;
} xf_lengths;
bool xf_lengths_parse(xfc_arena *, const char *text, xf_lengths *out);
/* out: one length of 0..longest for each sequence. */
xfc_status xf_lengths_draw(const xf_lengths *, xfc_ctx *, uint64_t seed, int64_t batch, int64_t longest, int64_t *out);

/* --- run/tensor.c --- */

/* SPEC of --input: "@FILE", or "1x8xi64=1 2 3": dims, dtype (fallback if left out), values (one value fills all).
 * option: for messages. */
xfc_status xf_read_spec(xfc_ctx *, const char *option, const char *spec, xfc_dtype fallback, const xfc_tensor **out);
xfc_status xf_read_tensor(xfc_ctx *, const char *path, const xfc_tensor **out); /* .npy, .pb, by extension */
/* The same where numbers of this type are wanted, which a file may hold as int8 or uint8 if a byte holds several. */
xfc_status xf_read_tensor_as(xfc_ctx *, const char *path, xfc_dtype, const xfc_tensor **out);
uint64_t xf_random(uint64_t *state); /* the same sequence everywhere */
/* Inputs that are not given: dims from --shape and from symbols that given inputs bind, values from the seed. */
typedef struct {
    uint64_t seed;
    int64_t max_id, pad_id;    /* pad_id: made-up ids behind the end of a sequence; -1: random as the others */
    const xf_lengths *lengths; /* of sequences, for masks; NULL: full */
} xf_random_opts;
/* What a batch holds: of the first mask that was made up, if one was. */
typedef struct {
    bool known;
    int64_t sequences, tokens, positions;
} xf_fill;
xfc_status xf_complete_inputs(const xf_runner *, const xf_cli_list *shapes, const xf_random_opts *,
                              const xfc_tensor **in, xf_fill *fill);
/* As above, one tensor of a model that is not compiled yet; rank and dims are of a size that fits. */
xfc_status xf_made_up(xfc_ctx *, const char *name, xfc_dtype, uint32_t rank, const int64_t *dim, const xf_random_opts *,
                      const xfc_tensor **out);
void xf_print_tensor(const char *what, const char *name, const xfc_tensor *);

/* --- run/npy.c --- */

xfc_status xf_npy_parse(xfc_ctx *, const char *file, const void *data, size_t n, const xfc_tensor **out);
xfc_status xf_npy_write(xfc_ctx *, const char *path, const xfc_tensor *);
xfc_status xf_npz_read(xfc_ctx *, const char *path, xf_named_list *out); /* adds its members, names without ".npy" */

/* --- run/test_set.c --- */

typedef struct {
    const char *file, *name; /* name: NULL or "" if none stands in the file */
    const xfc_tensor *tensor;
    int index; /* of the input or output that the number of the file means; -1: it has none */
    bool output;
} xf_set_item;
typedef struct {
    xf_set_item *item;
    uint32_t n, cap;
} xf_set;
/* Adds what is in the folder. The runner: whose files these are, as only a model knows what is a sequence; NULL: all are
 * tensors. */
xfc_status xf_set_read(xfc_ctx *, const xf_runner *, const char *folder, xf_set *out);

/* --- run/ulp.c --- */

enum { XF_ULP_BUCKETS = 66 }; /* 0, 1, 2..3, 4..7, ...; last: NaN against a number */
typedef struct {
    int64_t count[XF_ULP_BUCKETS];
    uint64_t max;
    int64_t at; /* element of the first max */
} xf_histogram;
uint64_t xf_ulps(const xfc_tensor *, const xfc_tensor *, int64_t i); /* of one type; UINT64_MAX: NaN and a number */
void xf_histogram_add(xf_histogram *, uint64_t ulps, int64_t at);
void xf_histogram_print(const xf_histogram *);

/* --- run/compare.c --- */

/* An element is right if |a - b| <= atol + rtol |b|; with in_ulps, if it is at most max_ulps values of its type
 * away. */
typedef struct {
    double rtol, atol;                       /* negative: what its type is commonly held to */
    bool show_ulps, in_ulps, strict_padding; /* show_ulps: print the distances too */
    uint64_t max_ulps;
} xf_tolerance;
/* Rows that are not compared: those at which the mask is 0. A row: the elements behind the mask's dims, which are the
 * first dims of the tensor. mask NULL: all rows are. */
typedef struct {
    const xfc_tensor *mask;
    const char *name;
} xf_padding;
typedef struct {
    int64_t bad, count, left_out, rows; /* left_out of rows */
    int64_t worst_at;                   /* the element furthest beyond the tolerance, if bad */
    double max_abs, max_rel, worst;
    bool same_type;
    xf_histogram ulps;
} xf_difference;
xf_difference xf_compare(const xfc_tensor *got, const xfc_tensor *want, xf_tolerance, xf_padding);
/* Prints one line, and one for the worst element if they differ; false then. */
bool xf_report(const char *what, const char *name, const xfc_tensor *got, const xfc_tensor *want, xf_tolerance,
               xf_padding);
/* What the model says of its output: 0 where an input is. No mask if it says nothing, if a tensor of this shape cannot
 * be meant, or with strict_padding. */
xf_padding xf_padding_of(const xf_runner *, const char *output, const xfc_tensor *value, const xfc_tensor *const *in,
                         xf_tolerance);
/* One test_data_set folder or a folder of them: OK, VERIFY if outputs differ, or the first error. */
xfc_status xf_test_data(xf_runner *, xf_ctx *, const char *folder, xf_tolerance);
/* The model file's own meaning, by the interpreter, beside the .so; per node if wanted. */
xfc_status xf_compare_model(xf_runner *, xf_ctx *, const char *model, const xf_cli_list *dims, bool per_node,
                            const xfc_tensor *const *in, xf_tolerance); /* run/nodes.c */

/* --- run/data.c --- */

struct xf_budgets;
/* Its distance from the exact program, on the samples of a folder; VERIFY if that is beyond the budgets. */
xfc_status xf_compare_data(xf_runner *, const char *model, const xf_cli_list *dims, const char *dir,
                           const struct xf_budgets *);

/* --- run/packed.c --- */

typedef struct xf_packed { /* arguments of run_packed */
    xf_tensor *in;
    size_t n_in, n_seq;
    int32_t *cu;
    const xfc_tensor *mask; /* NULL: they were given packed */
} xf_packed;
/* --cu-seqlens and the --input of packed tensors: all of them, none made up. Sets r->given. */
xfc_status xf_take_packed(xf_runner *r, const char *cu_seqlens, const xf_cli_list *inputs);
xfc_status xf_pack(xf_runner *, const xfc_tensor *const *in, xf_packed *out); /* in: those of run */
size_t xf_n_packed(const xf_runner *); /* inputs of the packed entry; 0: the model has none */
/* The mask that says where an output gets its padding again; NULL: nowhere. */
const char *xf_packed_mask_of(const xf_runner *, const char *output);
xfc_status xf_run_packed_once(xf_runner *, xf_ctx *, const xfc_tensor *const *in, const xfc_tensor **out);

/* --- run/bench.c --- */

typedef struct {
    double warmup, duration; /* seconds */
    int64_t iters;           /* 0: as many as fit into the duration */
    const char *profile;
    int32_t threads, contexts;
    bool json;
    xf_fill fill; /* printed if known */
} xf_bench_opts;
/* contexts 1: ctx runs; more: so many others, each in a thread of its own. VERIFY: their outputs differ in a bit. */
xfc_status xf_bench(xf_runner *, xf_ctx *, const xfc_tensor *const *in, const xf_bench_opts *);
xfc_status xf_write_profile(xf_runner *, xf_ctx *, const char *path);

/* --- run/generate.c --- */

typedef struct {
    const int64_t *prompt;
    int64_t n_prompt, max_new, end_id; /* end_id: stops behind it; -1: none */
    const char *profile;               /* of the steps behind the prompt */
    int32_t threads;
    bool json;
} xf_generate_opts;
/* in: what --input gave, NULL for others. Prints tokens and speed. */
xfc_status xf_generate(xf_runner *, xf_ctx *, const xf_cli_list *shapes, const xf_random_opts *, const xfc_tensor **in,
                       const xf_generate_opts *);

#endif
