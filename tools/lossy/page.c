/* page.c - --report=FILE.html: one file that needs nothing else, with pictures drawn here.
 *
 * First what was reached, in a line of large numbers; then every setting tried, error against speed; then place by place
 * what was done. Texts from the model are escaped.
 */
#include "tools/lossy/lossy.h"
#include <math.h>
#include <string.h>

enum { WIDTH = 860, HEIGHT = 420, LEFT = 64, RIGHT = 20, TOP = 16, BOTTOM = 48, MOST_PLACES = 1000 };

static const char style[] =
    ":root{--ink:#1c2430;--dim:#66707f;--line:#d9dee6;--paper:#fff;--good:#1f7a5c;--bad:#b4492f;--mark:#2b5fb8}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--dim:#98a2b3;--line:#333b47;--paper:#14181f;--good:#58c49a;"
    "--bad:#ef8a6d;--mark:#7fa8f0}}"
    "body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:900px;margin:2.5em auto;"
    "padding:0 1em}h1{font-size:1.4em;margin:0}h2{font-size:1.05em;margin:2.4em 0 .6em}p{margin:.4em 0;color:var(--dim)}"
    ".facts{display:flex;flex-wrap:wrap;gap:2.4em;margin:1.6em 0}.facts b{display:block;font-size:1.9em;font-weight:600;"
    "color:var(--ink);line-height:1.2}.facts span{color:var(--dim)}svg{max-width:100%;height:auto}svg text{fill:var(--dim);"
    "font:12px system-ui,sans-serif}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.22em .8em .22em 0;"
    "border-bottom:1px solid var(--line);font-weight:400}th{color:var(--dim)}td.n,th.n{text-align:right;white-space:nowrap}"
    "code{font-size:.93em;word-break:break-all}";

static void escaped(xfc_buf *b, const char *text) {
    for (; *text; text++) {
        const char *as = *text == '<'   ? "&lt;"
                         : *text == '>' ? "&gt;"
                         : *text == '&' ? "&amp;"
                         : *text == '"' ? "&quot;"
                                        : NULL;
        if (as)
            xfc_buf_str(b, as);
        else
            xfc_buf_char(b, (unsigned char)*text < 32 ? ' ' : *text);
    }
}

/* --- facts --- */

static void fact(xfc_buf *b, const char *number, const char *what) {
    xfc_buf_printf(b, "<div><b>%s</b><span>%s</span></div>\n", number, what);
}

static void facts(const xf_record *r, xfc_buf *b) {
    xfc_arena *a = b->arena;
    xfc_buf_str(b, "<div class=facts>\n");
    if (r->samples)
        fact(b, xfc_sprintf(a, "%.2f&times;", r->exact_seconds / r->seconds), "as fast as the exact program");
    if (r->exact_products > 0)
        fact(b, xfc_sprintf(a, "%.1f&thinsp;%%", 100 * r->products / r->exact_products), "of the multiplications");
    if (r->budgets->n) fact(b, xfc_sprintf(a, "%.0f&thinsp;%%", 100 * r->used), "of the budget used");
    if (r->budgets->eval)
        fact(b, xfc_sprintf(a, "%.6g", r->metric), xfc_sprintf(a, "by the command; exact %.6g", r->exact_metric));
    if (r->samples)
        fact(b, xfc_sprintf(a, "%u + %u", (unsigned)r->samples->fit.n, (unsigned)r->samples->judge.n),
             "samples to choose by and to judge by");
    xfc_buf_str(b, "</div>\n");
}

static void outputs(const xf_record *r, xfc_buf *b) {
    if (!r->samples) return;
    xfc_buf_str(b, "<h2>Outputs, on the samples that judge</h2>\n<table><tr><th>output<th class=n>cos<th class=n>rel"
                   "<th class=n>abs<th class=n>largest exact<th class=n>other first, %</tr>\n");
    for (uint32_t i = 0; i < r->exact->n_out; i++) {
        const xf_distance *d = &r->output[i];
        if (!d->floats) continue;
        xfc_buf_str(b, "<tr><td><code>");
        escaped(b, r->exact->name[i]);
        xfc_buf_printf(
            b, "</code><td class=n>%.6f<td class=n>%.3g<td class=n>%.3g<td class=n>%.3g<td class=n>%.3g</tr>\n",
            xf_metric_of(d, XF_COS, 0), xf_metric_of(d, XF_REL, 0), d->most, d->largest, xf_metric_of(d, XF_TOP1, 0));
    }
    xfc_buf_str(b, "</table>\n");
}

/* --- every setting tried --- */

/* A picture lies over the multiplications that are left, in percent, or over how many times as fast it is. */
typedef struct {
    bool speed;
    double from, to, step; /* less work to the right */
    double low, high;      /* log10 of the share of the budget */
} view;

static double across_of(const xf_search *s, const view *v, const xf_trial *t) {
    if (v->speed) return t->exact_seconds / t->seconds;
    return s->exact_products > 0 ? 100 * t->products / s->exact_products : 100;
}
static double height_of(const xf_trial *t) { return log10(fmin(fmax(t->used, 1e-3), 1e3)); }

