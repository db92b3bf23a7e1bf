/* plan.c - checks and reads the plan blob (xfc/abi.h).
 *
 * A blob is checked once: its checksum, for accidents, then table by table and index by index, for everything else; the
 * rest of the runtime and the tools follow indices without looking back. Sizes are evaluated by running the
 * instructions in order, each with overflow checks: dims come from the caller and may be anything.
 * Not here: binding of symbols to input dims (shape.c).
 */
#include "runtime/plan.h"
#include "runtime/kernels/routines.h"
#include "xfc/check.h"
#include <string.h>

/* One table: its place in the blob, checked. */
static bool table_ok(const xf_plan_header *h, uint32_t offset, uint64_t n, size_t size) {
    return offset % 8 == 0 && offset >= sizeof *h && offset <= h->size && n * size <= h->size - offset;
}

static bool tables_ok(const xf_plan_header *h) {
    return table_ok(h, h->symbols, h->n_symbols, sizeof(xf_symbol)) &&
           table_ok(h, h->instrs, h->n_instrs, sizeof(xf_instr)) && table_ok(h, h->dims, h->n_dims, sizeof(xf_dim)) &&
           table_ok(h, h->args, h->n_args, sizeof(xf_arg)) && table_ok(h, h->checks, h->n_checks, sizeof(xf_check)) &&
           table_ok(h, h->operands, h->n_operands, sizeof(xf_operand)) &&
           table_ok(h, h->steps, h->n_steps, sizeof(xf_step_info)) &&
           table_ok(h, h->numbers, h->n_numbers, sizeof(xf_val)) &&
           table_ok(h, h->nodes, h->n_nodes, sizeof(uint32_t)) &&
           table_ok(h, h->ranges, h->n_ranges, sizeof(xf_range)) && table_ok(h, h->meta, h->n_meta, sizeof(xf_meta)) &&
           table_ok(h, h->strings, h->string_bytes, 1);
}

static bool range_ok(uint32_t first, uint64_t n, uint32_t limit) { return first <= limit && n <= limit - first; }
static bool value_ok(const xf_plan *p, xf_val v) { return v < p->n_values; }
static bool string_ok(const xf_plan *p, uint32_t s) { return s < p->head->string_bytes; }

/* Each defined symbol has one instruction that sets it, in the order of both tables. */
static const char *check_defined(const xf_plan *p) {
    const xf_plan_header *h = p->head;
    uint32_t next = 0;
    for (uint32_t i = 0; i < h->n_instrs; i++) {
        if (p->instrs[i].op != XF_I_DEFINED) continue;
        while (next < h->n_symbols && p->symbols[next].defined != XF_SYMBOL_DEFINED) next++;
        if (next == h->n_symbols || p->instrs[i].value != (int64_t)next) return "a symbol is defined in disorder";
        next++;
    }
    while (next < h->n_symbols && p->symbols[next].defined != XF_SYMBOL_DEFINED) next++;
    return next < h->n_symbols ? "a symbol has no bound" : NULL;
}

static const char *check_symbols(const xf_plan *p) {
    for (uint32_t i = 0; i < p->head->n_symbols; i++)
        if (!string_ok(p, p->symbols[i].name) || !string_ok(p, p->symbols[i].why) || p->symbols[i].lo < 0 ||
            p->symbols[i].defined > XF_SYMBOL_ROOM)
            return "a symbol is damaged";
    return check_defined(p);
}

