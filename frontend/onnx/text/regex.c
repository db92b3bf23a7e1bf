/* regex.c - a regular expression as a deterministic automaton over bytes.
 *
 * First an automaton whose states are places of the expression, built from its end so that each part knows what follows
 * it; a set of code points is there the sequences of bytes that spell it in UTF-8. Then sets of places become states,
 * as many as texts can tell apart. Work and states are limited: a text that a few letters describe can need thousands.
 */
#include "frontend/onnx/text/regex.h"
#include "ir/base/map.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_PLACES = 1 << 16, MAX_STATES = 1 << 12, MAX_WORK = 20000000 };

typedef struct {
    enum { BYTE, FORK, BEGIN, END, BORDER, INSIDE, DONE } kind;
    uint8_t from, to;       /* BYTE: one of these */
    uint32_t next, another; /* FORK: either */
} place;

typedef struct
{ /* a state of the result: its places that read a byte, depend on what follows, or are the end; in order */
    const uint32_t *place;
    uint32_t n;
    bool begin, after_word; /* where the text begins; behind a letter of a word, if a place has to know */
    bool has_borders;
    bool accepts;
} state;

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena;
    xfc_loc loc;
    place *place;
    uint32_t n, cap;
    state *state;
    uint32_t n_states, cap_states;
    xfc_map known;          /* hash of a state's places -> its number + 1 */
    uint32_t *todo, *found; /* places */
    uint32_t n_todo;
    bool has_borders;
    uint32_t *mark, round; /* a place was seen in this round */
    uint64_t work;
    xfc_status status;
} builder;

static void too_large(builder *b) {
    if (b->status == XFC_OK)
        b->status =
            xfc_fail(b->ctx, XFC_ERR_LIMIT, b->loc,
                     "the pattern needs an automaton of more than %d states, or %d steps to make it; write it with "
                     "fewer repetitions, or let the host program match texts",
                     MAX_STATES, MAX_WORK);
}

/* --- places --- */

static uint32_t add(builder *b, place p) {
    if (b->n >= MAX_PLACES) too_large(b);
    if (b->status != XFC_OK) return 0;
    xfc_push(b->arena, b->place, b->n, b->cap) = p;
    return b->n - 1;
}

static uint32_t fork(builder *b, uint32_t next, uint32_t another) {
    return add(b, (place){.kind = FORK, .next = next, .another = another});
}

/* Bytes that spell code points of the same length whose other bytes, behind the first that differs, may be any. */
static uint32_t spell(builder *b, uint32_t from, uint32_t to, uint32_t more, uint32_t next) {
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    for (uint32_t i = 0; i <= more; i++, from >>= 6, to >>= 6) {
        bool first = i == more;
        uint32_t mask = first ? 0xff : 0x3f, mark = first ? lead[more] : 0x80;
        next = add(b, (place){BYTE, (uint8_t)(mark | (from & mask)), (uint8_t)(mark | (to & mask)), next, 0});
    }
    return next;
}

/* In pieces that spell() can do. */
static uint32_t spell_range(builder *b, uint32_t from, uint32_t to, uint32_t next) {
    static const uint32_t largest[] = {0x7f, 0x7ff, 0xffff, XFC_CODE_POINT_MAX};
    uint32_t more = 0, cut = to;
    while (from > largest[more]) more++;
    if (to > largest[more]) cut = largest[more];
    for (uint32_t i = 1; cut == to && i <= more; i++) {
        uint32_t low = (1u << (6 * i)) - 1;
        if ((from & ~low) == (to & ~low)) break;
        if (from & low)
            cut = from | low;
        else if ((to & low) != low)
            cut = (to & ~low) - 1;
    }
    if (cut == to || b->status != XFC_OK) return spell(b, from, to, more, next);
    return fork(b, spell_range(b, from, cut, next), spell_range(b, cut + 1, to, next));
}

static uint32_t spell_set(builder *b, const xfc_code_set *s, uint32_t next) {
    uint32_t nothing = UINT32_MAX, p = nothing;
    for (uint32_t i = 0; i < s->n && b->status == XFC_OK; i++) {
        uint32_t one = spell_range(b, s->range[i].from, s->range[i].to, next);
        p = p == nothing ? one : fork(b, one, p);
    }
    return p == nothing ? add(b, (place){.kind = BYTE, .from = 1}) : p; /* no byte is from 1 to 0 */
}

