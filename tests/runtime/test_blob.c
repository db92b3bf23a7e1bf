/* test_blob.c - damaged plans: every bit of a good one flipped, and every length. Each is refused; and with a checksum
 * that was made to fit, it is refused or can be used in all its parts without reading outside of it (the address
 * sanitizer's build of this test is the one that sees that). */
#include "crc.h"
#include "runtime/plan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t sum; /* of everything read, so that nothing is optimised away */

static void text(const xf_plan *p, uint32_t at) { sum += strlen(xf_plan_str(p, at)); }

static void use_arg(const xf_plan *p, const xf_arg *a, const int64_t *values) {
    text(p, a->name);
    sum += xf_arg_bytes(a);
    for (uint32_t d = 0; d < a->n_dims; d++) {
        int64_t v = 0;
        xf_plan_const(p, p->dims[a->first_dim + d].value, &v);
        sum += (uint64_t)values[p->dims[a->first_dim + d].value];
        text(p, p->dims[a->first_dim + d].name);
    }
}

static void use_step(const xf_plan *p, const xf_step_info *s, const int64_t *values) {
    text(p, s->form);
    sum += (uint64_t)values[s->tasks] + (uint64_t)values[s->grain] + (uint64_t)values[s->scratch];
    for (uint32_t i = 0; i < s->n_nodes; i++) text(p, p->nodes[s->first_node + i]);
    for (uint32_t i = 0; i < s->n_out; i++) use_arg(p, &p->args[s->first_out_arg + i], values);
    for (uint32_t i = 0; i < s->n_numbers; i++) sum += (uint64_t)values[p->numbers[s->first_number + i]];
    for (uint32_t i = 0; i < s->n_in && s->kind == XF_STEP_CALL; i++)
        use_arg(p, &p->args[s->first_out_arg - s->n_in + i], values);
    for (uint32_t i = 0; i < s->n_in + s->n_out; i++) {
        const xf_operand *o = &p->operands[s->first_operand + i];
        if (o->space == XF_SPACE_WORK) sum += (uint64_t)values[o->value];
    }
}

static void use(const xf_plan *p) {
    int64_t *values = calloc((size_t)p->n_values + 1, sizeof *values);
    if (!values) exit(1);
    for (uint32_t i = 0; i < p->head->n_symbols; i++) {
        values[i] = 7 + i;
        text(p, p->symbols[i].name);
    }
    xf_plan_eval(p, values);
    xf_plan_eval_again(p, values);
    for (uint32_t i = 0; i < p->head->n_args; i++) use_arg(p, &p->args[i], values);
    for (uint32_t i = 0; i < p->head->n_steps; i++) use_step(p, &p->steps[i], values);
    for (uint32_t i = 0; i < p->head->n_checks; i++) text(p, p->checks[i].what);
    xf_plan_meta(p, "no such key");
    free(values);
}

static bool try(const unsigned char *data, size_t n) {
    unsigned char *copy = malloc(n + !n); /* exactly so long */
    xf_plan p;
    if (!copy) exit(1);
    memcpy(copy, data, n);
    bool good = xf_plan_open(&p, copy, n) == NULL;
    if (good) use(&p);
    free(copy);
    return good;
}

/* The checksum of whatever it is now. */
static void make_fit(unsigned char *data, size_t n) {
    uint32_t check = 0;
    memcpy(data + offsetof(xf_plan_header, check), &check, sizeof check);
    check = slow_crc(0, data, n);
    memcpy(data + offsetof(xf_plan_header, check), &check, sizeof check);
}

