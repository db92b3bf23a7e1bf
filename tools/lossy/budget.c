/* budget.c - --max-error: how far results may be from the exact ones, and how much of that is used.
 *
 * Every limit becomes a share: what was measured over what is allowed, so that 1 is just within, for all metrics alike;
 * the largest share counts. An output that is not named in a limit is held to it if it holds floats.
 */
#include "ir/base/nearest.h"
#include "tools/lossy/lossy.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- read --- */

static bool find_metric(const char *name, size_t n, xf_metric *out) {
    for (xf_metric m = XF_COS; m < XF_N_METRICS; m++)
        if (strlen(xf_metric_names[m]) == n && !memcmp(xf_metric_names[m], name, n)) return *out = m, true;
    *out = XF_N_METRICS;
    return n == 6 && !memcmp(name, "metric", n);
}

static bool read_one(const char *tool, const char *text, xf_budget *b) {
    const char *colon = strchr(text, ':'), *at = colon ? strchr(colon, '@') : NULL;
    char *end = NULL;
    *b = (xf_budget){.output = at ? at + 1 : NULL, .text = text};
    if (!colon || !find_metric(text, (size_t)(colon - text), &b->metric))
        return xf_cli_wrong(tool,
                            "--max-error=%.64s: what is limited is cos, rel, abs, top1, kl or metric, as in cos:0.999",
                            text),
               false;
    errno = 0;
    b->limit = strtod(colon + 1, &end);
    bool number = end != colon + 1 && (at ? end == at : !*end) && errno == 0 && isfinite(b->limit);
    bool in_range = b->metric == XF_COS    ? b->limit > 0 && b->limit <= 1
                    : b->metric == XF_TOP1 ? b->limit >= 0 && b->limit <= 100
                                           : b->limit >= 0;
    if (!number || !in_range)
        return xf_cli_wrong(tool, "--max-error=%.64s: a number %s is needed behind the colon", text,
                            b->metric == XF_COS    ? "above 0, at most 1,"
                            : b->metric == XF_TOP1 ? "of percent, 0 to 100,"
                                                   : "of at least 0"),
               false;
    if (at && (!at[1] || b->metric == XF_N_METRICS))
        return xf_cli_wrong(tool, "--max-error=%.64s: %s", text,
                            at[1] ? "the number of a command is of no output"
                                  : "the name of an output is needed behind @"),
               false;
    return true;
}

bool xf_budgets_read(const char *tool, xfc_ctx *ctx, const xf_cli_list *given, xf_budgets *out) {
    bool metric = false;
    for (uint32_t i = 0; i < given->n; i++) {
        xf_budget b;
        if (!read_one(tool, given->item[i], &b)) return false;
        metric |= b.metric == XF_N_METRICS;
        out->kl |= b.metric == XF_KL;
        xfc_push(ctx->arena, out->item, out->n, out->cap) = b;
    }
    if (metric && !out->eval)
        return xf_cli_wrong(
                   tool,
                   "--max-error=metric:... is about the number that a command prints; give --eval='COMMAND {so}'"),
               false;
    if (out->eval && !metric)
        return xf_cli_wrong(tool, "--eval: how far may its number fall? give --max-error=metric:NUMBER"), false;
    if (out->eval && !strstr(out->eval, "{so}"))
        return xf_cli_wrong(tool, "--eval: {so} in the command stands for the model; it is not in '%.64s'", out->eval),
               false;
    return true;
}

static xfc_status check_one(const xf_budget *b, const xfc_graph *g) {
    xfc_nearest near = {.wanted = b->output, .n = strlen(b->output)};
    for (uint32_t i = 0; i < g->n_out; i++) {
        xfc_nearest_offer(&near, g->out_name[i]);
        if (strcmp(g->out_name[i], b->output) != 0) continue;
        if (xfc_dtype_is_float(g->last->in[i].value->type.dtype)) return XFC_OK;
        return xfc_fail(g->ctx, XFC_ERR_INPUT, (xfc_loc){.file = g->source},
                        "--max-error=%s: the output holds no floats; name one that does", b->text);
    }
    return xfc_fail(g->ctx, XFC_ERR_INPUT, (xfc_loc){.file = g->source},
                    "--max-error=%s: the model has no such output; xf-dump --signature names them%s", b->text,
                    xfc_did_you_mean(g->ctx->arena, &near, ""));
}

