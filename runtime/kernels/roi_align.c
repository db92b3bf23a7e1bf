/* roi_align.c - regions of an image, each as a grid of means (or maxima) of samples between its pixels.
 *
 * Operands: x [b, c, h, w], regions [r, 4] (x, y of two corners), both f32 or both f64, and the image of each region i64
 * [r]. Numbers: height and width of the grid, samples a cell along each axis (0: about one a pixel of the region), the
 * scale from regions to pixels, whether pixels lie at halves, whether maxima are taken. Result: [r, c, height, width].
 * Computed in double. A sample more than one pixel outside counts as 0. A cell has 4096 samples along an axis at most.
 */
#include "runtime/kernels/routines.h"

typedef struct {
    double start[2], cell[2]; /* along y and x, in pixels */
    xk_i64 samples[2];
} region;

typedef struct {
    xk_i64 at[4];
    double weight[4];
} sample;

XK double load(const xk_array *a, xk_i64 i) {
    return (a->dtype >> 8 & 0xffu) == 64 ? ((const double *)a->data)[i] : (double)((const float *)a->data)[i];
}

XK xk_i64 rounded_up(double x) {
    xk_i64 most = 4096, i = x > 0 ? (x < (double)most ? (xk_i64)x : most) : 0;
    return i + ((double)i < x && i < most);
}

static region region_of(const xk_call *c, xk_i64 r) {
    region g;
    double scale = c->number[3].f, offset = c->number[4].i ? 0.5 : 0;
    for (int i = 0; i < 2; i++) {
        double low = load(&c->array[1], 4 * r + 1 - i) * scale - offset;
        double high = load(&c->array[1], 4 * r + 3 - i) * scale - offset, size = high - low;
        if (!c->number[4].i && size < 1) size = 1;
        g.start[i] = low;
        g.cell[i] = size / (double)c->number[i].i;
        g.samples[i] = c->number[2].i > 0 ? c->number[2].i : rounded_up(g.cell[i]);
    }
    return g;
}

/* The pixels around (y, x) and what each weighs. */
static sample sample_at(double y, double x, xk_i64 height, xk_i64 width) {
    sample s = {{0, 0, 0, 0}, {0, 0, 0, 0}};
    double place[2] = {y, x}, part[2];
    xk_i64 low[2], high[2];
    const xk_i64 extent[2] = {height, width};
    for (int i = 0; i < 2; i++) {
        if (!(place[i] >= -1 && place[i] <= (double)extent[i]) || extent[i] == 0) return s;
        double p = place[i] > 0 ? place[i] : 0;
        low[i] = (xk_i64)p;
        if (low[i] >= extent[i] - 1) low[i] = extent[i] - 1, p = (double)low[i];
        high[i] = low[i] + 1 < extent[i] ? low[i] + 1 : low[i];
        part[i] = p - (double)low[i];
    }
    for (int k = 0; k < 4; k++) {
        s.at[k] = (k / 2 ? high[0] : low[0]) * width + (k % 2 ? high[1] : low[1]);
        s.weight[k] = (k / 2 ? part[0] : 1 - part[0]) * (k % 2 ? part[1] : 1 - part[1]);
    }
    return s;
}

static double cell_of(const xk_call *c, const region *g, xk_i64 plane, xk_i64 row, xk_i64 column) {
    const xk_array *x = &c->array[0];
    xk_i64 count = g->samples[0] * g->samples[1], seen = 0;
    double total = 0;
    int empty = x->dim[2] == 0 || x->dim[3] == 0;
    for (xk_i64 i = 0; i < g->samples[0]; i++) {
        double y = g->start[0] + g->cell[0] * ((double)row + ((double)i + 0.5) / (double)g->samples[0]);
        for (xk_i64 j = 0; j < g->samples[1]; j++) {
            sample s =
                sample_at(y, g->start[1] + g->cell[1] * ((double)column + ((double)j + 0.5) / (double)g->samples[1]),
                          x->dim[2], x->dim[3]);
            for (int k = 0; k < 4; k++) {
                double v = s.weight[k] * (empty ? 0 : load(x, plane + s.at[k]));
                if (c->number[5].i)
                    total = seen++ && total > v ? total : v;
                else
                    total += v;
            }
        }
    }
    return c->number[5].i || count == 0 ? total : total / (double)count;
}

xk_work xk_roi_align_work(const xk_call *c) {
    const xk_array *y = &c->array[3];
    for (xk_u32 d = 0; d < 4; d++)
        if (y->dim[d] == 0) return (xk_work){.tasks = 0, .grain = 1};
    return (xk_work){.tasks = y->dim[0] * y->dim[1], .grain = 1};
}

void xk_roi_align(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const xk_array *x = &c->array[0], *y = &c->array[3];
    xk_i64 channels = y->dim[1], size = y->dim[2] * y->dim[3], last = x->dim[0] - 1;
    (void)scratch;
    for (xk_i64 i = begin; i < end; i++) {
        const region g = region_of(c, i / channels);
        xk_i64 image = ((const xk_i64 *)c->array[2].data)[i / channels];
        image = image > last ? last : image < 0 ? 0 : image;
        xk_i64 plane = (image * channels + i % channels) * x->dim[2] * x->dim[3];
        for (xk_i64 k = 0; k < size; k++) {
            double v = last < 0 ? 0 : cell_of(c, &g, plane, k / y->dim[3], k % y->dim[3]);
            if ((y->dtype >> 8 & 0xffu) == 64)
                ((double *)y->data)[i * size + k] = v;
            else
                ((float *)y->data)[i * size + k] = (float)v;
        }
    }
}
