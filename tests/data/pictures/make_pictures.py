"""Draws a small picture, stores it in every form that the codecs read, and beside each what Pillow makes of it (NAME.ppm).

Needs numpy and pillow.  Pillow's answer is convert('RGB') after ImageOps.exif_transpose; where it has no useful one
(grey of 16 bits, which it clips) the rule of docs/pictures.md is written out here.
"""
import io
import os
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

OUT = os.path.dirname(os.path.abspath(__file__))
W, H = 23, 17
rng = np.random.default_rng(11)
y, x = np.mgrid[0:H, 0:W]
RGB = np.stack([x * 255 // (W - 1), y * 255 // (H - 1), (x * y * 7) % 256], -1).astype(np.uint8)
RGB[3:8, 2:9] = (250, 20, 10)
RGB[10:15, 12:20] = rng.integers(0, 256, (5, 8, 3))
GRAY = (RGB @ np.array([77, 150, 29]) >> 8).astype(np.uint8)
ALPHA = ((x + y) * 255 // (W + H - 2)).astype(np.uint8)


def ppm(name, rgb):
    with open(f"{OUT}/{name}.ppm", "wb") as f:
        f.write(b"P6\n%d %d\n255\n" % (rgb.shape[1], rgb.shape[0]) + np.ascontiguousarray(rgb, np.uint8).tobytes())


def store(name, data, expected=None):
    with open(f"{OUT}/{name}", "wb") as f:
        f.write(data)
    if expected is None:
        expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    ppm(name, expected)


def saved(image, kind, **options):
    f = io.BytesIO()
    image.save(f, kind, **options)
    return f.getvalue()


def exif(orientation, order="<"):
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    make = struct.pack(order + "HHI4s", 0x010F, 2, 4, b"us\0\0")  # a tag before it, as cameras write them
    tiff = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, 2) + make + entry + b"\0\0\0\0"
    return b"Exif\0\0" + tiff


# ------------------------------------------------------------------------------------------------ JPEG
picture, gray = Image.fromarray(RGB), Image.fromarray(GRAY)
for name, options in {"444": {"subsampling": 0}, "422": {"subsampling": 1}, "420": {"subsampling": 2}, "progressive": {"progressive": True},
                      "restarts": {"restart_marker_blocks": 1, "subsampling": 0}}.items():
    store(f"{name}.jpg", saved(picture, "JPEG", quality=85, **options))
store("gray.jpg", saved(gray, "JPEG", quality=85))
store("gray_progressive.jpg", saved(gray, "JPEG", quality=85, progressive=True))
store("one_pixel.jpg", saved(picture.crop((3, 4, 4, 5)), "JPEG"))
cmyk = saved(Image.fromarray(np.dstack([RGB, ALPHA // 2]), "CMYK"), "JPEG", quality=90)
store("cmyk.jpg", cmyk)
adobe = cmyk.index(b"Adobe")
store("ycck.jpg", cmyk[:adobe + 11] + b"\x02" + cmyk[adobe + 12:])  # the marker's transform: YCCK
for orientation in range(1, 9):
    store(f"orientation_{orientation}.jpg", saved(picture, "JPEG", quality=85, exif=exif(orientation, "<>"[orientation % 2])))


# ------------------------------------------------------------------------------------------------- PNG
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed(samples, depth):
    """Rows [h][w * channels] of one Adam7 pass (or of the picture), each behind filter byte 0..2 in turn."""
    rows, before = [], None
    for i, row in enumerate(samples):
        if depth == 16:
            data = row.astype(">u2").tobytes()
        elif depth == 8:
            data = row.astype(np.uint8).tobytes()
        else:
            bits = ((row[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8).reshape(-1)
            data = np.packbits(bits).tobytes()
        line = np.frombuffer(data, np.uint8)
        if i % 2 and before is not None:  # "up"
            rows.append(b"\2" + (line - before).astype(np.uint8).tobytes())
        else:
            rows.append(b"\0" + data)
        before = line
    return b"".join(rows)


def png(samples, color_type, depth, interlaced=False, before_data=b""):
    """samples [h][w] or [h][w][channels]"""
    s = samples if samples.ndim == 3 else samples[:, :, None]
    h, w, _ = s.shape
    if interlaced:
        passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
        parts = [s[y0::dy, x0::dx] for y0, x0, dy, dx in passes]
        raw = b"".join(packed(p.reshape(p.shape[0], -1), depth) for p in parts if p.size)
    else:
        raw = packed(s.reshape(h, -1), depth)
    data = zlib.compress(raw, 9)
    half = len(data) // 2  # two IDATs
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, color_type, 0, 0, interlaced)) + before_data +
            chunk(b"IDAT", data[:half]) + chunk(b"IDAT", data[half:]) + chunk(b"IEND", b""))


wide = lambda a: a.astype(np.uint16) * 256 + (a[..., ::-1] if a.ndim == 3 else a[:, ::-1])  # low bytes differ from high ones
for interlaced in (False, True):
    tail = "_interlaced" if interlaced else ""
    for depth in (1, 2, 4, 8):
        few = GRAY >> (8 - depth)
        store(f"gray{depth}{tail}.png", png(few, 0, depth, interlaced))
        palette = rng.integers(0, 256, (1 << min(depth, 6), 3)).astype(np.uint8)
        indices = few % len(palette)
        store(f"palette{depth}{tail}.png", png(indices, 3, depth, interlaced, chunk(b"PLTE", palette.tobytes())))
    store(f"gray16{tail}.png", png(wide(GRAY), 0, 16, interlaced), np.repeat(GRAY[:, :, None], 3, 2))
    for depth in (8, 16):
        up = wide if depth == 16 else (lambda a: a)
        store(f"rgb{depth}{tail}.png", png(up(RGB), 2, depth, interlaced))
        store(f"gray_alpha{depth}{tail}.png", png(up(np.dstack([GRAY, ALPHA])), 4, depth, interlaced))
        store(f"rgba{depth}{tail}.png", png(up(np.dstack([RGB, ALPHA])), 6, depth, interlaced))
palette = rng.integers(0, 256, (4, 3)).astype(np.uint8)
store("palette_transparent.png", png(GRAY >> 6, 3, 2, False, chunk(b"PLTE", palette.tobytes()) + chunk(b"tRNS", b"\0\x80")))
store("rgb_transparent.png", png(RGB, 2, 8, False, chunk(b"tRNS", struct.pack(">HHH", 250, 20, 10))))
store("one_pixel.png", png(RGB[:1, :1], 2, 8))
store("orientation_6.png", png(RGB, 2, 8, False, chunk(b"eXIf", exif(6)[6:])))

# ------------------------------------------------------------------------------------------------ WebP
rgba = Image.fromarray(np.dstack([RGB, ALPHA]))
store("lossy.webp", saved(picture, "WEBP", quality=70))
store("lossless.webp", saved(picture, "WEBP", lossless=True))
store("lossy_alpha.webp", saved(rgba, "WEBP", quality=70, exact=True))
store("lossless_alpha.webp", saved(rgba, "WEBP", lossless=True, exact=True))
store("orientation_8.webp", saved(picture, "WEBP", lossless=True, exif=exif(8)))
store("one_pixel.webp", saved(picture.crop((3, 4, 4, 5)), "WEBP", lossless=True))
animated = saved(picture, "WEBP", lossless=True, save_all=True, append_images=[ImageOps.mirror(picture)])
open(f"{OUT}/animated.webp", "wb").write(animated)


# ------------------------------------------------------------------------------------------------- PNM
def scaled(samples, most):
    v = np.rint(np.minimum(samples, most) / most * 255).astype(np.uint8)
    return v if v.ndim == 3 else np.repeat(v[:, :, None], 3, 2)


head = b"P%d\n# drawn\n%d %d\n"
bits = (GRAY > 127).astype(np.uint8)
store("bits.pbm", head % (4, W, H) + np.packbits(1 - bits, axis=1).tobytes())
store("gray.pgm", head % (5, W, H) + b"255\n" + GRAY.tobytes())
store("rgb.pnm", b"P6 %d\t# a comment in between\n%d 255\n" % (W, H) + RGB.tobytes())
store("most_100.pgm", head % (5, W, H) + b"100\n" + (GRAY // 2).tobytes(), scaled(GRAY // 2, 100))  # some lie above it
store("most_100.pnm", head % (6, W, H) + b"100\n" + (RGB // 3).tobytes())
store("gray16.pgm", head % (5, W, H) + b"65535\n" + wide(GRAY).astype(">u2").tobytes(), scaled(wide(GRAY), 65535))
store("most_1000.pnm", head % (6, W, H) + b"1000\n" + (RGB.astype(">u2") * 3).astype(">u2").tobytes())
store("one_pixel.pnm", b"P6 1 1 255\n\1\2\3")

# ---------------------------------------------------------------------------------- what is no picture
open(f"{OUT}/text.jpg", "wb").write(b"This is a text that somebody named .jpg.\n")
