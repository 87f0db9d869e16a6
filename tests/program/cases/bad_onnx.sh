# Hostile ONNX files (tests/data/onnx/bad/make_bad.py) are refused by name, whatever they ask for.
for file in "$data"/onnx/bad/*.onnx; do
    try inspect "$file"
done
# The same where the file is named without a folder; links that lead out, and what is no file.
cp "$data"/onnx/bad/external_missing.onnx .
try inspect external_missing.onnx
ln -s /etc/passwd missing.bin
try inspect external_missing.onnx
rm missing.bin
mkfifo missing.bin
try inspect external_missing.onnx | sed 's|: /.*/missing|: missing|'
rm missing.bin
head -c 4194304 /dev/zero >missing.bin
try inspect external_missing.onnx