static uint32_t build(builder *b, const xfc_regex *r, uint32_t next);

static uint32_t repeat(builder *b, const xfc_regex *r, uint32_t next) {
    const uint32_t behind = next;
    if (r->most < 0) {
        next = fork(b, 0, behind);
        uint32_t body = build(b, r->a, next);
        if (b->status == XFC_OK) b->place[next].next = body;
    }
    for (int32_t i = r->least; i < r->most && b->status == XFC_OK; i++) next = fork(b, build(b, r->a, next), behind);
    for (int32_t i = 0; i < r->least && b->status == XFC_OK; i++) next = build(b, r->a, next);
    return next;
}

/* Where `r` begins, with `next` behind it. */
static uint32_t build(builder *b, const xfc_regex *r, uint32_t next) {
    uint32_t other;
    if (++b->work > MAX_WORK) too_large(b);
    for (; r->kind == XFC_REGEX_THEN && b->status == XFC_OK; r = r->a) next = build(b, r->b, next);
    if (b->status != XFC_OK) return 0;
    switch (r->kind) {
    case XFC_REGEX_SET: return spell_set(b, &r->set, next);
    case XFC_REGEX_REPEAT: return repeat(b, r, next);
    case XFC_REGEX_BEGIN: return add(b, (place){.kind = BEGIN, .next = next});
    case XFC_REGEX_END: return add(b, (place){.kind = END, .next = next});
    case XFC_REGEX_BORDER:
    case XFC_REGEX_INSIDE:
        b->has_borders = true;
        return add(b, (place){.kind = r->kind == XFC_REGEX_BORDER ? BORDER : INSIDE, .next = next});
    case XFC_REGEX_OR:
        other = build(b, r->b, next);
        for (r = r->a; r->kind == XFC_REGEX_OR; r = r->a) other = fork(b, build(b, r->b, next), other);
        return fork(b, build(b, r, next), other);
    case XFC_REGEX_EMPTY:
    case XFC_REGEX_THEN: break;
    }
    return next;
}

/* --- states --- */

static void reach(builder *b, uint32_t p) {
    if (b->mark[p] == b->round) return;
    b->mark[p] = b->round;
    b->todo[b->n_todo++] = p;
}

/* Follows what reads nothing from the places to do, all marked in this round, under conditions that hold: bits by the
 * kinds of places that ask for them. True: the text may end here. */
static bool follow(builder *b, unsigned hold) {
    bool done = false;
    for (uint32_t i = 0; i < b->n_todo; i++) {
        const place *p = &b->place[b->todo[i]];
        done = done || p->kind == DONE;
        if ((hold | 1u << FORK) >> p->kind & 1) reach(b, p->next);
        if (p->kind == FORK) reach(b, p->another);
    }
    b->work += b->n_todo;
    return done;
}

static bool is_word(uint32_t byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || byte == '_' || (byte >= 'a' && byte <= 'z');
}

/* What holds in front of a byte, or of the end. */
static unsigned border(const state *s, bool word) {
    return (s->begin ? 1u << BEGIN : 0) | 1u << (s->after_word != word ? BORDER : INSIDE);
}

static int by_number(const void *x, const void *y) {
    const uint32_t *a = x, *b = y;
    return *a < *b ? -1 : *a > *b;
}

