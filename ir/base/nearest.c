/* nearest.c - see nearest.h.
 *
 * Distance: insertions, deletions, replacements and swaps of neighbours, without regard to case or to '-' against '_'.
 * A name is near when less than half of what was typed has to change, and no more than three letters; or when what was
 * typed is its beginning. Names over 127 bytes are compared by nobody at a keyboard: only their beginnings count.
 */
#include "ir/base/nearest.h"
#include "ir/base/str.h"

#include <string.h>

enum { MOST_EDITS = 3, MOST_BYTES = 127 };

static char folded(char c) {
    if (c >= 'A' && c <= 'Z') return (char)(c - 'A' + 'a');
    return c == '_' ? '-' : c;
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Both at most MOST_BYTES long. Three rows of the usual table, as a swap looks two back. */
static uint32_t distance(const char *a, size_t n, const char *b, size_t m) {
    uint32_t row[3][MOST_BYTES + 1];
    for (uint32_t k = 0; k <= m; k++) row[0][k] = k;
    for (uint32_t i = 1; i <= n; i++) {
        uint32_t *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = i;
        for (uint32_t k = 1; k <= m; k++) {
            char x = folded(a[i - 1]), y = folded(b[k - 1]);
            now[k] = least(least(last[k], now[k - 1]) + 1, last[k - 1] + (x != y));
            if (i > 1 && k > 1 && x == folded(b[k - 2]) && folded(a[i - 2]) == y)
                now[k] = least(now[k], before[k - 2] + 1);
        }
    }
    return row[n % 3][m];
}

void xfc_nearest_offer(xfc_nearest *x, const char *name) {
    size_t n = x->n, m = strlen(name);
    if (n == 0 || n > MOST_BYTES) return;
    uint32_t edits = MOST_EDITS + 1;
    if (m <= MOST_BYTES && m + MOST_EDITS >= n && n + MOST_EDITS >= m) edits = distance(x->wanted, n, name, m);
    bool near = edits <= MOST_EDITS && edits * 2 < n + (n < 4);
    if (!near && n > 2 && m > n && strncmp(name, x->wanted, n) == 0) { /* cut off: behind all that are near */
        near = true;
        edits = MOST_EDITS + 1;
    }
    if (!near || (x->best && edits >= x->edits)) return;
    x->best = name;
    x->edits = edits;
}

const char *xfc_did_you_mean(xfc_arena *arena, const xfc_nearest *x, const char *prefix) {
    if (!x->best) return "";
    xfc_buf b = {.arena = arena};
    xfc_buf_str(&b, "; did you mean '");
    xfc_buf_str(&b, prefix);
    xfc_buf_plain(&b, x->best);
    xfc_buf_str(&b, "'?");
    return b.text;
}
