/* lengths.c - how long the made-up sequences of a batch are: the laws of --lengths.
 *
 *   full          all as long as the input
 *   zipf:N        1 to N with probability proportional to 1 / length; longer than the input is cut to it
 *   uniform:F     F times the input's length to all of it, all equally likely
 *   list:5,9,...  these, one a sequence
 *
 * A draw depends on the law, the seed and the sizes alone, so all masks of a batch agree and every machine gets the
 * same batch.
 */
#include "tools/run/run.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 24 };

static bool parse_list(xfc_arena *arena, const char *s, xf_lengths *out) {
    uint32_t cap = 0;
    do {
        char *end;
        errno = 0;
        long long n = strtoll(s, &end, 10);
        if (end == s || errno || n < 0 || n > MOST || (*end && *end != ',')) return false;
        xfc_push(arena, out->list, out->n_list, cap) = n;
        s = *end ? end + 1 : NULL;
    } while (s);
    return true;
}

static bool parse_law(xfc_arena *arena, const char *text, xf_lengths *out) {
    char *end;
    if (!strcmp(text, "full")) return out->law = XF_LENGTHS_FULL, true;
    if (!strncmp(text, "zipf:", 5)) {
        out->law = XF_LENGTHS_ZIPF;
        out->most = strtoll(text + 5, &end, 10);
        return end != text + 5 && !*end && out->most >= 1 && out->most <= MOST;
    }
    if (!strncmp(text, "uniform:", 8)) {
        out->law = XF_LENGTHS_UNIFORM;
        out->least = strtod(text + 8, &end);
        return end != text + 8 && !*end && out->least >= 0 && out->least <= 1;
    }
    out->law = XF_LENGTHS_LIST;
    return !strncmp(text, "list:", 5) && parse_list(arena, text + 5, out);
}

bool xf_lengths_parse(xfc_arena *arena, const char *text, xf_lengths *out) {
    *out = (xf_lengths){.text = text};
    return parse_law(arena, text, out);
}

/* The length at which the sum of 1 / length first exceeds u of the whole. */
static int64_t zipf(int64_t most, double u) {
    double whole = 0, sum = 0;
    for (int64_t k = 1; k <= most; k++) whole += 1 / (double)k;
    for (int64_t k = 1; k < most; k++) {
        sum += 1 / (double)k;
        if (sum > u * whole) return k;
    }
    return most;
}

static int64_t draw(const xf_lengths *l, int64_t longest, double u) {
    if (l->law == XF_LENGTHS_FULL) return longest;
    if (l->law == XF_LENGTHS_ZIPF) {
        int64_t k = zipf(l->most, u);
        return k < longest ? k : longest;
    }
    int64_t least = (int64_t)ceil(l->least * (double)longest);
    return least + (int64_t)(u * (double)(longest - least + 1));
}

xfc_status xf_lengths_draw(const xf_lengths *l, xfc_ctx *c, uint64_t seed, int64_t batch, int64_t longest,
                           int64_t *out) {
    if (l->law == XF_LENGTHS_LIST && batch != l->n_list)
        return xfc_fail(c, XFC_ERR_INPUT, (xfc_loc){0}, "--lengths=%s: %u lengths for a batch of %lld; give one each",
                        l->text, (unsigned)l->n_list, (long long)batch);
    for (int64_t i = 0; i < batch; i++) {
        double u = (double)(xf_random(&seed) >> 11) * 0x1p-53;
        out[i] = l->law == XF_LENGTHS_LIST ? l->list[i] : draw(l, longest, u);
        if (out[i] > longest)
            return xfc_fail(c, XFC_ERR_INPUT, (xfc_loc){0},
                            "--lengths=%s: a length of %lld is beyond the input's %lld; make --shape larger", l->text,
                            (long long)out[i], (long long)longest);
    }
    return XFC_OK;
}
