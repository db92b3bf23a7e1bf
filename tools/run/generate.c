/* generate.c - --generate: greedy decoding with a cache. The prompt in one run, then a token a step.
 *
 * What an input is for is told by its name, as exporters write them: ids, masks, positions; past_key_values.N.key is fed
 * what present.N.key was. The dim along which a cache grows is the one that its first dims and the model's sizes leave
 * open; a cache that shares that dim with an input which was given (a decoder's cache of its encoder) is made by the first
 * run and stays. What is left over is given with --input or --shape, as for any run. Nothing is guessed: a model that
 * this does not fit is refused, with the input that does not.
 *
 * Every cache has two buffers with room for the last step; each step reads one and writes the other. A model that writes
 * its cache where it lies (metadata cache:present.N.key) has it in one from the first step on, with room behind its rows.
 */
#include "tools/run/run.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { ROLE_GIVEN, ROLE_IDS, ROLE_MASK, ROLE_POSITIONS, ROLE_TOTAL, ROLE_BRANCH, ROLE_CACHE } role;

/* Names of inputs that a step fills. */
static const struct {
    const char *name;
    role role;
} roles[] = {
    {"input_ids", ROLE_IDS},
    {"decoder_input_ids", ROLE_IDS},
    {"attention_mask", ROLE_MASK},
    {"decoder_attention_mask", ROLE_MASK},
    {"position_ids", ROLE_POSITIONS},
    {"decoder_position_ids", ROLE_POSITIONS},
    {"cache_position", ROLE_POSITIONS},
    {"total_sequence_length", ROLE_TOTAL},
    {"use_cache_branch", ROLE_BRANCH},
};

/* What begins the name of a cache that goes in; "present" stands for it in that of the one that comes out. */
static const char *const pasts[] = {"past_key_values", "past"};

typedef struct {
    role role;
    const xf_io_info *info;
    xfc_dtype dtype;
    int64_t dim[XFC_MAX_RANK];
    void *data;
    /* of a cache */
    int output;                   /* -1: none */
    uint32_t grows;               /* the dim */
    bool kept;                    /* as the first run made it */
    void *next;                   /* the other buffer */
    int64_t room;                 /* bytes of each */
    bool in_place;                /* may be written where it lies; from the second run on it is */
    int64_t stride[XFC_MAX_RANK]; /* then: those of the whole buffer */
} input;

typedef struct {
    xf_runner *r;
    xf_ctx *ctx;
    const xf_generate_opts *o;
    input *in;
    xf_tensor *tin, *tout;
    int64_t (*shape)[XFC_MAX_RANK]; /* of outputs */
    int ids, logits;
    int64_t past, *token, n_tokens; /* rows in the caches; the prompt and what was made */
} generation;

static xfc_status refuse(const generation *g, const char *why, const char *name) {
    return xfc_fail(g->r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = g->r->path}, "--generate: %s%s%s%s; see --list", why,
                    name ? " '" : "", name ? name : "", name ? "'" : "");
}

/* --- what each input is for --- */

static int cache_output(const generation *g, const char *name) {
    for (size_t i = 0; i < XFC_COUNT(pasts); i++) {
        size_t n = strlen(pasts[i]);
        if (strncmp(name, pasts[i], n) != 0) continue;
        int at = xf_find_output(g->r, xfc_sprintf(g->r->ctx->arena, "present%s", name + n));
        if (at >= 0) return at;
    }
    return -1;
}

static bool shares_dim(const generation *g, uint32_t cache, uint32_t dim) {
    const char *name = g->in[cache].info->dim_name[dim];
    for (uint32_t i = 0; name && i < g->r->n_in; i++)
        for (int32_t d = 0; g->in[i].role == ROLE_GIVEN && d < g->in[i].info->ndim; d++)
            if (g->in[i].info->dim_name[d] && !strcmp(g->in[i].info->dim_name[d], name)) return true;
    return false;
}

/* The open dim that is not the batch. */
static xfc_status find_growth(const generation *g, uint32_t i) {
    input *x = &g->in[i];
    const char *batch = g->in[g->ids].info->dim_name[0];
    int32_t open = 0;
    for (int32_t d = 0; d < x->info->ndim; d++) {
        const char *name = x->info->dim_name[d];
        if (x->info->dim[d] >= 0 || (batch && name ? !strcmp(batch, name) : d == 0)) continue;
        open++;
        x->grows = (uint32_t)d;
    }
    if (open == 0) return refuse(g, "no dim can grow of the cache", x->info->name);
    if (open > 1) return refuse(g, "more than one dim could be the one that grows of the cache", x->info->name);
    x->kept = shares_dim(g, i, x->grows);
    return XFC_OK;
}

