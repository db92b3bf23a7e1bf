/* lossy.h - rewrites that trade accuracy for work: what a kind of them is, and how it is asked for.
 *
 * A kind lists the sites of a graph at which it could do something, each with levels of rising strength; level 0 leaves
 * the site as it is. Applied with a level for each site it rewrites the graph, which is then a graph like any other: the
 * interpreter runs it. Which levels are right is not for the kind to say: the words of --lossy do, or whoever searches
 * (tools/lossy), who knows sites, levels and what they save, and nothing else.
 *
 * A kind is a row of lossy.def and of passes.def, and one file with two functions. It never runs unless --lossy asks.
 */
#ifndef XFC_LOSSY_H
#define XFC_LOSSY_H
#include "passes/oracle.h"
#include "passes/pass.h"

typedef enum {
#define XFC_LOSSY(id, ...) XFC_LOSSY_##id,
#define XFC_LOSSY_KEY(...)
#include "passes/lossy/lossy.def"
#undef XFC_LOSSY
#undef XFC_LOSSY_KEY
    XFC_LOSSY_COUNT,
} xfc_lossy_id;

typedef struct {
    const char
        *name; /* set by the frame: the node, made the only one of its name; with the kind, what it is known by */
    xfc_loc loc;
    const char *what;        /* for people: "residual branch of 3 products" */
    const char *why;         /* nothing can be done here; NULL: something can */
    uint32_t levels;         /* the strongest, if why is NULL: at least 1 */
    uint32_t asked;          /* the one that the words mean, or that is usual */
    const double *saves;     /* by level, levels + 1 of them: multiplications of a run, rising from 0 */
    const char *const *says; /* by level, for people; NULL: its number says enough */
    uint32_t done;           /* what was done: the level applied, or less if the kind says so when it applies it */
    void *data;              /* the kind's own, as long as the graph */
} xfc_lossy_site;

typedef struct {
    const char *key, *value;
} xfc_lossy_word;

/* Is told how far long work is: share is 0 at its begin, then up to 1; what: for people. */
typedef struct {
    void (*show)(void *user, double share, const char *what);
    void *user;
} xfc_progress;

/* --lossy=KIND:key=value,... */
typedef struct {
    xfc_lossy_id kind;
    xfc_lossy_word *word;
    uint32_t n_words, cap_words;
    const char *const *site; /* NULL: levels are those asked for; else names of sites, and the level of each; */
    const uint32_t *level;   /* sites that are not named are left as they are */
    uint32_t n_levels;
    const xfc_progress *progress; /* NULL: nobody watches */
    void *memory;                 /* the kind's own, of the context's arena: what it fitted once and needs again */
    const xfc_lossy_site *done;   /* all sites, set when the pass has run */
    uint32_t n_done;
} xfc_lossy_request;
typedef struct xfc_lossy_opts {
    xfc_lossy_request *request; /* one a kind, in the order of the pipeline */
    uint32_t n;
    xfc_oracle *oracle; /* NULL: there are no samples */
} xfc_lossy_opts;

/* What the functions of a kind work on. */
typedef struct {
    const xfc_pass *pass;
    xfc_graph *graph; /* of the pass: an entry, at stage imported; raised, if the pipeline does that */
    xfc_lossy_request *request;
    xfc_oracle *oracle;
    xfc_arena *arena; /* of sites */
    xfc_lossy_site *site;
    uint32_t n_sites, cap_sites;
    xfc_map sizes; /* of dims that are open, in a typical run */
} xfc_lossy;
typedef struct {
    const char *name, *help;
    xfc_status (*sites)(xfc_lossy *); /* adds every place that is looked at, in topological order */
    xfc_status (*apply)(xfc_lossy *, const uint32_t *level); /* by site, of which sites made a list just before */
} xfc_lossy_kind;
extern const xfc_lossy_kind xfc_lossy_kinds[XFC_LOSSY_COUNT];
#define XFC_LOSSY_KEY(...)
#define XFC_LOSSY(id, name, function, help)                                                                            \
    xfc_status xfc_##function##_sites(xfc_lossy *);                                                                    \
    xfc_status xfc_##function##_apply(xfc_lossy *, const uint32_t *level);
#include "passes/lossy/lossy.def"
#undef XFC_LOSSY
#undef XFC_LOSSY_KEY

typedef struct {
    xfc_lossy_id kind;
    const char *name, *values, *help; /* values: as lossy.def says */
} xfc_lossy_key;
extern const xfc_lossy_key xfc_lossy_keys[];
extern const uint32_t xfc_n_lossy_keys;

/* For kinds. */
xfc_lossy_site *xfc_lossy_add(xfc_lossy *, const xfc_op *);        /* its loc; all else is 0 */
const char *xfc_lossy_word_of(const xfc_lossy *, const char *key); /* NULL: not given */
int64_t xfc_lossy_number(const xfc_lossy *, const char *key, int64_t absent);
double xfc_lossy_products(xfc_lossy *, const xfc_op *); /* multiplications of its matrix products in a typical run */
double xfc_lossy_size(xfc_lossy *, xfc_int);            /* in a typical run: that of the first sample */

/* Multiplications of all matrix products of a typical run. */
double xfc_lossy_total(xfc_graph *, xfc_oracle *);

/* Sites of the request's kind in the graph of the pass, whose scratch holds them. */
xfc_status xfc_lossy_sites(const xfc_pass *, xfc_lossy_request *, xfc_oracle *, xfc_lossy *out);

#endif
