/* record.c - what lossy rewrites did and what they cost, told and written into the artefact.
 *
 * The artefact says nothing that was timed: the same model and samples make the same bytes. How much faster it is stands
 * in what is told; the artefact has the multiplications.
 */
#include "tools/cli.h"
#include "tools/lossy/lossy.h"
#include <math.h>

typedef void line_fn(void *user, const char *text);

const char *xf_lossy_words_text(const xfc_lossy_request *r, xfc_arena *arena) {
    xfc_buf b = {.arena = arena};
    xfc_buf_str(&b, xfc_lossy_kinds[r->kind].name);
    for (uint32_t i = 0; i < r->n_words; i++)
        xfc_buf_printf(&b, "%c%s=%s", i ? ',' : ':', r->word[i].key, r->word[i].value);
    return b.text;
}

static uint32_t n_changed(const xfc_lossy_request *r) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n_done; i++) n += r->done[i].done > 0;
    return n;
}

static const char *output_text(const xf_record *r, uint32_t i, xfc_arena *arena) {
    xfc_buf b = {.arena = arena};
    xf_distance_text(&b, r->exact->name[i], &r->output[i], r->budgets->kl);
    xfc_buf_printf(&b, " (%u samples of %s that nothing was fitted to)", (unsigned)r->samples->judge.n,
                   r->samples->where);
    return b.text;
}

static const char *budget_text(const xf_record *r, xfc_arena *arena) {
    return xfc_sprintf(arena, ", of which %.3g is used", r->used);
}

/* What holds of the whole model: a line a kind, one for the work, one for each output. */
static void lines(const xf_record *r, xfc_arena *arena, line_fn *line, void *user) {
    for (uint32_t i = 0; i < r->lossy->n; i++) {
        const xfc_lossy_request *q = &r->lossy->request[i];
        line(user, xfc_sprintf(arena, "--lossy=%s: %u of %u places changed", xf_lossy_words_text(q, arena),
                               (unsigned)n_changed(q), (unsigned)q->n_done));
    }
    line(user, xfc_sprintf(arena, "%.4g of %.4g multiplications are left (%.1f %%)", r->products, r->exact_products,
                           r->exact_products > 0 ? 100 * r->products / r->exact_products : 100.0));
    if (r->budgets->eval)
        line(user, xfc_sprintf(arena, "the command of --eval gives %.6g, and %.6g of the exact program", r->metric,
                               r->exact_metric));
    for (uint32_t i = 0; i < r->budgets->n; i++)
        line(user,
             xfc_sprintf(arena, "kept: --max-error=%s%s", r->budgets->item[i].text, i ? "" : budget_text(r, arena)));
    if (!r->samples && r->budgets->eval) return;
    if (!r->samples) {
        line(user, "how far results are from the exact ones is unknown: give samples with --calib=DIR");
        return;
    }
    for (uint32_t i = 0; i < r->exact->n_out; i++)
        if (r->output[i].floats) line(user, output_text(r, i, arena));
}

/* --- told --- */

typedef struct {
    bool json;
} telling;

static void tell_line(void *user, const char *text) { xf_note("xfc", ((const telling *)user)->json, text); }

void xf_record_tell(const xf_record *r, xfc_ctx *ctx, bool json) {
    lines(r, ctx->arena, tell_line, &(telling){json});
    if (r->samples)
        xf_note("xfc", json,
                xfc_sprintf(ctx->arena, "on this machine %.2f times as fast as the exact program",
                            r->exact_seconds / r->seconds));
}

/* --- stored --- */

typedef struct {
    xfc_graph *g;
    uint32_t n;
} storing;

static void store_line(void *user, const char *text) {
    storing *s = user;
    xfc_graph_meta(s->g, xfc_sprintf(s->g->arena, "lossy.%u", (unsigned)s->n++), text);
}

static void site_lines(const xfc_lossy_request *q, storing *s) {
    const char *kind = xfc_lossy_kinds[q->kind].name;
    for (uint32_t i = 0; i < q->n_done; i++) {
        const xfc_lossy_site *site = &q->done[i];
        uint32_t level = q->done[i].done;
        xfc_buf b = {.arena = s->g->arena};
        xfc_buf_printf(&b, "%s at ", kind);
        xfc_buf_plain(&b, site->name);
        xfc_buf_printf(&b, ": %s: ", site->what);
        if (site->why)
            xfc_buf_printf(&b, "left alone: %s", site->why);
        else if (site->says)
            xfc_buf_str(&b, site->says[level]);
        else
            xfc_buf_printf(&b, "level %u of %u", (unsigned)level, (unsigned)site->levels);
        store_line(s, b.text);
    }
}

