# With a device: several sessions side by side give what one gives; what fails is told in order; the device's figures are told.
export SEGRT_CUDA_LIBRARY=$fake
mkdir in
for i in 1 2 3 4 5 6 7 8 9; do draw $((30 + i)) 40 >in/$i.ppm; done
echo "no picture" >in/3.jpg
draw 40 30 | head -c 900 >in/7.pgm
try segment in -m "$tiny" --device cuda -o many --no-overlay --threads 8
try segment in -m "$tiny" --device cuda -o turn --no-overlay --threads 1
FAKE_CUDA=one try segment in -m "$tiny" --device auto -o one --no-overlay --threads 8
diff -r many turn && diff -r many one && ls many | wc -l
FAKE_CUDA=lost:4 try segment in -m "$tiny" --device cuda -o lost --no-overlay --threads 1
FAKE_CUDA=lost:1 try segment in -m "$tiny" --device cuda -o lost --no-overlay --threads 8 | tail -1
FAKE_CUDA=none try segment in/1.ppm -m "$tiny" --device cuda -o none
FAKE_CUDA=none try segment in/1.ppm -m "$tiny" --device auto -o none | head -1
SEGRT_CUDA_LIBRARY=/nowhere/libsegrt-cuda.so try segment in/1.ppm -m "$tiny" --device cuda
"$segrt" segment in/1.ppm in/2.ppm -m "$tiny" --device cuda -o json --json report.json >/dev/null
grep -c -E '"(compute|copy_in|copy_out|decode|write|bound_by|pictures_a_second)":' report.json
try bench "$tiny" --device cuda --shape 1x64x96 --runs 3 --profile | sed -E 's/[0-9]+\.[0-9]+/N/g'
try bench "$tiny" --device cuda --shape 1x96x96 --runs 3 --json - | grep -c -E '"(context_ms|copy_in_ms|compute_ms|compute_without_graph_ms|bytes_beyond_context|core_mhz|watts|new_shape|first_labels_ms)":'
FAKE_CUDA=none try bench "$tiny" --device cuda --runs 1
