/* guard.c - see guard.h. For a debugger: `set follow-fork-mode child`. */
#define _GNU_SOURCE
#include "tools/guard.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_MODEL = 1, EXIT_BUG = 70 };

/* By which a process is told to end. Others that end it are rarer: then the child cleans up when the parent is gone. */
static const int telling[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
static xfc_leftovers *watched; /* for the handler; set once */

static bool ignored(int number) {
    struct sigaction was;
    return sigaction(number, NULL, &was) == 0 && was.sa_handler == SIG_IGN;
}

/* --- the child --- */

static void on_signal(int number) {
    xfc_leftovers_remove(watched);
    raise(number); /* as if there had been no handler: SA_RESETHAND */
}

static void clean_up_on_signals(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < XFC_COUNT(telling); i++)
        if (!ignored(telling[i])) sigaction(telling[i], &action, NULL);
}

/* --- the parent --- */

static void end_as(int number) {
    sigset_t set;
    signal(number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static int exit_code(const char *tool, int status) {
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    int number = WTERMSIG(status);
    if (number == SIGABRT || number == SIGKILL) {
        fprintf(
            stderr,
            "%s: error: ended by signal %d, most likely because memory ran out; compile on a machine with more memory, "
            "or report it as a bug if there is enough\n",
            tool, number);
        return EXIT_MODEL;
    }
    if (number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE || number == SIGTRAP) {
        fprintf(stderr,
                "%s: internal error: ended by signal %d\nThis is a bug in xfc; please report it with the model and the "
                "command line.\n",
                tool, number);
        return EXIT_BUG;
    }
    end_as(number);
    return 128 + number;
}

static int wait_for(pid_t child, const sigset_t *set, int *status) {
    for (;;) {
        int number;
        if (sigwait(set, &number) != 0) continue;
        if (number != SIGCHLD) {
            kill(child, number);
            while (waitpid(child, status, 0) < 0) {}
            return number;
        }
        if (waitpid(child, status, WNOHANG) == child) return 0;
    }
}

int xf_guarded(const char *tool, xf_guarded_main *work, int argc, char **argv) {
    sigset_t set, before;
    signal(SIGCHLD, SIG_DFL); /* who ignores it is told of no child's end */
    signal(SIGXFSZ, SIG_IGN); /* a file over `ulimit -f` is an error of writing */
    watched = xfc_leftovers_new();
    if (!watched) return work(argc, argv, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (size_t i = 0; i < XFC_COUNT(telling); i++)
        if (!ignored(telling[i])) sigaddset(&set, telling[i]);
    sigprocmask(SIG_BLOCK, &set, &before);
    pid_t parent = getpid(), child = fork();
    if (child <= 0) {
        clean_up_on_signals();
        if (child == 0) prctl(PR_SET_PDEATHSIG, SIGTERM);
        sigprocmask(SIG_SETMASK, &before, NULL);
        if (child == 0 && getppid() != parent) return EXIT_MODEL; /* died before it was watched */
        return work(argc, argv, watched);
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* what the child started is ours to wait for when it is gone */
    int status = 0, told = wait_for(child, &set, &status);
    xfc_leftovers_remove(watched);
    if (told) end_as(told);
    return exit_code(tool, status);
}