static const char *check_sizes(const xf_plan *p) {
    const xf_plan_header *h = p->head;
    for (uint32_t i = 0; i < h->n_instrs; i++) {
        const xf_instr *in = &p->instrs[i];
        if (in->op > XF_I_DEFINED) return "an instruction is unknown";
        /* Only earlier values: the order is the evaluation order. */
        if (in->op != XF_I_CONST && (in->a >= h->n_symbols + i || in->b >= h->n_symbols + i))
            return "an instruction is damaged";
    }
    for (uint32_t i = 0; i < h->n_dims; i++)
        if (!value_ok(p, p->dims[i].value) || !string_ok(p, p->dims[i].name) ||
            (p->dims[i].most != XF_VAL_NONE && !value_ok(p, p->dims[i].most)))
            return "a dim is damaged";
    for (uint32_t i = 0; i < h->n_checks; i++) {
        const xf_check *c = &p->checks[i];
        if (!value_ok(p, c->a) || !value_ok(p, c->b) || !string_ok(p, c->what) || c->ones > XF_CHECK_UNEQUAL ||
            c->step > h->n_steps)
            return "a check is damaged";
    }
    return NULL;
}

static bool dtype_ok(uint32_t dtype) {
    enum { MINIFLOATS = 10, LAST = 14, FLOAT4 = 17 }; /* DLPack's codes of floats of few bits */
    uint32_t code = dtype & 0xffu, bits = dtype >> 8 & 0xffu;
    if (dtype >> 16 == 1 && bits == 8 && code >= MINIFLOATS && code <= LAST) return true;
    if (dtype >> 16 == 1 && (bits == 2 || bits == 4) && code <= 1) return true; /* packed */
    if (dtype >> 16 == 1 && bits == 4 && code == FLOAT4) return true;
    switch (dtype) {
#define XK_TYPE(ID, T, CLASS, code, bits, ...) case (code) | (bits) << 8 | 1 << 16:
#include "runtime/kernels/types.def"
#undef XK_TYPE
        return true;
    default: return false;
    }
}

/* Both say so of each other. */
static bool cache_ok(const xf_plan *p, uint32_t i) {
    const xf_plan_header *h = p->head;
    const xf_arg *a = &p->args[i];
    if (!a->twin || i >= h->n_inputs + h->n_outputs) return a->twin == 0;
    bool input = i < h->n_inputs;
    if (a->twin > (input ? h->n_outputs : h->n_inputs)) return false;
    const xf_arg *twin = &p->args[input ? h->n_inputs + a->twin - 1 : a->twin - 1];
    return twin->twin == (input ? i : i - h->n_inputs) + 1 && twin->axis == a->axis && twin->room == a->room &&
           twin->n_dims == a->n_dims && twin->dtype == a->dtype && a->axis < a->n_dims && a->room < h->n_symbols &&
           p->symbols[a->room].defined == XF_SYMBOL_ROOM;
}

static const char *check_args(const xf_plan *p) {
    const xf_plan_header *h = p->head;
    if ((uint64_t)h->n_inputs + h->n_outputs > h->n_args) return "the argument table is too short";
    for (uint32_t i = 0; i < h->n_args; i++) {
        const xf_arg *a = &p->args[i];
        if (!string_ok(p, a->name) || !range_ok(a->first_dim, a->n_dims, h->n_dims)) return "an argument is damaged";
        if (a->n_dims > XF_MAX_RANK) return "an argument has too many dims";
        if (!dtype_ok(a->dtype)) return "an argument has an unknown element type";
        if (!cache_ok(p, i)) return "an argument is no cache of the one that it says";
    }
    return NULL;
}

static const char *check_operand(const xf_plan *p, const xf_operand *o) {
    const xf_plan_header *h = p->head;
    switch (o->space) {
    case XF_SPACE_INPUT: return o->index < h->n_inputs ? NULL : "an operand names no input";
    case XF_SPACE_OUTPUT: return o->index < h->n_outputs && value_ok(p, o->value) ? NULL : "an operand names no output";
    case XF_SPACE_WEIGHT: return o->offset <= h->weight_bytes ? NULL : "an operand lies outside the weights";
    case XF_SPACE_WORK: return value_ok(p, o->value) ? NULL : "an operand is damaged";
    case XF_SPACE_HEAP:
        return o->index < h->n_slots && value_ok(p, o->value) ? NULL : "an operand lies outside the heap";
    default: return "an operand has no place";
    }
}

