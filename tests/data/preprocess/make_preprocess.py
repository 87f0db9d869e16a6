"""Writes a drawn picture and what Pillow and OpenCV resize it to beside this script (needs numpy, pillow, opencv-python-headless)."""
import os

import cv2
import numpy as np
from PIL import Image, ImageDraw

out = os.path.dirname(os.path.abspath(__file__))
W, H = 157, 103
rng = np.random.default_rng(7)
y, x = np.mgrid[0:H, 0:W]
picture = Image.fromarray(np.stack([x * 255 / W, y * 255 / H, 127 + 120 * np.sin(x * y / 97)], -1).astype(np.uint8))
draw = ImageDraw.Draw(picture)
draw.rectangle((20, 15, 70, 60), fill=(250, 10, 30))
draw.ellipse((80, 30, 140, 90), fill=(0, 0, 0), outline=(255, 255, 255))
draw.line((0, 102, 156, 0), fill=(255, 255, 0), width=1)
pixels = np.asarray(picture).copy()
pixels[70:95, 10:60] = rng.integers(0, 256, (25, 50, 3))
picture = Image.fromarray(pixels)
picture.save(f"{out}/drawn.png")
for w, h in ((64, 64), (96, 200), (33, 400), (200, 20)):
    np.save(f"{out}/pillow_bilinear_{w}x{h}.npy", np.asarray(picture.resize((w, h), Image.BILINEAR)))
for w, h in ((64, 64), (96, 200), (33, 400), (157, 103)):
    np.save(f"{out}/opencv_linear_{w}x{h}.npy", cv2.resize(pixels, (w, h), interpolation=cv2.INTER_LINEAR))
np.save(f"{out}/pillow_bicubic_64x64.npy", np.asarray(picture.resize((64, 64), Image.BICUBIC)))