/* xf_plan_eval on its own: Python's division, and every overflow. */
static int check_eval(void) {
    static const struct {
        xf_instr_op op;
        int64_t a, b, want;
        bool ok;
    } rows[] = {
        {XF_I_FLOORDIV, -7, 2, -4, true},
        {XF_I_FLOORDIV, 7, -2, -4, true},
        {XF_I_FLOORDIV, -8, 2, -4, true},
        {XF_I_FLOORDIV, 7, 0, 0, true},
        {XF_I_FLOORDIV, INT64_MIN, -1, 0, false},
        {XF_I_MOD, -7, 2, 1, true},
        {XF_I_MOD, 7, -2, -1, true},
        {XF_I_MOD, INT64_MIN, -1, 0, true},
        {XF_I_MOD, 1, 0, 0, true},
        {XF_I_ADD, INT64_MAX, 1, 0, false},
        {XF_I_MUL, INT64_MAX, 2, 0, false},
        {XF_I_MUL, -3, 5, -15, true},
        {XF_I_MIN, -3, 5, -3, true},
        {XF_I_MAX, -3, 5, 5, true},
        {XF_I_ADD, 2, 3, 5, true},
    };
    int bad = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        xf_plan_header h = {.n_symbols = 2, .n_instrs = 1};
        xf_instr in = {.op = (uint32_t)rows[i].op, .a = 0, .b = 1};
        xf_plan p = {.head = &h, .instrs = &in, .n_values = 3};
        int64_t values[3] = {rows[i].a, rows[i].b, 0};
        bool ok = xf_plan_eval(&p, values);
        if (ok == rows[i].ok && (!ok || values[2] == rows[i].want)) continue;
        fprintf(stderr, "eval row %zu: %d, %lld\n", i, ok, (long long)values[2]);
        bad++;
    }
    return bad;
}

/* A defined symbol begins as its bound and keeps what it is given; what is computed from it follows. */
static int check_defined(void) {
    xf_plan_header h = {.n_symbols = 2, .n_instrs = 3};
    xf_instr in[] = {{XF_I_CONST, 0, 0, 0, 10}, {XF_I_DEFINED, 2, 2, 0, 1}, {XF_I_ADD, 1, 0, 0, 0}};
    xf_plan p = {.head = &h, .instrs = in, .n_values = 5};
    int64_t values[5] = {5, 77, 0, 0, 0};
    bool ok = xf_plan_eval(&p, values) && values[1] == 10 && values[3] == 10 && values[4] == 15;
    values[1] = 3;
    ok = ok && xf_plan_eval_again(&p, values) && values[1] == 3 && values[3] == 3 && values[4] == 8;
    values[1] = INT64_MAX;
    ok = ok && !xf_plan_eval_again(&p, values);
    if (!ok) fprintf(stderr, "defined: %lld, %lld\n", (long long)values[1], (long long)values[4]);
    return !ok;
}

/* A routine looks at as many dims as its row says. */
static int check_ranks(unsigned char *data, size_t n) {
    xf_plan p;
    int bad = 0;
    if (xf_plan_open(&p, data, n)) return 1;
    for (uint32_t i = 0; i < p.head->n_steps; i++) {
        const xf_step_info *s = &p.steps[i];
        if (s->kind != XF_STEP_CALL) continue;
        for (uint32_t k = 0; k < s->n_in + s->n_out; k++) {
            xf_arg *a = (xf_arg *)(data + p.head->args) + s->first_out_arg - s->n_in + k;
            uint32_t rank = a->n_dims;
            a->n_dims = 0;
            make_fit(data, n);
            if (try(data, n)) bad++, fprintf(stderr, "array %u of step %u may have no dims\n", k, i);
            a->n_dims = rank;
            make_fit(data, n);
        }
    }
    return bad;
}

int main(int argc, char **argv) {
    static _Alignas(8) unsigned char data[1 << 16];
    FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!f) return 2;
    size_t n = fread(data, 1, sizeof data, f), refused = 0;
    fclose(f);
    int bad = check_eval() + check_defined();
    if (!try(data, n)) bad++, fprintf(stderr, "the good plan is refused\n");
    bad += check_ranks(data, n);
    for (size_t i = 0; i < n; i++) {
        if (try(data, i)) bad++, fprintf(stderr, "a plan of %zu bytes is accepted\n", i);
        for (int bit = 0; bit < 8; bit++) {
            data[i] ^= (unsigned char)(1 << bit);
            if (try(data, n)) bad++, fprintf(stderr, "bit %d of byte %zu may change\n", bit, i);
            make_fit(data, n);
            refused += !try(data, n);
            data[i] ^= (unsigned char)(1 << bit);
            make_fit(data, n);
        }
    }
    printf("%zu of %zu damaged plans with a fitting checksum refused (%llu)\n", refused, 8 * n,
           (unsigned long long)sum);
    return bad != 0;
}
