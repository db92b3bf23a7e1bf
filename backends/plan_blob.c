/* plan_blob.c - writes the flat plan of runtime/include/xfc/abi.h from a planned graph.
 *
 * Tables grow in an arena; symbolic sizes become instructions (plan_sizes.c); strings are interned, so equal ones are
 * stored once. At the end the tables are laid out in the order of the header. Nothing depends on
 * addresses or hash order: equal graphs give equal bytes. The build id is the SHA-256 of the blob (with a zero id)
 * and of the contents of the weights.
 */
#include "backends/plan_blob.h"
#include "ir/eval/eval.h"
#include "runtime/include/xfc/check.h"
#include <stdlib.h>
#include <string.h>

/* --- arguments and checks --- */

static uint32_t add_arg(xfc_blob_writer *b, const char *name, const xfc_type *t) {
    xf_arg a = {
        .name = xfc_blob_text(b, name), .dtype = xfc_dtype_dlpack(t->dtype), .first_dim = b->n_dims, .n_dims = t->rank};
    for (uint32_t d = 0; d < t->rank; d++) {
        const xfc_int_info *info = xfc_int_look(b->ctx, t->dim[d]);
        xf_dim dim = {.value = xfc_blob_value(b, t->dim[d]),
                      .name =
                          info->kind == XFC_INT_SYMBOL && info->sym != XFC_SYM_SIZE ? xfc_blob_text(b, info->name) : 0};
        dim.most = xfc_defined_in(&b->defined, t->dim[d]) ? xfc_blob_most(b, t->dim[d]) : dim.value;
        xfc_push(b->arena, b->dims, b->n_dims, b->cap_dims) = dim;
    }
    xfc_push(b->arena, b->args, b->n_args, b->cap_args) = a;
    return b->n_args - 1;
}

/* Sizes that are told, or that memory is taken by, are known before anyone looks at strides. */
static xfc_status without_room(const xfc_blob_writer *b, xfc_int size, const char *what) {
    for (uint32_t i = b->own_inputs; i < b->g->n_in; i++) {
        if (!xfc_int_uses(b->ctx, size, b->g->in[i]->type.dim[0])) continue;
        return xfc_fail(b->ctx, XFC_ERR_UNSUPPORTED, (xfc_loc){.file = b->g->source},
                        "the size of %s has the room of a cache, '%s', in it: slice what append gives", what,
                        b->g->in[i]->name);
    }
    return XFC_OK;
}

/* A cache with its past. What callers are told of its dims has no room. */
static void add_output(xfc_blob_writer *b, uint32_t i) {
    const xfc_graph *g = b->g;
    const xfc_cached *cache = &b->caches[i];
    const bool is_cache = cache->room < g->n_in;
    const xfc_int room = is_cache ? g->in[cache->room]->type.dim[0] : XFC_INT_NONE, zero = xfc_int_const(b->ctx, 0);
    xfc_type type = g->last->in[i].value->type;
    if (is_cache) type.dim[cache->axis] = xfc_int_substitute(b->ctx, type.dim[cache->axis], &room, &zero, 1);
    for (uint32_t d = 0; d < type.rank && b->status == XFC_OK; d++)
        b->status = without_room(b, type.dim[d], g->out_name[i]);
    const uint32_t number = add_arg(b, g->out_name[i], &type);
    if (!is_cache) return;
    xf_arg *out = &b->args[number], *in = &b->args[cache->past];
    out->twin = cache->past + 1u;
    in->twin = i + 1;
    in->axis = out->axis = cache->axis;
    in->room = out->room = xfc_blob_value(b, room);
}

static void add_signature(xfc_blob_writer *b) {
    const xfc_graph *g = b->g;
    for (uint32_t i = 0; i < b->own_inputs; i++) add_arg(b, g->in[i]->name, &g->in[i]->type);
    for (uint32_t i = 0; i < g->n_out; i++) add_output(b, i);
}

/* Of what is known behind this op of g, or when g begins (see xfc_constraint_known), by `step`. */
static void add_checks(xfc_blob_writer *b, const xfc_graph *g, const xfc_op *behind, uint32_t step) {
    for (uint32_t i = 0; i < g->n_constraints; i++) {
        const xfc_constraint *c = &g->constraint[i];
        int64_t lo, hi;
        if (xfc_constraint_known(&b->defined, g, c) != behind || (g == b->g && xfc_blob_bounded(b, c, &lo, &hi)))
            continue;
        xf_check check = {.a = xfc_blob_value(b, c->a),
                          .b = xfc_blob_value(b, c->b),
                          .what = xfc_blob_asker(b, c),
                          .ones = c->ones,
                          .step = step};
        xfc_push(b->arena, b->checks, b->n_checks, b->cap_checks) = check;
    }
}

