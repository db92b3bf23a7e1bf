/* test_texts.c - routines on tables of texts, whatever starts and lengths say: nothing is read or written outside, pieces
 * are texts of the same bytes, and what is found is equal. Arrays have the exact sizes, for builds with sanitizers. */
#include "runtime/kernels/texts.h"
#include "tests/unit/test.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const xk_i64 odd[] = {0, 1, 2, 3, 7, -1, -5, 1000, INT64_MAX, INT64_MIN};

static xk_i64 number(uint64_t *seed, bool fair) {
    return fair ? test_between(seed, 0, 4) : odd[test_between(seed, 0, (int64_t)(sizeof odd / sizeof *odd) - 1)];
}

typedef struct {
    unsigned char *bytes;
    xk_i64 *start, *length, size, n;
} table;

static table make(uint64_t *seed, bool fair) {
    table t = {.size = test_between(seed, 0, 9), .n = test_between(seed, 0, 6)};
    t.bytes = malloc((size_t)t.size + 1);
    t.start = malloc(((size_t)t.n + 1) * sizeof *t.start);
    t.length = malloc(((size_t)t.n + 1) * sizeof *t.length);
    for (xk_i64 i = 0; i < t.size; i++) t.bytes[i] = (unsigned char)"ab, "[test_between(seed, 0, 3)];
    for (xk_i64 i = 0; i < t.n; i++) t.start[i] = number(seed, fair), t.length[i] = number(seed, fair);
    return t;
}

static void drop(table *t) {
    free(t->bytes);
    free(t->start);
    free(t->length);
}

static bool same(const xk_texts *a, xk_i64 i, const xk_texts *b, xk_i64 k) {
    xk_i64 n, m;
    const unsigned char *x = xk_text(a, i, &n), *y = xk_text(b, k, &m);
    return n == m && (n == 0 || memcmp(x, y, (size_t)n) == 0);
}

static void find(uint64_t *seed, bool fair) {
    table in = make(seed, fair), what = make(seed, fair);
    xk_i64 *out = malloc(((size_t)what.n + 1) * sizeof *out), *spare = malloc((2 * (size_t)in.n + 1) * sizeof *spare);
    const xk_array a[7] = {{in.bytes, &in.size, 1, 0},  {in.start, &in.n, 1, 0},
                           {in.length, &in.n, 1, 0},    {what.bytes, &what.size, 1, 0},
                           {what.start, &what.n, 1, 0}, {what.length, &what.n, 1, 0},
                           {out, &what.n, 1, 0}};
    const xk_call call = {a, NULL};
    CHECK(xk_find_texts_work(&call).scratch == 2 * in.n * (xk_i64)sizeof(xk_i64));
    xk_find_texts(&call, 0, 1, spare);
    const xk_texts x = xk_texts_of(a), y = xk_texts_of(a + 3);
    for (xk_i64 i = 0; i < y.n; i++) {
        xk_i64 first = 0;
        while (first < x.n && !same(&x, first, &y, i)) first++;
        CHECK_INT(out[i], first < x.n ? first : -1);
    }
    free(out);
    free(spare);
    drop(&in);
    drop(&what);
}

static void split(uint64_t *seed, bool fair) {
    table t = make(seed, fair);
    xk_i64 d = test_between(seed, 0, 2), room = t.size + t.n + 1, made = 0;
    xk_i64 *out[4];
    for (int i = 0; i < 4; i++) out[i] = malloc(((size_t)room + 1) * sizeof *out[i]);
    const xk_array a[8] = {
        {t.bytes, &t.size, 1, 0}, {t.start, &t.n, 1, 0}, {t.length, &t.n, 1, 0}, {(void *)(uintptr_t)",a", &d, 1, 0},
        {out[0], &room, 1, 0},    {out[1], &room, 1, 0}, {out[2], &t.n, 1, 0},   {out[3], &t.n, 1, 0}};
    const xk_number pieces = {.i = test_between(seed, 0, 3)};
    xk_split_texts(&(xk_call){a, &pieces}, 0, 1, NULL);
    for (xk_i64 i = 0; i < t.n; i++) {
        CHECK_INT(out[2][i], made);
        CHECK(out[3][i] >= 0 && (pieces.i == 0 || out[3][i] <= pieces.i));
        made += out[3][i];
    }
    CHECK(made < room);
    for (xk_i64 i = 0; i < room; i++) {
        CHECK(out[0][i] >= 0 && out[1][i] >= 0 && out[0][i] + out[1][i] <= t.size);
        if (i >= made) CHECK(out[0][i] == 0 && out[1][i] == 0);
    }
    for (int i = 0; i < 4; i++) free(out[i]);
    drop(&t);
}

