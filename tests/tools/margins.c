/* Tests of the margin of budgets: how often what samples say, with a standard error on top, holds for others. */
#include "tests/unit/test.h"
#include "tools/lossy/lossy.h"
#include <math.h>

enum { SAMPLES = 24, MORE = 10, ROUNDS = 4000 };

static double uniform(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return ((double)(*state >> 11) + 0.5) * 0x1p-53;
}

typedef double draw_fn(uint64_t *state);
static double exponential(uint64_t *state) { return -log(uniform(state)); }
static double gumbel(uint64_t *state) { return 5 - log(exponential(state)); }
static double normal(uint64_t *state) {
    return 3 + sqrt(2 * exponential(state)) * cos(6.283185307179586 * uniform(state));
}

static void add(xf_ratio *r, double a) {
    r->n++;
    r->a += a, r->aa += a * a;
    r->b++, r->ab += a, r->bb++;
}

/* The part of rounds in which the largest of MORE times as many samples is not beyond what is said of these. */
static double largest_holds(draw_fn *draw, uint64_t *state, double margin) {
    uint32_t holds = 0;
    for (int round = 0; round < ROUNDS; round++) {
        xf_distance d = {.floats = true};
        double most = -HUGE_VAL;
        for (int i = 0; i < SAMPLES; i++) {
            double x = draw(state);
            d.most = i ? fmax(d.most, x) : x;
            add(&d.ratio[XF_ABS], x);
        }
        for (int i = 0; i < MORE * SAMPLES; i++) most = fmax(most, draw(state));
        holds += most <= xf_metric_of(&d, XF_ABS, margin);
    }
    return (double)holds / (double)ROUNDS;
}

/* The same for the mean. */
static double mean_holds(draw_fn *draw, double mean, uint64_t *state, double margin) {
    uint32_t holds = 0;
    for (int round = 0; round < ROUNDS; round++) {
        xf_distance d = {.floats = true};
        for (int i = 0; i < SAMPLES; i++) add(&d.ratio[XF_KL], draw(state));
        holds += mean <= xf_metric_of(&d, XF_KL, margin);
    }
    return (double)holds / (double)ROUNDS;
}

/* Of rows that are wrong now and then. */
static double rows_hold(double wrong, uint64_t *state) {
    uint32_t holds = 0;
    for (int round = 0; round < ROUNDS; round++) {
        xf_distance d = {.floats = true};
        for (int i = 0; i < SAMPLES; i++) add(&d.ratio[XF_TOP1], uniform(state) < wrong ? 100 : 0);
        holds += 100 * wrong <= xf_metric_of(&d, XF_TOP1, xf_sure);
    }
    return (double)holds / (double)ROUNDS;
}

int main(void) {
    uint64_t state = 12;
    double of_gumbel = largest_holds(gumbel, &state, xf_sure), of_normal = largest_holds(normal, &state, xf_sure);
    double of_tail = largest_holds(exponential, &state, xf_sure);
    double mean = mean_holds(normal, 3, &state, xf_sure), of_exponential = mean_holds(exponential, 1, &state, xf_sure);
    printf("largest: %.3f, %.3f, %.3f; mean: %.3f, %.3f\n", of_gumbel, of_normal, of_tail, mean, of_exponential);
    CHECK(of_gumbel > 0.94 && of_normal > 0.95);
    CHECK(of_tail > 0.84 && of_tail < 0.97); /* 19 of 20, less what 24 samples say wrongly about how much they vary */
    CHECK(mean > 0.94 && mean < 0.965);
    CHECK(of_exponential > 0.88 && of_exponential < 0.965); /* means of so few have a tail */
    for (int percent = 2; percent <= 50; percent += 8) {
        double rows = rows_hold(percent / 100.0, &state);
        printf("%d %% of rows: %.3f\n", percent, rows);
        CHECK(rows > 0.87);
    }
    CHECK(largest_holds(normal, &state, 0) < 0.2 && fabs(mean_holds(normal, 3, &state, 0) - 0.5) < 0.05);
    CHECK(xf_least_top1(268) <= 1 && xf_least_top1(267) > 1);
    return test_end();
}