/* --- steps --- */

/* Has it a dim without a bound? */
static bool grows(const xfc_blob_writer *b, const xfc_type *t) {
    for (uint32_t d = 0; d < t->rank; d++)
        if (!xfc_int_known(xfc_defined_most(&b->defined, t->dim[d]))) return true;
    return false;
}

static bool output_grows(const xfc_blob_writer *b, uint32_t i) { return grows(b, &b->g->last->in[i].value->type); }

static xf_val bytes_of(xfc_blob_writer *b, const xfc_type *t) {
    return xfc_blob_value(b, xfc_bytes_of(b->ctx, t->dtype, xfc_type_count(b->ctx, t)));
}

/* made: by the step, which then needs to know how large it is. */
static void add_operand(xfc_blob_writer *b, const xfc_graph *g, const xfc_value *v, bool made) {
    const xfc_place at = xfc_place_of(g, v), *p = &at;
    xf_operand o = {.index = p->index};
    int64_t offset = 0;
    switch (p->space) {
    case XFC_SPACE_INPUT: o.space = XF_SPACE_INPUT; break;
    case XFC_SPACE_OUTPUT:
        o.space = XF_SPACE_OUTPUT;
        if (made && output_grows(b, p->index)) o.value = bytes_of(b, &v->type);
        break;
    case XFC_SPACE_HEAP:
        o.space = XF_SPACE_HEAP;
        if (made) o.value = bytes_of(b, &v->type);
        break;
    case XFC_SPACE_WEIGHT:
        xfc_assert(xfc_int_value(b->ctx, p->offset, &offset) && offset >= 0);
        o.space = XF_SPACE_WEIGHT;
        o.offset = (uint64_t)offset;
        break;
    case XFC_SPACE_WORK:
        o.space = XF_SPACE_WORK;
        o.value = xfc_blob_value(b, p->offset);
        break;
    case XFC_SPACE_NONE: xfc_bug(__FILE__, __LINE__, "value %u has no place", v->id);
    }
    xfc_push(b->arena, b->operands, b->n_operands, b->cap_operands) = o;
}

static void add_nodes(xfc_blob_writer *b, const xfc_loc *fused, uint32_t n_fused, xf_step_info *step) {
    step->first_node = b->n_nodes;
    for (uint32_t i = 0; i < n_fused; i++) {
        uint32_t name = xfc_blob_text(b, fused[i].node ? fused[i].node : fused[i].op);
        bool again = b->n_nodes > step->first_node && b->nodes[b->n_nodes - 1] == name;
        if (name && !again) xfc_push(b->arena, b->nodes, b->n_nodes, b->cap_nodes) = name;
    }
    step->n_nodes = b->n_nodes - step->first_node;
}

/* Has e no symbol of a kernel's axes or lets? */
static bool knowable(xfc_blob_writer *b, xfc_int e) {
    if (xfc_map_get(&b->values, e.id)) return true;
    uint64_t have = xfc_map_get(&b->known, e.id);
    if (have) return have == 2;
    const xfc_int_info *info = xfc_int_look(b->ctx, e);
    bool yes = info->kind != XFC_INT_SYMBOL;
    for (uint32_t i = 0; i < info->n_terms && info->kind == XFC_INT_SUM; i++)
        for (uint32_t k = 0; k < info->term[i].n && yes; k++) yes = knowable(b, info->term[i].atom[k]);
    if (yes && info->kind != XFC_INT_CONST && info->kind != XFC_INT_SUM)
        yes = knowable(b, info->a) && knowable(b, info->b);
    xfc_map_set(&b->known, e.id, 1u + yes);
    return yes;
}

/* The operand that is read for the table that `index` chooses a row of; NULL: none with a name. */
static const char *table_of(const xfc_blob_writer *b, const xfc_op *op, const xfc_nest *n, xfc_int index) {
    for (uint32_t i = 0; i < n->n_body; i++) {
        if (n->body[i].op != XFC_S_LOAD || n->body[i].u.access->buffer >= op->n_in) continue;
        if (xfc_access_uses(b->ctx, n->body[i].u.access, index)) return op->in[n->body[i].u.access->buffer].value->name;
    }
    return NULL;
}

