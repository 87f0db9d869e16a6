# "-" takes a picture or frames; the same pixels give the same mask by any way.
draw 48 36 >a.ppm
try segment a.ppm -m "$tiny" -o file --no-overlay --resize none
try segment - -m "$tiny" -o picture --no-overlay --resize none <a.ppm
tail -c 5184 a.ppm >a.rgb
cat a.rgb a.rgb | try segment - --raw 36x48 -m "$tiny" -o raw --no-overlay --resize none
cmp file/a.mask.png picture/stdin.mask.png && cmp file/a.mask.png raw/frame000001.mask.png && cmp file/a.mask.png raw/frame000002.mask.png
{ printf 'YUV4MPEG2 W48 H36 F25:1 C420jpeg\nFRAME\n'; head -c 2592 /dev/zero; printf 'FRAME\n'; head -c 100 /dev/zero; } >a.y4m
try segment - -m "$tiny" -o y4m <a.y4m
ls y4m
try segment - -m "$tiny" </dev/null
