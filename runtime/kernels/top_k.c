/* top_k.c - the first k elements of each row along an axis, in order, and where they were.
 *
 * Operand 0: x [.., n, ..]. Numbers: the axis, k, whether the largest come first or the smallest. Results: the elements
 * [.., k, ..], k <= n, and their places in the row, i64. Of equal elements (-0 equals 0) the one that stands before the
 * other comes first. NaN is larger than any number.
 *
 * Elements are compared as keys: integers of their size that order as they do, turned round for the smallest. A walk
 * over the row keeps those whose key is above the bound, the k-th best so far: no later element with that key is
 * wanted. Where there is no room for another block the best k stay and the bound rises, so a row costs O(n + k log k)
 * whatever stands in it; a few are kept in order instead, so that their bound is never old. Most blocks of a long row
 * end with the question whether any of their keys is above the bound, which compilers ask with vectors.
 *
 * Sorting is quicksort of the part that matters, by the median of three, and heap sort where that splits badly.
 */
#include "runtime/kernels/keys.h"

enum { BLOCK = 8, FEW = 16 };

typedef struct {
    xk_i64 key, at;
} entry;

typedef struct {
    xk_i64 rows, inner, n, k; /* x [rows / inner, n, inner] */
} sizes;

typedef struct { /* one row; elements are `step` apart */
    const void *x;
    xk_i64 step, bound, bound_at; /* bound_at: where the element stands whose key is the bound */
    int has_bound, smallest;
} row;

/* --- elements --- */

typedef xk_i64 pass_fn(const row *, xk_i64 begin, xk_i64 end);
typedef xk_i64 pick_fn(const row *, xk_i64 begin, xk_i64 end, entry *to);
typedef void put_fn(const row *, const entry *, xk_i64 k, void *to);
typedef struct {
    pass_fn *pass; /* passes blocks without a key above the bound: where one with such a key stands, or the last rest */
    pick_fn *pick; /* appends the elements with such a key and answers how many; writes an entry for each it looks at */
    put_fn *put;   /* writes the elements of these entries */
} element;

/* Of the block at `begin`: is any element above the bound? By its key; floats by the processor's own comparison, which
 * is cheaper and says yes of a NaN on either side. */
#define BOUND_SINT(T) const T bound = (T)r->bound, *x = r->x
#define ANY_SINT(ID, T)                                                                                                \
    T any = 0;                                                                                                         \
    for (int i = 0; i < BLOCK; i++) any = (T)(any | (key_##ID(x[begin + i], r->smallest) > bound))
#define BOUND_UINT BOUND_SINT
#define ANY_UINT ANY_SINT
#define BOUND_HALF BOUND_SINT
#define ANY_HALF ANY_SINT
#define FLOAT_xk_b32 float
#define FLOAT_xk_b64 double
#define BOUND_FLOAT(T) const FLOAT_##T *x = r->x, bound = x[r->bound_at]
#define ANY_FLOAT(ID, T)                                                                                               \
    int any = 0;                                                                                                       \
    if (r->smallest)                                                                                                   \
        for (int i = 0; i < BLOCK; i++) any |= !(x[begin + i] >= bound);                                               \
    else                                                                                                               \
        for (int i = 0; i < BLOCK; i++) any |= !(x[begin + i] <= bound)

#define XK_TYPE(ID, T, CLASS, code, bits, one, infinity)                                                               \
    XK T key_##ID(T x, int smallest) { return (T)(XK_KEY_##CLASS(T, x, infinity) ^ -smallest); }                       \
    static xk_i64 pass_##ID(const row *r, xk_i64 begin, xk_i64 end) {                                                  \
        BOUND_##CLASS(T);                                                                                              \
        for (; end - begin >= BLOCK; begin += BLOCK) {                                                                 \
            ANY_##CLASS(ID, T);                                                                                        \
            if (any) break;                                                                                            \
        }                                                                                                              \
        return begin;                                                                                                  \
    }                                                                                                                  \
    static xk_i64 pick_##ID(const row *r, xk_i64 begin, xk_i64 end, entry *to) {                                       \
        const T *x = r->x;                                                                                             \
        xk_i64 n = 0;                                                                                                  \
        for (xk_i64 i = begin; i < end; i++) {                                                                         \
            to[n] = (entry){key_##ID(x[i * r->step], r->smallest), i};                                                 \
            n += !r->has_bound || to[n].key > r->bound;                                                                \
        }                                                                                                              \
        return n;                                                                                                      \
    }                                                                                                                  \
    static void put_##ID(const row *r, const entry *from, xk_i64 k, void *to) {                                        \
        const T *x = r->x;                                                                                             \
        for (xk_i64 i = 0; i < k; i++) ((T *)to)[i * r->step] = x[from[i].at * r->step];                               \
    }
