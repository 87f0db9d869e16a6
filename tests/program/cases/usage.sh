# What cannot be understood is said, with what was probably meant.
try
try segmet photo.jpg
try segment
try segment photo.jpg --confidense
try segment photo.jpg --resize 10y10
try segment photo.jpg --threads
try segment photo.jpg --threads=0
try segment photo.jpg --confidence=yes
try bench --shape 1x4x512x512
try bench --precision f12
try build
try build model
