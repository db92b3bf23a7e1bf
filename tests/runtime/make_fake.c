/* make_fake.c - writes the plan blob and the weights of the fake models that the runtime is tested with (fake_model.c
 * has their kernels): what the compiler writes, but small, fixed, and independent of it.
 *
 *   make_fake a|b|c|p|q|qn|g PLAN WEIGHTS
 *
 * Model a, with everything the runtime has to handle:
 *   ids i64[batch, seq], mask f32[rows, seq], past f32[batch, seq + 1], alpha f32[]    batch in 0..64, seq in 1..512,
 *   rows == batch step 0  h = table[ids] * mask        "emb/Gather" "emb/Mul"      f32[batch, seq, 4] in the workspace
 *   step 1  y = sum(h) + alpha + past    "sum/ReduceSum"             output 0, through scratch
 *   step 2  total = sum(y)               "total/Sum"                 output 1, f64[]
 * Model b: y = 2 x, f32[4]; nothing symbolic, no weights.
 * Model c, with steps that are no kernel: mask i64[b, s], sizes i64[2]
 *   step 0  counts, cu, tok, inv, tasks = seq_offsets(mask)   "offsets"
 *   step 1  T in 0..b * s, M in 0..T = sizes                  "sizes"
 *   step 2  rows[i] = tok[i] + 1 for i < T                    "rows"    output 0, i32[b * s]; tapped as i32[2 * T]
 *   step 3  T, M, counts[0], counts[2]                        "report"  output 1, i64[4]
 * Model g, whose sizes only data knows: sizes i64[2]
 *   step 0  n, m = sizes                     "sizes"
 *   step 1  counted[i] = i, through scratch  "counted"   f32[n, m], slot 0
 *   step 2  doubled = 2 counted              "doubled"   f32[n, m], slot 1
 *   step 3  again = 2 doubled                "again"     f32[n, m], slot 0
 *   step 4  y = 2 again                      "y"         output 0
 */
#include "crc.h"
#include "xfc/abi.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    I32 = 0 | 32 << 8 | 1 << 16,
    F32 = 2 | 32 << 8 | 1 << 16,
    F64 = 2 | 64 << 8 | 1 << 16,
    I64 = 0 | 64 << 8 | 1 << 16,
    U8 = 1 | 8 << 8 | 1 << 16
};
enum { TABLE_ROWS = 100, TABLE_COLUMNS = 4 };

typedef struct {
    xf_symbol symbols[8];
    xf_instr instrs[64];
    xf_dim dims[64];
    xf_arg args[32];
    xf_check checks[8];
    xf_operand operands[64];
    xf_step_info steps[16];
    xf_val numbers[16];
    uint32_t nodes[64], meta[16];
    xf_range ranges[4];
    char strings[4096];
    xf_plan_header h;
} builder;

static uint32_t str(builder *b, const char *s) {
    uint32_t at = b->h.string_bytes ? b->h.string_bytes : 1;
    if (*s == '\0') return 0;
    memcpy(b->strings + at, s, strlen(s) + 1);
    b->h.string_bytes = at + (uint32_t)strlen(s) + 1;
    return at;
}

static xf_val symbol(builder *b, const char *name, int64_t lo, int64_t hi) {
    b->symbols[b->h.n_symbols] = (xf_symbol){.lo = lo, .hi = hi, .name = str(b, name)};
    return b->h.n_symbols++;
}

/* Symbols first: values are numbered after them. */
static xf_val op(builder *b, xf_instr_op o, xf_val x, xf_val y, int64_t value) {
    b->instrs[b->h.n_instrs] = (xf_instr){.op = (uint32_t)o, .a = x, .b = y, .value = value};
    return b->h.n_symbols + b->h.n_instrs++;
}

static xf_val number(builder *b, int64_t value) { return op(b, XF_I_CONST, 0, 0, value); }

