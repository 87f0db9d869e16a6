# What can't be read is named, the rest goes on, and the exit code tells.
draw 1 1 >one.ppm
echo "this is no picture" >text.jpg
: >empty.png
draw 40 30 | head -c 900 >cut.ppm
try segment one.ppm text.jpg missing.jpg empty.png cut.ppm -m "$tiny" -o masks
ls masks
