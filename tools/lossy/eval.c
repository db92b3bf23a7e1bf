/* eval.c - --eval: a command of the user's judges a model, and prints one number.
 *
 * {so} in it is the model, {half} says whether it is to choose or to judge by, for commands that hold data back.
 * It runs in a shell and in a process group of its own, which ends with xfc however that ends, and after --eval-timeout.
 * Its number is the last line that it prints on stdout; its stderr is the user's to see.
 */
#define _GNU_SOURCE
#include "tools/lossy/lossy.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_OUTPUT = 1 << 16 };

/* For the shell: 'text', and ' inside as '\''. */
static void quote(xfc_buf *b, const char *text) {
    xfc_buf_char(b, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            xfc_buf_str(b, "'\\''");
        else
            xfc_buf_char(b, *text);
    }
    xfc_buf_char(b, '\'');
}

static const char so_word[] = "{so}", half_word[] = "{half}";

bool xf_eval_has_halves(const xf_budgets *budgets) { return budgets->eval && strstr(budgets->eval, half_word); }

static bool skip_word(const char **p, const char *word) {
    size_t n = strlen(word);
    bool here = strncmp(*p, word, n) == 0;
    *p += here ? n : 0;
    return here;
}

static const char *command(const xf_budgets *budgets, xfc_ctx *ctx, const char *so, bool judging) {
    xfc_buf b = {.arena = ctx->arena};
    for (const char *p = budgets->eval; *p;) {
        if (skip_word(&p, so_word))
            quote(&b, so);
        else if (skip_word(&p, half_word))
            xfc_buf_str(&b, judging ? "judge" : "choose");
        else
            xfc_buf_char(&b, *p++);
    }
    return b.text;
}

static xfc_status failed(xfc_ctx *ctx, const char *text, const char *why) {
    return xfc_fail(ctx, XFC_ERR_TOOL, (xfc_loc){0}, "--eval: %s: %s", text, why);
}

/* Without the handlers of xfc, and with its own group, so that all that it starts can be ended. */
static pid_t start(xfc_ctx *ctx, const char *text, int to) {
    static const int telling[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGXFSZ};
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        for (size_t i = 0; i < XFC_COUNT(telling); i++) signal(telling[i], SIG_DFL);
        sigprocmask(SIG_SETMASK, &before, NULL);
        if (dup2(to, STDOUT_FILENO) < 0) _exit(127);
        execl("/bin/sh", "sh", "-c", text, (char *)NULL);
        _exit(127);
    }
    if (pid > 0) {
        setpgid(pid, pid); /* here too: whoever is first */
        xfc_leftover_group(ctx->leftovers, pid);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

/* The end of what it prints, of which the last line counts; false: time is over. */
static bool listen(int from, double timeout, char *text, size_t room) {
    double end = xf_seconds() + timeout;
    for (size_t n = 0;;) {
        double left = end - xf_seconds();
        struct pollfd p = {.fd = from, .events = POLLIN};
        if (left <= 0) return false;
        if (poll(&p, 1, left > 1 ? 1000 : 1 + (int)(left * 1000)) <= 0) continue;
        char more[4096];
        ssize_t k = read(from, more, sizeof more);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return true;
        size_t lost = n + (size_t)k < room ? 0 : n + (size_t)k - (room - 1);
        memmove(text, text + lost, n - lost);
        memcpy(text + n - lost, more, (size_t)k);
        n += (size_t)k - lost;
        text[n] = '\0';
    }
}

static bool last_number(char *text, double *out) {
    char *end = text + strlen(text), *stop;
    while (end > text && strchr(" \t\r\n", end[-1])) *--end = '\0';
    char *line = strrchr(text, '\n');
    line = line ? line + 1 : text;
    *out = strtod(line, &stop);
    return stop != line && !*stop && isfinite(*out);
}

static xfc_status judge(xfc_ctx *ctx, const char *text, int status, bool in_time, double timeout, char *said,
                        double *metric) {
    if (!in_time)
        return failed(ctx, text,
                      xfc_sprintf(ctx->arena, "not done after %g s; give it longer with --eval-timeout", timeout));
    if (WIFSIGNALED(status)) return failed(ctx, text, xfc_sprintf(ctx->arena, "ended by signal %d", WTERMSIG(status)));
    if (WEXITSTATUS(status)) return failed(ctx, text, xfc_sprintf(ctx->arena, "exit code %d", WEXITSTATUS(status)));
    if (last_number(said, metric)) return XFC_OK;
    return failed(ctx, text, *said ? "its last line is no number" : "it printed no number");
}

xfc_status xf_eval(const xf_budgets *budgets, xfc_ctx *ctx, const char *so, bool judging, double *metric) {
    int ends[2], status = 0;
    const char *text = command(budgets, ctx, so, judging);
    char *said = xfc_alloc(ctx->arena, MOST_OUTPUT, 1);
    if (pipe2(ends, O_CLOEXEC) != 0) return failed(ctx, text, strerror(errno));
    pid_t pid = start(ctx, text, ends[1]);
    close(ends[1]);
    bool in_time = pid > 0 && listen(ends[0], budgets->timeout, said, MOST_OUTPUT);
    close(ends[0]);
    if (pid < 0) return failed(ctx, text, strerror(errno));
    if (!in_time) kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    kill(-pid, SIGKILL); /* what it left running */
    xfc_leftover_group(ctx->leftovers, 0);
    return judge(ctx, text, status, in_time, budgets->timeout, said, metric);
}
