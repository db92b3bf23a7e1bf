/* xfc_many.c - xfc, called many times by one process: what the loader does for LLVM, a third of a small compilation, is
 * done once. A line of standard input is a call, its words divided by tabs: a file for what xfc says, then xfc's own
 * words. The answer is a line with the exit code, 128 and more for a signal. Each call is a process of its own, as always,
 * and ends after two minutes.
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int xfc_main(int argc, char **argv); /* main of tools/xfc.c */

enum { MAX_WORDS = 64, SECONDS = 120 };

static int call(char *line) {
    char name[] = "xfc", *word[MAX_WORDS + 1] = {name};
    int n = 1;
    char *said = strtok(line, "\t\n");
    while (n < MAX_WORDS && (word[n] = strtok(NULL, "\t\n"))) n++;
    int file = open(said, O_WRONLY | O_CREAT | O_TRUNC, 0600), nothing = open("/dev/null", O_RDONLY);
    if (file < 0 || nothing < 0) return 127;
    dup2(nothing, STDIN_FILENO); /* which exit would set back to where this process has read, also for its parent */
    dup2(file, STDOUT_FILENO);
    dup2(file, STDERR_FILENO);
    alarm(SECONDS);
    return xfc_main(n, word);
}

int main(void) {
    char *line = NULL;
    size_t room = 0;
    bool ok = true;
    while (ok && getline(&line, &room, stdin) > 0) {
        int status = 0;
        pid_t child = fork();
        if (child == 0) exit(call(line));
        ok = child > 0 && waitpid(child, &status, 0) == child;
        printf("%d\n", !ok ? 1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        fflush(stdout);
    }
    free(line);
    return ok ? 0 : 1;
}
