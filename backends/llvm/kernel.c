/* kernel.c - one kernel as one function: frame, tasks, lets, temporaries, steps.
 *
 * CPU: int32_t kernel(void *frame, int64_t begin, int64_t end, int32_t worker), called for ranges of tasks
 * (runtime/include/xfc/abi.h). GPU: an entry (frame, begin, end); a thread takes tasks begin + its number, and so on
 * in steps of the whole grid.
 *
 * A task's number is split into the indices of the outer axes, the last one fastest. Temporaries of rank 0 and of at
 * most 64 bytes are allocas, which become registers when they are used that way; the others lie in the worker's
 * scratch. A LET out of range sets a flag in a register; what the runtime sees is written once, at the end. A let of
 * the kernel that is loaded and whose range may be empty opens a block that holds the rest of the task.
 */
#include "backends/llvm/llvm.h"
#include "runtime/include/xfc/abi.h"
#include <stddef.h>

enum { MOST_ROWS = 512, IN_REGISTERS = 64, ERROR_RANGE = 8 /* XF_E_RANGE of xf.h */, PTX_KERNEL = 71 };

/* --- temporaries --- */

static bool in_registers(xfc_ctx *c, const xfc_type *t) {
    int64_t count;
    return t->rank == 0 || (xfc_type_static(c, t, NULL, &count) && count * xfc_dtype_bytes(t->dtype) <= IN_REGISTERS);
}

/* Bytes in scratch, a multiple of 64. Dims must be known when the kernel starts: graph symbols and constants. */
static xfc_int temporary_bytes(xfc_ctx *c, const xfc_type *t) {
    xfc_int bytes = xfc_int_mulc(c, xfc_type_count(c, t), xfc_dtype_bytes(t->dtype));
    return xfc_int_mulc(c, xfc_int_ceildiv(c, bytes, xfc_int_const(c, 64)), 64);
}

/* Bytes that a tile may need for its left operand in f32, the same for all ISAs: as many rows as its result has. A
 * temporary's rows are as long as any depth, which a let of the kernel may be. */
static xfc_int tile_room(xfc_ctx *c, const xfc_kernel *k, const xfc_tile *t) {
    const xfc_type *a = &k->buffers[t->a.buffer].type;
    if (a->dtype == XFC_F32) return xfc_int_const(c, 0);
    xfc_type room = k->buffers[t->c.buffer].type;
    bool is_temporary = t->a.buffer >= k->n_in + k->n_out;
    room.dim[room.rank - 1] = xfc_int_addc(c, is_temporary ? a->dim[a->rank - 1] : t->depth, XFC_TILE_ROOM);
    return temporary_bytes(c, &room);
}

/* Tiles are at work one after the other: the room of the largest is enough, behind all temporaries. */
static xfc_int tiles_room(xfc_ctx *c, const xfc_kernel *k) {
    xfc_int most = xfc_int_const(c, 0);
    for (uint32_t i = 0; i < k->n_steps; i++)
        if (k->steps[i].kind == XFC_STEP_TILE) most = xfc_int_max(c, most, tile_room(c, k, k->steps[i].u.tile));
    return most;
}

xfc_int xfc_kernel_scratch_bytes(xfc_ctx *c, const xfc_kernel *k) {
    xfc_int sum = tiles_room(c, k);
    for (uint32_t i = k->n_in + k->n_out; i < k->n_buffers; i++)
        if (!in_registers(c, &k->buffers[i].type)) sum = xfc_int_add(c, sum, temporary_bytes(c, &k->buffers[i].type));
    return sum;
}

static void place_temporaries(xfc_emit *e) {
    const xfc_kernel *k = e->kernel;
    xfc_int at = xfc_int_const(e->ctx, 0);
    for (uint32_t i = k->n_in + k->n_out; i < k->n_buffers; i++) {
        const xfc_type *t = &k->buffers[i].type;
        LLVMTypeRef element = xfc_emit_mem_type(e, t->dtype);
        int64_t count = 1;
        if (in_registers(e->ctx, t)) {
            if (t->rank) xfc_type_static(e->ctx, t, NULL, &count);
            LLVMTypeRef type = t->rank ? LLVMArrayType2(element, (uint64_t)count) : element;
            e->buffer[i] = xfc_emit_alloca(e, type, t->rank ? 64 : 0, "temp");
            continue;
        }
        e->buffer[i] = xfc_emit_offset(e, e->scratch, e->i8, xfc_emit_int(e, at));
        at = xfc_int_add(e->ctx, at, temporary_bytes(e->ctx, t));
    }
    e->room = e->scratch ? xfc_emit_offset(e, e->scratch, e->i8, xfc_emit_int(e, at)) : NULL;
}