static xfc_status take_input(generation *g, uint32_t i) {
    input *x = &g->in[i];
    *x = (input){.info = g->r->api->input_info(g->r->model, i), .output = -1};
    if (!xf_dtype_known(x->info->dtype, &x->dtype)) return refuse(g, "unknown element type of", x->info->name);
    for (size_t k = 0; k < XFC_COUNT(roles); k++)
        if (!strcmp(x->info->name, roles[k].name)) x->role = roles[k].role;
    if (x->role != ROLE_GIVEN) {
        int32_t most = x->role == ROLE_POSITIONS ? 3 : x->role >= ROLE_TOTAL ? 1 : 2;
        if (xfc_dtype_is_float(x->dtype) || x->info->ndim > most || (x->role == ROLE_IDS && x->info->ndim != 2))
            return refuse(g, "no integers with the usual dims are", x->info->name);
        if (x->role != ROLE_IDS) return XFC_OK;
        if (g->ids >= 0) return refuse(g, "there are ids already; what is", x->info->name);
        g->ids = (int)i;
        return XFC_OK;
    }
    x->output = cache_output(g, x->info->name);
    if (x->output < 0) return XFC_OK;
    const xf_io_info *out = g->r->api->output_info(g->r->model, (size_t)x->output);
    if (out->ndim != x->info->ndim || memcmp(&out->dtype, &x->info->dtype, sizeof out->dtype) != 0)
        return refuse(g, "another type or rank has what comes out of the cache", x->info->name);
    x->role = ROLE_CACHE;
    const char *past = g->r->api->metadata(g->r->model, xfc_sprintf(g->r->ctx->arena, "cache:%s", out->name));
    x->in_place = past && !strcmp(past, x->info->name);
    return XFC_OK;
}

static xfc_status find_logits(generation *g) {
    xfc_dtype dtype;
    g->logits = xf_find_output(g->r, "logits");
    if (g->logits < 0) return refuse(g, "the model has no output 'logits'", NULL);
    const xf_io_info *info = g->r->api->output_info(g->r->model, (size_t)g->logits);
    if (!xf_dtype_known(info->dtype, &dtype) || !xfc_dtype_is_float(dtype) || info->ndim < 2)
        return refuse(g, "no floats with a row for each token are", info->name);
    return XFC_OK;
}

static xfc_status understand(generation *g) {
    bool cached = false;
    g->in = xfc_new_array(g->r->ctx->arena, input, g->r->n_in);
    g->ids = -1;
    for (uint32_t i = 0; i < g->r->n_in; i++) XFC_TRY(take_input(g, i));
    if (g->ids < 0) return refuse(g, "the model has no input 'input_ids'", NULL);
    for (uint32_t i = 0; i < g->r->n_in; i++) {
        if (g->in[i].role != ROLE_CACHE) continue;
        XFC_TRY(find_growth(g, i));
        cached = cached || !g->in[i].kept;
    }
    if (!cached)
        return refuse(g, "no input past_key_values... goes with an output present...: the model has no cache", NULL);
    return find_logits(g);
}

/* --- the inputs of a step --- */

/* Of n new tokens. Where the model has another size, the run says so. */
static int64_t size_of(const generation *g, const input *x, int32_t d, int64_t n) {
    if (d + 1 < x->info->ndim) return x->info->dim[d] >= 0 ? x->info->dim[d] : 1;
    const char *name = x->info->dim_name[d], *sequence = g->in[g->ids].info->dim_name[1];
    bool whole = x->role == ROLE_MASK && !(name && sequence && !strcmp(name, sequence));
    return whole ? g->past + n : x->role >= ROLE_TOTAL ? 1 : n;
}

static int64_t value_of(const generation *g, const input *x, int64_t token, int64_t i, int64_t n) {
    const int64_t value[] = {[ROLE_IDS] = token,
                             [ROLE_MASK] = 1,
                             [ROLE_POSITIONS] = g->past + i,
                             [ROLE_TOTAL] = g->past + n,
                             [ROLE_BRANCH] = g->past > 0};
    return value[x->role];
}

