/* arguments: a command's options as a table, parsed and explained from the same rows.  The program. */
#ifndef SEGRT_PROGRAM_ARGUMENTS_H
#define SEGRT_PROGRAM_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

/* Reads `text` into `into`.  NULL where it fits, else what is expected: "a number from 1 to 9". */
typedef const char *argument_parse(const char *text, void *into);

typedef struct argument {
    const char *name;      /* "--output" */
    char letter;           /* 'o', or 0 */
    const char *value;     /* what stands for the value in the help: "DIR"; NULL: a flag, `into` is a bool */
    const char *help;      /* one line, or several with newlines */
    argument_parse *parse; /* NULL for flags */
    void *into;
} argument;

/* What `segrt COMMAND --help` says beside the options. */
typedef struct arguments_page {
    const char *command;         /* "segment" */
    const char *usage;           /* "PICTURE... [options]" */
    const char *about;           /* a paragraph */
    const char *const *examples; /* lines, NULL at the end */
    int least, most;             /* operands; most -1: any number */
} arguments_page;

typedef enum arguments_outcome {
    ARGUMENTS_READ,
    ARGUMENTS_HELP,  /* help was asked for and printed: done */
    ARGUMENTS_WRONG, /* said on stderr */
} arguments_outcome;

/* Reads argv[1..argc) and moves the operands to argv[1..*operands].  Options and operands may mix; "--" ends the
 * options; "-" is an operand. */
arguments_outcome arguments_read(const arguments_page *page, const argument *rows, size_t count, int argc, char **argv, int *operands);

/* Whether the command ends here, and with what: after its help with 0, after a wrong line with 2. */
bool arguments_end(arguments_outcome outcome, int *exit_code);

/* Whichever of `names` (`count` of them) `text` was probably meant to be, or NULL. */
const char *arguments_guess(const char *text, const char *const *names, size_t count);

#endif