/* The number of the element; dim by dim where one formula would be too large (XFC_INT_LOCAL). */
static LLVMValueRef emit_linear(xfc_emit *e, const xfc_access *a) {
    const xfc_type *t = &e->kernel->buffers[a->buffer].type;
    xfc_int linear = xfc_access_linear(e->ctx, e->kernel, a);
    if (xfc_int_known(linear)) return xfc_emit_int(e, linear);
    LLVMValueRef at = xfc_emit_const(e, 0);
    for (uint32_t d = 0; d < a->rank; d++) {
        LLVMValueRef v[2] = {at, xfc_emit_int(e, a->index[d])};
        xfc_emit_unify(e, v, 2);
        LLVMValueRef size = xfc_emit_int(e, t->dim[d]);
        if (xfc_is_vector(v[0])) size = xfc_emit_splat(e, size, LLVMGetVectorSize(LLVMTypeOf(v[0])));
        at = LLVMBuildAdd(e->b, LLVMBuildMul(e->b, v[0], size, ""), v[1], "");
    }
    return at;
}

/* The terms of a sum that use a symbol; NONE: that isn't one. */
static xfc_int terms_with(xfc_ctx *c, xfc_int sum, xfc_int symbol) {
    const xfc_int_info info = *xfc_int_look(c, sum);
    xfc_int with = xfc_int_const(c, 0);
    if (!xfc_int_known(symbol) || info.kind != XFC_INT_SUM) return XFC_INT_NONE;
    for (uint32_t i = 0; i < info.n_terms; i++) {
        xfc_int term = xfc_int_const(c, info.term[i].coeff);
        for (uint32_t k = 0; k < info.term[i].n; k++) term = xfc_int_mul(c, term, info.term[i].atom[k]);
        if (xfc_int_uses(c, term, symbol)) with = xfc_int_add(c, with, term);
    }
    return with;
}

/* What the innermost loop moves is added last, to an address that stays while it runs: so places that it walks alike
 * share one register that counts, and nothing is left of addresses for a pass over loops to reduce. */
LLVMValueRef xfc_emit_address(xfc_emit *e, const xfc_access *a) {
    LLVMTypeRef t = xfc_emit_mem_type(e, e->kernel->buffers[a->buffer].type.dtype);
    const xfc_int linear = xfc_access_linear(e->ctx, e->kernel, a);
    const xfc_int moves = xfc_int_known(linear) ? terms_with(e->ctx, linear, e->inner) : XFC_INT_NONE;
    if (!xfc_int_known(moves)) return xfc_emit_offset(e, e->buffer[a->buffer], t, emit_linear(e, a));
    LLVMValueRef stays = xfc_emit_int(e, xfc_int_sub(e->ctx, linear, moves));
    return xfc_emit_offset(e, xfc_emit_offset(e, e->buffer[a->buffer], t, stays), t, xfc_emit_int(e, moves));
}

xfc_place_value xfc_emit_place(xfc_emit *e, xfc_lane_kind kind, const xfc_access *a, LLVMValueRef address,
                               bool bounded) {
    LLVMValueRef base = e->buffer[a->buffer], end = NULL;
    const xfc_type *t = &e->kernel->buffers[a->buffer].type;
    if (bounded || e->target->checked)
        end = xfc_emit_offset(e, base, xfc_emit_mem_type(e, t->dtype), xfc_emit_int(e, xfc_type_count(e->ctx, t)));
    return (xfc_place_value){kind, address, base, end};
}

/* --- frame --- */

static LLVMValueRef frame_field(xfc_emit *e, LLVMTypeRef type, size_t offset, const char *name) {
    LLVMValueRef at = xfc_emit_offset(e, e->frame, e->i8, xfc_emit_const(e, (int64_t)offset));
    return LLVMBuildLoad2(e->b, type, at, name);
}

/* Pointers read from memory are global memory on a GPU; saying so lets LLVM pick ld.global. */
static LLVMValueRef global_pointer(xfc_emit *e, LLVMValueRef p) {
    if (!e->gpu) return p;
    return LLVMBuildAddrSpaceCast(e->b, p, LLVMPointerTypeInContext(e->llvm, 1), "");
}

