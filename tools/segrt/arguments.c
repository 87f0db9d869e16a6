/* arguments: see arguments.h. */
#include "arguments.h"

#include <stdio.h>
#include <string.h>

#include "report.h"

enum { HELP_COLUMN = 28, LONGEST_NAME = 32 };

/* Levenshtein's distance, capped to short names. */
static size_t distance(const char *a, const char *b)
{
    size_t row[LONGEST_NAME + 1];
    const size_t length = strlen(b);
    if (length > LONGEST_NAME || strlen(a) > LONGEST_NAME)
        return LONGEST_NAME;
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            const size_t above = row[j], replaced = diagonal + (a[i - 1] != b[j - 1]);
            size_t best = above < row[j - 1] ? above + 1 : row[j - 1] + 1;
            row[j] = best < replaced ? best : replaced;
            diagonal = above;
        }
    }
    return row[length];
}

const char *arguments_guess(const char *text, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t least = strlen(text) > 4 ? 3 : 2; /* further off is no help */
    for (size_t i = 0; i < count; i++) {
        const size_t off = distance(text, names[i]);
        if (off < least) {
            least = off;
            best = names[i];
        }
    }
    return best;
}

static void print_row(const argument *row)
{
    char left[128];
    int at = row->letter ? snprintf(left, sizeof left, "  -%c, ", row->letter) : snprintf(left, sizeof left, "      ");
    at += snprintf(left + at, sizeof left - (size_t)at, "%s%s%s", row->name, row->value ? " " : "", row->value ? row->value : "");
    printf("%-*s", HELP_COLUMN, left);
    if (at >= HELP_COLUMN)
        printf("\n%*s", HELP_COLUMN, "");
    for (const char *c = row->help; *c; c++) {
        putchar(*c);
        if (*c == '\n')
            printf("%*s", HELP_COLUMN, "");
    }
    putchar('\n');
}

static void print_page(const arguments_page *page, const argument *rows, size_t count)
{
    printf("Usage: segrt %s %s\n\n%s\n\nOptions:\n", page->command, page->usage, page->about);
    for (size_t i = 0; i < count; i++)
        print_row(&rows[i]);
    print_row(&(argument){.name = "--help", .letter = 'h', .help = "this page"});
    printf("\nExamples:\n");
    for (const char *const *line = page->examples; *line; line++)
        printf("  %s\n", *line);
}

static arguments_outcome wrong_option(const arguments_page *page, const argument *rows, size_t count, const char *given)
{
    char name[LONGEST_NAME + 1];
    const char *names[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(given, "="), given);
    for (size_t i = 0; i < count && i < 64; i++)
        names[i] = rows[i].name;
    const char *guess = arguments_guess(name, names, count < 64 ? count : 64);
    fprintf(stderr, "segrt %s: unknown option %s", page->command, name);
    if (guess)
        fprintf(stderr, " (did you mean %s?)", guess);
    fprintf(stderr, "\nTry: segrt %s --help\n", page->command);
    return ARGUMENTS_WRONG;
}

/* One option at argv[*at]; moves *at over its value. */
static arguments_outcome read_option(const arguments_page *page, const argument *rows, size_t count, int argc, char **argv, int *at)
{
    const char *given = argv[*at], *text = NULL;
    const bool is_long = given[1] == '-';
    const size_t length = is_long ? strcspn(given, "=") : 2;
    const argument *row = NULL;
    for (size_t i = 0; i < count && !row; i++)
        if (is_long ? strlen(rows[i].name) == length && !memcmp(rows[i].name, given, length) : rows[i].letter == given[1])
            row = &rows[i];
    if (!row)
        return wrong_option(page, rows, count, given);
    if (given[length])
        text = given + length + is_long; /* --name=value, -nvalue */
    if (!row->value) {
        if (text) {
            fprintf(stderr, "segrt %s: %s takes no value\n", page->command, row->name);
            return ARGUMENTS_WRONG;
        }
        *(bool *)row->into = true;
        return ARGUMENTS_READ;
    }
    if (!text && *at + 1 < argc)
        text = argv[++*at];
    if (!text) {
        fprintf(stderr, "segrt %s: %s needs a value: %s %s\n", page->command, row->name, row->name, row->value);
        return ARGUMENTS_WRONG;
    }
    const char *expected = row->parse(text, row->into);
    if (expected) {
        fprintf(stderr, "segrt %s: %s '%s': expected %s\n", page->command, row->name, text, expected);
        return ARGUMENTS_WRONG;
    }
    return ARGUMENTS_READ;
}

arguments_outcome arguments_read(const arguments_page *page, const argument *rows, size_t count, int argc, char **argv, int *operands)
{
    bool options_end = false;
    *operands = 0;
    for (int at = 1; at < argc; at++) {
        char *given = argv[at];
        if (options_end || given[0] != '-' || !given[1]) {
            argv[++*operands] = given;
            continue;
        }
        if (!strcmp(given, "--")) {
            options_end = true;
            continue;
        }
        if (!strcmp(given, "--help") || !strcmp(given, "-h")) {
            print_page(page, rows, count);
            return ARGUMENTS_HELP;
        }
        const arguments_outcome outcome = read_option(page, rows, count, argc, argv, &at);
        if (outcome != ARGUMENTS_READ)
            return outcome;
    }
    if (*operands < page->least || (page->most >= 0 && *operands > page->most)) {
        fprintf(stderr, "segrt %s: %s\nUsage: segrt %s %s\nTry: segrt %s --help\n", page->command,
                *operands < page->least ? "something is missing" : "too many arguments", page->command, page->usage, page->command);
        return ARGUMENTS_WRONG;
    }
    return ARGUMENTS_READ;
}

bool arguments_end(arguments_outcome outcome, int *exit_code)
{
    *exit_code = outcome == ARGUMENTS_HELP ? EXIT_DONE : EXIT_USAGE;
    return outcome != ARGUMENTS_READ;
}
