/* pass.h - what a pass is, the table of all passes, and the runner.
 *
 * A pass is one file and one function; it says whether it changed the graph. The runner alone verifies, prints, times,
 * bisects, and in test modes clones and round-trips the graph through text between passes.
 */
#ifndef XFC_PASS_H
#define XFC_PASS_H
#include "ir/defined.h"
#include "ir/target.h"

typedef enum { XFC_AUTO, XFC_OFF, XFC_FORCE } xfc_choice; /* FORCE: what cannot be done fails the compile */
typedef struct {
#define XFC_OPTION(field, ...) xfc_choice field;
#include "passes/options.def"
#undef XFC_OPTION
    const struct xfc_lossy_opts *lossy; /* what --lossy asks for (lossy/lossy.h); NULL: nothing */
    xfc_int packed_tokens; /* known: the mask surely is one, with at most so many tokens (packed_entry.c) */
} xfc_pass_opts;           /* all zero: the defaults */

typedef struct xfc_pass {
    xfc_graph *graph;
    const xfc_pass_opts *opts; /* never NULL */
    const xfc_target *target;
    xfc_arena *scratch;         /* emptied after the pass */
    const xfc_defined *defined; /* of the program, as the pass found it; from the runner */
    xfc_status status;          /* set (through xfc_fail) when the model cannot be compiled */
} xfc_pass;
typedef bool xfc_pass_fn(xfc_pass *);

typedef enum {
#define XFC_PASS(id, ...) XFC_PASS_##id,
#include "passes/passes.def"
#undef XFC_PASS
    XFC_PASS_COUNT,
} xfc_pass_id;

/* passes.def explains them */
typedef enum { XFC_KIND_OPTIONAL, XFC_KIND_REQUIRED, XFC_KIND_LOWERS, XFC_KIND_LOSSY } xfc_pass_kind;
typedef struct {
    const char *name;
    xfc_pass_fn *run;
    xfc_stage from, to;
    const char *help;
    xfc_pass_kind kind;
} xfc_pass_info;
#define XFC_PASS(id, name, function, ...) xfc_pass_fn function;
#include "passes/passes.def"
#undef XFC_PASS
extern const xfc_pass_info xfc_passes[XFC_PASS_COUNT];

typedef struct {
    const char *print_before, *print_after; /* pass name, "all", or "change" (after only); NULL none */
    const char *disable;                    /* comma-separated names; required passes refuse */
    bool verify;                            /* after every pass (always on in debug builds) */
    bool clone, roundtrip; /* test modes: replace the graph by its clone / by parse(print(graph)) after each pass */
    bool time;             /* one line a pass on `out` at the end */
    int64_t bisect_limit;  /* stop optional passes after so many; -1: no limit */
    int64_t bisect_from;   /* so many ran before, in the first part of a pipeline */
    void *out;             /* FILE* for printing; NULL = stderr */
    xfc_pass_opts passes;
} xfc_run_opts;

extern const char *const xfc_pipeline_default[4]; /* by -O level: comma-separated names, ends at stage PLANNED */
/* Runs the named passes in order on *graph (which test modes replace). Unknown names and wrong stages are
 * XFC_ERR_INPUT. */
xfc_status xfc_run_passes(xfc_graph **graph, const xfc_target *, const char *names, const xfc_run_opts *);
/* A list in three: up to the first pass of kind LOSSY, from there to the last, and the rest. None: all is in front. */
void xfc_split_lossy(xfc_arena *, const char *names, const char *part[3]);
/* Where a list is run in parts: what the passes of the others meet is not demanded of this one. */
void xfc_drop_demands(xfc_pass_opts *, const char *others);
/* How many passes of the list are what bisect_limit counts: optional, and not disabled. */
int64_t xfc_count_optional(const char *names, const char *disable);

#endif