static void load_frame(xfc_emit *e, LLVMValueRef worker) {
    const xfc_kernel *k = e->kernel;
    e->values = global_pointer(e, frame_field(e, e->ptr, offsetof(xf_frame, values), "values"));
    LLVMValueRef buffers = global_pointer(e, frame_field(e, e->ptr, offsetof(xf_frame, buffers), "buffers"));
    for (uint32_t i = 0; i < k->n_in + k->n_out; i++)
        e->buffer[i] = global_pointer(
            e, LLVMBuildLoad2(e->b, e->ptr, xfc_emit_offset(e, buffers, e->ptr, xfc_emit_const(e, i)), "buffer"));
    e->scratch = NULL;
    for (uint32_t i = k->n_in + k->n_out; i < k->n_buffers && !e->scratch; i++) {
        if (in_registers(e->ctx, &k->buffers[i].type)) continue;
        LLVMValueRef base = global_pointer(e, frame_field(e, e->ptr, offsetof(xf_frame, scratch), "scratch"));
        LLVMValueRef stride = frame_field(e, e->i64, offsetof(xf_frame, scratch_stride), "stride");
        e->scratch = xfc_emit_offset(e, base, e->i8, LLVMBuildMul(e->b, worker, stride, ""));
    }
}

/* error: 0 -> XF_E_RANGE | step << 8; the first failure of a run stays. */
static void report_range(xfc_emit *e) {
    LLVMValueRef bad = LLVMBuildLoad2(e->b, e->i1, e->range_flag, "");
    LLVMBasicBlockRef done = xfc_emit_if_begin(e, bad, "range");
    LLVMValueRef error = global_pointer(e, frame_field(e, e->ptr, offsetof(xf_frame, error), "error"));
    LLVMValueRef step = LLVMBuildTrunc(e->b, frame_field(e, e->i64, offsetof(xf_frame, step), "step"), e->i32, "");
    LLVMValueRef code = LLVMBuildOr(e->b, LLVMBuildShl(e->b, step, LLVMConstInt(e->i32, 8, false), ""),
                                    LLVMConstInt(e->i32, ERROR_RANGE, false), "");
    LLVMValueRef x = LLVMBuildAtomicCmpXchg(e->b, error, LLVMConstInt(e->i32, 0, false), code,
                                            LLVMAtomicOrderingMonotonic, LLVMAtomicOrderingMonotonic, false);
    LLVMSetAlignment(x, 4);
    xfc_emit_if_end(e, done);
}

/* --- steps --- */

/* Nests that run on the rows of a tile in parts, as they become complete. */
typedef struct {
    const xfc_step *first;
    uint32_t n;
} followers;

static bool stores_to(const xfc_nest *n, uint32_t buffer) {
    for (uint32_t i = 0; i < n->n_stores; i++)
        if (n->stores[i].to.buffer == buffer) return true;
    return false;
}

static bool reads_from(const xfc_nest *n, const xfc_nest *writer) {
    for (uint32_t i = 0; i < n->n_body; i++)
        if (n->body[i].op == XFC_S_LOAD && stores_to(writer, n->body[i].u.access->buffer)) return true;
    return false;
}

/* May the last of them? Its first axis must be the rows, and whatever it writes to a temporary, or reads of one that it
 * or the tile writes, must belong to the row at hand; and none of them reads what another one writes. */
static bool follows_rows(const xfc_emit *e, const xfc_tile *t, followers f) {
    const xfc_step *s = &f.first[f.n - 1];
    if (s->kind != XFC_STEP_NEST || s->u.nest->n_axes == 0) return false;
    const xfc_nest *n = s->u.nest;
    const xfc_axis *rows = &n->axes[0];
    if (rows->kind != XFC_AXIS_PARALLEL || rows->how == XFC_HOW_VECTOR) return false;
    if (!xfc_int_same(rows->extent, t->rows)) return false;
    for (uint32_t i = 0; i + 1 < f.n; i++)
        if (reads_from(n, f.first[i].u.nest) || reads_from(f.first[i].u.nest, n)) return false;
    for (uint32_t i = 0; i < n->n_body + n->n_stores; i++) {
        const xfc_access *a = NULL;
        if (i >= n->n_body)
            a = &n->stores[i - n->n_body].to;
        else if (n->body[i].op == XFC_S_LOAD)
            a = n->body[i].u.access;
        if (!a || e->kernel->buffers[a->buffer].kind != XFC_BUF_TEMP) continue;
        if (a->buffer != t->c.buffer && !stores_to(n, a->buffer)) continue;
        if (a->rank == 0 || !xfc_int_same(a->index[0], rows->symbol)) return false;
    }
    return true;
}

