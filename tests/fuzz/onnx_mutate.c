/* onnx_mutate.c - drives a fuzz target without libFuzzer: onnx_mutate ROUNDS FILE...
 *
 * For each file: the file itself, truncations at evenly spread lengths, then ROUNDS damaged copies (bit flips, bytes set to 0x00,
 * 0x7f or 0xff, runs removed or repeated) from a fixed seed. The input is a heap block of exactly its size, so that reading
 * beyond it is seen. Prints the number of runs; the first crash is the failure.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t state = 0x9e3779b97f4a7c15u;

static uint64_t next_random(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static size_t below(size_t n) { return n ? (size_t)(next_random() % n) : 0; }

static void run(const uint8_t *data, size_t n) {
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy) exit(1);
    if (n) memcpy(copy, data, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static size_t damage(uint8_t *data, size_t n) {
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    size_t at = below(n), length = 1 + below(n - at < 64 ? n - at : 64);
    switch (below(5)) {
    case 0: data[at] ^= (uint8_t)(1u << below(8)); return n;
    case 1: data[at] = values[below(sizeof values)]; return n;
    case 2: data[at] = (uint8_t)next_random(); return n;
    case 3: /* remove a run */
        if (at + length > n) length = n - at;
        memmove(data + at, data + at + length, n - at - length);
        return n - length;
    default: /* copy a run elsewhere */
        if (at + length > n) length = n - at;
        memmove(data + below(n - length + 1), data + at, length);
        return n;
    }
}

static int mutate_file(const char *path, unsigned long rounds) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) return perror(path), 1;
    long size = ftell(f);
    rewind(f);
    uint8_t *data = malloc((size_t)size + 1), *work = malloc((size_t)size + 1);
    if (size < 0 || !data || !work || fread(data, 1, (size_t)size, f) != (size_t)size) return perror(path), 1;
    fclose(f);
    size_t n = (size_t)size;
    run(data, n);
    for (size_t k = 0; k < 64; k++) run(data, n * k / 64);
    for (unsigned long r = 0; r < rounds && n; r++) {
        size_t m = n;
        memcpy(work, data, n);
        for (size_t k = 1 + below(4); k > 0 && m; k--) m = damage(work, m);
        run(work, m);
    }
    free(data);
    free(work);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3) return fputs("usage: onnx_mutate ROUNDS FILE...\n", stderr), 2;
    unsigned long rounds = strtoul(argv[1], NULL, 10);
    for (int i = 2; i < argc; i++)
        if (mutate_file(argv[i], rounds)) return 1;
    printf("%d files, %lu damaged copies each: no crash\n", argc - 2, rounds);
    return 0;
}
