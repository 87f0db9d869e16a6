# A model tells what it is, what it costs, and where each tensor came from.
try inspect "$tiny" --size 64x96 --svg network.svg
try inspect "$tiny" --tensors --json - | grep -c '"role"'
head -c 4 network.svg && echo
"$segrt" inspect "$models/segformer-b0-camvid" --size 1024x1024 | tail -1
try inspect "$tiny" --size 16x16
