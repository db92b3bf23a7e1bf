/* cli_help.c - what is made of a tool's table of options: --help, a manual page, completion for bash and zsh.
 *
 * The build installs what the tools print, so none of them can say other things than the tool. Completion knows options
 * and words of choices; everything else is the name of a file.
 */
#include "tools/cli.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const xf_cli_option common[] = {
    {XF_CLI_SECTION, "about this tool", NULL, NULL, NULL},
    {XF_CLI_TEXT, "help", "?text|man|bash|zsh", "this text (also -h); as a manual page; as completion for a shell",
     NULL},
    {XF_CLI_FLAG, "version", NULL, "print the version", NULL},
};

/* Options of the tool, then those of all. */
static const xf_cli_option *option_at(const xf_cli *cli, uint32_t i) {
    if (i < cli->n_options) return &cli->options[i];
    return i - cli->n_options < XFC_COUNT(common) ? &common[i - cli->n_options] : NULL;
}
#define FOR_OPTIONS(o, cli) for (uint32_t i_ = 0; (o = option_at(cli, i_)) != NULL; i_++)

static const char *dashes(const xf_cli_option *o) { return o->name[1] ? "--" : "-"; }

/* Between name and value, and behind it: "=" or " ", or "[=" and "]". */
static const char *before_value(const xf_cli_option *o) {
    if (!o->value) return "";
    return o->value[0] == '?' ? "[=" : o->name[1] ? "=" : " ";
}
static const char *value_of(const xf_cli_option *o) { return o->value ? o->value + (o->value[0] == '?') : ""; }
static const char *after_value(const xf_cli_option *o) { return o->value && o->value[0] == '?' ? "]" : ""; }

/* --- text --- */

static void print_option(const xf_cli_option *o) {
    enum { COLUMN = 30 };
    int n = printf("  %s%s%s%s%s", dashes(o), o->name, before_value(o), value_of(o), after_value(o)) - 2;
    if (n > COLUMN) {
        printf("\n");
        n = -2;
    }
    for (const char *line = o->help; line;) {
        const char *end = strchr(line, '\n');
        printf("%*s %.*s\n", COLUMN - n, "", end ? (int)(end - line) : (int)strlen(line), line);
        line = end ? end + 1 : NULL;
        n = -2;
    }
}

static void print_text(const xf_cli *cli) {
    const xf_cli_option *o;
    printf("usage: %s %s\n\n%s\n", cli->tool, cli->usage, cli->about);
    FOR_OPTIONS(o, cli) {
        if (o->kind == XF_CLI_SECTION)
            printf("\n%s\n", o->name);
        else
            print_option(o);
    }
    if (cli->examples) printf("\nexamples\n%s", cli->examples);
}

/* --- manual page --- */

/* n bytes of text that means nothing to troff. */
static void roff(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        bool first = i == 0 || s[i - 1] == '\n';
        if (first && (s[i] == '.' || s[i] == '\'')) fputs("\\&", stdout);
        if (s[i] == '\\')
            fputs("\\e", stdout);
        else if (s[i] == '-')
            fputs("\\-", stdout);
        else
            putchar(s[i]);
    }
}
static void roff_line(const char *s) {
    roff(s, strlen(s));
    putchar('\n');
}

static void print_man_option(const xf_cli_option *o) {
    fputs(".TP\n\\fB", stdout);
    roff(dashes(o), strlen(dashes(o)));
    roff(o->name, strlen(o->name));
    printf("\\fR%s\\fI", before_value(o));
    roff(value_of(o), strlen(value_of(o)));
    printf("\\fR%s\n", after_value(o));
    roff_line(o->help);
}

static void print_man(const xf_cli *cli) {
    const xf_cli_option *o;
    fputs(".TH ", stdout);
    for (const char *s = cli->tool; *s; s++) putchar(toupper((unsigned char)*s));
    printf(" 1 \"\" \"xfc %s\" \"User Commands\"\n.SH NAME\n", XFC_VERSION);
    roff(cli->tool, strlen(cli->tool));
    fputs(" \\- ", stdout);
    roff(cli->about, strcspn(cli->about, ".\n"));
    printf("\n.SH SYNOPSIS\n.B %s\n", cli->tool);
    roff_line(cli->usage);
    printf(".SH DESCRIPTION\n");
    roff_line(cli->about);
    printf(".SH OPTIONS\n");
    FOR_OPTIONS(o, cli) {
        if (o->kind == XF_CLI_SECTION) {
            printf(".SS ");
            roff_line(o->name);
        } else {
            print_man_option(o);
        }
    }
    if (!cli->examples) return;
    printf(".SH EXAMPLES\n.nf\n");
    roff(cli->examples, strlen(cli->examples));
    printf(".fi\n");
}