#include "runtime/kernels/types.def"
#undef XK_TYPE

static element element_of(xk_u32 dtype) {
    switch (dtype & 0xffffu) {
#define XK_TYPE(ID, T, CLASS, code, bits, ...)                                                                         \
    case (code) | (bits) << 8: return (element){pass_##ID, pick_##ID, put_##ID};
#include "runtime/kernels/types.def"
#undef XK_TYPE
    default: return (element){0};
    }
}

/* --- sorting --- */

XK int before(entry a, entry b) { return a.key > b.key || (a.key == b.key && a.at < b.at); }

XK void swap(entry *a, entry *b) {
    entry t = *a;
    *a = *b, *b = t;
}

static void insertion_sort(entry *a, xk_i64 n) {
    for (xk_i64 i = 1; i < n; i++) {
        entry e = a[i];
        xk_i64 j = i;
        for (; j > 0 && before(e, a[j - 1]); j--) a[j] = a[j - 1];
        a[j] = e;
    }
}

/* Place i of a heap with its last element on top takes its place below. */
static void sift(entry *a, xk_i64 i, xk_i64 n) {
    for (xk_i64 child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(a[child], a[child + 1])) child++;
        if (!before(a[i], a[child])) return;
        swap(&a[i], &a[child]);
    }
}

static void heap_sort(entry *a, xk_i64 n) {
    for (xk_i64 i = n / 2; i-- > 0;) sift(a, i, n);
    while (n-- > 1) {
        swap(&a[0], &a[n]);
        sift(a, 0, n);
    }
}

/* Of three entries or more: all in front of the answer come before all from it on; neither part is empty. */
static xk_i64 split(entry *a, xk_i64 n) {
    entry x = a[0], y = a[n / 2], z = a[n - 1];
    entry middle = before(x, y) ? (before(y, z) ? y : before(x, z) ? z : x) : before(x, z) ? x : before(y, z) ? z : y;
    for (xk_i64 i = -1, j = n;;) {
        do i++;
        while (before(a[i], middle));
        do j--;
        while (before(middle, a[j]));
        if (i >= j) return j + 1;
        swap(&a[i], &a[j]);
    }
}

/* The first k to the front, in order if they are to be sorted. No more than 2 * log2(n) bad splits are suffered. */
static void arrange(entry *a, xk_i64 n, xk_i64 k, int sorted, int splits) {
    while (n > FEW && (sorted || k < n)) {
        if (splits-- == 0) {
            heap_sort(a, n);
            return;
        }
        xk_i64 first = split(a, n);
        if (k <= first) {
            n = first;
            continue;
        }
        if (sorted) arrange(a, first, first, 1, splits);
        a += first, n -= first, k -= first;
    }
    if (sorted || k < n) insertion_sort(a, n);
}

static int most_splits(xk_i64 n) {
    int splits = 2;
    for (; n > 1; n /= 2) splits += 2;
    return splits;
}

/* --- rows --- */

