/* test.h - checks for unit tests: a failed one prints where and what, the rest still runs; main returns test_end(). */
#ifndef XFC_TEST_H
#define XFC_TEST_H
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned test_count, test_failed;
static bool test_in_child;

/* Asked by LeakSanitizer before its check at exit: a process ended on purpose by CHECK_EXIT frees nothing. */
int __lsan_is_turned_off(void);
__attribute__((visibility("default"))) int __lsan_is_turned_off(void) { return test_in_child; }

static inline bool test_check(bool ok, const char *file, int line, const char *what) {
    test_count++;
    test_failed += !ok;
    if (!ok && test_failed <= 50) fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
    return ok;
}
static inline bool test_int(int64_t a, int64_t b, const char *file, int line, const char *what) {
    bool ok = test_check(a == b, file, line, what);
    if (!ok) fprintf(stderr, "    %" PRId64 " against %" PRId64 "\n", a, b);
    return ok;
}
static inline bool test_str(const char *a, const char *b, const char *file, int line, const char *what) {
    bool ok = test_check(a && b && strcmp(a, b) == 0, file, line, what);
    if (!ok) fprintf(stderr, "    \"%s\" against \"%s\"\n", a ? a : "(null)", b ? b : "(null)");
    return ok;
}
#define CHECK(cond) test_check((cond), __FILE__, __LINE__, #cond)
#define CHECK_INT(a, b) test_int((int64_t)(a), (int64_t)(b), __FILE__, __LINE__, #a " == " #b)
#define CHECK_STR(a, b) test_str((a), (b), __FILE__, __LINE__, #a " is " #b)
#define CHECK_CONTAINS(text, part) test_check(strstr((text), (part)) != NULL, __FILE__, __LINE__, #text " holds " #part)

/* The statement must end the process with `code`; it runs in a child whose messages are dropped. */
#define CHECK_EXIT(code, statement)                                                                                    \
    do {                                                                                                               \
        int status_ = -1;                                                                                              \
        fflush(NULL);                                                                                                  \
        pid_t pid_ = fork();                                                                                           \
        if (pid_ == 0) {                                                                                               \
            test_in_child = true;                                                                                      \
            if (!freopen("/dev/null", "w", stderr)) _exit(99);                                                         \
            statement;                                                                                                 \
            _exit(0);                                                                                                  \
        }                                                                                                              \
        waitpid(pid_, &status_, 0);                                                                                    \
        CHECK(WIFEXITED(status_) && WEXITSTATUS(status_) == (code));                                                   \
    } while (0)

/* xorshift: the same sequence everywhere. *state must not be 0. */
static inline uint64_t test_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}
static inline int64_t test_between(uint64_t *state, int64_t lo, int64_t hi) {
    return lo + (int64_t)(test_random(state) % (uint64_t)(hi - lo + 1));
}
static inline int test_end(void) {
    fprintf(stderr, "%u checks, %u failed\n", test_count, test_failed);
    return test_failed != 0 || test_count == 0;
}
#endif