/* The state of the places to do, which is made if it is new; -1: no text goes on like this. */
static int32_t state_of(builder *b, bool begin, bool after_word) {
    state s = {.begin = begin};
    (void)follow(b, begin ? 1u << BEGIN : 0);
    for (uint32_t i = 0; i < b->n_todo; i++) {
        const place *p = &b->place[b->todo[i]];
        if (p->kind == FORK || p->kind == BEGIN) continue;
        b->found[s.n++] = b->todo[i];
        s.has_borders |= p->kind == BORDER || p->kind == INSIDE;
    }
    s.after_word = s.has_borders && after_word;
    qsort(b->found, s.n, sizeof *b->found, by_number);
    if (s.n == 0 && !begin) return -1;
    uint64_t key = xfc_hash(b->found, s.n * sizeof *b->found, s.after_word), number;
    for (; xfc_map_find(&b->known, key, &number); key++) { /* another one may have this hash */
        const state *o = &b->state[number];
        if (o->n == s.n && !o->begin && o->after_word == s.after_word &&
            memcmp(o->place, b->found, s.n * sizeof *b->found) == 0)
            return (int32_t)number;
    }
    if (b->n_states >= MAX_STATES) too_large(b);
    if (b->status != XFC_OK) return -1;
    xfc_map_set(&b->known, key, b->n_states);
    s.place = xfc_dup_array(b->arena, uint32_t, b->found, s.n);
    s.accepts = follow(b, 1u << END | border(&s, false));
    xfc_push(b->arena, b->state, b->n_states, b->cap_states) = s;
    return (int32_t)b->n_states - 1;
}

static int32_t step(builder *b, uint32_t from, uint8_t byte) {
    const state s = b->state[from];
    const uint32_t *at = s.place;
    uint32_t n = s.n;
    b->round++, b->n_todo = 0;
    if (s.has_borders) { /* now it is known what they stand in front of */
        for (uint32_t i = 0; i < n; i++) reach(b, at[i]);
        (void)follow(b, border(&s, is_word(byte)));
        n = b->n_todo;
        memcpy(b->found, b->todo, n * sizeof *b->todo);
        at = b->found;
        b->round++, b->n_todo = 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        const place *p = &b->place[at[i]];
        if (p->kind == BYTE && p->from <= byte && byte <= p->to) reach(b, p->next);
    }
    b->work += n;
    if (b->work > MAX_WORK) too_large(b);
    return b->n_todo ? state_of(b, false, is_word(byte)) : -1;
}

/* Bytes that no place tells apart are of one class. */
static void find_classes(const builder *b, xfc_automaton *out) {
    bool begins[257] = {true};
    for (uint32_t p = 0; p < b->n; p++)
        if (b->place[p].kind == BYTE) begins[b->place[p].from] = begins[b->place[p].to + 1] = true;
    for (uint32_t i = 1; i < 256 && b->has_borders; i++) begins[i] |= is_word(i) != is_word(i - 1);
    for (uint32_t i = 0; i < 256; i++) out->class_of[i] = (uint8_t)((out->n_classes += begins[i]) - 1);
}

static void make_states(builder *b, uint32_t start, xfc_automaton *out) {
    uint32_t cap = 0, n = 0;
    b->mark = xfc_new_array(b->arena, uint32_t, b->n);
    b->todo = xfc_new_array(b->arena, uint32_t, b->n);
    b->found = xfc_new_array(b->arena, uint32_t, b->n);
    b->round = 1;
    reach(b, start);
    (void)state_of(b, true, false);
    for (uint32_t s = 0; s < b->n_states && b->status == XFC_OK; s++) {
        for (uint32_t i = 0; i < 256 && b->status == XFC_OK; i++) {
            if (i && out->class_of[i] == out->class_of[i - 1]) continue;
            int32_t next = step(b, s, (uint8_t)i);
            xfc_push(b->arena, out->next, n, cap) = next;
        }
        xfc_push(b->arena, out->next, n, cap) = b->state[s].accepts;
    }
    out->n_states = b->n_states;
}

xfc_status xfc_regex_compile(xfc_ctx *ctx, xfc_arena *arena, xfc_loc loc, const xfc_regex *r, xfc_automaton *out) {
    builder b = {.ctx = ctx, .arena = xfc_arena_new(), .loc = loc};
    *out = (xfc_automaton){0};
    b.known.arena = b.arena;
    uint32_t start = build(&b, r, add(&b, (place){.kind = DONE}));
    find_classes(&b, out);
    if (b.status == XFC_OK) make_states(&b, start, out);
    if (b.status == XFC_OK)
        out->next = xfc_dup_array(arena, int32_t, out->next, (size_t)out->n_states *(out->n_classes + 1));
    xfc_arena_free(b.arena);
    return b.status;
}
