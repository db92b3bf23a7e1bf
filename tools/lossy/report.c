/* report.c - --report: what was tried and done, as a file for programs or as a page for people (page.c). */
#include "tools/lossy/lossy.h"

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

xfc_status xf_report_write(const xf_record *r, const xf_search *s, const xfc_graph *g, const char *const *file,
                           uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        xfc_buf b = {.arena = xfc_arena_new()};
        if (xf_has_suffix(file[i], ".json"))
            json(r, s, g, &b);
        else
            xf_report_page(r, s, g, &b);
        bool done = xf_write_file(g->ctx, file[i], b.text, b.n);
        xfc_arena_free(b.arena);
        if (!done)
            return xfc_fail(g->ctx, XFC_ERR_IO, (xfc_loc){.file = file[i]},
                            "cannot be written: %s; choose another --report", xf_write_error());
    }
    return XFC_OK;
}
