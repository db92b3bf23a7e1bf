/* run.h - the parts of xf-run: tensors from anywhere, a model opened with care, comparison, timing.
 *
 * A tensor of the tool is an xfc_tensor in the context's arena; errors are recorded in the context and printed at the
 * end.
 */
#ifndef XF_RUN_H
#define XF_RUN_H
#include "ir/tensor.h"
#include "runtime/plan.h"
#include "tools/cli.h"
#include "xf.h"

typedef struct {
    xfc_ctx *ctx;
    const char *path;
    void *so;
    const xf_api *api;
    xf_model *model;
    xf_plan plan; /* a copy of the one in the file */
    uint32_t n_in, n_out;
    double open_ms; /* of xf_api.open alone */
} xf_runner;

typedef struct {
    const char *name;
    const xfc_tensor *tensor;
} xf_named;
typedef struct {
    xf_named *item;
    uint32_t n, cap;
} xf_named_list;

/* --- run_model.c --- */

/* Looks at the file before it is loaded: anything but a whole model of this ABI is refused with a message. */
xfc_status xf_runner_open(xf_runner *, xfc_ctx *, const char *path, const xf_open_opts *);
void xf_runner_close(xf_runner *);
xfc_status xf_runner_context(xf_runner *, const xf_ctx_opts *, xf_ctx **out);
/* Runs once; out[i]: copies in the arena, or NULL array to leave them. */
xfc_status xf_runner_run(xf_runner *, xf_ctx *, const xfc_tensor *const *in, const xfc_tensor **out);
xfc_status xf_runner_failed(xf_runner *, const xf_ctx *, xf_status); /* records the last error */
void xf_runner_list(const xf_runner *);                              /* the signature, for people */
xf_tensor xf_tensor_view(const xfc_tensor *);
const xfc_tensor *xf_tensor_copy(xfc_ctx *, const xf_tensor *,
                                 const char *name);     /* NULL: a type that xfc does not know */
int xf_find_input(const xf_runner *, const char *name); /* -1: none */
int xf_find_output(const xf_runner *, const char *name);

/* --- run_tensor.c --- */

/* SPEC of --input: "@FILE", or "1x8xi64=1 2 3": dims, dtype (fallback if left out), values (one value fills all). */
xfc_status xf_read_spec(xfc_ctx *, const char *name, const char *spec, xfc_dtype fallback, const xfc_tensor **out);
xfc_status xf_read_tensor(xfc_ctx *, const char *path, const xfc_tensor **out); /* .npy, .pb, by extension */
/* Inputs that are not given: dims from --shape and from symbols that given inputs bind, values from the seed. */
typedef struct {
    uint64_t seed;
    int64_t max_id;
} xf_random_opts;
xfc_status xf_complete_inputs(const xf_runner *, const xf_cli_list *shapes, const xf_random_opts *,
                              const xfc_tensor **in);
void xf_print_tensor(const char *what, const char *name, const xfc_tensor *);

/* --- run_npy.c --- */

xfc_status xf_npy_parse(xfc_ctx *, const char *file, const void *data, size_t n, const xfc_tensor **out);
xfc_status xf_npy_write(xfc_ctx *, const char *path, const xfc_tensor *);
xfc_status xf_npz_read(xfc_ctx *, const char *path, xf_named_list *out); /* adds its members, names without ".npy" */

/* --- run_compare.c --- */

typedef struct {
    double rtol, atol;
} xf_tolerance;
typedef struct {
    int64_t bad, count;
    double max_abs, max_rel;
    bool same_type;
} xf_difference;
xf_difference xf_compare(const xfc_tensor *got, const xfc_tensor *want, xf_tolerance);
/* Prints one line; false if they differ. */
bool xf_report(const char *what, const char *name, const xfc_tensor *got, const xfc_tensor *want, xf_tolerance);
/* One test_data_set folder or a folder of them: OK, VERIFY if outputs differ, or the first error. */
xfc_status xf_test_data(xf_runner *, xf_ctx *, const char *folder, xf_tolerance);
/* The model file's own meaning, by the interpreter, beside the .so; per node if wanted. */
xfc_status xf_compare_model(xf_runner *, xf_ctx *, const char *model, const xf_cli_list *dims, bool per_node,
                            const xfc_tensor *const *in, xf_tolerance); /* run_nodes.c */

/* --- run_bench.c --- */

typedef struct {
    const char *warmup, *duration, *iters, *profile;
    int32_t threads;
    bool json;
} xf_bench_opts;
xfc_status xf_bench(xf_runner *, xf_ctx *, const xfc_tensor *const *in, const xf_bench_opts *);
bool xf_parse_time(const char *text, double *seconds); /* "200ms", "3s", "3" */
xfc_status xf_write_profile(xf_runner *, xf_ctx *, const char *path);

#endif
