/* fuzz_main.c - runs a fuzzer's entry point without libFuzzer: every file given, cut short everywhere, and with
 * flipped bits.
 *
 *   fuzz_NAME_corpus FILES...        each also truncated at up to 200 places and mutated 200 times, the same in every
 * run; SEED=N for other mutations
 *
 * A fuzzer with a mutator of its own (LLVMFuzzerCustomMutator) gets its mutations too. An input is copied into a block
 * of exactly its size, so that a sanitizer sees one byte too many. Without sanitizers, memory is limited to what any
 * file of that size may take. An input that ends the program, by a crash, an exit or by not ending itself, is written
 * to fuzz-crash in the working directory first.
 */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) __attribute__((weak));
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max); /* for it; libFuzzer has one of its own */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

enum { CUTS = 200, MUTANTS = 200, STRUCTURED = 40 };
enum { ALARM = 120 }; /* seconds: for what does not end, not to judge speed */
#define MAX_FILE ((size_t)1 << 20)
#define BASE_MEMORY ((size_t)256 << 20)

static uint8_t *current;
static size_t current_n;
static uint32_t random_state;

static void save(void) {
    FILE *f = current ? fopen("fuzz-crash", "wb") : NULL;
    if (!f) return;
    fwrite(current, 1, current_n, f);
    fclose(f);
    fprintf(stderr, "fuzz: the input of %zu bytes that did this is in fuzz-crash\n", current_n);
}

static void save_and_die(int sig) {
    save();
    signal(sig, SIG_DFL);
    raise(sig);
}

/* Address space for the program and one input: 256 MB and three times its bytes. */
static void limit_memory(size_t n) {
#ifndef SANITIZED /* a sanitizer's shadow takes more */
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit)) return;
    limit.rlim_cur = BASE_MEMORY + 3 * n;
    setrlimit(RLIMIT_AS, &limit);
#else
    (void)n;
#endif
}

static void feed(const uint8_t *data, size_t n) {
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy) abort();
    memcpy(copy, data, n);
    current_n = n;
    current = copy;
    limit_memory(n);
    alarm(ALARM);
    LLVMFuzzerTestOneInput(current, n);
    alarm(0);
    current = NULL;
    free(copy);
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

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max) {
    (void)max;
    return mutate(data, size, &random_state);
}

/* Mutations by the fuzzer's own mutator, if it has one. */
static size_t run_structured(const uint8_t *data, size_t n, uint8_t *copy) {
    for (uint32_t i = 0; LLVMFuzzerCustomMutator && i < STRUCTURED; i++) {
        memcpy(copy, data, n);
        feed(copy, LLVMFuzzerCustomMutator(copy, n, MAX_FILE, next(&random_state)));
    }
    return LLVMFuzzerCustomMutator ? STRUCTURED : 0;
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
    const char *seed = getenv("SEED");
    random_state = 0x9e3779b9u ^ (uint32_t)n;
    if (seed) random_state += (uint32_t)strtoul(seed, NULL, 10) * 2654435769u;
    for (int i = 0; i < MUTANTS; i++, runs++) {
        memcpy(copy, data, n);
        feed(copy, mutate(copy, n, &random_state));
    }
    runs += run_structured(data, n, copy);
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
    signal(SIGALRM, save_and_die);
    atexit(save);
    for (int i = 1; i < argc; i++) runs += run_file(argv[i]);
    printf("%zu inputs of %d files\n", runs, argc - 1);
    return 0;
}