static uint32_t arg(builder *b, const char *name, uint32_t dtype, uint32_t n, const xf_val *dim,
                    const char *const *dim_name) {
    b->args[b->h.n_args] = (xf_arg){.name = str(b, name), .dtype = dtype, .first_dim = b->h.n_dims, .n_dims = n};
    for (uint32_t i = 0; i < n; i++)
        b->dims[b->h.n_dims++] = (xf_dim){dim[i], dim_name ? str(b, dim_name[i]) : 0, dim[i]};
    return b->h.n_args++;
}

static void operand(builder *b, uint32_t space, uint32_t index, uint64_t offset, xf_val value) {
    b->operands[b->h.n_operands++] = (xf_operand){.space = space, .index = index, .offset = offset, .value = value};
}

static void numbers(builder *b, uint32_t n, const xf_val *v) {
    for (uint32_t i = 0; i < n; i++) b->numbers[b->h.n_numbers++] = v[i];
}

/* Its operands and numbers, the last ones, stand there already. */
static void step(builder *b, xf_step_info s, const char *form, const char *const *nodes) {
    s.first_number = b->h.n_numbers - s.n_numbers;
    s.first_operand = b->h.n_operands - s.n_in - s.n_out;
    s.first_node = b->h.n_nodes;
    s.form = str(b, form);
    for (; *nodes; nodes++, s.n_nodes++) b->nodes[b->h.n_nodes++] = str(b, *nodes);
    b->steps[b->h.n_steps++] = s;
}

static void meta(builder *b, const char *key, const char *value) {
    b->meta[2 * b->h.n_meta] = str(b, key);
    b->meta[2 * b->h.n_meta++ + 1] = str(b, value);
}

static void model_a(builder *b) {
    xf_val batch = symbol(b, "batch", 0, 64), seq = symbol(b, "seq", 1, 512), rows = symbol(b, "rows", 0, -1);
    xf_val one = number(b, 1), four = number(b, 4), row = number(b, 40);
    xf_val next = op(b, XF_I_ADD, seq, one, 0), tokens = op(b, XF_I_MUL, batch, seq, 0);
    xf_val bytes = op(b, XF_I_MUL, tokens, number(b, 16), 0), flops = op(b, XF_I_MUL, tokens, number(b, 8), 0);
    xf_val zero = number(b, 0);
    const char *names[] = {"batch", "seq"}, *mask[] = {"rows", "seq"}, *past[] = {"batch", ""};
    arg(b, "ids", I64, 2, (xf_val[]){batch, seq}, names);
    arg(b, "mask", F32, 2, (xf_val[]){rows, seq}, mask);
    arg(b, "past", F32, 2, (xf_val[]){batch, next}, past);
    arg(b, "alpha", F32, 0, NULL, NULL);
    b->h.n_inputs = 4;
    arg(b, "y", F32, 2, (xf_val[]){batch, seq}, names);
    arg(b, "total", F64, 0, NULL, NULL);
    b->h.n_outputs = 2;
    uint32_t h = arg(b, "h", F32, 3, (xf_val[]){batch, seq, four}, NULL);
    b->checks[b->h.n_checks++] = (xf_check){.a = batch, .b = rows, .what = str(b, "node 'emb/Mul'")};
    operand(b, XF_SPACE_INPUT, 0, 0, 0);
    operand(b, XF_SPACE_INPUT, 1, 0, 0);
    operand(b, XF_SPACE_WEIGHT, 0, 64, 0);
    operand(b, XF_SPACE_WORK, 0, 0, zero);
    step(b,
         (xf_step_info){.kernel = 0,
                        .n_in = 3,
                        .n_out = 1,
                        .tasks = tokens,
                        .grain = four,
                        .scratch = zero,
                        .flops = XF_VAL_NONE,
                        .first_out_arg = h},
         "map", (const char *[]){"emb/Gather", "emb/Mul", NULL});
    b->ranges[b->h.n_ranges++] = (xf_range){.lo = zero,
                                            .hi = op(b, XF_I_CONST, 0, 0, 99),
                                            .wrap = 1,
                                            .node = str(b, "emb/Gather"),
                                            .table = str(b, "emb.weight")};
    operand(b, XF_SPACE_WORK, 0, 0, zero);
    operand(b, XF_SPACE_INPUT, 2, 0, 0);
    operand(b, XF_SPACE_INPUT, 3, 0, 0);
    operand(b, XF_SPACE_OUTPUT, 0, 0, 0);
    numbers(b, 1, &seq);
    step(b,
         (xf_step_info){.kernel = 1,
                        .n_in = 3,
                        .n_out = 1,
                        .n_numbers = 1,
                        .tasks = batch,
                        .grain = one,
                        .scratch = row,
                        .flops = flops,
                        .first_out_arg = 4},
         "reduce", (const char *[]){"sum/ReduceSum", NULL});
    operand(b, XF_SPACE_OUTPUT, 0, 0, 0);
    operand(b, XF_SPACE_OUTPUT, 1, 0, 0);
    numbers(b, 1, &tokens);
    step(b,
         (xf_step_info){.kernel = 2,
                        .n_in = 1,
                        .n_out = 1,
                        .n_numbers = 1,
                        .tasks = one,
                        .grain = one,
                        .scratch = zero,
                        .flops = XF_VAL_NONE,
                        .first_out_arg = 5},
         "reduce", (const char *[]){"total/Sum", NULL});
    b->h.work_bytes = bytes;
    b->h.weight_bytes = 64 + TABLE_ROWS * TABLE_COLUMNS * sizeof(float);
}

