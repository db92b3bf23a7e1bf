/* lossy.h - what results are worth that an option made inexact: samples, programs run on them, differences. */
#ifndef XF_LOSSY_H
#define XF_LOSSY_H
#include "backends/backend.h"
#include "ir/base/outfile.h"
#include "passes/lossy/lossy.h"
#include "tools/cli.h"
#include "tools/emit.h"

/* --- samples.c --- */

typedef struct {
    const char *where;           /* the folder; NULL: made up */
    xfc_samples all, fit, judge; /* all: the two halves, one behind the other */
} xf_samples;
/* DIR: .npz files, and folders of ONNX's test_data_set layout. There are at least so many samples, and every one fits the
 * graph's inputs, or it fails. option: for messages. */
xfc_status xf_samples_read(xfc_ctx *, const char *option, const char *dir, uint32_t least, const xfc_graph *,
                           xf_samples *out);
/* One, made up: the first dim of an input is 2 where it is open, others are 16, as far as their bounds allow. */
xfc_status xf_samples_make(xfc_ctx *, const xfc_graph *, xf_samples *out);

/* --- oracle.c --- */

/* Compiles for this machine, links, and runs, in child processes: what happens there, and the memory it takes, goes with
 * them. */
typedef struct {
    xfc_oracle base; /* first */
    const xfc_backend *backend;
    const char *names, *linker; /* of passes */
    xfc_run_opts run;
    int opt_level;
    const char *kernels;         /* a folder for code that programs share; NULL: none */
    const struct xf_kept *exact; /* what base.differ compares with; NULL: nobody asks it */
} xf_oracle;
void xf_oracle_init(xf_oracle *, const xf_samples *); /* base; the rest is the caller's */
/* Compiles only: for who runs it in a way of his own. */
xfc_status xf_oracle_build(const xf_oracle *, xfc_graph *, const char *so);

/* --- kernels.c --- */

/* As xf_emit_library, of one ISA, with code that other programs made in the folder. In a child process: what it maps goes
 * with it. */
xfc_status xf_link_shared(const char *dir, const xf_library *, xfc_graph *);

/* --- remote.c --- */

/* Work in a child process: what it records as an error is recorded here, all else that it did is gone. */
typedef xfc_status xf_remote_work(const void *arg);
xfc_status xf_remote(xfc_ctx *, xf_remote_work *, const void *arg);
/* A compiled model on samples, as an xfc_oracle runs a graph. */
xfc_status xf_run_samples(xfc_ctx *, const char *so, const xfc_samples *, xfc_oracle_see *, void *user,
                          double *seconds);
/* A folder, which goes however the process ends; NULL: recorded. */
const char *xf_temporary(xfc_ctx *);
void xf_temporary_end(xfc_ctx *, const char *dir);

/* --- kept.c --- */

/* Outputs that were kept, to be compared with others. */
typedef struct {
    xfc_tensor *out; /* by output, without data */
    uint64_t at;     /* in the file */
} xf_kept_sample;
typedef struct xf_kept {
    xfc_ctx *ctx;
    uint32_t n_out;
    const char *const *name; /* of outputs */
    xf_kept_sample *of;      /* by sample */
    struct xf_kept_file *file;
} xf_kept;
xfc_status xf_kept_new(xfc_ctx *, xfc_arena *, const xfc_graph *, const xfc_samples *, xf_kept *);
xfc_oracle_see xf_keep; /* user: an xf_kept */
/* out: by output; they lie in the arena. */
xfc_status xf_kept_read(const xf_kept *, uint32_t sample, xfc_arena *, const xfc_tensor **out);

/* --- difference.c --- */

/* cos: mean over samples of the cosine between all of an output and all of the exact one. rel: the length of the
 * difference over that of the exact output, of all samples. abs: the largest difference. top1: percent of rows whose
 * largest element is another one. kl: mean over rows of the divergence of their softmaxes. A row lies along the last
 * dim. */
typedef enum { XF_COS, XF_REL, XF_ABS, XF_TOP1, XF_KL, XF_N_METRICS } xf_metric;
extern const char *const xf_metric_names[XF_N_METRICS];

