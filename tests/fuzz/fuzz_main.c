/* fuzz_main.c - runs a fuzzer's entry point without libFuzzer: every file given, cut short everywhere, and with
 * flipped bits.
 *
 *   fuzz_NAME_corpus FILES...        each also truncated at up to 200 places and mutated 200 times, the same in every
 * run
 *
 * An input is copied into a block of exactly its size, so that a sanitizer sees one byte too many. A crash ends the
 * program; the input that caused it is written to fuzz-crash in the working directory first.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { CUTS = 200, MUTANTS = 200 };
#define MAX_FILE ((size_t)1 << 20)

static uint8_t *current;
static size_t current_n;

static void save_and_die(int sig) {
    FILE *f = fopen("fuzz-crash", "wb");
    if (f) {
        fwrite(current, 1, current_n, f);
        fclose(f);
    }
    fprintf(stderr, "fuzz: the input of %zu bytes that did this is in fuzz-crash\n", current_n);
    signal(sig, SIG_DFL);
    raise(sig);
}

static void feed(const uint8_t *data, size_t n) {
    current = malloc(n ? n : 1);
    current_n = n;
    if (!current) abort();
    memcpy(current, data, n);
    LLVMFuzzerTestOneInput(current, n);
    free(current);
}

static uint32_t next(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* One to four small damages: a flipped bit, a byte of another place, a repeated or removed stretch. */
static size_t mutate(uint8_t *data, size_t n, uint32_t *state) {
    for (uint32_t k = next(state) % 4 + 1; k && n > 1; k--) {
        size_t at = next(state) % n, from = next(state) % n, len = next(state) % 16;
        if (len > n - at) len = n - at;
        if (len > n - from) len = n - from;
        switch (next(state) % 4) {
        case 0: data[at] ^= (uint8_t)(1u << next(state) % 8); break;
        case 1: data[at] = data[from]; break;
        case 2: memmove(data + at, data + from, len); break;
        default: memmove(data + at, data + at + len, n - at - len); n -= len;
        }
    }
    return n;
}

static size_t run_file(const char *path) {
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(MAX_FILE), *copy = malloc(MAX_FILE);
    if (!f || !data || !copy) {
        fprintf(stderr, "fuzz: '%s' cannot be read\n", path);
        exit(2);
    }
    size_t n = fread(data, 1, MAX_FILE, f), runs = 1;
    fclose(f);
    feed(data, n);
    size_t step = n / CUTS + 1;
    for (size_t cut = 0; cut < n; cut += step, runs++) feed(data, cut);
    uint32_t state = 0x9e3779b9u ^ (uint32_t)n;
    for (int i = 0; i < MUTANTS; i++, runs++) {
        memcpy(copy, data, n);
        feed(copy, mutate(copy, n, &state));
    }
    free(data);
    free(copy);
    return runs;
}

int main(int argc, char **argv) {
    size_t runs = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: %s FILES...\n", argv[0]);
        return 2;
    }
    signal(SIGABRT, save_and_die);
    signal(SIGSEGV, save_and_die);
    for (int i = 1; i < argc; i++) runs += run_file(argv[i]);
    printf("%zu inputs of %d files\n", runs, argc - 1);
    return 0;
}
