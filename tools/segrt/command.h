/* command: the commands of the program, one file each.  argv[0] is the command's name; the result is the exit code. */
#ifndef SEGRT_PROGRAM_COMMAND_H
#define SEGRT_PROGRAM_COMMAND_H

int segment_command(int argc, char **argv);
int inspect_command(int argc, char **argv);
int eval_command(int argc, char **argv);
int bench_command(int argc, char **argv);
int build_command(int argc, char **argv);
int compare_command(int argc, char **argv);
int export_command(int argc, char **argv);

#endif