static bool numbers_ok(const xf_plan *p, const xf_step_info *s) {
    for (uint32_t i = 0; i < s->n_numbers; i++)
        if (!value_ok(p, p->numbers[s->first_number + i])) return false;
    return true;
}

/* Of operands and results, which args describe in this order. */
static bool ranks_ok(const xf_arg *arg, const char *ranks) {
    for (; *ranks; ranks++, arg++)
        if (*ranks != '.' && arg->n_dims != (uint32_t)(*ranks - '0')) return false;
    return true;
}

static bool call_ok(const xf_plan *p, const xf_step_info *s) {
    const xk_routine *r = s->kernel < xk_n_routines ? xk_routines[s->kernel] : NULL;
    return r && s->first_out_arg >= s->n_in && s->n_in == r->n_in && s->n_out == r->n_out &&
           s->n_numbers == r->n_numbers && numbers_ok(p, s) && ranks_ok(&p->args[s->first_out_arg - s->n_in], r->ranks);
}

static bool define_ok(const xf_plan *p, const xf_step_info *s) {
    const uint32_t each = s->kind == XF_STEP_LOOP ? 5 : 3, ranges = s->n_numbers / each * 3;
    if (s->n_numbers % each != 0) return false;
    for (uint32_t i = ranges; i < s->n_numbers; i++)
        if (!value_ok(p, p->numbers[s->first_number + i])) return false;
    for (uint32_t i = 0; i < ranges; i += 3) {
        const xf_val *n = &p->numbers[s->first_number + i];
        if (n[0] >= p->head->n_symbols || p->symbols[n[0]].defined != XF_SYMBOL_DEFINED) return false;
        if (!value_ok(p, n[1]) || !value_ok(p, n[2])) return false;
    }
    return true;
}

static bool kind_ok(const xf_plan *p, const xf_step_info *s) {
    if (!range_ok(s->first_number, s->n_numbers, p->head->n_numbers)) return false;
    switch (s->kind) {
    case XF_STEP_KERNEL: return numbers_ok(p, s);
    case XF_STEP_CALL: return call_ok(p, s);
    case XF_STEP_DEFINE: return s->n_in == (s->n_numbers != 0) && s->n_out == 0 && define_ok(p, s);
    case XF_STEP_BRANCH: return s->n_in == 1 && s->n_out > 0 && s->kernel <= s->span && define_ok(p, s);
    case XF_STEP_LOOP:
        return s->n_out > 0 && s->n_in >= 4 + s->n_out && s->n_in <= 4 + 2 * s->n_out && s->kernel == 0 &&
               define_ok(p, s) && s->span > 0; /* or it could not be cancelled */
    default: return false;
    }
}

/* Bodies lie inside of those around them, and nest no deeper than a stack may. */
static const char *check_spans(const xf_plan *p) {
    uint32_t end[2 * XF_MAX_NESTING + 1] = {p->head->n_steps}, n = 1;
    for (uint32_t i = 0; i < p->head->n_steps; i++) {
        const xf_step_info *s = &p->steps[i];
        while (end[n - 1] <= i) n--;
        if (s->span >= end[n - 1] - i || (s->span && s->kind != XF_STEP_BRANCH && s->kind != XF_STEP_LOOP))
            return "bodies overlap";
        if (s->span == 0) continue;
        if (n + 2 > sizeof end / sizeof *end) return "bodies nest too deep";
        end[n++] = i + 1 + s->span;
        end[n++] = i + 1 + s->kernel;
    }
    return NULL;
}