static view view_of(const xf_search *s, bool speed) {
    view v = {.speed = speed, .from = speed ? 1 : 100, .to = speed ? 1 : 100, .low = -1, .high = 0.3};
    for (uint32_t i = 0; i < s->n_trials; i++) {
        double at = across_of(s, &v, s->trial[i]);
        v.from = speed ? fmin(v.from, at) : v.from;
        v.to = speed ? fmax(v.to, at) : fmin(v.to, at);
        v.low = fmin(v.low, height_of(s->trial[i]));
        v.high = fmax(v.high, height_of(s->trial[i]));
    }
    v.step = speed ? (v.to - v.from > 3 ? 1 : 0.25) : -10;
    v.from = speed ? floor(v.from / v.step) * v.step : 100;
    v.to = speed ? ceil(v.to / v.step) * v.step : fmin(floor(v.to / 10) * 10, 90);
    if (v.to == v.from) v.to += v.step;
    return v;
}

static double across(const view *v, double at) {
    return (double)LEFT + (double)(WIDTH - LEFT - RIGHT) * (at - v->from) / (v->to - v->from);
}
static double down(const view *v, double height) {
    return (double)TOP + (double)(HEIGHT - TOP - BOTTOM) * (v->high - height) / (v->high - v->low);
}

static void axes(const view *v, xfc_buf *b) {
    int n = (int)lround((v->to - v->from) / v->step);
    for (int i = 0; i <= n; i++) {
        double at = v->from + i * v->step, x = across(v, at);
        xfc_buf_printf(b,
                       "<line x1=%.1f x2=%.1f y1=%d y2=%d stroke=var(--line) /><text x=%.1f y=%d "
                       "text-anchor=middle>%g%s</text>\n",
                       x, x, TOP, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 18, at, v->speed ? "&times;" : "&thinsp;%");
    }
    for (int k = (int)ceil(v->low); k <= (int)floor(v->high); k++)
        xfc_buf_printf(b,
                       "<line x1=%d x2=%d y1=%.1f y2=%.1f stroke=var(--line) /><text x=%d y=%.1f "
                       "text-anchor=end>%g</text>\n",
                       LEFT, WIDTH - RIGHT, down(v, k), down(v, k), LEFT - 8, down(v, k) + 4, pow(10, k));
    xfc_buf_printf(b, "<line x1=%d x2=%d y1=%.1f y2=%.1f stroke=var(--bad) stroke-dasharray='5 4' />\n", LEFT,
                   WIDTH - RIGHT, down(v, 0), down(v, 0));
    xfc_buf_printf(b, "<text x=%d y=%.1f text-anchor=end style='fill:var(--bad)'>the budget</text>\n", WIDTH - RIGHT,
                   down(v, 0) - 6);
    xfc_buf_printf(b, "<text x=%d y=%d text-anchor=middle>%s</text>\n", (LEFT + WIDTH) / 2, HEIGHT - 8,
                   v->speed ? "as fast as the exact program" : "multiplications that are left");
    xfc_buf_printf(b, "<text transform='translate(14 %d) rotate(-90)' text-anchor=middle>share of the budget</text>\n",
                   (HEIGHT - BOTTOM + TOP) / 2);
}

static void point(const xf_search *s, const view *v, const xf_trial *t, xfc_buf *b) {
    static const char *const what[] = {"one place alone, probed", "tried, on the samples to choose by",
                                       "judged, on samples that nothing was chosen by"};
    static const int radius[] = {3, 5, 7};
    double x = across(v, across_of(s, v, t)), y = down(v, height_of(t));
    const char *ink = t->what == XF_PROBE ? "var(--dim)" : t->used <= 1 ? "var(--good)" : "var(--bad)";
    xfc_buf_printf(b, "<circle cx=%.1f cy=%.1f r=%d fill='%s' stroke='%s' stroke-width=1.5", x, y, radius[t->what],
                   t->what == XF_CHOICE ? ink : "none", ink);
    if (t == s->verdict) xfc_buf_str(b, " style='fill:var(--mark);stroke:var(--mark)'");
    xfc_buf_printf(b, "><title>%s\n%.3g of the budget, %.1f %% of the multiplications", what[t->what], t->used,
                   across_of(s, &(view){.speed = false}, t));
    if (t->seconds > 0) xfc_buf_printf(b, "\n%.2f times as fast as the exact program", t->exact_seconds / t->seconds);
    if (s->budgets->eval) xfc_buf_printf(b, "\nthe command gives %.6g", t->metric);
    xfc_buf_str(b, "</title></circle>\n");
}

static void picture(const xf_search *s, bool speed, xfc_buf *b) {
    const view v = view_of(s, speed);
    xfc_buf_printf(b, "<svg viewBox='0 0 %d %d' width=%d height=%d role=img>\n", WIDTH, HEIGHT, WIDTH, HEIGHT);
    axes(&v, b);
    for (int what = XF_PROBE; what <= XF_VERDICT; what++)
        for (uint32_t i = 0; i < s->n_trials; i++)
            if (s->trial[i]->what == what) point(s, &v, s->trial[i], b);
    xfc_buf_str(b, "</svg>\n");
}