static xfc_status emit_rows(xfc_emit *e, void *user, LLVMValueRef first, LLVMValueRef end) {
    const followers *f = user;
    for (uint32_t i = 0; i < f->n; i++) XFC_TRY(xfc_emit_nest_rows(e, f->first[i].u.nest, first, end));
    return XFC_OK;
}

/* Where the first nest's first store writes in row `row`, or its first load that moves with the rows reads. */
static LLVMValueRef row_place(xfc_emit *e, void *user, bool write, LLVMValueRef row) {
    const xfc_nest *n = ((const followers *)user)->first->u.nest;
    const xfc_access *found = NULL;
    for (uint32_t i = 0; i < n->n_body; i++) {
        if (n->body[i].op == XFC_S_LET) return NULL; /* its symbol has no value out here */
        if (write || found || n->body[i].op != XFC_S_LOAD) continue;
        const xfc_access *a = n->body[i].u.access;
        if (xfc_int_uses(e->ctx, xfc_access_linear(e->ctx, e->kernel, a), n->axes[0].symbol)) found = a;
        if (found && e->kernel->buffers[a->buffer].kind == XFC_BUF_TEMP) found = NULL;
    }
    if (write) found = &n->stores[0].to;
    if (!found || e->kernel->buffers[found->buffer].kind == XFC_BUF_TEMP) return NULL;
    for (uint32_t i = 0; i < n->n_axes; i++) xfc_emit_bind(e, n->axes[i].symbol, i ? xfc_emit_const(e, 0) : row);
    LLVMValueRef place = xfc_emit_address(e, found);
    for (uint32_t i = 0; i < n->n_axes; i++) xfc_map_set(&e->symbols, n->axes[i].symbol.id, 0);
    return place;
}

/* A target that checks: `extent` elements from the access on, of which some must exist, end inside the buffer. */
static void check_span(xfc_emit *e, const xfc_tile *t, const xfc_access *a, xfc_int extent) {
    const xfc_int count = xfc_type_count(e->ctx, &e->kernel->buffers[a->buffer].type);
    const xfc_int first = xfc_access_linear(e->ctx, e->kernel, a), none = xfc_int_const(e->ctx, 0);
    const xfc_int room = xfc_int_sub(e->ctx, count, xfc_int_add(e->ctx, first, extent));
    const xfc_int work = xfc_int_mul(e->ctx, t->rows, xfc_int_mul(e->ctx, t->depth, t->columns));
    LLVMValueRef zero = xfc_emit_int(e, none), least = xfc_emit_int(e, xfc_int_min(e->ctx, first, room));
    LLVMValueRef some = LLVMBuildICmp(e->b, LLVMIntSGT, xfc_emit_int(e, work), zero, "");
    xfc_emit_trap_if(e, LLVMBuildAnd(e->b, some, LLVMBuildICmp(e->b, LLVMIntSLT, least, zero, ""), ""));
}

static void check_tile(xfc_emit *e, const xfc_tile *t) {
    xfc_ctx *c = e->ctx;
    const xfc_int panel = xfc_int_const(c, t->panel), lanes = xfc_int_const(c, e->lanes);
    const xfc_int above = xfc_int_addc(c, t->rows, -1);
    const xfc_int before = xfc_int_addc(c, xfc_int_ceildiv(c, t->columns, panel), -1);
    const xfc_int columns = xfc_int_mul(c, xfc_int_ceildiv(c, t->columns, lanes), lanes);
    check_span(e, t, &t->a, xfc_int_add(c, xfc_int_mul(c, above, t->a_row), t->depth));
    check_span(e, t, &t->c, xfc_int_add(c, xfc_int_mul(c, above, t->c_row), columns));
    check_span(e, t, &t->b,
               xfc_int_add(c, xfc_int_mul(c, before, xfc_tile_apart(c, t)), xfc_int_mul(c, t->depth, panel)));
}

