/* remote.c - work in a child process, and compiled models run there on samples.
 *
 * A child has a copy of the whole context, so what happens to it is nobody's business here, its memory goes with it, and
 * code that crashes takes only the child along. Through a pipe come outputs, sample by sample, or what was recorded as an
 * error. Folders for files are the parent's, which knows how to leave nothing behind (ir/base/leftover.h).
 */
#define _GNU_SOURCE
#include "ir/base/outfile.h"
#include "tools/child.h"
#include "tools/lossy/lossy.h"
#include "tools/run/run.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_BUG = 70, ROUNDS = 5 };
static const double long_enough = 0.05; /* seconds, for a time that says something */

typedef struct {
    enum { SAMPLE, FAILED, DONE } what;
    xfc_status status; /* FAILED; texts follow: file, node, op, message */
    uint32_t opset, line;
    double seconds; /* SAMPLE, */
    uint32_t n_out; /* of which so many tensors follow */
} record;
typedef struct {
    xfc_dtype dtype;
    uint32_t rank;
    int64_t dim[XFC_MAX_RANK];
    uint64_t bytes;
} head; /* the bytes follow */

/* --- the child --- */

typedef struct {
    xfc_ctx *ctx;
    int to;
} channel;

static void send(const channel *c, const void *data, size_t n) {
    if (!xf_send(c->to, data, n)) _exit(1); /* nobody listens */
}

static void send_text(const channel *c, const char *text) {
    uint32_t n = text ? (uint32_t)strlen(text) : UINT32_MAX;
    send(c, &n, sizeof n);
    if (text) send(c, text, n);
}

static void send_failure(const channel *c, xfc_status status) {
    const xfc_diag *d = NULL;
    for (uint32_t i = c->ctx->n_diags; i-- > 0 && !d;) d = c->ctx->diags[i].is_note ? NULL : &c->ctx->diags[i];
    record r = {.what = FAILED, .status = status};
    if (d) r.opset = d->loc.opset, r.line = d->loc.line;
    send(c, &r, sizeof r);
    send_text(c, d ? d->loc.file : NULL);
    send_text(c, d ? d->loc.node : NULL);
    send_text(c, d ? d->loc.op : NULL);
    send_text(c, d ? d->text : "failed");
}

static xfc_status send_outputs(const channel *c, const xf_runner *m, const xf_tensor *out, double seconds) {
    record r = {.what = SAMPLE, .seconds = seconds, .n_out = m->n_out};
    send(c, &r, sizeof r);
    for (uint32_t i = 0; i < m->n_out; i++) {
        head h = {.rank = (uint32_t)out[i].ndim};
        int64_t count;
        size_t bytes;
        memcpy(h.dim, out[i].shape, h.rank * sizeof *h.dim);
        xfc_assert(xf_dtype_known(out[i].dtype, &h.dtype)); /* the compiler that we are made it */
        xfc_assert(xfc_tensor_count(h.dtype, h.rank, h.dim, &count, &bytes));
        h.bytes = bytes;
        send(c, &h, sizeof h);
        send(c, (const char *)out[i].data + out[i].byte_offset, bytes);
    }
    return XFC_OK;
}

/* By name: the program may have its inputs in another order. */
static xfc_status views(const xf_runner *m, const xfc_samples *s, uint32_t sample, xf_tensor *in) {
    for (uint32_t i = 0; i < m->n_in; i++) {
        const char *name = m->api->input_info(m->model, i)->name;
        uint32_t at = 0;
        while (at < s->n_in && strcmp(s->input[at], name) != 0) at++;
        if (at == s->n_in)
            return xfc_fail(m->ctx, XFC_ERR_INPUT, (xfc_loc){.file = m->path}, "samples hold nothing for input '%s'",
                            name);
        in[i] = xf_tensor_view(s->in[sample][at]);
    }
    return XFC_OK;
}

