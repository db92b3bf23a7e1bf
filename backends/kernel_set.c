/* kernel_set.c - facts about planned graphs that the emitter and the plans must agree on, found once: which kernels are
 * distinct, and which sizes each step hands to its kernel.
 *
 * Kernels are equal iff the canonical texts (xfc_print_kernel) of what decides their code are (ir/code.h): other operands
 * and other sizes. So code is made once for all that differ in the dims they run over, within a graph and between the
 * graphs. Numbers go by first appearance, so they depend on the graphs alone.
 */
#include "backends/artefact.h"
#include "ir/contract.h"
#include "ir/defined.h"
#include "ir/program.h"
#include "ir/text/text.h"
#include <string.h>

/* --- distinct kernels --- */

typedef struct {
    const char *text;
    size_t n;
} canonical;

typedef struct {
    xfc_arena *arena, *scratch, *step; /* step: emptied behind each */
    xfc_kernel_set set;
    xfc_map index; /* hash of a text -> number + 1; texts whose hashes collide take the next free key */
    xfc_coder coder;
    canonical *texts;
} maker;

/* Number of the kernel with this text, or a new one. */
static uint32_t number_of(maker *m, canonical t, bool *is_new) {
    uint64_t key = xfc_hash(t.text, t.n, 0), at;
    *is_new = false;
    while ((at = xfc_map_get(&m->index, key)) != 0) {
        const canonical *have = &m->texts[at - 1];
        if (have->n == t.n && memcmp(have->text, t.text, t.n) == 0) return (uint32_t)(at - 1);
        key++;
    }
    *is_new = true;
    m->texts[m->set.n_kernels] = t;
    xfc_map_set(&m->index, key, m->set.n_kernels + 1);
    return m->set.n_kernels++;
}

static xfc_int *kept(const maker *m, const xfc_int *x, uint32_t n) { return xfc_dup_array(m->arena, xfc_int, x, n); }

static void add_step(maker *m, const xfc_op *op) {
    m->coder.ctx = op->graph->ctx;
    const xfc_code code = xfc_code_of(&m->coder, op->kernel, m->step);
    xfc_buf text = {.arena = m->scratch};
    bool is_new;
    xfc_print_kernel(op->graph->ctx, &text, code.kernel, code.symbol, code.n_symbols);
    const uint32_t number = number_of(m, (canonical){text.text, text.n}, &is_new);
    if (is_new) {
        m->set.code[number] = (xfc_code){.kernel = xfc_kernel_clone(m->arena, code.kernel),
                                         .n_symbols = code.n_symbols,
                                         .symbol = kept(m, code.symbol, code.n_symbols)};
        m->set.length[number] = (uint32_t)text.n;
    }
    m->set.step[m->set.n_steps++] = (xfc_kernel_step){
        .op = op, .number = number, .n_values = code.n_symbols, .value = kept(m, code.value, code.n_symbols)};
    xfc_arena_reset(m->step);
}

static void add_steps(maker *m, const xfc_graph *g) {
    xfc_foreach_op_deep(op, g)
        if (op->code == XFC_OP_KERNEL) add_step(m, op);
}

static uint32_t count_kernels(const xfc_graph *g) {
    uint32_t n = 0;
    xfc_foreach_op_deep(op, g) n += op->code == XFC_OP_KERNEL;
    return n;
}

xfc_kernel_set xfc_kernel_set_of(const xfc_graph *const *graph, uint32_t n_graphs, xfc_arena *arena) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_graphs; i++) n += graph[i] ? count_kernels(graph[i]) : 0;
    maker m = {.arena = arena, .scratch = xfc_arena_new(), .step = xfc_arena_new()};
    m.coder.known.arena = m.scratch;
    m.index.arena = m.scratch;
    m.texts = xfc_new_array(m.scratch, canonical, n);
    m.set = (xfc_kernel_set){.graph = xfc_memdup(arena, graph, n_graphs * sizeof(*graph), _Alignof(xfc_graph *)),
                             .n_graphs = n_graphs,
                             .first = xfc_new_array(arena, uint32_t, n_graphs),
                             .step = xfc_new_array(arena, xfc_kernel_step, n),
                             .code = xfc_new_array(arena, xfc_code, n),
                             .length = xfc_new_array(arena, uint32_t, n)};
    for (uint32_t i = 0; i < n_graphs; i++) {
        m.set.first[i] = m.set.n_steps;
        if (graph[i]) add_steps(&m, graph[i]);
    }
    xfc_arena_free(m.step);
    xfc_arena_free(m.scratch);
    return m.set;
}

