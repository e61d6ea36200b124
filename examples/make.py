#!/usr/bin/env python3
"""Draws the example data set: a harbour at night, as pictures, points and tables.

    pip install pillow && python3 examples/make.py

The same bytes each time with the same Pillow; the results are checked in, so that nobody needs to run this.
"""

import csv
import json
import math
import random
from pathlib import Path

from PIL import Image, ImageDraw

HERE = Path(__file__).parent
SKY, WATER, QUAY, LIGHT = (18, 26, 54), (14, 48, 72), (70, 66, 62), (255, 214, 120)
CONTAINERS = [(178, 58, 46), (46, 110, 142), (222, 158, 54), (88, 126, 84), (150, 150, 158)]


def harbour(width, height, seed):
    """A quay with stacked containers, a crane and lights on the water."""
    dice = random.Random(seed)
    picture = Image.new("RGB", (width, height), SKY)
    draw = ImageDraw.Draw(picture)
    horizon = int(height * 0.62)
    draw.rectangle((0, horizon, width, height), fill=WATER)
    draw.rectangle((0, horizon - height // 40, width, horizon + height // 30), fill=QUAY)
    box_width, box_height = width // 12, height // 14
    for column in range(12):
        for level in range(dice.randint(0, 4)):
            top = horizon - height // 40 - (level + 1) * box_height
            left = column * box_width
            draw.rectangle((left + 1, top + 1, left + box_width - 1, top + box_height - 1), fill=dice.choice(CONTAINERS))
    crane = int(width * dice.uniform(0.25, 0.75))
    draw.line((crane, horizon, crane, height // 8), fill=(200, 200, 206), width=max(2, width // 120))
    draw.line((crane - width // 6, height // 8, crane + width // 4, height // 8), fill=(200, 200, 206), width=max(2, width // 160))
    for _ in range(24):
        x, y = dice.randrange(width), dice.randrange(horizon + height // 20, height)
        draw.line((x - width // 60, y, x + width // 60, y), fill=LIGHT)
    return picture


def pictures(folder):
    folder.mkdir(exist_ok=True)
    harbour(320, 240, 1).save(folder / "quay.png", optimize=True)
    harbour(640, 480, 2).save(folder / "crane.jpg", quality=82)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn clockwise by a quarter to see it upright
    exif[0x010E] = "Night shift, taken with the camera on its side"
    harbour(480, 640, 3).transpose(Image.Transpose.ROTATE_90).save(folder / "sideways.jpg", quality=82, exif=exif)
    frames = [harbour(120, 90, 4).quantize(32) for _ in range(1)] + [harbour(120, 90, seed).quantize(32) for seed in (5, 6)]
    frames[0].save(folder / "lights.gif", save_all=True, append_images=frames[1:], duration=400, loop=0)
    harbour(96, 72, 7).save(folder / "stack.bmp")


def cloud(path):
    """Some hundred points on a quay wall, a container and a mast, in metres, with intensity."""
    dice = random.Random(8)
    noise = lambda: dice.gauss(0, 0.01)
    points = [(x * 0.25, 0 + noise(), z * 0.25, 0.2) for x in range(24) for z in range(8)]
    points += [(1 + x * 0.2, 1 + y * 0.2, 2.4 + noise(), 0.6) for x in range(13) for y in range(12)]
    points += [(4 + 0.1 * math.cos(t), 2 + 0.1 * math.sin(t), t * 0.15, 0.9) for t in range(60)]
    head = ["# .PCD v0.7 - Point Cloud Data file format", "VERSION 0.7", "FIELDS x y z intensity", "SIZE 4 4 4 4"]
    head += ["TYPE F F F F", "COUNT 1 1 1 1", f"WIDTH {len(points)}", "HEIGHT 1", "VIEWPOINT 0 0 0 1 0 0 0"]
    head += [f"POINTS {len(points)}", "DATA ascii"]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(head + ["%.4f %.4f %.4f %.2f" % point for point in points]) + "\n")


def tables(folder):
    folder.mkdir(exist_ok=True)
    dice = random.Random(9)
    rows = [(f"LSHU{dice.randrange(10**7):07}", dice.choice("ABCD") + str(dice.randint(1, 40)), dice.randint(2100, 30480)) for _ in range(40)]
    with open(folder / "containers.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("container", "bay", "kilograms"))
        writer.writerows(rows)
    labels = {"picture": "quay.png", "size": [320, 240], "boxes": [{"label": "container", "box": [26 * n, 120, 26, 17]} for n in range(6)]}
    (folder / "labels.json").write_text(json.dumps(labels, indent=2) + "\n")


def texts(folder):
    folder.mkdir(exist_ok=True)
    (folder / "shift.txt").write_text(
        "Night shift, berth 3.\n"
        "22:10  Crane two stopped: wind above the limit. Über 14 m/s.\n"
        "23:45  Crane two runs again.\n"
        "01:20  Bay C17 counted twice; the list in containers.csv is right.\n",
        encoding="utf-8",
    )


def manifest():
    files = sorted(path for folder in ("clouds", "images", "tables", "texts") for path in (HERE / folder).iterdir())
    with open(HERE / "manifest.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("url", "id", "kind"))
        for path in files:
            writer.writerow((path.relative_to(HERE).as_posix(), f"{path.stem}-{path.suffix[1:]}", path.parent.name))


if __name__ == "__main__":
    pictures(HERE / "images")
    cloud(HERE / "clouds" / "quay.pcd")
    tables(HERE / "tables")
    texts(HERE / "texts")
    manifest()