/* The least of a few times: what disturbs only adds. */
static xf_status run_timed(xf_runner *m, xf_ctx *run, const xf_tensor *in, xf_tensor *out, double *seconds) {
    double spent = 0;
    for (int i = 0; i < ROUNDS && spent < long_enough; i++) {
        double start = xf_seconds();
        xf_status status = m->api->run(run, in, m->n_in, out, m->n_out);
        double took = xf_seconds() - start;
        if (status != XF_OK) return status;
        *seconds = i && *seconds < took ? *seconds : took;
        spent += took;
    }
    return XF_OK;
}

static xfc_status run_sample(const channel *c, xf_runner *m, xf_ctx *run, const xfc_samples *s, uint32_t sample) {
    xf_tensor *in = xfc_new_array(m->ctx->arena, xf_tensor, m->n_in),
              *out = xfc_new_array(m->ctx->arena, xf_tensor, m->n_out);
    double seconds = 0;
    XFC_TRY(views(m, s, sample, in));
    xf_status status = sample ? XF_OK : m->api->run(run, in, m->n_in, out, m->n_out); /* once more, to get warm */
    if (status == XF_OK) status = run_timed(m, run, in, out, &seconds);
    if (status != XF_OK)
        return xfc_fail(m->ctx, XFC_ERR_INPUT, (xfc_loc){.file = s->name[sample]},
                        "the model does not run on this sample: %s", m->api->last_error(run));
    return send_outputs(c, m, out, seconds);
}

static xfc_status run_all(const channel *c, const char *so, const xfc_samples *s) {
    xf_runner m;
    xf_ctx *run = NULL;
    XFC_TRY(xf_runner_open(&m, c->ctx, so, &(xf_open_opts){.struct_size = sizeof(xf_open_opts)}));
    XFC_TRY(xf_runner_context(&m, &(xf_ctx_opts){.struct_size = sizeof(xf_ctx_opts)}, &run));
    for (uint32_t i = 0; i < s->n; i++) XFC_TRY(run_sample(c, &m, run, s, i));
    return XFC_OK;
}

typedef struct {
    xfc_ctx *ctx;
    xf_remote_work *work; /* NULL: so is run on samples */
    const void *arg;
    const char *so;
    const xfc_samples *samples;
} job;

static void work(const void *arg, int to) {
    const job *j = arg;
    const channel c = {j->ctx, to};
    xfc_status s = j->work ? j->work(j->arg) : run_all(&c, j->so, j->samples);
    if (s == XFC_OK)
        send(&c, &(record){.what = DONE}, sizeof(record));
    else
        send_failure(&c, s);
}

/* --- the parent --- */

typedef struct {
    xfc_ctx *ctx;
    int from;
    xfc_arena *arena; /* of one sample */
} listener;

static bool receive(const listener *l, void *data, size_t n) { return xf_receive(l->from, data, n); }

/* Interned: messages outlive the sample. False: the child is gone. */
static bool receive_text(const listener *l, const char **text) {
    uint32_t n;
    *text = NULL;
    if (!receive(l, &n, sizeof n)) return false;
    if (n == UINT32_MAX) return true;
    char *bytes = xfc_alloc(l->arena, (size_t)n + 1, 1);
    if (!receive(l, bytes, n)) return false;
    *text = xfc_str(l->ctx, bytes);
    return true;
}

static xfc_status receive_failure(const listener *l, const record *r) {
    xfc_loc loc = {.opset = r->opset, .line = r->line};
    const char *text;
    if (!receive_text(l, &loc.file) || !receive_text(l, &loc.node) || !receive_text(l, &loc.op) ||
        !receive_text(l, &text) || !text)
        return XFC_ERR_TOOL;
    return xfc_fail(l->ctx, r->status, loc, "%s", text);
}

