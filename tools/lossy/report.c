/* report.c - --report: what was tried and done, as a file for programs or as a page for people (page.c). */
#include "tools/lossy/lossy.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static const char *const trial_names[] = {[XF_PROBE] = "probe", [XF_CHOICE] = "choice", [XF_VERDICT] = "verdict"};

static void trial_json(const xf_search *s, const xf_trial *t, xfc_buf *b) {
    xfc_buf_printf(b, "{\"what\": \"%s\"", trial_names[t->what]);
    xf_json_number(b, "used", t->used);
    xf_json_number(b, "multiplications", t->products);
    if (t->seconds > 0) xf_json_number(b, "speedup", t->exact_seconds / t->seconds);
    if (s->budgets->eval) xf_json_number(b, "metric", t->metric);
    xf_outputs_json(s->exact, t->output, s->budgets, b);
    xfc_buf_str(b, ", \"levels\": [");
    for (uint32_t i = 0; i < s->n_sites; i++) xfc_buf_printf(b, "%s%u", i ? ", " : "", (unsigned)t->level[i]);
    xfc_buf_str(b, "]}");
}

static void site_json(const xf_search *s, uint32_t i, xfc_buf *b) {
    const xfc_lossy_site *site = s->site[i].site;
    xfc_buf_str(b, "{\"kind\": ");
    xfc_buf_json(b, xfc_lossy_kinds[s->lossy->request[s->site[i].request].kind].name);
    xfc_buf_str(b, ", \"at\": ");
    xfc_buf_json(b, site->name);
    xfc_buf_str(b, ", \"what\": ");
    xfc_buf_json(b, site->what);
    xfc_buf_printf(b, ", \"level\": %u, \"of\": %u", (unsigned)s->verdict->level[i], (unsigned)site->levels);
    xf_json_number(b, "used_alone", s->site[i].error);
    xf_json_number(b, "saves", site->saves[s->verdict->level[i]]);
    xfc_buf_char(b, '}');
}

static void json(const xf_record *r, const xf_search *s, const xfc_graph *g, xfc_buf *b) {
    xfc_buf_str(b, "{\"model\": ");
    xfc_buf_json(b, g->source ? g->source : "");
    if (r->samples) {
        xfc_buf_str(b, ", \"samples\": ");
        xfc_buf_json(b, r->samples->where);
        xf_json_number(b, "speedup", r->exact_seconds / r->seconds);
    }
    xfc_buf_str(b, ",\n\"lossy\": ");
    xf_record_json(r, b);
    xfc_buf_str(b, ",\n\"sites\": [");
    for (uint32_t i = 0; s && i < s->n_sites; i++) {
        xfc_buf_str(b, i ? ",\n  " : "\n  ");
        site_json(s, i, b);
    }
    xfc_buf_str(b, "],\n\"tried\": [");
    for (uint32_t i = 0; s && i < s->n_trials; i++) {
        xfc_buf_str(b, i ? ",\n  " : "\n  ");
        trial_json(s, s->trial[i], b);
    }
    xfc_buf_str(b, "]}\n");
}

static xfc_status failed(xfc_ctx *ctx, const char *file, const char *why) {
    return xfc_fail(ctx, XFC_ERR_IO, (xfc_loc){.file = file}, "cannot be written: %s; choose another --report", why);
}

xfc_status xf_reports_open(xfc_ctx *ctx, const xf_cli_list *names, xfc_outfile *out) {
    for (uint32_t i = 0; i < names->n; i++) out[i] = (xfc_outfile){.fd = -1};
    for (uint32_t i = 0; i < names->n; i++) {
        const char *file = names->item[i];
        struct stat st;
        if (xfc_was_read(ctx, file)) return failed(ctx, file, "it was read, and would be lost");
        if (stat(file, &st) == 0 && !S_ISREG(st.st_mode)) return failed(ctx, file, "it is no regular file");
        if (!xfc_outfile_open(&out[i], ctx->arena, ctx->leftovers, file, 0666))
            return failed(ctx, file, strerror(errno));
    }
    return XFC_OK;
}

xfc_status xf_reports_write(const xf_record *r, const xf_search *s, const xfc_graph *g, xfc_outfile *file, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        xfc_buf b = {.arena = xfc_arena_new()};
        if (xf_has_suffix(file[i].path, ".json"))
            json(r, s, g, &b);
        else
            xf_report_page(r, s, g, &b);
        bool done = xf_write_all(file[i].fd, b.text, b.n) && xfc_outfile_done(&file[i]);
        xfc_arena_free(b.arena);
        if (!done) return failed(g->ctx, file[i].path, strerror(errno));
    }
    return XFC_OK;
}
