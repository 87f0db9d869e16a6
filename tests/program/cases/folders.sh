# A folder is searched through and mirrored; other files are left alone; equal names stay apart.
mkdir -p in/city/night other empty
draw 40 30 >in/a.ppm
draw 30 40 >in/city/b.ppm
cp in/a.ppm in/city/night/c.PPM
cp in/a.ppm other/a.ppm
cp in/a.ppm in/city/b.pnm
echo notes >in/notes.txt
cp in/a.ppm in/.hidden.ppm
try segment in other/a.ppm -m "$tiny" -o masks --no-overlay --confidence
find masks -type f | sort
try segment empty -m "$tiny"