/* JSON has no infinity. */
void xf_json_number(xfc_buf *b, const char *key, double value) {
    xfc_buf_printf(b, ", \"%s\": ", key);
    if (isfinite(value))
        xfc_buf_printf(b, "%.9g", value);
    else
        xfc_buf_str(b, "null");
}

static void kind_json(xfc_buf *b, const xfc_lossy_request *q) {
    xfc_buf_str(b, "{\"kind\": ");
    xfc_buf_json(b, xfc_lossy_kinds[q->kind].name);
    xfc_buf_str(b, ", \"keys\": {");
    for (uint32_t i = 0; i < q->n_words; i++) {
        xfc_buf_str(b, i ? ", " : "");
        xfc_buf_json(b, q->word[i].key);
        xfc_buf_str(b, ": ");
        xfc_buf_json(b, q->word[i].value);
    }
    xfc_buf_str(b, "}, \"sites\": [");
    for (uint32_t i = 0, n = 0; i < q->n_done; i++) {
        if (!q->done[i].done) continue;
        xfc_buf_str(b, n++ ? ", {\"at\": " : "{\"at\": ");
        xfc_buf_json(b, q->done[i].name);
        xfc_buf_printf(b, ", \"level\": %u, \"of\": %u", (unsigned)q->done[i].done, (unsigned)q->done[i].levels);
        xf_json_number(b, "saves", q->done[i].saves[q->done[i].done]);
        xfc_buf_char(b, '}');
    }
    xfc_buf_str(b, "]}");
}

static void budgets_json(xfc_buf *b, const xf_record *r) {
    if (!r->budgets->n) return;
    xfc_buf_str(b, ", \"budget\": [");
    for (uint32_t i = 0; i < r->budgets->n; i++) {
        xfc_buf_str(b, i ? ", " : "");
        xfc_buf_json(b, r->budgets->item[i].text);
    }
    xfc_buf_char(b, ']');
    xf_json_number(b, "used", r->used);
    if (!r->budgets->eval) return;
    xf_json_number(b, "metric", r->metric);
    xf_json_number(b, "metric_exact", r->exact_metric);
}

void xf_outputs_json(const xf_kept *exact, const xf_distance *output, const xf_budgets *budgets, xfc_buf *b) {
    xf_metric most = budgets->kl ? XF_KL : XF_TOP1;
    xfc_buf_str(b, ", \"outputs\": [");
    for (uint32_t i = 0, n = 0; output && i < exact->n_out; i++) {
        if (!output[i].floats) continue;
        xfc_buf_str(b, n++ ? ", {\"name\": " : "{\"name\": ");
        xfc_buf_json(b, exact->name[i]);
        for (xf_metric m = XF_COS; m <= most; m++)
            xf_json_number(b, xf_metric_names[m], xf_metric_of(&output[i], m, 0));
        xfc_buf_char(b, '}');
    }
    xfc_buf_char(b, ']');
}

static void errors_json(xfc_buf *b, const xf_record *r) {
    xfc_buf_printf(b, ", \"judged_on\": %u", r->samples ? (unsigned)r->samples->judge.n : 0);
    xf_outputs_json(r->exact, r->samples ? r->output : NULL, r->budgets, b);
}

void xf_record_json(const xf_record *r, xfc_buf *b) {
    xfc_buf_str(b, "{\"kinds\": [");
    for (uint32_t i = 0; i < r->lossy->n; i++) {
        xfc_buf_str(b, i ? ", " : "");
        kind_json(b, &r->lossy->request[i]);
    }
    xfc_buf_char(b, ']');
    xf_json_number(b, "multiplications", r->products);
    xf_json_number(b, "multiplications_exact", r->exact_products);
    budgets_json(b, r);
    errors_json(b, r);
    xfc_buf_char(b, '}');
}

void xf_record_store(const xf_record *r, xfc_graph *g) {
    xfc_buf b = {.arena = g->arena};
    storing s = {g, 0};
    xf_record_json(r, &b);
    xfc_graph_meta(g, "lossy", b.text);
    lines(r, g->arena, store_line, &s);
    for (uint32_t i = 0; i < r->lossy->n; i++) site_lines(&r->lossy->request[i], &s);
}