/* Of a tile whose result has so many at most that they can be listed on the stack; else 0. */
static uint32_t most_rows(const xfc_emit *e, const xfc_tile *t) {
    int64_t rows;
    bool known = xfc_int_value(e->ctx, e->kernel->buffers[t->c.buffer].type.dim[0], &rows);
    return known && rows > 0 && rows <= MOST_ROWS ? (uint32_t)rows : 0;
}

static xfc_status emit_tile_step(xfc_emit *e, const xfc_tile *t, followers after) {
    if (e->gpu) {
        xfc_loc loc = e->kernel->n_fused ? e->kernel->fused[0] : (xfc_loc){0};
        return xfc_fail(e->ctx, XFC_ERR_UNSUPPORTED, loc,
                        "a contraction tile has no GPU code; run the passes with the target cuda");
    }
    if (e->target->checked) check_tile(e, t);
    xfc_tile_values v = {.a = xfc_emit_address(e, &t->a),
                         .b = xfc_emit_address(e, &t->b),
                         .c = xfc_emit_address(e, &t->c),
                         .room = e->room,
                         .type = xfc_tile_contract(e->kernel, t)};
    v.a_row = xfc_emit_int(e, t->a_row);
    v.c_row = xfc_emit_int(e, t->c_row);
    v.rows = xfc_emit_int(e, t->rows);
    v.depth = xfc_emit_int(e, t->depth);
    v.columns = xfc_emit_int(e, t->columns);
    v.apart = xfc_int_known(t->apart) ? xfc_emit_int(e, t->apart) : NULL;
    const xfc_tile_follow follow = {.user = &after, .most = most_rows(e, t), .rows = emit_rows, .place = row_place};
    return xfc_emit_tile(e, &v, after.n ? &follow : NULL);
}

static void split_task(xfc_emit *e, LLVMValueRef task) {
    const xfc_kernel *k = e->kernel;
    for (uint32_t i = k->n_axes; i-- > 0;) {
        int64_t lo, hi;
        LLVMValueRef extent = xfc_emit_int(e, k->axes[i].extent), index = task;
        if (i > 0) { /* a task exists, so no extent is 0 */
            xfc_int_range(e->ctx, k->axes[i].extent, &lo, &hi);
            index = LLVMBuildURem(e->b, task, extent, "");
            task = LLVMBuildUDiv(e->b, task, extent, "");
        }
        xfc_emit_bind(e, k->axes[i].symbol, index);
    }
}

/* Answers the block behind the rest of the task if the let's range may be empty, else NULL. */
static LLVMBasicBlockRef emit_loaded(xfc_emit *e, const xfc_let *l) {
    xfc_dtype type = e->kernel->buffers[l->load->buffer].type.dtype;
    xfc_place_value at = xfc_emit_place(e, XFC_LANES_SAME, l->load, xfc_emit_address(e, l->load), false);
    LLVMValueRef v = xfc_emit_cast(e, XFC_I64, type, xfc_emit_load(e, type, at, NULL, NULL));
    LLVMValueRef some;
    xfc_emit_let(e, l->symbol, v, false, NULL, &some);
    return some ? xfc_emit_if_begin(e, some, "some") : NULL;
}

static xfc_status emit_steps(xfc_emit *e) {
    const xfc_kernel *k = e->kernel;
    for (uint32_t i = 0; i < k->n_steps; i++) {
        const xfc_step *s = &k->steps[i];
        if (s->kind == XFC_STEP_NEST) {
            XFC_TRY(xfc_emit_nest(e, s->u.nest));
            continue;
        }
        followers after = {&s[1], 0};
        while (most_rows(e, s->u.tile) && i + after.n + 1 < k->n_steps &&
               follows_rows(e, s->u.tile, (followers){&s[1], after.n + 1}))
            after.n++;
        XFC_TRY(emit_tile_step(e, s->u.tile, after));
        i += after.n;
    }
    return XFC_OK;
}

static xfc_status emit_task(xfc_emit *e, LLVMValueRef task) {
    const xfc_kernel *k = e->kernel;
    LLVMBasicBlockRef *end = xfc_new_array(e->arena, LLVMBasicBlockRef, k->n_lets);
    split_task(e, task);
    for (uint32_t i = 0; i < k->n_lets; i++) {
        const xfc_let *l = &k->lets[i];
        if (l->load)
            end[i] = emit_loaded(e, l);
        else
            xfc_emit_bind(e, l->symbol, xfc_emit_int(e, l->value));
    }
    XFC_TRY(emit_steps(e));
    for (uint32_t i = k->n_lets; i-- > 0;)
        if (end[i]) xfc_emit_if_end(e, end[i]);
    return XFC_OK;
}

