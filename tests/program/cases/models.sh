# What is no model is refused with its reason: exit 3.
draw 40 30 >a.ppm
echo "{" >config.json
mkdir empty
head -c 1000 "$tiny/model.safetensors" >cut.safetensors
try segment a.ppm -m missing
try segment a.ppm -m a.ppm
try segment a.ppm -m empty
try segment a.ppm -m cut.safetensors
try inspect cut.safetensors
try segment a.ppm -m "$tiny" --device abacus
try segment a.ppm -m "$tiny" --resize 16x16
ls
