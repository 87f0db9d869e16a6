# Two ways to the same result are close; what differs is counted, found and shown.
figures='s/(max|mean|median|p99|norm\)) [0-9.e-]+/\1 N/g; s/[0-9.]+e-[0-9]+/SMALL/g'
draw 96 64 >a.ppm
"$segrt" build "$tiny" -o tiny.segrt >/dev/null
try compare "$tiny" tiny.segrt --tolerance 0
try compare "$tiny" tiny.segrt a.ppm --shape 64x96 --device cpu --device-b reference --tolerance 1e-5 | sed -E "$figures"
try compare tiny.segrt "$tiny" --shape 64x64 --device cpu --device-b reference --bisect | grep -v 'stage . block' | sed -E "$figures"
try compare tiny.segrt "$tiny" --shape 64x64 --device cpu --device-b reference --bisect --tolerance 1e-12 | grep -c 'beyond the tolerance'
try compare "$tiny" "$models/segformer-b0-camvid"
"$segrt" segment a.ppm -m "$tiny" -o one --resize none >/dev/null
"$segrt" segment a.ppm -o other --resize none >/dev/null
try compare one/a.mask.png one/a.mask.png --picture where.png
try compare one/a.mask.png other/a.mask.png --tolerance 0.01 | sed -E 's/[0-9.]+/N/g'
try compare "$data/hf/logits_64x96.npy" "$data/hf/logits_64x96.npy"
try compare "$data/hf/logits_64x96.npy" "$data/input_64x96.npy"
head -c 500 "$data/input_64x96.npy" >cut.npy
try compare cut.npy cut.npy
try compare tiny.segrt missing.segrt