/* For the run of tokens first to first + n. */
static void fill_input(const generation *g, input *x, int64_t first, int64_t n) {
    int64_t count = 1, row = 1;
    for (int32_t d = 0; d < x->info->ndim; d++) {
        x->dim[d] = size_of(g, x, d, n);
        count *= x->dim[d];
        row = x->dim[d];
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t v = value_of(g, x, g->token[first + i % row % n], i % row, n);
        memcpy((char *)x->data + i * xfc_dtype_bytes(x->dtype), &v, xfc_dtype_bytes(x->dtype));
    }
}

static bool filled(const input *x) { return x->role != ROLE_GIVEN && x->role != ROLE_CACHE; }

static int64_t bytes_of(const input *x, const int64_t *dim) {
    int64_t n = xfc_dtype_bytes(x->dtype);
    for (int32_t d = 0; d < x->info->ndim; d++)
        if (__builtin_mul_overflow(n, dim[d], &n)) return -1;
    return n;
}

/* Memory for all steps: what varies, the last dim or the one that grows, is at most so many. */
static xfc_status reserve(generation *g, input *x, int64_t tokens) {
    int64_t dim[XFC_MAX_RANK] = {0}, bytes;
    for (int32_t d = 0; d < x->info->ndim; d++) {
        bool varies = x->role == ROLE_CACHE ? (uint32_t)d == x->grows : d + 1 == x->info->ndim;
        dim[d] = varies ? tokens : x->role == ROLE_CACHE ? x->dim[d] : size_of(g, x, d, 1);
    }
    bytes = bytes_of(x, dim);
    if (bytes < 0 || bytes > (int64_t)XF_MAX_TENSOR) return refuse(g, "too large is", x->info->name);
    x->data = xfc_alloc(g->r->ctx->arena, (size_t)bytes + 1, 64);
    if (x->role == ROLE_CACHE) x->next = xfc_alloc(g->r->ctx->arena, (size_t)bytes + 1, 64);
    x->room = bytes;
    return XFC_OK;
}

/* The first run's caches: those that were given, else without rows; what stays has the size of what it is made of. */
static xfc_status start_cache(generation *g, input *x, const xfc_tensor *given, const xfc_tensor *const *in,
                              int64_t room) {
    for (int32_t d = 0; d < x->info->ndim; d++)
        x->dim[d] = x->info->dim[d] >= 0 ? x->info->dim[d] : (uint32_t)d != x->grows;
    for (uint32_t k = 0; x->kept && k < g->r->n_in; k++)
        for (int32_t d = 0; g->in[k].role == ROLE_GIVEN && d < g->in[k].info->ndim; d++) {
            const char *name = g->in[k].info->dim_name[d];
            if (name && !strcmp(name, x->info->dim_name[x->grows])) x->dim[x->grows] = in[k]->dim[d];
        }
    if (given) memcpy(x->dim, given->dim, sizeof x->dim);
    XFC_TRY(reserve(g, x, x->kept ? x->dim[x->grows] : room));
    int64_t stride = 1;
    for (int32_t d = x->info->ndim; d-- > 0; stride *= (uint32_t)d == x->grows && !x->kept ? room : x->dim[d])
        x->stride[d] = stride;
    memset(x->data, 0, (size_t)bytes_of(x, x->dim));
    if (given && given->bytes) memcpy(x->data, given->data, given->bytes);
    return XFC_OK;
}

/* What --input gave of the caches, and nothing of what steps fill. */
static xfc_status check_given(generation *g, const xfc_tensor *const *in) {
    for (uint32_t i = 0; i < g->r->n_in; i++) {
        const input *x = &g->in[i];
        if (!in[i] || x->role == ROLE_GIVEN) continue;
        if (filled(x)) return refuse(g, "each step fills, so that --input cannot give", x->info->name);
        if (in[i]->dtype != x->dtype || (int32_t)in[i]->rank != x->info->ndim)
            return refuse(g, "--input gives another type or rank of the cache", x->info->name);
        if (!x->kept) g->past = in[i]->dim[x->grows];
    }
    return XFC_OK;
}

