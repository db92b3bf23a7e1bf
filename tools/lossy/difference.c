/* difference.c - how far outputs are from those that were kept. */
#include "tools/lossy/lossy.h"
#include <math.h>
#include <string.h>

xf_distances xf_distances_new(xfc_arena *arena, const xf_kept *exact, bool kl) {
    return (xf_distances){exact, xfc_new_array(arena, xf_distance, exact->n_out), kl};
}

static bool same_size(const xfc_tensor *a, const xfc_tensor *b) {
    return a->dtype == b->dtype && a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

static double at(const xfc_tensor *t, int64_t i) {
    return t->dtype == XFC_F32 ? (double)((const float *)t->data)[i] : xfc_tensor_get_f(t, i);
}

/* Of one sample. */
typedef struct {
    double both, got, want, squares, most; /* sums of products; of the difference */
    double rows, other_first, kl;
} sums;

static void add_element(xf_distance *d, sums *s, double got, double want) {
    bool finite = isfinite(got) && isfinite(want);
    d->lost += isfinite(got) != isfinite(want);
    if (isfinite(want)) d->largest = fmax(d->largest, fabs(want));
    if (!finite) return;
    s->most = fmax(s->most, fabs(got - want));
    s->squares += (got - want) * (got - want);
    s->both += got * want;
    s->got += got * got;
    s->want += want * want;
}

static int64_t first_of(const xfc_tensor *t, int64_t from, int64_t n) {
    int64_t best = from;
    for (int64_t i = from + 1; i < from + n; i++) best = at(t, i) > at(t, best) ? i : best;
    return best;
}

/* log of the sum of e^x over a row. */
static double log_sum(const xfc_tensor *t, int64_t from, int64_t n, double most) {
    double sum = 0;
    for (int64_t i = from; i < from + n; i++) sum += exp(at(t, i) - most);
    return most + log(fmax(sum, 1)); /* one of them is the most */
}

static double divergence(const xfc_tensor *got, const xfc_tensor *want, int64_t from, int64_t n) {
    double a = log_sum(want, from, n, at(want, first_of(want, from, n)));
    double b = log_sum(got, from, n, at(got, first_of(got, from, n))), sum = 0;
    for (int64_t i = from; i < from + n; i++) {
        double p = at(want, i) - a, q = at(got, i) - b;
        if (exp(p) > 0) sum += exp(p) * (p - q);
    }
    return sum;
}

static void add_rows(sums *s, const xfc_tensor *got, const xfc_tensor *want, bool kl) {
    int64_t n = want->rank ? want->dim[want->rank - 1] : 1;
    for (int64_t from = 0; n && from < want->count; from += n) {
        s->rows++;
        s->other_first += first_of(got, from, n) != first_of(want, from, n);
        if (kl) s->kl += divergence(got, want, from, n);
    }
}

static double cosine(const sums *s) {
    if (s->squares == 0) return 1;
    return s->got > 0 && s->want > 0 ? s->both / sqrt(s->got * s->want) : 0;
}

static void add_ratio(xf_ratio *r, double a, double b) {
    r->n++;
    r->a += a, r->b += b;
    r->aa += a * a, r->ab += a * b, r->bb += b * b;
}

static void add_sample(xf_distance *d, const xfc_tensor *got, const xfc_tensor *want, bool kl) {
    sums s = {0};
    for (int64_t i = 0; i < want->count; i++) add_element(d, &s, at(got, i), at(want, i));
    add_rows(&s, got, want, kl);
    d->most = fmax(d->most, s.most);
    add_ratio(&d->ratio[XF_COS], 1 - cosine(&s), 1);
    add_ratio(&d->ratio[XF_REL], s.squares, s.want);
    add_ratio(&d->ratio[XF_ABS], s.most, 1);
    add_ratio(&d->ratio[XF_TOP1], 100 * s.other_first, s.rows);
    add_ratio(&d->ratio[XF_KL], s.kl, s.rows);
}

static void see_output(xf_distance *d, const xfc_tensor *got, const xfc_tensor *want, bool kl) {
    d->floats = xfc_dtype_is_float(want->dtype);
    if (!same_size(got, want))
        d->other_size = true;
    else if (d->floats)
        add_sample(d, got, want, kl);
}

xfc_status xf_see_distance(void *user, uint32_t sample, const xfc_tensor *const *out) {
    const xf_distances *all = user;
    const uint32_t n = all->exact->n_out;
    xfc_arena *arena = xfc_arena_new();
    const xfc_tensor **want = xfc_new_array(arena, const xfc_tensor *, n);
    xfc_status s = xf_kept_read(all->exact, sample, arena, want);
    for (uint32_t i = 0; i < n && s == XFC_OK; i++) see_output(&all->output[i], out[i], want[i], all->kl);
    xfc_arena_free(arena);
    return s;
}

/* --- metrics --- */

const double xf_sure = 1.645;

const char *const xf_metric_names[XF_N_METRICS] = {"cos", "rel", "abs", "top1", "kl"};

/* Of a sum over another: from what is left of each sample when their ratio is taken out. */
static double standard_error(const xf_ratio *r, double ratio) {
    double left = r->aa - 2 * ratio * r->ab + ratio * ratio * r->bb;
    return r->n > 1 && left > 0 ? sqrt(r->n / (r->n - 1) * left) / r->b : 0;
}

/* Of few samples it is not known well how much they vary: about what Student's law has for so many. */
static double errors(const xf_ratio *r, double ratio, double margin) {
    return r->n > 1 ? margin * (1 + (margin * margin + 1) / (4 * (r->n - 1))) * standard_error(r, ratio) : 0;
}

/* The largest of more samples is further out. Where large ones become rare exponentially, what the largest of CALLS times
 * as many is beyond the largest of these follows a logistic law; as sure as the margin is of a mean. The scale of an
 * exponential law is its standard deviation; laws of shorter tails, as the normal one or Gumbel's, have a smaller one. */
enum { CALLS = 10 };

static double largest(const xf_distance *d, double margin) {
    const xf_ratio *r = &d->ratio[XF_ABS];
    if (margin <= 0) return d->most;
    double scale = sqrt(r->n) * errors(r, r->a / r->b, margin) / margin, beyond = erfc(margin / sqrt(2)) / 2;
    return d->most + scale * (log(CALLS) + log((1 - beyond) / beyond));
}

/* Wilson's bound, in percent, for rows of which so many are wrong. Few wrong ones say less than how they vary. */
static double wilson(double wrong, double rows, double margin) {
    double z = margin * margin, spread = margin * sqrt(wrong * (rows - wrong) / rows + z / 4);
    return 100 * (wrong + z / 2 + spread) / (rows + z);
}

double xf_least_top1(double rows) { return rows > 0 ? wilson(0, rows, xf_sure) : 100; }

double xf_metric_of(const xf_distance *d, xf_metric m, double margin) {
    const xf_ratio *r = &d->ratio[m];
    bool none = r->n == 0 || d->other_size || d->lost;
    if (none) return m == XF_COS ? -1 : m == XF_TOP1 ? 100 : HUGE_VAL;
    if (m == XF_ABS) return largest(d, margin);
    double ratio = r->a <= 0 ? 0 : r->b > 0 ? r->a / r->b : HUGE_VAL;
    if (isfinite(ratio) && r->b > 0) ratio += errors(r, ratio, margin);
    if (m == XF_TOP1 && r->b > 0) ratio = fmax(ratio, wilson(r->a / 100, r->b, margin));
    return m == XF_COS ? 1 - ratio : m == XF_REL ? sqrt(ratio) : ratio;
}

void xf_distance_text(xfc_buf *b, const char *output, const xf_distance *d, bool kl) {
    xfc_buf_str(b, "output '");
    xfc_buf_plain(b, output);
    xfc_buf_printf(b, "': cos %.6f, rel %.3g, abs %.3g of at most %.3g, another largest element in %.3g %% of rows",
                   xf_metric_of(d, XF_COS, 0), xf_metric_of(d, XF_REL, 0), d->most, d->largest,
                   xf_metric_of(d, XF_TOP1, 0));
    if (kl) xfc_buf_printf(b, ", kl %.3g", xf_metric_of(d, XF_KL, 0));
    if (d->lost) xfc_buf_printf(b, "; %lld elements are finite in one of them only", (long long)d->lost);
    if (d->other_size) xfc_buf_str(b, "; there are samples on which it has other dims");
}