/* The sum of a over that of b, each of a sample, and what is needed to say how sure that is. */
typedef struct {
    double n, a, b, aa, ab, bb;
} xf_ratio;
/* How far an output is from the exact one, over all samples seen. */
typedef struct {
    double most, largest; /* |difference|, |exact value| */
    xf_ratio ratio[XF_N_METRICS];
    int64_t lost;            /* elements that are finite in one of them only */
    bool floats, other_size; /* other_size: of a sample the dims differ; what follows is about the others */
} xf_distance;
/* What holds nothing comparable is as far as can be. margin: so many standard errors are added. */
double xf_metric_of(const xf_distance *, xf_metric, double margin);
/* Other samples will be met than those that were measured: the margin with which a budget holds for 19 of 20. */
extern const double xf_sure;
double xf_least_top1(double rows); /* what so many rows can show at best, with this margin */
void xf_distance_text(xfc_buf *, const char *output, const xf_distance *, bool kl); /* all of them, for people */
typedef struct {
    const xf_kept *exact;
    xf_distance *output; /* by output */
    bool kl;             /* is asked for */
} xf_distances;
xf_distances xf_distances_new(xfc_arena *, const xf_kept *exact, bool kl);
xfc_oracle_see xf_see_distance; /* user: an xf_distances */

/* --- progress.c --- */

/* On a terminal; else nothing is shown. */
typedef struct {
    bool on;
    double start;
} xf_progress;
xf_progress xf_progress_new(bool quiet);
void xf_progress_show(void *progress, double share, const char *what); /* share: 0 begins anew, 1 is all */
void xf_progress_end(const xf_progress *);                             /* the line is gone */

/* --- measure.c --- */

/* What an option costs that has no budget: the exact program on all samples, then what was written. */
typedef struct {
    xf_samples samples;
    xf_kept exact;
    xfc_arena *arena;
    const char *failed; /* on inputs that were made up: why the exact program says nothing */
} xf_measurement;
/* Fails only on samples that were given. The oracle's graph is as it was imported. */
xfc_status xf_measure_exact(xf_measurement *, xf_oracle *, xfc_graph *);
/* A note for each output of floats of the model that was written: its distance; or why nothing can be said. Frees what
 * was measured. */
void xf_measure_tell(xf_measurement *, xfc_ctx *, const char *option, bool json, const char *so);

/* --- budget.c --- */

/* --max-error=METRIC:LIMIT[@OUTPUT]. */
typedef struct {
    xf_metric metric; /* XF_N_METRICS: the number that --eval's command prints, which may fall so far */
    double limit;
    const char *output, *text; /* output: NULL: each; text: as given */
} xf_budget;
typedef struct xf_budgets {
    xf_budget *item; /* all of them hold */
    uint32_t n, cap;
    const char *eval; /* the command; NULL: none */
    double timeout;
    bool kl; /* one of them needs it */
} xf_budgets;
/* False: a message is on stderr, exit code 2. */
bool xf_budgets_read(const char *tool, xfc_ctx *, const xf_cli_list *given, xf_budgets *);
xfc_status xf_budgets_check(const xf_budgets *, const xfc_graph *); /* do the outputs exist, and are they floats? */
/* Can the first n samples that exact is of show what is demanded? */
xfc_status xf_budgets_enough(const xf_budgets *, const xfc_graph *, const xf_kept *exact, uint32_t n);
/* How much of the budget is used: 1: just all of it. Of outputs and, if there is a command, of its number. margin: in
 * standard errors, for who will meet other samples. */
double xf_budgets_used(const xf_budgets *, const xf_distance *output, const char *const *name, uint32_t n_out,
                       double metric, double exact_metric, double margin);
/* The number that the command prints about a model. judging: else it is to choose by; the same for a command that does not
 * tell the two apart. */
xfc_status xf_eval(const xf_budgets *, xfc_ctx *, const char *so, bool judging, double *metric);
bool xf_eval_has_halves(const xf_budgets *); /* does it tell them apart? */

