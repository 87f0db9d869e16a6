# Nothing is lost silently where the disk is full, and no half a file is left.
draw 300 200 >a.ppm
try segment a.ppm -m "$tiny" -o masks --json /dev/full
rm -r masks
try segment a.ppm -m "$tiny" -o /dev/null/masks
(
    trap '' XFSZ # a write beyond the limit fails instead of killing, as on a full disk
    ulimit -f 0
    "$segrt" segment a.ppm -m "$tiny" -o masks
    "$segrt" build "$tiny" -o tiny.segrt
) 2>&1 | mask
find . -type f
"$segrt" segment a.ppm -m "$tiny" -o masks >/dev/full
echo "-> $?"
