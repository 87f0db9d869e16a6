# Many pictures go through several threads: the same files and the same report as in turn, on the processor too.
mkdir in
for i in $(seq -w 1 24); do draw $((20 + 10#$i)) $((60 - 10#$i)) >in/$i.ppm; done
echo "no picture" >in/05.jpg
for threads in 1 2 5; do
    "$segrt" segment in -m "$tiny" --device cpu -o out$threads --confidence --resize 64x64 --threads $threads --json $threads.json 2>&1 | mask >said$threads
    sed -i -E '/"(seconds|threads|sessions|bound_by|decode|prepare|network|write|pictures_a_second|device|mask|overlay|confidence)"/d' $threads.json
done
diff -r out1 out2 && diff -r out1 out5 && diff said1 said2 && diff said1 said5 && diff 1.json 2.json && diff 1.json 5.json && echo same
ls out5 | wc -l
cat said5
