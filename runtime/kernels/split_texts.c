/* split_texts.c - texts in pieces, at a delimiter or at white space.
 *
 * Operands: bytes u8 [s], starts i64 [n], lengths i64 [n] of texts that do not overlap; the delimiter u8 [d]. Number: how
 * many pieces a text has at most, 0: as many as there are. Results, i64: starts and lengths [s + n + 1]
 * of the pieces, which are texts of the same bytes, 0 behind the last one; first [n], the number of the first piece of
 * each text; count [n].
 *
 * At white space (no delimiter) runs of it count once and those at the ends not at all, as Python splits; where there may
 * be no more pieces, the last one has all of the rest, also white space at its end.
 */
#include "runtime/kernels/texts.h"

typedef struct {
    const unsigned char *text, *delimiter;
    xk_i64 n, d, pieces;
    xk_i64 *start, *length, from, made, most; /* from: of the text in all bytes */
} split;

static int is_space(unsigned char c) { return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31); }

static void add(split *s, xk_i64 begin, xk_i64 end) {
    if (s->made >= s->most) return; /* texts overlap */
    s->start[s->made] = s->from + begin;
    s->length[s->made++] = end - begin;
}

static int delimits(const split *s, xk_i64 at) {
    xk_i64 i = 0;
    while (i < s->d && at + i < s->n && s->text[at + i] == s->delimiter[i]) i++;
    return i == s->d;
}

static void at_delimiter(split *s) {
    xk_i64 begin = 0, pieces = 1;
    for (xk_i64 at = 0; at < s->n && pieces != s->pieces;) {
        if (!delimits(s, at)) {
            at++;
            continue;
        }
        add(s, begin, at);
        begin = at += s->d;
        pieces++;
    }
    add(s, begin, s->n);
}

static void at_space(split *s) {
    xk_i64 at = 0;
    for (xk_i64 pieces = 1;; pieces++) {
        while (at < s->n && is_space(s->text[at])) at++;
        if (at == s->n) return;
        xk_i64 begin = at;
        while (at < s->n && (!is_space(s->text[at]) || pieces == s->pieces)) at++;
        add(s, begin, at);
    }
}

xk_work xk_split_texts_work(const xk_call *c) {
    (void)c;
    return (xk_work){.tasks = 1, .grain = 1};
}

void xk_split_texts(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const xk_texts t = xk_texts_of(c->array);
    xk_i64 *first = c->array[6].data, *count = c->array[7].data;
    split s = {.delimiter = c->array[3].data,
               .d = c->array[3].dim[0],
               .pieces = c->number[0].i,
               .start = c->array[4].data,
               .length = c->array[5].data,
               .most = c->array[4].dim[0] - 1};
    (void)scratch;
    if (begin == end) return;
    for (xk_i64 i = 0; i < t.n; i++) {
        s.text = xk_text(&t, i, &s.n);
        s.from = s.text - t.bytes;
        first[i] = s.made;
        if (s.d)
            at_delimiter(&s);
        else
            at_space(&s);
        count[i] = s.made - first[i];
    }
    for (xk_i64 i = s.made; i <= s.most; i++) s.start[i] = s.length[i] = 0;
}