static void add_range(xfc_blob_writer *b, const xfc_op *op, const xfc_nest *n, const xfc_scalar *let) {
    const xfc_scalar *from = &n->body[let->arg[0]];
    while (from->op == XFC_S_CAST) from = &n->body[from->arg[0]];
    const xfc_int_info info = *xfc_int_look(b->ctx, let->u.index);
    /* Of what is read under a condition only some elements count. */
    if (from->op != XFC_S_LOAD || from->arg[0] != XFC_NO_ARG || from->u.access->buffer >= op->n_in) return;
    if (!knowable(b, info.lo) || !knowable(b, info.hi) || xfc_dtype_is_float(from->dtype)) return;
    const xfc_value *v = op->in[from->u.access->buffer].value;
    xf_range r = {.step = b->n_steps, .operand = from->u.access->buffer, .arg = add_arg(b, v->name, &v->type)};
    r.lo = xfc_blob_value(b, info.lo), r.hi = xfc_blob_value(b, info.hi), r.wrap = let->wrap;
    r.node = xfc_blob_text(b, let->node), r.table = xfc_blob_text(b, table_of(b, op, n, let->u.index));
    xfc_push(b->arena, b->ranges, b->n_ranges, b->cap_ranges) = r;
}

static void add_step_ranges(xfc_blob_writer *b, const xfc_op *op) {
    const xfc_kernel *k = op->kernel;
    for (uint32_t i = 0; i < k->n_steps; i++) {
        const xfc_nest *n = k->steps[i].kind == XFC_STEP_NEST ? k->steps[i].u.nest : NULL;
        for (uint32_t s = 0; n && s < n->n_body; s++)
            if (n->body[s].op == XFC_S_LET) add_range(b, op, n, &n->body[s]);
    }
}

static void add_number(xfc_blob_writer *b, xf_val v) {
    xfc_push(b->arena, b->numbers, b->n_numbers, b->cap_numbers) = v;
}

static void add_step(xfc_blob_writer *b, const xfc_kernel_step *from) {
    const xfc_op *op = from->op;
    const xfc_kernel *k = op->kernel;
    xf_step_info s = {.kernel = from->number,
                      .first_operand = b->n_operands,
                      .n_in = op->n_in,
                      .n_out = op->n_out,
                      .first_number = b->n_numbers,
                      .n_numbers = from->n_values};
    for (uint32_t i = 0; i < from->n_values; i++) add_number(b, xfc_blob_value(b, from->value[i]));
    for (uint32_t i = 0; i < op->n_in; i++) add_operand(b, op->graph, op->in[i].value, false);
    for (uint32_t i = 0; i < op->n_out; i++) add_operand(b, op->graph, &op->out[i], true);
    xfc_int tasks = xfc_int_const(b->ctx, 1), flops = xfc_kernel_flops(b->ctx, k);
    xfc_int scratch = xfc_kernel_scratch_bytes(b->ctx, k);
    for (uint32_t i = 0; i < k->n_axes; i++) tasks = xfc_int_mul(b->ctx, tasks, k->axes[i].extent);
    s.tasks = xfc_blob_value(b, tasks);
    s.grain = xfc_blob_value(b, xfc_int_known(k->grain) ? k->grain : xfc_int_const(b->ctx, 1));
    s.scratch = xfc_blob_most(b, scratch);
    s.grows = s.scratch == XF_VAL_NONE;
    if (s.grows) s.scratch = xfc_blob_value(b, scratch);
    s.form = xfc_blob_text(b, k->form);
    s.flops = xfc_int_known(flops) ? xfc_blob_value(b, flops) : XF_VAL_NONE;
    s.first_out_arg = b->n_args;
    for (uint32_t i = 0; i < op->n_out; i++) add_arg(b, op->out[i].name, &op->out[i].type);
    add_nodes(b, k->fused, k->n_fused, &s);
    add_step_ranges(b, op);
    xfc_push(b->arena, b->steps, b->n_steps, b->cap_steps) = s;
}

/* What the symbols of a loop are at first, and what behind a step. */
static void add_loop_sizes(xfc_blob_writer *b, const xfc_op *op, uint32_t n) {
    xfc_int *size = xfc_new_array(b->arena, xfc_int, n);
    for (int next = 0; next < 2; next++) {
        (void)xfc_loop_sizes(op, next, size); /* it was inferred */
        for (uint32_t i = 0; i < n; i++) add_number(b, xfc_blob_value(b, size[i]));
    }
}