/* --- functions --- */

static LLVMValueRef special_register(xfc_emit *e, const char *name) {
    return LLVMBuildZExt(e->b, xfc_emit_intrinsic(e, name, NULL, 0, NULL, 0), e->i64, "");
}

/* first task, distance of tasks and worker of this call (CPU) or thread (GPU) */
typedef struct {
    LLVMValueRef first, distance, worker;
} task_range;

static task_range find_tasks(xfc_emit *e) {
    LLVMValueRef begin = LLVMGetParam(e->fn, 1);
    if (!e->gpu)
        return (task_range){begin, xfc_emit_const(e, 1), LLVMBuildZExt(e->b, LLVMGetParam(e->fn, 3), e->i64, "")};
    LLVMValueRef width = special_register(e, "llvm.nvvm.read.ptx.sreg.ntid.x");
    LLVMValueRef block = LLVMBuildMul(e->b, special_register(e, "llvm.nvvm.read.ptx.sreg.ctaid.x"), width, "");
    LLVMValueRef thread = LLVMBuildAdd(e->b, block, special_register(e, "llvm.nvvm.read.ptx.sreg.tid.x"), "");
    LLVMValueRef grid = LLVMBuildMul(e->b, special_register(e, "llvm.nvvm.read.ptx.sreg.nctaid.x"), width, "");
    return (task_range){LLVMBuildAdd(e->b, begin, thread, ""), grid, thread};
}

static void declare_kernel(xfc_emit *e, const char *name) {
    LLVMTypeRef params[4] = {e->ptr, e->i64, e->i64, e->i32};
    e->fn = xfc_emit_function(e, name, LLVMFunctionType(e->gpu ? e->none : e->i32, params, e->gpu ? 3 : 4, false));
    if (e->gpu) {
        LLVMSetFunctionCallConv(e->fn, PTX_KERNEL);
        LLVMSetLinkage(e->fn, LLVMExternalLinkage);
    }
    e->entry = xfc_emit_block(e, "entry");
    LLVMPositionBuilderAtEnd(e->b, e->entry);
    e->frame = global_pointer(e, LLVMGetParam(e->fn, 0));
}

/* The entry block stays open for allocas and graph symbols: it ends in a branch that they are put before. */
static task_range open_kernel(xfc_emit *e) {
    task_range range = find_tasks(e);
    load_frame(e, range.worker);
    e->range_flag = xfc_emit_alloca(e, e->i1, 0, "range");
    LLVMBuildStore(e->b, LLVMConstInt(e->i1, 0, false), e->range_flag);
    LLVMBasicBlockRef start = xfc_emit_block(e, "start");
    LLVMBuildBr(e->b, start);
    LLVMPositionBuilderAtEnd(e->b, start);
    place_temporaries(e);
    return range;
}

xfc_status xfc_emit_kernel(xfc_emit *e, const xfc_kernel *k, const char *symbol_name, LLVMValueRef *fn) {
    e->kernel = k;
    e->symbols = (xfc_map){.arena = e->arena};
    e->buffer = xfc_new_array(e->arena, LLVMValueRef, k->n_buffers);
    declare_kernel(e, symbol_name);
    *fn = e->fn;
    task_range range = open_kernel(e);
    LLVMValueRef some = LLVMBuildICmp(e->b, LLVMIntSLT, range.first, LLVMGetParam(e->fn, 2), "");
    LLVMBasicBlockRef done = xfc_emit_if_begin(e, some, "tasks");
    xfc_loop loop = xfc_emit_loop_enter(e, range.first, LLVMGetParam(e->fn, 2), range.distance, "task");
    XFC_TRY(emit_task(e, loop.i));
    xfc_emit_loop_end(e, &loop);
    xfc_emit_if_end(e, done);
    report_range(e);
    if (e->gpu)
        LLVMBuildRetVoid(e->b);
    else
        LLVMBuildRet(e->b, LLVMConstInt(e->i32, 0, false));
    e->kernel = NULL;
    return e->status;
}