static const char *check_steps(const xf_plan *p) {
    const xf_plan_header *h = p->head;
    for (uint32_t i = 0; i < h->n_operands; i++) {
        const char *why = check_operand(p, &p->operands[i]);
        if (why) return why;
    }
    for (uint32_t i = 0; i < h->n_nodes; i++)
        if (!string_ok(p, p->nodes[i])) return "a node name is damaged";
    for (uint32_t i = 0; i < h->n_meta; i++)
        if (!string_ok(p, p->meta[i].key) || !string_ok(p, p->meta[i].value)) return "the metadata is damaged";
    /* Of steps: none is shared, so that walking them all is no more than the blob. */
    uint64_t operands = 0, nodes = 0, numbers = 0;
    for (uint32_t i = 0; i < h->n_steps; i++) {
        const xf_step_info *s = &p->steps[i];
        operands += (uint64_t)s->n_in + s->n_out;
        nodes += s->n_nodes;
        numbers += s->n_numbers;
        if (!range_ok(s->first_operand, (uint64_t)s->n_in + s->n_out, h->n_operands) ||
            !range_ok(s->first_node, s->n_nodes, h->n_nodes) || !range_ok(s->first_out_arg, s->n_out, h->n_args) ||
            !value_ok(p, s->tasks) || !value_ok(p, s->grain) || !value_ok(p, s->scratch) || !string_ok(p, s->form) ||
            (s->flops != XF_VAL_NONE && !value_ok(p, s->flops)))
            return "a step is damaged";
        if (numbers > h->n_numbers || !kind_ok(p, s)) return "a step is of no known kind, or damaged";
    }
    return operands > h->n_operands || nodes > h->n_nodes ? "steps overlap" : NULL;
}

static const char *check_ranges(const xf_plan *p) {
    const xf_plan_header *h = p->head;
    for (uint32_t i = 0; i < h->n_ranges; i++) {
        const xf_range *r = &p->ranges[i];
        if (r->step >= h->n_steps || r->operand >= p->steps[r->step].n_in || r->arg >= h->n_args ||
            !value_ok(p, r->lo) || !value_ok(p, r->hi) || !string_ok(p, r->node) || !string_ok(p, r->table))
            return "a range of indices is damaged";
    }
    return NULL;
}

/* Binding needs each symbol that is not defined as the plain dim of some input. Symbols are looked at in groups, one
 * walk over the inputs each, since nothing bounds how many a damaged blob has of both. */
static const char *check_bindings(const xf_plan *p) {
    enum { GROUP = 4096 };
    for (uint32_t first = 0; first < p->head->n_symbols; first += GROUP) {
        uint32_t n = p->head->n_symbols - first < GROUP ? p->head->n_symbols - first : GROUP, n_bound = 0;
        bool bound[GROUP] = {false};
        for (uint32_t s = 0; s < n; s++) n_bound += bound[s] = p->symbols[first + s].defined != XF_SYMBOL_DIM;
        for (uint32_t i = 0; i < p->head->n_inputs; i++)
            for (uint32_t d = 0; d < p->args[i].n_dims; d++) {
                xf_val v = p->dims[p->args[i].first_dim + d].value;
                if (v < first || v - first >= n || bound[v - first]) continue;
                bound[v - first] = true;
                n_bound++;
            }
        if (n_bound < n) return "a symbol is not the dim of any input";
    }
    return NULL;
}

const char *xf_plan_open(xf_plan *p, const void *blob, size_t n) {
    const xf_plan_header *h = blob;
    if (n < sizeof *h || (uintptr_t)blob % 8 != 0) return "it is too short";
    if (h->magic != XF_PLAN_MAGIC) return "it is not a plan of xfc";
    if (h->abi != XF_CODE_ABI) return "it was made by another version of xfc";
    if (h->size < sizeof *h || h->size > n) return "it is cut off";
    if (xf_plan_check(h) != h->check) return "the file is damaged, its checksum is not the one that xfc wrote";
    if (!tables_ok(h)) return "its tables do not fit";
    const unsigned char *base = blob;
    *p = (xf_plan){
        .head = h,
        .symbols = (const void *)(base + h->symbols),
        .instrs = (const void *)(base + h->instrs),
        .dims = (const void *)(base + h->dims),
        .args = (const void *)(base + h->args),
        .checks = (const void *)(base + h->checks),
        .operands = (const void *)(base + h->operands),
        .steps = (const void *)(base + h->steps),
        .numbers = (const void *)(base + h->numbers),
        .nodes = (const void *)(base + h->nodes),
        .ranges = (const void *)(base + h->ranges),
        .meta = (const void *)(base + h->meta),
        .strings = (const void *)(base + h->strings),
        .n_values = h->n_symbols + h->n_instrs, /* cannot wrap: both fit into 4 GiB with 16 bytes or more an entry */
    };
    if (h->string_bytes == 0 || p->strings[0] != '\0' || p->strings[h->string_bytes - 1] != '\0')
        return "its strings do not end";
    if (!value_ok(p, h->work_bytes)) return "its workspace size is damaged";
    if (h->n_slots > h->n_operands) return "it has more slots than values";
    const char *why = check_symbols(p);
    if (!why) why = check_sizes(p);
    if (!why) why = check_args(p);
    if (!why) why = check_steps(p);
    if (!why) why = check_spans(p);
    if (!why) why = check_ranges(p);
    return why ? why : check_bindings(p);
}