static const xfc_tensor *receive_tensor(const listener *l) {
    head h;
    if (!receive(l, &h, sizeof h)) return NULL;
    xfc_tensor *t = xfc_new(l->arena, xfc_tensor);
    void *data = xfc_alloc(l->arena, h.bytes, 64);
    *t = (xfc_tensor){.dtype = h.dtype, .rank = h.rank, .bytes = h.bytes, .data = data};
    memcpy(t->dim, h.dim, sizeof t->dim);
    bool fits = xfc_tensor_count(t->dtype, t->rank, t->dim, &t->count, NULL);
    xfc_assert(fits);
    return receive(l, data, h.bytes) ? t : NULL;
}

static xfc_status receive_sample(const listener *l, const record *r, uint32_t sample, xfc_oracle_see *see, void *user) {
    const xfc_tensor **out = xfc_new_array(l->arena, const xfc_tensor *, r->n_out);
    for (uint32_t i = 0; i < r->n_out; i++)
        if (!(out[i] = receive_tensor(l))) return XFC_ERR_TOOL;
    xfc_status s = see(user, sample, out);
    xfc_arena_reset(l->arena);
    return s;
}

/* OK, or a failure that was recorded, or TOOL: the child ended in the middle. */
static xfc_status listen(const listener *l, xfc_oracle_see *see, void *user, double *seconds) {
    record r;
    for (uint32_t sample = 0; receive(l, &r, sizeof r); sample++) {
        if (r.what == FAILED) return receive_failure(l, &r);
        if (r.what == DONE) return XFC_OK;
        if (seconds) seconds[sample] = r.seconds;
        XFC_TRY(receive_sample(l, &r, sample, see, user));
    }
    return XFC_ERR_TOOL;
}

/* A bug has told of itself. */
static xfc_status ended(xfc_ctx *ctx, int status) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_BUG) exit(EXIT_BUG);
    return xfc_fail(
        ctx, XFC_ERR_TOOL, (xfc_loc){0},
        "the program that was compiled to be measured ended by signal %d: if memory did not run out, please "
        "report it as a bug",
        WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static xfc_status in_child(const job *j, xfc_oracle_see *see, void *user, double *seconds) {
    xf_child child;
    uint32_t errors = j->ctx->n_errors;
    if (!xf_child_start(&child, work, j))
        return xfc_fail(j->ctx, XFC_ERR_TOOL, (xfc_loc){0}, "no process for a program to be measured: %s",
                        strerror(errno));
    listener l = {j->ctx, child.from, xfc_arena_new()};
    xfc_status s = listen(&l, see, user, seconds);
    xfc_arena_free(l.arena);
    int status = xf_child_end(&child);
    return s != XFC_OK && j->ctx->n_errors == errors ? ended(j->ctx, status) : s;
}

xfc_status xf_remote(xfc_ctx *ctx, xf_remote_work *fn, const void *arg) {
    return in_child(&(job){.ctx = ctx, .work = fn, .arg = arg}, NULL, NULL, NULL);
}

xfc_status xf_run_samples(xfc_ctx *ctx, const char *so, const xfc_samples *samples, xfc_oracle_see *see, void *user,
                          double *seconds) {
    return in_child(&(job){.ctx = ctx, .so = so, .samples = samples}, see, user, seconds);
}

/* --- files --- */

const char *xf_temporary(xfc_ctx *ctx) {
    const char *tmp = getenv("TMPDIR");
    char *dir = xfc_sprintf(ctx->arena, "%s/xfc-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (mkdtemp(dir)) {
        xfc_leftover_add(ctx->leftovers, dir);
        return dir;
    }
    xfc_fail(ctx, XFC_ERR_IO, (xfc_loc){.file = dir},
             "no temporary directory: %s; set TMPDIR to a directory that can be written", strerror(errno));
    return NULL;
}

void xf_temporary_end(xfc_ctx *ctx, const char *dir) {
    xfc_remove_tree(dir);
    xfc_leftover_drop(ctx->leftovers, dir);
}
