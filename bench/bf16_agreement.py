"""How many labels an ONNX export keeps in OpenVINO's bfloat16: published against folded and centred, on a folder of pictures.

usage: bf16_agreement.py SEGRT MODEL PICTURES [--size HxW] [--threads N] [--csv FILE]
SEGRT is the program; MODEL whatever it opens.  Every picture, resized to the size (Pillow's bilinear) and normalised by ImageNet's
mean and deviation, goes through both forms in float32 and in bfloat16; labels are compared with the published form's in float32.
Needs a processor with avx512_bf16 or AMX; numpy, pillow, openvino."""
import argparse, csv, os, subprocess, sys, tempfile
import numpy as np
import openvino as ov
from PIL import Image

MEAN, DEVIATION = np.array([123.675, 116.28, 103.53], np.float32), np.array([58.395, 57.12, 57.375], np.float32)
FORMS, HINTS = ("published", "folded"), ("f32", "bf16")


def runners(segrt, model, h, w, threads):
    """(form, hint) -> labels and logits of a tensor"""
    core, found = ov.Core(), {}
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMS:
            path = os.path.join(folder, form + ".onnx")
            subprocess.run([segrt, "export", model, "-o", path, "--form", form, "--shape", f"1x{h}x{w}", "--output", "labels"], check=True, stdout=subprocess.DEVNULL)
            graph = core.read_model(path)
            graph.add_outputs("head.classifier")
            for hint in HINTS:
                compiled = core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"})
                found[form, hint] = compiled.create_infer_request()
    return found


def main():
    p = argparse.ArgumentParser()
    p.add_argument("segrt"), p.add_argument("model"), p.add_argument("pictures"), p.add_argument("--size", default="360x480")
    p.add_argument("--threads", type=int, default=2), p.add_argument("--csv")
    a = p.parse_args()
    h, w = map(int, a.size.split("x"))
    if "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        sys.exit("OpenVINO has no bfloat16 on this processor")
    runs = runners(a.segrt, a.model, h, w, a.threads)
    equal, off = {k: [] for k in runs}, {k: [] for k in runs}
    files = sorted(os.listdir(a.pictures))
    for file in files:
        picture = Image.open(os.path.join(a.pictures, file)).convert("RGB").resize((w, h), Image.BILINEAR)
        x = np.ascontiguousarray(((np.asarray(picture, np.float32) - MEAN) / DEVIATION).transpose(2, 0, 1)[None])
        got = {}
        for k, request in runs.items():
            request.infer({0: x})
            got[k] = [request.get_output_tensor(i).data.copy() for i in range(2)]
        labels, logits = got["published", "f32"]
        for k, (other, numbers) in got.items():
            equal[k].append(float((other == labels).mean()))
            off[k].append(float(np.linalg.norm(numbers.astype(np.float64) - logits) / np.linalg.norm(logits)))
    rows = [{"model": os.path.basename(a.model.rstrip("/")), "size": a.size, "pictures": len(files), "form": form, "precision": hint, "labels_equal": f"{100 * np.mean(equal[form, hint]):.4f}",
             "least_of_a_picture": f"{100 * np.min(equal[form, hint]):.4f}", "logits_relative": f"{np.mean(off[form, hint]):.2e}"} for form, hint in runs]
    print(f"OpenVINO {ov.__version__.split('-')[0]}")
    for row in rows:
        print(*(f"{k} {v}" for k, v in row.items()))
    if a.csv:
        with open(a.csv, "w", newline="") as f:
            writer = csv.DictWriter(f, rows[0].keys())
            writer.writeheader(), writer.writerows(rows)


if __name__ == "__main__":
    main()