/* Ranges of the symbols, and what must hold between sizes that are known now. */
static void add_defines(xfc_blob_writer *b, const xfc_op *op) {
    const xfc_int *symbol;
    uint32_t n = xfc_op_defines(op, &symbol);
    for (uint32_t i = 0; i < n; i++) {
        const xfc_int_info info = *xfc_int_look(b->ctx, symbol[i]);
        add_number(b, xfc_blob_value(b, symbol[i]));
        add_number(b, xfc_blob_value(b, info.lo));
        add_number(b, xfc_blob_value(b, info.hi));
    }
    if (op->code == XFC_OP_LOOP) add_loop_sizes(b, op, n);
    if (n) add_checks(b, op->graph, op, b->n_steps + 1);
}

/* What a loop reads: its first operands, and of its body the number of the step and all results. */
static uint32_t add_loop_operands(xfc_blob_writer *b, const xfc_op *op) {
    const xfc_graph *body = xfc_op_attr(op, XFC_K_BODY)->u.graph;
    const uint32_t n = 2 + xfc_loop_carried(op);
    for (uint32_t i = 0; i < n; i++) add_operand(b, op->graph, op->in[i].value, false);
    add_operand(b, body, body->in[0], false);
    for (uint32_t i = 0; i < body->n_out; i++) add_operand(b, body, body->last->in[i].value, false);
    return n + 1 + body->n_out;
}

/* A define, an op that calls a routine, or one with bodies. A branch reads no more than its condition. */
static void add_host_step(xfc_blob_writer *b, const xfc_op *op) {
    uint32_t n_in = op->code == XFC_OP_BRANCH ? 1 : op->n_in;
    xf_step_info s = {.kind = op->code == XFC_OP_BRANCH ? XF_STEP_BRANCH
                              : op->code == XFC_OP_LOOP ? XF_STEP_LOOP
                                                        : XF_STEP_DEFINE,
                      .first_operand = b->n_operands,
                      .n_in = n_in,
                      .n_out = op->n_out,
                      .flops = XF_VAL_NONE,
                      .first_number = b->n_numbers};
    xfc_int number[XFC_ROUTINE_NUMBERS];
    if (xfc_op_routine(op, &s.kernel)) {
        s.kind = XF_STEP_CALL;
        uint32_t n = xfc_routine_numbers(op, number);
        for (uint32_t i = 0; i < n; i++) add_number(b, xfc_blob_value(b, number[i]));
        for (uint32_t i = 0; i < op->n_in; i++) add_arg(b, op->in[i].value->name, &op->in[i].value->type);
        for (uint32_t i = 0; i < op->n_in; i++) s.grows |= grows(b, &op->in[i].value->type);
        for (uint32_t i = 0; i < op->n_out; i++) s.grows |= grows(b, &op->out[i].type);
    } else {
        s.kernel = 0;
        add_defines(b, op);
    }
    s.n_numbers = b->n_numbers - s.first_number;
    s.first_out_arg = b->n_args;
    for (uint32_t i = 0; i < op->n_out; i++) add_arg(b, op->out[i].name, &op->out[i].type);
    for (uint32_t i = 0; i < n_in && s.kind != XF_STEP_LOOP; i++) add_operand(b, op->graph, op->in[i].value, false);
    if (s.kind == XF_STEP_LOOP) s.n_in = add_loop_operands(b, op);
    for (uint32_t i = 0; i < op->n_out; i++) add_operand(b, op->graph, &op->out[i], true);
    s.tasks = s.grain = xfc_blob_value(b, xfc_int_const(b->ctx, 1));
    s.scratch = xfc_blob_value(b, xfc_int_const(b->ctx, 0));
    s.form = xfc_blob_text(b, xfc_ops[op->code].name);
    add_nodes(b, &op->loc, 1, &s);
    xfc_push(b->arena, b->steps, b->n_steps, b->cap_steps) = s;
}

static void add_steps(xfc_blob_writer *b, const xfc_graph *g);

/* What must hold when a body begins is checked behind a step that defines nothing. */
static void add_body(xfc_blob_writer *b, const xfc_graph *g) {
    uint32_t n_checks = b->n_checks;
    add_checks(b, g, NULL, b->n_steps + 1);
    if (b->n_checks > n_checks) {
        xf_val none = xfc_blob_value(b, xfc_int_const(b->ctx, 0));
        xfc_push(b->arena, b->steps, b->n_steps, b->cap_steps) = (xf_step_info){.kind = XF_STEP_DEFINE,
                                                                                .tasks = none,
                                                                                .grain = none,
                                                                                .scratch = none,
                                                                                .form = xfc_blob_text(b, "check"),
                                                                                .flops = XF_VAL_NONE};
    }
    add_steps(b, g);
}