static void pictures(const xf_search *s, xfc_buf *b) {
    xfc_buf_str(b, "<h2>Every setting that was tried</h2>\n<p>Faster to the right, less error below. Rings: one place "
                   "alone. Dots: settings, on the samples to choose by. Large: what was judged; the blue one is "
                   "this model.</p>\n");
    if (s->samples) picture(s, true, b);
    if (s->samples)
        xfc_buf_str(b, "<p>The same by what is multiplied, which no other program on the machine disturbs.</p>\n");
    picture(s, false, b);
}

/* --- place by place --- */

static double probed(const xf_search *s, uint32_t request, const char *name) {
    for (uint32_t i = 0; s && i < s->n_sites; i++)
        if (s->site[i].request == request && !strcmp(s->site[i].site->name, name)) return s->site[i].error;
    return -1;
}

static void bar(xfc_buf *b, double part) {
    xfc_buf_printf(b,
                   "<svg width=110 height=12><rect width=110 height=12 rx=2 fill=var(--line) /><rect width=%.1f "
                   "height=12 rx=2 fill=var(--mark) /></svg>",
                   110 * fmin(fmax(part, 0), 1));
}

static void place(const xf_record *r, const xf_search *s, uint32_t request, uint32_t i, xfc_buf *b) {
    const xfc_lossy_request *q = &r->lossy->request[request];
    const xfc_lossy_site *site = &q->done[i];
    uint32_t level = q->done[i].done;
    double error = probed(s, request, site->name);
    xfc_buf_str(b, "<tr><td><code>");
    escaped(b, site->name);
    xfc_buf_str(b, "</code><td>");
    escaped(b, site->what);
    xfc_buf_str(b, "<td>");
    if (site->why)
        escaped(b, site->why);
    else if (site->says)
        escaped(b, site->says[level]);
    else
        xfc_buf_printf(b, "%u of %u", (unsigned)level, (unsigned)site->levels);
    xfc_buf_str(b, "<td>");
    if (!site->why) bar(b, (double)level / site->levels);
    xfc_buf_str(b, "<td class=n>");
    if (level && r->exact_products > 0)
        xfc_buf_printf(b, "&minus;%.2f&thinsp;%%", 100 * site->saves[level] / r->exact_products);
    if (s) xfc_buf_str(b, "<td class=n>");
    if (s && error >= 0) xfc_buf_printf(b, "%.3g", error);
    xfc_buf_str(b, "</tr>\n");
}

static void places(const xf_record *r, const xf_search *s, xfc_buf *b) {
    for (uint32_t k = 0; k < r->lossy->n; k++) {
        const xfc_lossy_request *q = &r->lossy->request[k];
        xfc_buf_str(b, "<h2>Place by place: ");
        escaped(b, xfc_lossy_kinds[q->kind].name);
        xfc_buf_printf(
            b, "</h2>\n<p>%s.%s</p>\n", xfc_lossy_kinds[q->kind].help,
            s ? " Multiplications are those that a place saves by itself. Alone: the share of the budget that the middle level takes, nothing else being changed."
              : " Multiplications are those that a place saves by itself.");
        xfc_buf_printf(b, "<table><tr><th>place<th>what<th>done<th>level<th class=n>multiplications%s</tr>\n",
                       s ? "<th class=n>alone" : "");
        for (uint32_t i = 0; i < q->n_done && i < MOST_PLACES; i++) place(r, s, k, i, b);
        xfc_buf_str(b, "</table>\n");
        if (q->n_done > MOST_PLACES) xfc_buf_printf(b, "<p>and %u more</p>\n", (unsigned)q->n_done - MOST_PLACES);
    }
}

void xf_report_page(const xf_record *r, const xf_search *s, const xfc_graph *g, xfc_buf *b) {
    xfc_buf_str(
        b,
        "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\n<title>");
    escaped(b, g->source ? g->source : "model");
    xfc_buf_printf(b, "</title>\n<style>%s</style>\n<h1>", style);
    escaped(b, g->source ? g->source : "model");
    xfc_buf_str(b, "</h1>\n<p>");
    for (uint32_t i = 0; i < r->lossy->n; i++) {
        xfc_buf_str(b, " <code>--lossy=");
        escaped(b, xf_lossy_words_text(&r->lossy->request[i], b->arena));
        xfc_buf_str(b, "</code>");
    }
    for (uint32_t i = 0; i < r->budgets->n; i++) {
        xfc_buf_str(b, " <code>--max-error=");
        escaped(b, r->budgets->item[i].text);
        xfc_buf_str(b, "</code>");
    }
    xfc_buf_str(b, "</p>\n");
    facts(r, b);
    if (s) pictures(s, b);
    outputs(r, b);
    places(r, s, b);
    xfc_buf_str(b, "</html>\n");
}