static sizes sizes_of(const xk_call *c) {
    const xk_array *x = &c->array[0];
    sizes s = {1, 1, x->dim[c->number[0].i], c->array[1].dim[c->number[0].i]};
    for (xk_u32 d = 0; d < x->rank; d++) /* beside a 0 the product of the others may be any */
        if (x->dim[d] == 0) return (sizes){0, 1, 0, 0};
    for (xk_u32 d = 0; d < x->rank; d++)
        if (d != c->number[0].i) s.rows *= x->dim[d];
    for (xk_u32 d = (xk_u32)c->number[0].i + 1; d < x->rank; d++) s.inner *= x->dim[d];
    return s;
}

/* Entries that are kept at most: so many that making room for a block halves them. */
static xk_i64 most_entries(const sizes *s) { return (s->k <= s->n / 2 ? 2 * s->k : s->n) + BLOCK; }

static void set_bound(row *r, const entry *e, xk_i64 n) {
    const entry *worst = e;
    for (xk_i64 i = 1; i < n; i++)
        if (e[i].key < worst->key) worst = &e[i];
    r->bound = worst->key, r->bound_at = worst->at;
    r->has_bound = 1;
}

/* The first `had` entries are in order; of those up to n the best take their places among them. Answers how many there
 * are. */
static xk_i64 insert(entry *e, xk_i64 had, xk_i64 n, xk_i64 k) {
    for (xk_i64 i = had; i < n; i++) {
        entry x = e[i];
        if (had == k && !before(x, e[k - 1])) continue;
        if (had < k) had++;
        xk_i64 j = had - 1;
        for (; j > 0 && before(x, e[j - 1]); j--) e[j] = e[j - 1];
        e[j] = x;
    }
    return had;
}

/* The k best of the row to the front of e, in order. */
static void find(row *r, const element *type, const sizes *s, entry *e) {
    xk_i64 n = 0, most = most_entries(s);
    for (xk_i64 begin = 0, end; begin < s->n; begin = end) {
        if (r->has_bound && r->step == 1) begin = type->pass(r, begin, s->n);
        end = begin + BLOCK < s->n ? begin + BLOCK : s->n;
        if (n + (end - begin) > most) {
            arrange(e, n, s->k, 0, most_splits(n));
            set_bound(r, e, n = s->k);
        }
        xk_i64 more = type->pick(r, begin, end, e + n);
        n = s->k <= FEW ? insert(e, n, n + more, s->k) : n + more;
        if (s->k <= FEW && n == s->k) set_bound(r, e + n - 1, 1);
    }
    if (s->k > FEW) arrange(e, n, s->k, 1, most_splits(n));
}

xk_work xk_top_k_work(const xk_call *c) {
    enum { ELEMENTS = 1 << 15 }; /* worth a worker's while */
    const sizes s = sizes_of(c);
    xk_work work = {.tasks = s.k > 0 ? s.rows : 0, .grain = ELEMENTS / (s.n + 1) + 1};
    xk_i64 entries = work.tasks > 0 ? most_entries(&s) : 0, most = XK_MOST(xk_i64) / (xk_i64)sizeof(entry);
    work.scratch = entries < most ? entries * (xk_i64)sizeof(entry) : XK_MOST(xk_i64);
    return work;
}

void xk_top_k(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const xk_array *x = &c->array[0], *value = &c->array[1], *at = &c->array[2];
    const sizes s = sizes_of(c);
    const element type = element_of(x->dtype);
    xk_i64 bytes = (x->dtype >> 8 & 0xffu) / 8;
    entry *e = scratch;
    for (xk_i64 i = begin; i < end; i++) {
        xk_i64 from = i / s.inner * s.n * s.inner + i % s.inner, to = i / s.inner * s.k * s.inner + i % s.inner;
        row r = {.x = (const char *)x->data + from * bytes, .step = s.inner, .smallest = c->number[2].i == 0};
        find(&r, &type, &s, e);
        type.put(&r, e, s.k, (char *)value->data + to * bytes);
        for (xk_i64 k = 0; k < s.k; k++) ((xk_i64 *)at->data)[to + k * s.inner] = e[k].at;
    }
}