xfc_status xf_budgets_check(const xf_budgets *budgets, const xfc_graph *g) {
    bool floats = false;
    for (uint32_t i = 0; i < g->n_out; i++) floats |= xfc_dtype_is_float(g->last->in[i].value->type.dtype);
    for (uint32_t i = 0; i < budgets->n; i++)
        if (budgets->item[i].output) XFC_TRY(check_one(&budgets->item[i], g));
    if (floats || !budgets->n || budgets->item[0].metric == XF_N_METRICS) return XFC_OK;
    return xfc_fail(g->ctx, XFC_ERR_INPUT, (xfc_loc){.file = g->source},
                    "--max-error=%s: no output of the model holds floats; judge it by a command: --eval",
                    budgets->item[0].text);
}

static double rows_of(const xf_kept *exact, uint32_t output, uint32_t n) {
    double rows = 0;
    for (uint32_t i = 0; i < n; i++) {
        const xfc_tensor *t = &exact->of[i].out[output];
        int64_t last = t->rank ? t->dim[t->rank - 1] : 1, here = last ? t->count / last : 0;
        rows += (double)here;
    }
    return rows;
}

xfc_status xf_budgets_enough(const xf_budgets *budgets, const xfc_graph *g, const xf_kept *exact, uint32_t n) {
    for (uint32_t i = 0; i < budgets->n; i++) {
        const xf_budget *b = &budgets->item[i];
        for (uint32_t k = 0; b->metric == XF_TOP1 && b->limit > 0 && k < exact->n_out; k++) {
            bool meant =
                b->output ? !strcmp(b->output, exact->name[k]) : xfc_dtype_is_float(g->last->in[k].value->type.dtype);
            double rows = rows_of(exact, k, n);
            if (!meant || xf_least_top1(rows) <= b->limit) continue;
            return xfc_fail(g->ctx, XFC_ERR_INPUT, (xfc_loc){.file = g->source},
                            "--max-error=%s: half of the samples give %.0f rows of output '%s', which cannot show so "
                            "little; %.0f can: give more samples, or allow %.3g",
                            b->text, rows, exact->name[k], ceil(xf_sure * xf_sure * (100 / b->limit - 1)),
                            ceil(xf_least_top1(rows)));
        }
    }
    return XFC_OK;
}

/* --- used --- */

static double share(double error, double allowed) { return error <= 0 ? 0 : allowed > 0 ? error / allowed : HUGE_VAL; }

/* Nothing at all, as rel:0, is demanded of the samples only. */
static bool is_exact(const xf_budget *b) { return b->limit == (b->metric == XF_COS ? 1 : 0); }

static double used_of(const xf_budget *b, const xf_distance *d, double margin) {
    double measured = xf_metric_of(d, b->metric, is_exact(b) ? 0 : margin);
    return b->metric == XF_COS ? share(1 - measured, 1 - b->limit) : share(measured, b->limit);
}

double xf_budgets_used(const xf_budgets *budgets, const xf_distance *output, const char *const *name, uint32_t n_out,
                       double metric, double exact_metric, double margin) {
    double most = 0;
    for (uint32_t i = 0; i < budgets->n; i++) {
        const xf_budget *b = &budgets->item[i];
        if (b->metric == XF_N_METRICS) most = fmax(most, share(exact_metric - metric, b->limit));
        for (uint32_t k = 0; k < n_out && b->metric != XF_N_METRICS; k++)
            if (output[k].floats && (!b->output || !strcmp(b->output, name[k])))
                most = fmax(most, used_of(b, &output[k], margin));
    }
    return most;
}
