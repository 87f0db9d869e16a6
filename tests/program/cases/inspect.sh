# A model tells what it is, what it costs, and where each tensor came from.
try inspect "$tiny" --size 64x96 --svg network.svg
try inspect "$tiny" --tensors --json - | grep -c '"role"'
head -c 4 network.svg && echo
"$segrt" inspect "$models/segformer-b0-camvid" --size 1024x1024 | grep '^all'
try inspect "$tiny" --verify
"$segrt" build "$tiny" -o tiny.segrt --shape 1x64x96 --precision bf16 >/dev/null
try inspect tiny.segrt --size 64x96 --tensors | sed -E '/^(precision|shapes|made|tensors)/!d; s/[0-9a-f]{64}/DIGEST/'
try inspect "$tiny" --size 16x16