/* By texts and an automaton whose numbers may be any; what follows them by hand agrees. */
static void match(uint64_t *seed, bool fair) {
    table t = make(seed, fair);
    xk_i64 all = 256, dim[2] = {test_between(seed, 0, 3), test_between(seed, 1, 4)};
    unsigned char *class = malloc(256), *out = malloc((size_t)t.n + 1);
    xk_i32 *next = malloc((size_t)(dim[0] * dim[1] + 1) * sizeof *next);
    for (int i = 0; i < 256; i++) class[i] = (unsigned char)test_between(seed, 0, fair ? dim[1] - 1 : 255);
    for (xk_i64 i = 0; i < dim[0] * dim[1]; i++) next[i] = (xk_i32)number(seed, fair);
    const xk_array a[6] = {{t.bytes, &t.size, 1, 0}, {t.start, &t.n, 1, 0}, {t.length, &t.n, 1, 0},
                           {class, &all, 1, 0},      {next, dim, 2, 0},     {out, &t.n, 1, 0}};
    const xk_call call = {a, NULL};
    const xk_texts x = xk_texts_of(a);
    CHECK_INT(xk_match_texts_work(&call).tasks, t.n);
    xk_match_texts(&call, 0, t.n, NULL);
    for (xk_i64 i = 0; i < t.n; i++) {
        xk_i64 n, state = 0;
        const unsigned char *text = xk_text(&x, i, &n);
        for (xk_i64 k = 0; k < n && state >= 0 && state < dim[0]; k++)
            state = class[text[k]] < dim[1] - 1 ? next[state * dim[1] + class[text[k]]] : -1;
        CHECK_INT(out[i], state >= 0 && state < dim[0] && next[state * dim[1] + dim[1] - 1] == 1);
    }
    free(class);
    free(out);
    free(next);
    drop(&t);
}

/* Whatever bytes there are, what is written fits; places rise by at most 3, and as ASCII it is what C says. */
static void change(uint64_t *seed, bool ascii) {
    static const unsigned char often[] = {'a',  'Z',  0xc3, 0xa9, 0x89, 0xc4, 0xb1, 0xe2,
                                          0xb1, 0xa5, 0xf0, 0x90, 0x90, 0x80, 0xff};
    xk_i64 size = test_between(seed, 0, 12), room = size + size / 2, places = size + 1;
    unsigned char *in = malloc((size_t)size + 1), *out = malloc((size_t)room + 1);
    xk_i64 *place = malloc(((size_t)places + 1) * sizeof *place);
    for (xk_i64 i = 0; i < size; i++)
        in[i] = ascii ? (unsigned char)test_between(seed, 0, 127) : often[test_between(seed, 0, sizeof often - 1)];
    const xk_array a[3] = {{in, &size, 1, 0}, {out, &room, 1, 0}, {place, &places, 1, 0}};
    const xk_number up = {.i = test_between(seed, 0, 1)};
    xk_change_case(&(xk_call){a, &up}, 0, 1, NULL);
    CHECK_INT(place[0], 0);
    for (xk_i64 i = 0; i < size; i++) {
        CHECK(place[i] <= place[i + 1] && place[i + 1] <= place[i] + 3 && place[i + 1] <= room);
        if (ascii) CHECK_INT(out[i], up.i ? toupper(in[i]) : tolower(in[i]));
    }
    for (xk_i64 i = place[size]; i < room; i++) CHECK_INT(out[i], 0);
    free(in);
    free(out);
    free(place);
}

int main(void) {
    uint64_t seed = 7;
    for (int i = 0; i < 20000; i++) {
        find(&seed, i % 2);
        split(&seed, i % 2);
        match(&seed, i % 2);
        change(&seed, i % 2);
    }
    return test_end();
}