static void model_b(builder *b) {
    xf_val four = number(b, 4), zero = number(b, 0);
    arg(b, "x", F32, 1, &four, NULL);
    b->h.n_inputs = 1;
    arg(b, "y", F32, 1, &four, NULL);
    b->h.n_outputs = 1;
    operand(b, XF_SPACE_INPUT, 0, 0, 0);
    operand(b, XF_SPACE_OUTPUT, 0, 0, 0);
    step(b,
         (xf_step_info){.kernel = 3,
                        .n_in = 1,
                        .n_out = 1,
                        .tasks = four,
                        .grain = four,
                        .scratch = zero,
                        .flops = XF_VAL_NONE,
                        .first_out_arg = 1},
         "map", (const char *[]){"twice", NULL});
    b->h.work_bytes = zero;
}

static xf_val defined(builder *b, const char *name) {
    xf_val v = symbol(b, name, 0, -1);
    b->symbols[v].defined = 1;
    return v;
}

static void model_c_signature(builder *b, xf_val batch, xf_val s, xf_val places) {
    xf_val two = number(b, 2), four = number(b, 4);
    arg(b, "mask", I64, 2, (xf_val[]){batch, s}, (const char *[]){"b", "s"});
    arg(b, "sizes", I64, 1, &two, NULL);
    b->h.n_inputs = 2;
    arg(b, "rows", I32, 1, &places, NULL);
    arg(b, "report", I64, 1, &four, NULL);
    b->h.n_outputs = 2;
}