/* in: what --input gave. first: tokens of the first run. */
static xfc_status start(generation *g, const xf_cli_list *shapes, const xf_random_opts *random, const xfc_tensor **in,
                        int64_t first) {
    static const int64_t nothing;
    xfc_ctx *c = g->r->ctx;
    const xfc_tensor **given = xfc_memdup(c->arena, in, g->r->n_in * sizeof(*in), _Alignof(xfc_tensor *));
    XFC_TRY(check_given(g, in));
    const int64_t room = g->past + g->n_tokens + g->o->max_new;
    for (uint32_t i = 0; i < g->r->n_in; i++) {
        input *x = &g->in[i];
        if (filled(x)) {
            XFC_TRY(reserve(g, x, room));
            fill_input(g, x, 0, first);
            in[i] = xfc_tensor_new(c, x->dtype, (uint32_t)x->info->ndim, x->dim, x->data, NULL);
        } else if (x->role == ROLE_CACHE && !in[i]) { /* is not made up, and gives no size */
            in[i] = xfc_tensor_new(c, x->dtype, 0, NULL, &nothing, NULL);
        }
    }
    xf_fill fill = {0};
    XFC_TRY(xf_complete_inputs(g->r, shapes, random, in, &fill));
    for (uint32_t i = 0; i < g->r->n_in; i++)
        if (g->in[i].role == ROLE_CACHE)
            XFC_TRY(start_cache(g, &g->in[i], given[i], in, room));
        else if (g->in[i].role == ROLE_GIVEN)
            g->tin[i] = xf_tensor_view(in[i]);
    return XFC_OK;
}

/* --- steps --- */

/* Does this run make the cache, or hand it on where it lies? */
static bool makes(const generation *g, const input *x) {
    return x->role == ROLE_CACHE && (x->in_place || !x->kept || g->past == 0);
}

/* Each cache's output in its other buffer, if its size is known. */
static xfc_status place_outputs(generation *g) {
    for (uint32_t i = 0; i < g->r->n_out; i++) g->tout[i] = (xf_tensor){.shape = g->shape[i], .ndim = XFC_MAX_RANK};
    xf_status status = g->r->api->infer_shapes(g->r->model, g->tin, g->r->n_in, g->tout, g->r->n_out);
    if (status != XF_OK) return xf_runner_failed(g->r, NULL, status);
    for (uint32_t i = 0; i < g->r->n_in; i++) {
        input *x = &g->in[i];
        if (!makes(g, x)) continue;
        int64_t bytes = bytes_of(x, g->shape[x->output]);
        bool known = bytes >= 0;
        for (int32_t d = 0; d < x->info->ndim; d++) known = known && g->shape[x->output][d] >= 0;
        if (!known || bytes > x->room) continue;
        g->tout[x->output].data = x->next;
        if (x->in_place) g->tout[x->output].strides = x->stride;
    }
    return XFC_OK;
}

/* The caches of the next step. */
static xfc_status turn_caches(generation *g) {
    for (uint32_t i = 0; i < g->r->n_in; i++) {
        input *x = &g->in[i];
        if (!makes(g, x)) continue;
        const xf_tensor *out = &g->tout[x->output];
        int64_t bytes = bytes_of(x, out->shape);
        if (bytes < 0 || bytes > x->room)
            return refuse(g, "more rows than there were tokens has the cache", x->info->name);
        if (out->data != x->next && bytes) memcpy(x->next, (const char *)out->data + out->byte_offset, (size_t)bytes);
        memcpy(x->dim, out->shape, (size_t)x->info->ndim * sizeof *x->dim);
        void *used = x->data;
        x->data = x->next;
        x->next = x->in_place ? x->data : used;
    }
    return XFC_OK;
}

/* The largest of the last row, the first of several. */
static xfc_status pick(generation *g, int64_t *token) {
    const xf_tensor *t = &g->tout[g->logits];
    int64_t rows = 1, n = t->shape[t->ndim - 1], best = 0;
    for (int32_t d = 0; d + 1 < t->ndim; d++) rows *= t->shape[d];
    xfc_tensor row = {.count = n};
    if (rows < 1 || n < 1 || !xf_dtype_known(t->dtype, &row.dtype)) return refuse(g, "no logits were answered", NULL);
    row.data = (const char *)t->data + t->byte_offset + (rows - 1) * n * xfc_dtype_bytes(row.dtype);
    double most = xfc_tensor_get_f(&row, 0);
    for (int64_t i = 0; i < n; i++) {
        double v = xfc_tensor_get_f(&row, i);
        if (v != v) return refuse(g, "NaN is among the logits", NULL);
        if (v > most) best = i, most = v;
    }
    *token = best;
    return XFC_OK;
}

