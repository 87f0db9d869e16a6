# Every command explains itself, with examples.
try --version
try --help
for command in $("$segrt" --help | sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    "$segrt" "$command" --help >help || echo "$command --help fails"
    for word in "Usage: segrt $command" "Options:" "Examples:" "  segrt"; do
        grep -q "$word" help || echo "$command --help lacks '$word'"
    done
done