bool xf_plan_const(const xf_plan *p, xf_val v, int64_t *out) {
    if (v < p->head->n_symbols || p->instrs[v - p->head->n_symbols].op != XF_I_CONST) return false;
    *out = p->instrs[v - p->head->n_symbols].value;
    return true;
}

/* Python's: rounds towards minus infinity. INT64_MIN / -1 overflows. By zero: 0, as everywhere in the compiler (an
 * empty dimension divides only sizes of tensors that are empty too). */
static bool floordiv(int64_t a, int64_t b, int64_t *out) {
    if (a == INT64_MIN && b == -1) return false;
    *out = b == 0 ? 0 : a / b - (a % b != 0 && (a < 0) != (b < 0));
    return true;
}

static bool mod(int64_t a, int64_t b, int64_t *out) {
    int64_t r = b == -1 || b == 0 ? 0 : a % b;
    *out = r != 0 && (r < 0) != (b < 0) ? r + b : r;
    return true;
}

static bool evaluate(const xf_plan *p, int64_t *values, bool bounds) {
    const uint32_t first = p->head->n_symbols;
    for (uint32_t i = 0; i < p->head->n_instrs; i++) {
        const xf_instr *in = &p->instrs[i];
        int64_t *out = &values[first + i];
        if (in->op == XF_I_CONST) {
            *out = in->value;
            continue;
        }
        int64_t a = values[in->a], b = values[in->b];
        bool ok = true;
        if (in->op == XF_I_DEFINED && bounds) values[in->value] = a;
        switch ((xf_instr_op)in->op) {
        case XF_I_CONST: break;
        case XF_I_DEFINED: *out = values[in->value]; break;
        case XF_I_ADD: ok = !__builtin_add_overflow(a, b, out); break;
        case XF_I_MUL: ok = !__builtin_mul_overflow(a, b, out); break;
        case XF_I_FLOORDIV: ok = floordiv(a, b, out); break;
        case XF_I_MOD: ok = mod(a, b, out); break;
        case XF_I_MIN: *out = a < b ? a : b; break;
        case XF_I_MAX: *out = a > b ? a : b; break;
        }
        if (!ok) return false;
    }
    return true;
}

bool xf_plan_eval(const xf_plan *p, int64_t *values) { return evaluate(p, values, true); }
bool xf_plan_eval_again(const xf_plan *p, int64_t *values) { return evaluate(p, values, false); }

const char *xf_plan_meta(const xf_plan *p, const char *key) {
    for (uint32_t i = 0; i < p->head->n_meta; i++)
        if (strcmp(xf_plan_str(p, p->meta[i].key), key) == 0) return xf_plan_str(p, p->meta[i].value);
    return NULL;
}

const char *xf_plan_padding(const xf_plan *p, const char *output) {
    static const char padded[] = "padded-output:";
    for (uint32_t i = 0; i < p->head->n_meta; i++) {
        const char *key = xf_plan_str(p, p->meta[i].key);
        if (strncmp(key, padded, sizeof padded - 1) != 0) continue;
        if (!output || strcmp(key + sizeof padded - 1, output) == 0) return xf_plan_str(p, p->meta[i].value);
    }
    return NULL;
}