static void model_c(builder *b) {
    xf_val batch = symbol(b, "b", 0, 64), s = symbol(b, "s", 0, 512), t = defined(b, "T"), m = defined(b, "M");
    xf_val places = op(b, XF_I_MUL, batch, s, 0);
    op(b, XF_I_DEFINED, places, places, t);
    op(b, XF_I_DEFINED, places, places, m);
    xf_val zero = number(b, 0), one = number(b, 1), two = number(b, 2), three = number(b, 3), block = number(b, 4);
    xf_val starts = op(b, XF_I_ADD, batch, one, 0), twice = op(b, XF_I_MUL, t, two, 0);
    xf_val per = op(b, XF_I_FLOORDIV, op(b, XF_I_ADD, s, three, 0), block, 0), tasks = op(b, XF_I_MUL, batch, per, 0);
    xf_val unit = op(b, XF_I_MUL, op(b, XF_I_ADD, op(b, XF_I_ADD, places, tasks, 0), starts, 0), number(b, 64), 0);
    xf_step_info info = {.tasks = one, .grain = one, .scratch = zero, .flops = XF_VAL_NONE};
    model_c_signature(b, batch, s, places);
    uint32_t mask = arg(b, "", I64, 2, (xf_val[]){batch, s}, NULL);
    arg(b, "counts", I64, 1, &three, NULL);
    arg(b, "cu", I32, 1, &starts, NULL);
    arg(b, "tok", I32, 1, &places, NULL);
    arg(b, "inv", I32, 2, (xf_val[]){batch, s}, NULL);
    arg(b, "tasks", I32, 2, (xf_val[]){tasks, two}, NULL);
    operand(b, XF_SPACE_INPUT, 0, 0, 0);
    for (int i = 0; i < 5; i++) operand(b, XF_SPACE_WORK, 0, 0, op(b, XF_I_MUL, unit, number(b, i), 0));
    xf_val counts_at = b->operands[1].value, tok_at = b->operands[3].value;
    info.kind = XF_STEP_CALL, info.n_in = 1, info.n_out = 5, info.first_out_arg = mask + 1, info.n_numbers = 3;
    numbers(b, 3, (xf_val[]){zero, block, zero});
    step(b, info, "seq_offsets", (const char *[]){"offsets", NULL});
    operand(b, XF_SPACE_INPUT, 1, 0, 0);
    info.kind = XF_STEP_DEFINE, info.n_out = 0, info.n_numbers = 6;
    numbers(b, 6, (xf_val[]){t, zero, places, m, zero, t});
    step(b, info, "define", (const char *[]){"sizes", NULL});
    operand(b, XF_SPACE_WORK, 0, 0, tok_at);
    operand(b, XF_SPACE_OUTPUT, 0, 0, 0);
    info = (xf_step_info){.kernel = 4, .tasks = t, .grain = two, .scratch = zero, .flops = t, .n_in = 1, .n_out = 1};
    info.first_out_arg = arg(b, "rows", I32, 1, &twice, NULL);
    step(b, info, "map", (const char *[]){"rows", NULL});
    operand(b, XF_SPACE_WORK, 0, 0, counts_at);
    operand(b, XF_SPACE_OUTPUT, 1, 0, 0);
    info.kernel = 5, info.tasks = one, info.first_out_arg = 3, info.n_numbers = 2;
    numbers(b, 2, (xf_val[]){t, m});
    step(b, info, "map", (const char *[]){"report", NULL});
    b->h.work_bytes = op(b, XF_I_MUL, unit, number(b, 5), 0);
}

