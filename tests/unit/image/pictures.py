#!/usr/bin/python3
"""pictures.py DIR - pictures for image_test.c and tests/node/pictures.test.mjs, and what they hash to.

Writes pictures into DIR and prints a line for each: "hash NAME HEX", where HEX is what
imagehash.phash(hash_size=16) gives (the same steps, with numpy's matrix product for the DCT), or
"bomb NAME", a file that must cost little whatever comes of it. Needs python3-pil and numpy.
"""
import io, sys, zlib, struct
import numpy
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

where = sys.argv[1]
random = numpy.random.RandomState(7)


def phash(image):
    small = image.convert("L").resize((64, 64), Image.LANCZOS)
    n = numpy.arange(64)
    waves = 2 * numpy.cos(numpy.pi * numpy.outer(n, 2 * n + 1) / 128)
    low = (waves @ numpy.asarray(small, dtype=float) @ waves.T)[:16, :16]
    bits = (low > numpy.median(low)).flatten()
    return "%064x" % int("".join("1" if bit else "0" for bit in bits), 2)


def scene(width, height):
    noise = random.randint(0, 256, (6, 8, 3)).astype("uint8")
    image = Image.fromarray(noise).resize((width, height), Image.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = random.randint(0, width), random.randint(0, height)
        w, h = random.randint(5, width // 2), random.randint(5, height // 2)
        draw.ellipse([x, y, x + w, y + h], fill=tuple(int(c) for c in random.randint(0, 256, 3)))
    return image.filter(ImageFilter.GaussianBlur(1))


def edited(image):
    image = ImageEnhance.Brightness(image).enhance(1.02)
    ImageDraw.Draw(image).text((5, 5), "sample", fill=(255, 255, 255))
    return image


def keep(name, image, **options):
    path = f"{where}/{name}"
    image.save(path, **options)
    print("hash", name, phash(Image.open(path)))


def bomb(name, data):
    with open(f"{where}/{name}", "wb") as file:
        file.write(data)
    print("bomb", name)


def packed(image, **options):
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, interlaced):
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(width + 1)) for _ in range(height)) + rows.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, interlaced)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


for i in range(20):
    picture = scene(*[(400, 300), (301, 517), (64, 64), (97, 50)][i % 4])
    keep(f"{i}.jpg", picture, quality=90)
    keep(f"{i}-low.jpg", picture, quality=40, progressive=True)
    keep(f"{i}.png", picture)
    keep(f"{i}.webp", picture, quality=80)
    keep(f"{i}-exact.webp", picture, lossless=True)
    keep(f"{i}-grey.jpg", picture.convert("L"))
    keep(f"{i}-palette.png", picture.quantize(32))
    keep(f"{i}-alpha.png", picture.convert("RGBA"))
    keep(f"{i}-half.jpg", picture.resize((picture.width // 2, picture.height // 2), Image.LANCZOS), quality=90)
    keep(f"{i}-edited.jpg", edited(picture), quality=85)

progressive = packed(scene(600, 400), format="JPEG", progressive=True)
scan = progressive.rindex(b"\xff\xda")
for shade in "white", "silver":
    Image.new("RGB", (300, 200), shade).save(f"{where}/{shade}.png")
    Image.new("RGB", (300, 200), shade).save(f"{where}/{shade}.jpg", quality=30)
bomb("scans.jpg", progressive[:-2] + progressive[scan:-2] * 2000 + b"\xff\xd9")
bomb("many.jpg", packed(scene(700, 500).resize((7000, 5000), Image.NEAREST), format="JPEG", progressive=True))
bomb("wide.png", png(16384, 2400, 0))
bomb("interlaced.png", png(8000, 4000, 1))
bomb("giant.png", png(60000, 1, 0))
bomb("text.png", packed(scene(64, 64), format="PNG")[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50 << 20), 9)) * 20)
bomb("flat.webp", packed(Image.new("RGB", (3900, 2400), "red"), format="WEBP", lossless=True))
bomb("large.webp", packed(scene(390, 240).resize((3900, 2400), Image.NEAREST), format="WEBP", quality=50))