/* --- weights --- */

enum { WEIGHT_ALIGN = 64 };

static uint64_t n_blocks(const xf_weights_header *h) { return h->bytes / h->block + (h->bytes % h->block != 0); }

xf_made xf_made_row(const unsigned char *section, uint32_t i) {
    xf_made row;
    memcpy(&row, section + sizeof(xf_weights_header) + i * sizeof row, sizeof row);
    return row;
}

/* Does it lie in [from, to)? */
static bool lies_inside(const xf_made_array *a, uint64_t from, uint64_t to) {
    const uint32_t bits = a->dtype >> 8 & 0xffu;
    uint64_t bytes = bits / 8;
    if (bits == 0 || bits % 8 != 0 || a->rank > XF_MADE_RANK || a->offset % WEIGHT_ALIGN != 0) return false;
    for (uint32_t d = 0; d < a->rank; d++)
        if (a->dim[d] > INT32_MAX || __builtin_mul_overflow(bytes, a->dim[d], &bytes)) return false;
    return a->offset >= from && a->offset <= to && bytes <= to - a->offset;
}

static bool made_ok(const xf_plan_header *plan, const unsigned char *section, const xf_weights_header *h) {
    const uint64_t stored = h->bytes - h->sources;
    if (h->sources > h->bytes || stored > plan->weight_bytes || stored % WEIGHT_ALIGN != 0) return false;
    if (h->n_made > (h->data_offset - sizeof *h) / sizeof(xf_made)) return false;
    for (uint32_t i = 0; i < h->n_made; i++) {
        const xf_made row = xf_made_row(section, i);
        if (row.n_operands > XF_MADE_OPERANDS) return false;
        for (uint32_t k = 0; k < row.n_operands; k++)
            if (!lies_inside(&row.array[k], stored, h->bytes)) return false;
        if (!lies_inside(&row.array[row.n_operands], stored, plan->weight_bytes)) return false;
    }
    return true;
}

const char *xf_weights_look(const xf_plan_header *plan, const unsigned char *section, size_t n, xf_weights_header *h) {
    static const char cut_off[] = "the weights are cut off";
    if (n < sizeof *h) return cut_off;
    memcpy(h, section, sizeof *h);
    if (h->magic != XF_WEIGHTS_MAGIC) return "these are not weights of xfc";
    if (h->abi != XF_CODE_ABI) return "the weights were made by another version of xfc";
    if (h->data_offset < sizeof *h || h->data_offset > n) return cut_off;
    if (xf_weights_check(section, h->data_offset) != h->check || h->block == 0)
        return "the file is damaged in the header of the weights";
    if (memcmp(h->build_id, plan->build_id, sizeof h->build_id) != 0)
        return "the weights belong to another build of the model (was the file replaced since it was loaded?)";
    if (h->bytes > n - h->data_offset || n_blocks(h) > (n - h->data_offset - h->bytes) / sizeof(uint32_t))
        return cut_off;
    if (h->n_made == 0 && (h->bytes != plan->weight_bytes || h->sources)) return cut_off;
    if (h->n_made && !made_ok(plan, section, h)) return "the table of weights that are made is damaged";
    return NULL;
}

bool xf_weights_damage(const unsigned char *section, const xf_weights_header *h, size_t *from, size_t *to) {
    const unsigned char *sums = section + h->data_offset + h->bytes;
    size_t end = h->data_offset + h->bytes;
    for (*from = h->data_offset; *from < end; *from = *to, sums += sizeof(uint32_t)) {
        uint32_t sum;
        memcpy(&sum, sums, sizeof sum);
        *to = end - *from < h->block ? end : *from + h->block;
        if (xf_crc32c(0, section + *from, *to - *from) != sum) return true;
    }
    return false;
}