/* Runs the last n tokens and adds the next. */
static xfc_status step(generation *g, int64_t first, int64_t n, double *seconds) {
    for (uint32_t i = 0; i < g->r->n_in; i++) {
        input *x = &g->in[i];
        if (x->role == ROLE_GIVEN) continue;
        if (filled(x)) fill_input(g, x, first, n);
        const xfc_tensor t = {.dtype = x->dtype, .rank = (uint32_t)x->info->ndim, .data = x->data};
        g->tin[i] = xf_tensor_view(&t);
        g->tin[i].shape = x->dim;
        if (x->in_place && x->data == x->next) g->tin[i].strides = x->stride;
    }
    double start = xf_seconds();
    XFC_TRY(place_outputs(g));
    xf_status status = g->r->api->run(g->ctx, g->tin, g->r->n_in, g->tout, g->r->n_out);
    *seconds += xf_seconds() - start;
    if (status != XF_OK) return xf_runner_failed(g->r, g->ctx, status);
    XFC_TRY(turn_caches(g));
    g->past += n;
    return XFC_OK;
}

static xfc_status generate(generation *g, int64_t chunk, double *prefill, double *decode) {
    int64_t prompt = g->n_tokens;
    for (int64_t i = 0; i < prompt; i += chunk) XFC_TRY(step(g, i, chunk, prefill));
    XFC_TRY(pick(g, &g->token[g->n_tokens++]));
    if (g->o->profile) g->r->api->profile_start(g->ctx);
    while (g->n_tokens < prompt + g->o->max_new && g->token[g->n_tokens - 1] != g->o->end_id) {
        XFC_TRY(step(g, g->n_tokens - 1, 1, decode));
        XFC_TRY(pick(g, &g->token[g->n_tokens++]));
    }
    return g->o->profile ? xf_write_profile(g->r, g->ctx, g->o->profile) : XFC_OK;
}

/* --- what is told --- */

static void print_rate(bool json, const char *what, int64_t tokens, double seconds) {
    double ms = 1e3 * seconds, rate = seconds > 0 ? (double)tokens / seconds : 0;
    if (json)
        printf(", \"%s_tokens\": %lld, \"%s_ms\": %.3f, \"%s_tokens_per_s\": %.2f", what, (long long)tokens, what, ms,
               what, rate);
    else
        printf("%s: %lld tokens in %.3f ms, %.2f tokens/s\n", what, (long long)tokens, ms, rate);
}

static void print_tokens(const generation *g, int64_t prompt, double prefill, double decode) {
    bool json = g->o->json;
    printf(json ? "{\"tokens\": [" : "tokens: ");
    for (int64_t i = prompt; i < g->n_tokens; i++)
        printf("%s%lld", i == prompt ? "" : json ? ", " : ",", (long long)g->token[i]);
    printf(json ? "]" : "\n");
    print_rate(json, "prefill", prompt, prefill);
    print_rate(json, "decode", g->n_tokens - prompt - 1, decode);
    if (json) printf(", \"threads\": %d}\n", (int)g->o->threads);
}

xfc_status xf_generate(xf_runner *r, xf_ctx *ctx, const xf_cli_list *shapes, const xf_random_opts *random,
                       const xfc_tensor **in, const xf_generate_opts *o) {
    generation g = {.r = r, .ctx = ctx, .o = o, .n_tokens = o->n_prompt};
    g.tin = xfc_new_array(r->ctx->arena, xf_tensor, r->n_in);
    g.tout = xfc_new_array(r->ctx->arena, xf_tensor, r->n_out);
    g.shape = xfc_alloc_array(r->ctx->arena, r->n_out, sizeof *g.shape, _Alignof(int64_t));
    g.token = xfc_new_array(r->ctx->arena, int64_t, o->n_prompt + o->max_new);
    memcpy(g.token, o->prompt, (size_t)o->n_prompt * sizeof *g.token);
    XFC_TRY(understand(&g));
    const int64_t chunk = g.in[g.ids].info->dim[1] == 1 ? 1 : o->n_prompt;
    double prefill = 0, decode = 0;
    XFC_TRY(start(&g, shapes, random, in, chunk));
    XFC_TRY(generate(&g, chunk, &prefill, &decode));
    print_tokens(&g, o->n_prompt, prefill, decode);
    return XFC_OK;
}