static void model_g(builder *b) {
    static const char *const name[] = {"counted", "doubled", "again", "y"};
    xf_val n = defined(b, "n"), m = defined(b, "m");
    xf_val zero = number(b, 0), one = number(b, 1), two = number(b, 2), most = number(b, INT32_MAX);
    op(b, XF_I_DEFINED, zero, zero, n);
    op(b, XF_I_DEFINED, zero, zero, m);
    xf_val count = op(b, XF_I_MUL, n, m, 0), four = number(b, 4), bytes = op(b, XF_I_MUL, count, four, 0);
    arg(b, "sizes", I64, 1, &two, NULL);
    b->h.n_inputs = b->h.n_outputs = 1;
    for (int i = 0; i < 5; i++) { /* the output, then what the steps make */
        uint32_t y = arg(b, i ? name[i - 1] : "y", F32, 2, (xf_val[]){n, m}, NULL);
        b->dims[b->args[y].first_dim].most = b->dims[b->args[y].first_dim + 1].most = XF_VAL_NONE;
    }
    operand(b, XF_SPACE_INPUT, 0, 0, 0);
    numbers(b, 6, (xf_val[]){n, zero, most, m, zero, most});
    step(b,
         (xf_step_info){.kind = XF_STEP_DEFINE,
                        .n_in = 1,
                        .n_numbers = 6,
                        .tasks = one,
                        .grain = one,
                        .scratch = zero,
                        .flops = XF_VAL_NONE},
         "define", (const char *[]){"sizes", NULL});
    for (uint32_t i = 0; i < 4; i++) {
        xf_step_info info = {.kernel = i ? 3 : 8, .n_in = i != 0, .n_out = 1, .tasks = count, .grain = two};
        info.scratch = i ? zero : op(b, XF_I_MUL, m, four, 0), info.grows = i == 0, info.flops = XF_VAL_NONE;
        info.first_out_arg = 2 + i, info.n_numbers = 1;
        if (i) operand(b, XF_SPACE_HEAP, (i - 1) % 2, 0, 0);
        operand(b, i == 3 ? XF_SPACE_OUTPUT : XF_SPACE_HEAP, i == 3 ? 0 : i % 2, 0, bytes);
        numbers(b, 1, &m);
        step(b, info, "map", (const char *[]){name[i], NULL});
    }
    b->h.work_bytes = zero;
    b->h.n_slots = 2;
}

/* Models p and q: y = 2 x, and the sums of x by sequence; padded, and packed as abi.h wants it. */
static void model_pq(builder *b, bool packed) {
    xf_val tokens = packed ? symbol(b, "tokens", 0, -1) : 0, batch = symbol(b, "b", 0, 64), s = symbol(b, "s", 0, 9);
    xf_val zero = number(b, 0), one = number(b, 1), starts = op(b, XF_I_ADD, batch, one, 0);
    xf_val count = packed ? tokens : op(b, XF_I_MUL, batch, s, 0), x[2] = {packed ? tokens : batch, s};
    uint32_t rank = packed ? 1 : 2;
    xf_step_info info = {.kernel = 3, .n_in = 1, .n_out = 1, .tasks = count, .grain = one, .scratch = zero};
    arg(b, "x", F32, rank, x, NULL);
    if (packed) arg(b, "cu_seqlens", I32, 1, &starts, NULL);
    if (packed) arg(b, "sizes", U8, 4, (xf_val[]){tokens, batch, s, zero}, NULL);
    b->h.n_inputs = b->h.n_args;
    info.first_out_arg = arg(b, "y", F32, rank, x, NULL);
    arg(b, "sums", F32, 1, &batch, NULL);
    b->h.n_outputs = 2;
    info.flops = XF_VAL_NONE;
    operand(b, XF_SPACE_INPUT, 0, 0, 0);
    operand(b, XF_SPACE_OUTPUT, 0, 0, 0);
    step(b, info, "map", (const char *[]){"twice", NULL});
    operand(b, XF_SPACE_INPUT, 0, 0, 0);
    if (packed) operand(b, XF_SPACE_INPUT, 1, 0, 0);
    operand(b, XF_SPACE_OUTPUT, 1, 0, 0);
    info.kernel = packed ? 7 : 6, info.n_in = rank == 1 ? 2 : 1, info.tasks = batch, info.first_out_arg++;
    info.n_numbers = 1;
    numbers(b, 1, &s);
    step(b, info, "reduce", (const char *[]){"sums", NULL});
    b->h.work_bytes = zero;
}

/* --- writing --- */

static uint32_t place(unsigned char *blob, uint32_t *at, const void *data, size_t n) {
    uint32_t start = *at;
    if (n) memcpy(blob + start, data, n);
    *at = (start + (uint32_t)n + 7) / 8 * 8;
    return start;
}