/* The steps of the bodies stand behind the one that chooses. */
static void add_branch(xfc_blob_writer *b, const xfc_op *op) {
    uint32_t at = b->n_steps;
    add_host_step(b, op);
    add_body(b, xfc_op_attr(op, XFC_K_THEN)->u.graph);
    b->steps[at].kernel = b->n_steps - at - 1;
    add_body(b, xfc_op_attr(op, XFC_K_ELSE)->u.graph);
    b->steps[at].span = b->n_steps - at - 1;
}

_Static_assert((int)XFC_MAX_NESTING == (int)XF_MAX_NESTING, "what may be compiled may be run");

static void add_loop(xfc_blob_writer *b, const xfc_op *op) {
    uint32_t at = b->n_steps;
    add_host_step(b, op);
    add_body(b, xfc_op_attr(op, XFC_K_BODY)->u.graph);
    b->steps[at].span = b->n_steps - at - 1;
}

static void add_steps(xfc_blob_writer *b, const xfc_graph *g) {
    xfc_foreach_op(op, g) {
        if (op->code == XFC_OP_KERNEL)
            add_step(b, b->kernel_step++);
        else if (op->code == XFC_OP_BRANCH)
            add_branch(b, op);
        else if (op->code == XFC_OP_LOOP)
            add_loop(b, op);
        else if (op->code == XFC_OP_DEFINE || xfc_ops[op->code].call)
            add_host_step(b, op);
    }
}

/* --- layout --- */

/* Appends one table, 8-byte aligned, and answers its offset. */
static uint32_t table(xfc_buf *out, const void *data, uint32_t n, size_t size) {
    static const char zeros[8] = {0};
    xfc_buf_bytes(out, zeros, (8 - out->n % 8) % 8);
    uint32_t at = (uint32_t)out->n;
    if (n) xfc_buf_bytes(out, data, n * size);
    return at;
}

static void lay_out(xfc_blob_writer *b, xfc_buf *out) {
    xf_plan_header *h = &b->head;
    h->magic = XF_PLAN_MAGIC;
    h->n_slots = xfc_heap_slots(b->g);
    h->abi = XF_CODE_ABI;
    h->weight_bytes = b->g->plan->weight_bytes;
    h->n_symbols = b->n_symbols, h->n_instrs = b->n_instrs, h->n_dims = b->n_dims, h->n_args = b->n_args,
    h->n_checks = b->n_checks;
    h->n_inputs = b->own_inputs, h->n_outputs = b->g->n_out, h->n_operands = b->n_operands, h->n_steps = b->n_steps;
    h->n_numbers = b->n_numbers, h->n_nodes = b->n_nodes, h->n_ranges = b->n_ranges, h->n_meta = b->n_meta / 2,
    h->string_bytes = (uint32_t)b->text.n;
    xfc_buf_bytes(out, h, sizeof *h);
    h->symbols = table(out, b->symbols, b->n_symbols, sizeof *b->symbols);
    h->instrs = table(out, b->instrs, b->n_instrs, sizeof *b->instrs);
    h->dims = table(out, b->dims, b->n_dims, sizeof *b->dims);
    h->args = table(out, b->args, b->n_args, sizeof *b->args);
    h->checks = table(out, b->checks, b->n_checks, sizeof *b->checks);
    h->operands = table(out, b->operands, b->n_operands, sizeof *b->operands);
    h->steps = table(out, b->steps, b->n_steps, sizeof *b->steps);
    h->numbers = table(out, b->numbers, b->n_numbers, sizeof *b->numbers);
    h->nodes = table(out, b->nodes, b->n_nodes, sizeof *b->nodes);
    h->ranges = table(out, b->ranges, b->n_ranges, sizeof *b->ranges);
    h->meta = table(out, b->meta, b->n_meta, sizeof *b->meta);
    h->strings = table(out, b->text.text, h->string_bytes, 1);
    h->size = (uint32_t)out->n;
    memcpy(out->text, h, sizeof *h);
}

/* Weights enter by their hashes: they were computed already and reading gigabytes again would cost seconds. with: the
 * plans that the id covers, too. */
