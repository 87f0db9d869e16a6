# An engine file stands wherever a model does, within the shapes that it was built for.
draw 96 64 >a.ppm
try build "$tiny" -o tiny.segrt --min 1x32x32 --max 1x64x96
try segment a.ppm -m "$tiny" -o model --no-overlay --resize none
try segment a.ppm -m tiny.segrt -o engine --no-overlay --resize none
cmp model/a.mask.png engine/a.mask.png && echo same
draw 97 64 >wide.ppm
try segment wide.ppm -m tiny.segrt --resize none
"$segrt" build "$tiny" -o static.segrt --shape 1x64x96 >/dev/null
try segment wide.ppm -m static.segrt -o fixed --no-overlay | grep wide
try build "$tiny" -o other.segrt --min 1x64x64 --max 1x32x32
try build "$tiny" -o missing/tiny.segrt
head -c 5000 tiny.segrt >cut.segrt
try inspect cut.segrt
