# An .onnx file stands wherever a checkpoint does.  What is made of it is held against the file, run as it is, before anything is
# written.
figures='s/(max|mean|median|p99|norm\)) [0-9.e+-]+/\1 N/g; s/is [0-9.e-]+ off/is N off/; s/(100.0000|99.9[0-9]+) % equal.*/nearly all equal/'
"$segrt" export "$tiny" -o tiny.onnx --opset 14 >/dev/null
try build tiny.onnx -o tiny.segrt | sed -E "$figures"
try build tiny.onnx -o worse.segrt --tolerance 0 | sed -E "$figures"
try build tiny.onnx -o unproven.segrt --no-verify
try inspect tiny.onnx --size 64x96 --verify | sed -E "$figures" | sed '/^picture/,/^head/d'
try inspect tiny.onnx --tensors | grep -E 'block.0.0.(attention.self.query|layer_norm_1)|classifier'
try inspect tiny.onnx --verify --json - | grep -cE '"node"|"verified"|"relative"'
# Two pictures at once, of one size alone, labels out.
"$segrt" export "$tiny" -o labels.onnx --shape 2x3x64x96 --output labels >/dev/null
try build labels.onnx -o labels.segrt --shape 1x128x128 | sed -E "$figures"
try compare labels.onnx "$tiny" | sed -E "$figures"
draw 50 40 >a.ppm
try compare labels.onnx labels.onnx a.ppm | sed -E "$figures"
try compare labels.onnx "$tiny" a.ppm --picture where.png | sed -E "$figures"
try compare tiny.onnx "$tiny" --shape 64x64 --device reference --bisect --tolerance 1e-5 | tail -2
# Names, colours and preparation go along, and come back.
"$segrt" export "$models/segformer-b0-camvid" -o camvid.onnx --form folded --shape 1x64x96 >/dev/null
try inspect camvid.onnx --size 64x96 | grep -E '^(input|classes|labels)'
"$segrt" export camvid.onnx -o again.onnx --form folded --shape 1x64x96 >/dev/null
try compare camvid.onnx again.onnx --tolerance 1e-5 | sed -E "$figures"
sed 's/"resize":"short-side"/"resize":"short_side"/' camvid.onnx >bad.onnx
try inspect bad.onnx
sed 's/"window":0,/"window":9,/' camvid.onnx >bad.onnx
try inspect bad.onnx
# What the file was built with is what it is proven with.
mkdir model
cp labels.onnx model/model.onnx
try build model -o model.segrt | head -1
ls