static void identify(xfc_blob_writer *b, const xfc_blob *with, uint32_t n_with, xfc_buf *out) {
    xfc_sha256 s;
    xfc_sha256_init(&s);
    xfc_sha256_add(&s, out->text, out->n);
    for (uint32_t i = 0; i < n_with; i++) xfc_sha256_add(&s, with[i].data, with[i].n);
    for (uint32_t i = 0; i < b->g->plan->n_weights; i++) {
        uint64_t hash = xfc_tensor_hash(b->ctx, b->g->plan->weight[i]);
        xfc_sha256_add(&s, &hash, sizeof hash);
    }
    xfc_sha256_end(&s, b->head.build_id);
    memcpy(out->text, &b->head, sizeof b->head);
    b->head.check = xf_plan_check(out->text);
    memcpy(out->text, &b->head, sizeof b->head);
}

static xfc_status finish(xfc_blob_writer *b, const xfc_blob *with, uint32_t n_with, xfc_blob *out) {
    xfc_buf bytes = {.arena = b->arena};
    XFC_TRY(b->status);
    XFC_TRY(without_room(b, b->g->plan->work_bytes, "the workspace"));
    if (!xfc_int_known(b->g->plan->work_bytes))
        return xfc_fail(b->ctx, XFC_ERR_LIMIT, (xfc_loc){.file = b->g->source},
                        "a size of this model does not fit into 64 bits; bound its dimensions with --dim NAME=LO..HI");
    lay_out(b, &bytes);
    if (bytes.n > UINT32_MAX)
        return xfc_fail(b->ctx, XFC_ERR_LIMIT, (xfc_loc){.file = b->g->source},
                        "the plan of this model exceeds 4 GiB; split the model");
    identify(b, with, n_with, &bytes);
    out->data = malloc(bytes.n);
    if (!out->data)
        return xfc_fail(b->ctx, XFC_ERR_IO, (xfc_loc){.file = b->g->source}, "out of memory for a plan of %zu bytes",
                        bytes.n);
    memcpy(out->data, bytes.text, bytes.n);
    out->n = bytes.n;
    return XFC_OK;
}

/* The plan of graph `at` of the set. */
static xfc_status make(const xfc_kernel_set *set, uint32_t at, const char *const *meta, const xfc_blob *with,
                       uint32_t n_with, xfc_blob *out) {
    const xfc_graph *g = set->graph[at];
    xfc_assert(g->stage == XFC_STAGE_PLANNED && g->plan);
    xfc_arena *arena = xfc_arena_new();
    xfc_blob_writer b = {.g = g,
                         .ctx = g->ctx,
                         .arena = arena,
                         .kernel_step = &set->step[set->first[at]],
                         .values = {.arena = arena},
                         .known = {.arena = arena},
                         .strings = {.arena = arena},
                         .text = {.arena = arena}};
    b.defined = xfc_defined_of(g, arena);
    xfc_buf_bytes(&b.text, "", 1); /* offset 0: the empty string */
    b.caches = xfc_new_array(arena, xfc_cached, g->n_out);
    b.own_inputs = xfc_graph_caches(g, b.caches);
    xfc_blob_symbols(&b);
    if (b.status == XFC_OK) {
        add_signature(&b);
        add_checks(&b, g, NULL, 0);
        add_steps(&b, g);
        b.head.work_bytes = xfc_blob_value(&b, g->plan->work_bytes);
        for (uint32_t i = 0; meta && meta[i] && meta[i + 1]; i += 2) {
            xfc_push(arena, b.meta, b.n_meta, b.cap_meta) = xfc_blob_text(&b, meta[i]);
            xfc_push(arena, b.meta, b.n_meta, b.cap_meta) = xfc_blob_text(&b, meta[i + 1]);
        }
        for (uint32_t i = 0; i < g->n_meta; i++)
            xfc_push(arena, b.meta, b.n_meta, b.cap_meta) = xfc_blob_text(&b, g->meta[i]);
    }
    xfc_status s = finish(&b, with, n_with, out);
    xfc_arena_free(arena);
    return s;
}

xfc_status xfc_plan_blobs(const xfc_kernel_set *set, const char *const *meta, xfc_blob *out) {
    const uint32_t n = set->n_graphs;
    xfc_status s = XFC_OK;
    memset(out, 0, n * sizeof *out);
    for (uint32_t i = n; i-- > 0 && s == XFC_OK;)
        if (set->graph[i]) s = make(set, i, i ? NULL : meta, i ? NULL : out + 1, i ? 0 : n - 1, &out[i]);
    for (uint32_t i = 0; i < n && s != XFC_OK; i++) {
        free(out[i].data);
        out[i] = (xfc_blob){0};
    }
    return s;
}