/* --- completion --- */

static void print_function_name(const xf_cli *cli) {
    putchar('_');
    for (const char *s = cli->tool; *s; s++) putchar(*s == '-' ? '_' : *s);
}

static bool has_words(const xf_cli_option *o) {
    const char *word = NULL;
    size_t n;
    return xf_cli_next_word(o->value, &word, &n);
}

static void print_words(const xf_cli_option *o) {
    const char *word = NULL;
    for (size_t n = 0; xf_cli_next_word(o->value, &word, &n);) printf(" %.*s", (int)n, word);
}

/* bash takes "--emit=obj" for three words. */
static void print_bash(const xf_cli *cli) {
    const xf_cli_option *o;
    print_function_name(cli);
    printf("() {\n    local word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD-1]}\n    COMPREPLY=()\n"
           "    if [[ $word == \"=\" ]]; then word=\n"
           "    elif [[ $option == \"=\" ]]; then option=${COMP_WORDS[COMP_CWORD-2]}; fi\n    case $option in\n");
    FOR_OPTIONS(o, cli) {
        if (o->kind == XF_CLI_SECTION || !has_words(o)) continue;
        printf("    --%s|-%s) COMPREPLY=($(compgen -W \"", o->name, o->name);
        print_words(o);
        printf("\" -- \"$word\")); return ;;\n");
    }
    printf("    esac\n    [[ $word == -* ]] || return\n    COMPREPLY=($(compgen -W \"");
    FOR_OPTIONS(o, cli)
    if (o->kind != XF_CLI_SECTION)
        printf(" %s%s%s", dashes(o), o->name, o->value && o->value[0] != '?' && o->name[1] ? "=" : "");
    printf("\" -- \"$word\"))\n    if [[ ${COMPREPLY-} == *= ]]; then compopt -o nospace; fi\n}\n"
           "complete -o default -F ");
    print_function_name(cli);
    printf(" %s\n", cli->tool);
}

/* Inside '...' and [...]. */
static void zsh(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\'') {
            fputs("'\\''", stdout);
            continue;
        }
        if (strchr("[]:\\", s[i])) putchar('\\');
        putchar(s[i]);
    }
}

static void print_zsh_option(const xf_cli_option *o) {
    bool optional = o->value && o->value[0] == '?';
    printf(" \\\n  '%s%s%s%s[", o->kind == XF_CLI_LIST ? "*" : "", dashes(o), o->name,
           !o->value    ? ""
           : optional   ? "=-"
           : o->name[1] ? "="
                        : "+");
    zsh(o->help, strcspn(o->help, "\n"));
    putchar(']');
    if (o->value) {
        fputs(optional ? "::" : ":", stdout);
        zsh(value_of(o), strlen(value_of(o)));
        putchar(':');
        if (has_words(o)) {
            putchar('(');
            print_words(o);
            putchar(')');
        } else {
            fputs("_files", stdout);
        }
    }
    putchar('\'');
}

static void print_zsh(const xf_cli *cli) {
    const xf_cli_option *o;
    printf("#compdef %s\n_arguments", cli->tool);
    FOR_OPTIONS(o, cli)
    if (o->kind != XF_CLI_SECTION) print_zsh_option(o);
    printf(" \\\n  '*:file:_files'\n");
}

bool xf_cli_help(const xf_cli *cli, const char *arg) {
    static const struct {
        const char *arg;
        void (*print)(const xf_cli *);
    } forms[] = {{"-h", print_text},      {"help", print_text},      {"help=text", print_text},
                 {"help=man", print_man}, {"help=bash", print_bash}, {"help=zsh", print_zsh}};
    const char *name = arg + 1 + (arg[1] == '-');
    for (size_t i = 0; i < XFC_COUNT(forms); i++) {
        if (strcmp(arg, forms[i].arg) != 0 && strcmp(name, forms[i].arg) != 0) continue;
        forms[i].print(cli);
        return true;
    }
    if (strcmp(name, "version") != 0) return false;
    printf("%s %s\n", cli->tool, XFC_VERSION);
    return true;
}