xfc_kernel_set xfc_kernel_set_some(const xfc_kernel_set *set, const uint32_t *number, uint32_t n, xfc_arena *arena) {
    xfc_kernel_set some = *set;
    const char **name = xfc_new_array(arena, const char *, n);
    some.code = xfc_new_array(arena, xfc_code, n);
    some.n_kernels = n;
    some.name = name;
    for (uint32_t i = 0; i < n; i++) {
        some.code[i] = set->code[number[i]];
        name[i] = set->name[number[i]];
    }
    return some;
}

const char *const *xfc_kernel_set_names(const xfc_kernel_set *set, const char *isa, xfc_arena *arena) {
    const char **name = xfc_new_array(arena, const char *, set->n_kernels);
    for (uint32_t i = 0; i < set->n_kernels; i++) {
        char *text = xfc_sprintf(arena, "xf_kernel_%u_%s", (unsigned)i, isa);
        for (char *c = text; *c; c++)
            if (*c == '-') *c = '_';
        name[i] = text;
    }
    return name;
}

const char *const *xfc_kernel_set_digests(const xfc_kernel_set *set, xfc_arena *arena) {
    enum { DIGITS = 32 };
    const char **name = xfc_new_array(arena, const char *, set->n_kernels);
    for (uint32_t i = 0; i < set->n_kernels; i++) {
        const xfc_code *code = &set->code[i];
        xfc_buf text = {.arena = arena}, hex = {.arena = arena};
        xfc_sha256 s;
        uint8_t digest[32];
        xfc_print_kernel(set->graph[0]->ctx, &text, code->kernel, code->symbol, code->n_symbols);
        xfc_sha256_init(&s);
        xfc_sha256_add(&s, text.text, text.n);
        xfc_sha256_end(&s, digest);
        xfc_buf_str(&hex, "xf_kernel_");
        for (uint32_t k = 0; k < DIGITS / 2; k++) xfc_buf_printf(&hex, "%02x", digest[k]);
        name[i] = hex.text;
    }
    return name;
}

/* --- symbols of a graph --- */

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena;
    xfc_map seen;
    xfc_int *found;
    uint32_t n, cap;
} symbols;

static void visit(void *user, xfc_int e) {
    symbols *s = user;
    if (!xfc_int_known(e) || xfc_map_find(&s->seen, e.id, NULL)) return;
    xfc_map_set(&s->seen, e.id, 1);
    const xfc_int_info *info = xfc_int_look(s->ctx, e);
    switch (info->kind) {
    case XFC_INT_CONST: return;
    case XFC_INT_SYMBOL:
        if (info->sym == XFC_SYM_DIM) xfc_push(s->arena, s->found, s->n, s->cap) = e;
        visit(s, info->formula);
        return;
    case XFC_INT_SUM:
        for (uint32_t i = 0; i < info->n_terms; i++)
            for (uint32_t k = 0; k < info->term[i].n; k++) visit(s, info->term[i].atom[k]);
        return;
    case XFC_INT_FLOORDIV:
    case XFC_INT_MOD:
    case XFC_INT_MIN:
    case XFC_INT_MAX:
        visit(s, info->a);
        visit(s, info->b);
        return;
    }
}

static void visit_type(symbols *s, const xfc_type *t) {
    for (uint32_t d = 0; d < t->rank; d++) visit(s, t->dim[d]);
}

uint32_t xfc_graph_symbols(const xfc_graph *g, xfc_arena *arena, xfc_int **out) {
    symbols s = {.ctx = g->ctx, .arena = arena, .seen = {.arena = arena}};
    for (uint32_t i = 0; i < g->n_in; i++) visit_type(&s, &g->in[i]->type);
    for (uint32_t i = 0; i < g->n_constraints; i++) {
        visit(&s, g->constraint[i].a);
        visit(&s, g->constraint[i].b);
    }
    xfc_foreach_op(op, g) xfc_op_ints(op, visit, &s);
    for (uint32_t i = 0; g->plan && i < g->plan->n_places; i++) visit(&s, g->plan->place[i].offset);
    if (g->plan) visit(&s, g->plan->work_bytes);
    const xfc_defined defined = xfc_defined_of(g, arena);
    for (uint32_t i = 0; i < defined.n; i++) xfc_push(arena, s.found, s.n, s.cap) = defined.symbol[i];
    *out = s.found;
    return s.n;
}

bool xfc_kernel_set_gains(const xfc_kernel_set *set, const xfc_target *t) {
    for (uint32_t i = 0; i < set->n_kernels; i++) {
        const xfc_kernel *k = set->code[i].kernel;
        for (uint32_t s = 0; s < k->n_steps; s++) {
            if (k->steps[s].kind != XFC_STEP_TILE) continue;
            const xfc_contract c = xfc_tile_contract(k, k->steps[s].u.tile);
            const xfc_tile_shape *shape = xfc_tile_for(t, &c);
            if (shape && shape->needs & ~(uint32_t)XFC_HAS_BY_LEVEL) return true;
        }
    }
    return false;
}
