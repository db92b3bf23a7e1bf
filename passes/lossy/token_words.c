/* token_words.c - what --lossy=token-merge:... asks for (token_words.h). */
#include "passes/lossy/token_words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_word(const xfc_lossy *l, const char *key, const char *word) {
    const char *value = xfc_lossy_word_of(l, key);
    return value && !strcmp(value, word);
}

static xfc_token_way way_of(const xfc_lossy *l) {
    static const char *const names[] = {
        [XFC_BY_TRANSFORM] = "transform", [XFC_BY_ATTENTION] = "attention", [XFC_BY_RANDOM] = "random"};
    for (uint32_t i = XFC_BY_TRANSFORM; i < XFC_COUNT(names); i++)
        if (is_word(l, "by", names[i])) return (xfc_token_way)i;
    return XFC_BY_MERGE;
}

static xfc_status wrong(const xfc_lossy *l, const char *key, const char *what) {
    const char *value = xfc_lossy_word_of(l, key);
    return xfc_fail(l->graph->ctx, XFC_ERR_INPUT, (xfc_loc){0}, "--lossy=token-merge:%s=%s: %s", key, value, what);
}

static double number_of(const xfc_lossy *l, const char *key, double absent) {
    const char *value = xfc_lossy_word_of(l, key);
    return value ? strtod(value, NULL) : absent; /* the command line was checked */
}

xfc_status xfc_token_words_read(const xfc_lossy *l, xfc_token_words *w) {
    static const char *const number[2] = {"r", "inflect"};
    const double ratio = number_of(l, "ratio", -1);
    *w = (xfc_token_words){.way = way_of(l), .thousandths = -1, .softness = number_of(l, "softness", 0.07)};
    w->plain = is_word(l, "proportional", "off");
    w->has_threshold = xfc_lossy_word_of(l, "threshold") != NULL;
    w->threshold = number_of(l, "threshold", -HUGE_VAL);
    if (w->softness < 1e-3) return wrong(l, "softness", "give a number that is not below 0.001");
    if (ratio > 0.5) return wrong(l, "ratio", "give the share of the tokens that merges in each block, from 0 to 0.5");
    if (ratio >= 0) w->thousandths = lround(ratio * (double)XFC_THOUSAND);
    for (uint32_t i = 0; i < 2 && (ratio >= 0 || w->has_threshold); i++)
        if (xfc_lossy_word_of(l, number[i])) return wrong(l, number[i], "it does not go with a ratio or a threshold");
    if (w->has_threshold && w->way != XFC_BY_MERGE) return wrong(l, "threshold", "it is for by=merge alone");
    return XFC_OK;
}

xfc_status xfc_token_words_numbers(const xfc_lossy *l, uint32_t n, int64_t usual, int64_t *r) {
    const char *text = xfc_lossy_word_of(l, "r"), *inflect = xfc_lossy_word_of(l, "inflect"), *at = text;
    char *end = NULL;
    uint32_t k = 0;
    for (uint32_t i = 0; i < n; i++) r[i] = text ? 0 : usual;
    for (; at; at = *end ? end + 1 : NULL, k++) {
        int64_t v = strtoll(at, &end, 10);
        if (end == at || (*end && *end != '/') || v < 0 || v > INT32_MAX || (k >= n && k > 0))
            return xfc_fail(l->graph->ctx, XFC_ERR_INPUT, (xfc_loc){0},
                            "--lossy=token-merge:r=%s: give how many tokens merge in each block, or numbers joined by "
                            "'/', one for each of the %u blocks",
                            text, (unsigned)n);
        if (k < n) r[k] = v;
    }
    for (uint32_t i = 1; i < n && k == 1; i++) r[i] = r[0];
    if (!inflect) return XFC_OK;
    double by = strtod(inflect, &end);
    if (*end || k > 1 || !(by >= -1 && by <= 1))
        return xfc_fail(l->graph->ctx, XFC_ERR_INPUT, (xfc_loc){0},
                        "--lossy=token-merge:inflect=%s: give a number from -1 to 1, and one number for r", inflect);
    double low = n > 0 ? floor((double)r[0] * (1 - by)) : 0, step = n > 1 ? 2 * ((double)r[0] - low) / (n - 1) : 0;
    for (uint32_t i = 0; i < n; i++) r[i] = (int64_t)(low + step * i);
    return XFC_OK;
}