/* --- search.c --- */

/* One setting that was compiled and measured: of one site alone, on a few samples; on the fitting half; on the judging
 * half. */
enum { XF_PROBE, XF_CHOICE, XF_VERDICT };
typedef struct {
    int what;              /* XF_PROBE ... */
    const uint32_t *level; /* by site of the search */
    double used, metric;   /* of the budget; metric: of --eval */
    double seconds, exact_seconds, products;
    const xf_distance *output; /* NULL: no samples */
} xf_trial;
typedef struct xf_search {
    const xf_budgets *budgets;
    const xfc_lossy_opts *lossy;
    const xf_samples *samples; /* NULL: there is a command only */
    const xf_kept *exact;      /* of all samples; its arena holds the search */
    const double *exact_seconds;
    double exact_metric[2], exact_products; /* metric: of what is chosen by, of what is judged by */
    xf_oracle *oracle;
    xfc_graph *base;
    /* Makes what a vector of levels means, from a clone of base. */
    xfc_status (*apply)(struct xf_search *, const uint32_t *level, xfc_graph **out);
    void *user;
    bool quiet; /* no progress is shown */
    /* Found: */
    struct xf_search_site {
        uint32_t request;
        const xfc_lossy_site *site;
        double error; /* share of the budget that the middle level takes alone, as probed */
    } *site;
    uint32_t n_sites, cap_sites;
    const xf_trial **trial;
    uint32_t n_trials, cap_trials;
    const xf_trial *verdict; /* the last one, within the budget */
} xf_search;
/* The strongest setting within the budget, or a refusal that says which came nearest. */
xfc_status xf_search_run(xf_search *, xfc_arena *);

/* --- trade.c --- */

/* From the graph as imported to one that is exact no longer: everything up to the last lossy pass. */
typedef struct {
    const xfc_backend *backend;
    const char *linker, *calib;
    int opt_level;
    bool json, quiet;
    xfc_lossy_opts *lossy;
    const xf_budgets *budgets; /* n 0: what is asked for is done */
    xfc_outfile *report;       /* open */
    uint32_t n_reports;
} xf_trade;
/* names: those behind it; run: demands that were met are dropped. */
xfc_status xf_trade_run(const xf_trade *, xfc_graph **, const char **names, xfc_run_opts *run);

/* --- record.c --- */

/* What was done, and what it costs: as notes on stderr, and as metadata: "lossy" is JSON, "lossy.0" ... lines of text. */
typedef struct {
    const xfc_lossy_opts *lossy;
    const xf_budgets *budgets;
    double products, exact_products, used;
    double metric, exact_metric; /* of --eval */
    const xf_samples *samples;   /* NULL: nothing was measured; then no more follows */
    const xf_kept *exact;
    const xf_distance *output; /* on the judging half */
    double seconds, exact_seconds;
} xf_record;
void xf_record_store(const xf_record *, xfc_graph *);
void xf_record_tell(const xf_record *, xfc_ctx *, bool json);
/* "outputs": the metrics of each; output NULL: of none. */
void xf_outputs_json(const xf_kept *exact, const xf_distance *output, const xf_budgets *, xfc_buf *);
void xf_record_json(const xf_record *, xfc_buf *);
void xf_json_number(xfc_buf *, const char *key, double value);           /* , "key": value; null if it is infinite */
const char *xf_lossy_words_text(const xfc_lossy_request *, xfc_arena *); /* as given: KIND:key=value,... */

/* --- report.c, page.c --- */

/* Opened first, so that nothing is searched for in vain; they take their places with the model. */
xfc_status xf_reports_open(xfc_ctx *, const xf_cli_list *names, xfc_outfile *out);
/* search: NULL: there was none. */
xfc_status xf_reports_write(const xf_record *, const xf_search *, const xfc_graph *, xfc_outfile *, uint32_t n);
void xf_report_page(const xf_record *, const xf_search *, const xfc_graph *, xfc_buf *out); /* HTML */

#endif