static void finish(builder *b, FILE *f) {
    static unsigned char blob[1 << 16];
    xf_plan_header *h = &b->h;
    uint32_t at = (sizeof *h + 7) / 8 * 8;
    h->magic = XF_PLAN_MAGIC;
    h->abi = XF_CODE_ABI;
    h->symbols = place(blob, &at, b->symbols, h->n_symbols * sizeof *b->symbols);
    h->instrs = place(blob, &at, b->instrs, h->n_instrs * sizeof *b->instrs);
    h->dims = place(blob, &at, b->dims, h->n_dims * sizeof *b->dims);
    h->args = place(blob, &at, b->args, h->n_args * sizeof *b->args);
    h->checks = place(blob, &at, b->checks, h->n_checks * sizeof *b->checks);
    h->operands = place(blob, &at, b->operands, h->n_operands * sizeof *b->operands);
    h->steps = place(blob, &at, b->steps, h->n_steps * sizeof *b->steps);
    h->numbers = place(blob, &at, b->numbers, h->n_numbers * sizeof *b->numbers);
    h->nodes = place(blob, &at, b->nodes, h->n_nodes * sizeof *b->nodes);
    h->ranges = place(blob, &at, b->ranges, h->n_ranges * sizeof *b->ranges);
    h->meta = place(blob, &at, b->meta, h->n_meta * 2 * sizeof *b->meta);
    h->strings = place(blob, &at, b->strings, h->string_bytes);
    h->size = at;
    memcpy(blob, h, sizeof *h);
    h->check = slow_crc(0, blob, at);
    memcpy(blob, h, sizeof *h);
    fwrite(blob, 1, at, f);
}

static void write_weights(const builder *b, FILE *f) {
    enum { BLOCK = 1024 };
    static unsigned char page[4096], data[64 + TABLE_ROWS * TABLE_COLUMNS * sizeof(float)];
    xf_weights_header w = {.magic = XF_WEIGHTS_MAGIC,
                           .abi = XF_CODE_ABI,
                           .data_offset = sizeof page,
                           .bytes = b->h.weight_bytes,
                           .block = BLOCK};
    memcpy(w.build_id, b->h.build_id, sizeof w.build_id);
    memcpy(page, &w, sizeof w);
    w.check = slow_crc(0, page, sizeof page);
    memcpy(page, &w, sizeof w);
    fwrite(page, 1, sizeof page, f);
    for (size_t i = 0; i < TABLE_ROWS * TABLE_COLUMNS; i++) {
        float x = (float)i * 0.5f;
        memcpy(data + 64 + i * sizeof x, &x, sizeof x);
    }
    fwrite(data, 1, sizeof data, f);
    for (size_t at = 0; at < sizeof data; at += BLOCK) {
        uint32_t sum = slow_crc(0, data + at, sizeof data - at < BLOCK ? sizeof data - at : BLOCK);
        fwrite(&sum, 1, sizeof sum, f);
    }
}

int main(int argc, char **argv) {
    static builder b;
    if (argc != 4) return 2;
    memset(b.h.build_id, argv[1][0], sizeof b.h.build_id);
    if (argv[1][0] == 'a')
        model_a(&b);
    else if (argv[1][0] == 'b')
        model_b(&b);
    else if (argv[1][0] == 'c')
        model_c(&b);
    else if (argv[1][0] == 'g')
        model_g(&b);
    else
        model_pq(&b, argv[1][0] == 'q');
    meta(&b, "xfc.version", "0.0-fake");
    meta(&b, "model", argv[1]);
    if (!strcmp(argv[1], "qn")) meta(&b, "packed.nonempty", "1");
    if (argv[1][0] == 'a') meta(&b, "padded-output:y", "mask"); /* said, not done: for what tools make of it */
    FILE *plan = fopen(argv[2], "wb"), *weights = fopen(argv[3], "wb");
    if (!plan || !weights) return 4;
    finish(&b, plan);
    if (b.h.weight_bytes) write_weights(&b, weights);
    return fclose(plan) || fclose(weights) ? 4 : 0;
}
