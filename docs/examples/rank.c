/* rank.c - ranks sentences by meaning with a compiled sentence encoder: the whole use of a model.so in one C program.
 *
 *     cc -O2 -I runtime/include docs/examples/rank.c -ldl -lm -o rank
 *     ./rank model.so tests/data/sentences.tsv [QUERY_LINE]
 *
 * Each line of the file is a sentence, a tab, and its token ids. The program pads them into batches of 32, runs the
 * encoder, takes the last output as the embedding of each sentence and prints those nearest to the query (cosine), with
 * the time per sentence: the best of several passes over all of them.
 */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xf.h>

enum { MAX_SENTENCES = 1024, MAX_TOKENS = 256, BATCH = 32, SHOW = 5, PASSES = 5 };

typedef struct {
    char text[1024];
    int64_t id[MAX_TOKENS];
    int n;
} sentence;
static sentence sentences[MAX_SENTENCES];

static int read_sentences(const char *path) {
    FILE *f = fopen(path, "r");
    char line[8192];
    int n = 0;
    if (!f) return 0;
    while (n < MAX_SENTENCES && fgets(line, sizeof line, f)) {
        char *tab = strchr(line, '\t');
        if (!tab) continue;
        *tab = 0;
        snprintf(sentences[n].text, sizeof sentences[n].text, "%.1000s", line);
        for (char *p = tab + 1, *end; sentences[n].n < MAX_TOKENS; p = end) {
            long id = strtol(p, &end, 10);
            if (end == p) break;
            sentences[n].id[sentences[n].n++] = id;
        }
        n++;
    }
    fclose(f);
    return n;
}

/* Embeds sentences first .. first + n - 1; answers the width of an embedding, 0 on failure. */
static int64_t embed(const xf_api *xf, xf_model *model, xf_ctx *ctx, int first, int n, float **embedding) {
    static int64_t ids[BATCH * MAX_TOKENS], mask[BATCH * MAX_TOKENS];
    int longest = 1;
    for (int i = 0; i < n; i++)
        if (sentences[first + i].n > longest) longest = sentences[first + i].n;
    for (int i = 0; i < n; i++) {
        for (int t = 0; t < longest; t++) {
            int used = t < sentences[first + i].n;
            ids[i * longest + t] = used ? sentences[first + i].id[t] : 0;
            mask[i * longest + t] = used;
        }
    }
    int64_t shape[2] = {n, longest};
    xf_dtype i64 = {0, 64, 1};
    xf_tensor in[2] = {{.data = ids, .device = {1, 0}, .ndim = 2, .dtype = i64, .shape = shape},
                       {.data = mask, .device = {1, 0}, .ndim = 2, .dtype = i64, .shape = shape}};
    xf_tensor out[16] = {{0}};
    size_t n_out = xf->num_outputs(model);
    if (n_out == 0 || n_out > 16 || xf->run(ctx, in, 2, out, n_out) != XF_OK) {
        fprintf(stderr, "run: %s\n", xf->last_error(ctx));
        return 0;
    }
    const xf_tensor *e = &out[n_out - 1]; /* data NULL above: it points into the context until the next run */
    int64_t width = e->shape[1];
    for (int i = 0; i < n; i++) {
        if (!embedding[first + i]) embedding[first + i] = malloc((size_t)width * sizeof(float));
        if (!embedding[first + i]) return 0;
        memcpy(embedding[first + i], (const float *)e->data + i * width, (size_t)width * sizeof(float));
    }
    return width;
}

static double cosine(const float *a, const float *b, int64_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static void show_nearest(int n, int query, float **embedding, int64_t width) {
    static double score[MAX_SENTENCES];
    for (int i = 0; i < n; i++) score[i] = i == query ? -2 : cosine(embedding[query], embedding[i], width);
    for (int k = 0; k < SHOW && k < n - 1; k++) {
        int best = 0;
        for (int i = 1; i < n; i++)
            if (score[i] > score[best]) best = i;
        printf("  %.3f  %s\n", score[best], sentences[best].text);
        score[best] = -2;
    }
}

int main(int argc, char **argv) {
    if (argc < 3) return fprintf(stderr, "usage: rank MODEL.so SENTENCES.tsv [QUERY_LINE]\n"), 2;
    char path[4096]; /* dlopen looks for names without a slash in the system's folders */
    snprintf(path, sizeof path, "%s%s", strchr(argv[1], '/') ? "" : "./", argv[1]);
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!so) return fprintf(stderr, "%s\n", dlerror()), 1;
    const xf_api *(*get_api)(uint32_t) = NULL;
    *(void **)&get_api = dlsym(so, "xf_get_api");
    const xf_api *xf = get_api ? get_api(XF_ABI_VERSION) : NULL;
    xf_open_opts open = {.struct_size = sizeof open};
    xf_ctx_opts opts = {.struct_size = sizeof opts, .num_threads = 1};
    xf_model *model = NULL;
    xf_ctx *ctx = NULL;
    if (!xf || xf->open(&open, &model) != XF_OK || xf->ctx_create(model, &opts, &ctx) != XF_OK)
        return fprintf(stderr, "cannot open the model: %s\n", xf ? xf->last_error(NULL) : "another ABI"), 1;
    int n = read_sentences(argv[2]), query = argc > 3 ? atoi(argv[3]) - 1 : 0;
    if (n == 0 || query < 0 || query >= n) return fprintf(stderr, "no such sentences in %s\n", argv[2]), 1;
    float **embedding = calloc((size_t)n, sizeof *embedding);
    if (!embedding) return 1;
    double ms = 1e300;
    int64_t width = 1;
    for (int pass = 0; pass < PASSES && width; pass++) {
        double start = now_ms();
        for (int i = 0; i < n && width; i += BATCH)
            width = embed(xf, model, ctx, i, n - i < BATCH ? n - i : BATCH, embedding);
        ms = fmin(ms, now_ms() - start);
    }
    if (!width) return 1;
    printf("query: %s\n", sentences[query].text);
    show_nearest(n, query, embedding, width);
    printf("%d sentences in batches of %d, one thread: %.3f ms each\n", n, BATCH, ms / n);
    xf->ctx_destroy(ctx);
    xf->release(model);
    return 0;
}
