#!/usr/bin/env python3
"""segrt beside PyTorch on a GPU, interleaved in one process: the same weights, a picture in device memory in, labels of 8 bits
there out, time by events around the whole forward on one stream.

    python bench/gpu_side_by_side.py [--cases b2:1x1024x1024,b0:1x512x512 | --model FOLDER] [--precisions float16,tf32]
                                     [--variants eager,graph,compile,collapsed-graph,collapsed-compile] [--rounds 200]
                                     [--budget SECONDS] [--library build/release/src/libsegrt.so] [--csv FILE]

eager, graph, compile: transformers' published network, as it is, as a CUDA graph, by torch.compile (reduce-overhead).
collapsed-*: attention fused and the head's linear maps multiplied out by hand (gpu_network.py), as a graph and compiled.  The
compiler takes half a minute and more a network: with --budget, what does not begin in time is left out and said.

Needs (pip): torch transformers safetensors.  segrt gets 8-bit pixels and does the normalisation too, PyTorch the normalised
tensor in the precision at hand.  --device cpu runs the same steps on the processor, to try the script out."""
import argparse, csv, os, statistics, sys, tempfile, time, traceback, warnings

import torch

from gpu_network import Collapsed, Labels, random_checkpoint
from libsegrt import Failed, Session

warnings.filterwarnings("ignore")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TYPES = {"float32": torch.float32, "tf32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
VARIANTS = ("eager", "graph", "compile", "collapsed-graph", "collapsed-compile")
START = time.time()


def published(folder, dtype):
    from transformers import SegformerForSemanticSegmentation

    return Labels(SegformerForSemanticSegmentation.from_pretrained(folder, dtype=torch.float32).eval()).eval().to(dtype)


def collapsed(folder, dtype):
    return Labels(Collapsed(folder)).eval().to(dtype)


class Clock:
    """Milliseconds of one call: events on a GPU, the processor's clock without."""

    def __init__(self, device):
        self.cuda = device == "cuda"
        if self.cuda:
            self.begin, self.end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def time(self, run):
        if not self.cuda:
            begin = time.perf_counter()
            run()
            return 1e3 * (time.perf_counter() - begin)
        self.begin.record()
        run()
        self.end.record()
        self.end.synchronize()
        return self.begin.elapsed_time(self.end)


def graphed(model, x):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            model(x)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = model(x)

    def run():
        graph.replay()
        return out

    run.model = model  # the graph reads its weights, and does not hold them
    return run


def compiled(model, x, device):
    torch._dynamo.reset()
    fast = torch.compile(model, mode="reduce-overhead") if device == "cuda" else torch.compile(model)

    def run():
        torch.compiler.cudagraph_mark_step_begin()
        return fast(x)

    for _ in range(3):
        run()
    return run


def runner(variant, folder, x, device):
    """A function that runs a variant and returns its labels.  `x` has the precision and the place."""
    make = collapsed if variant.startswith("collapsed") else published
    model = make(folder, x.dtype).to(x.device)
    if variant.endswith("compile"):
        return compiled(model, x, device)
    if variant.endswith("graph"):
        return graphed(model, x)
    return lambda: model(x)


def segrt_runner(library, folder, pixels, precision, device):
    n, h, w, _ = pixels.shape
    session = Session(library, folder, "cuda" if device == "cuda" else "cpu", precision)
    labels = torch.zeros((n, h, w), dtype=torch.uint8, device=pixels.device)

    def run():
        if device == "cuda":
            session.run_device(pixels.data_ptr(), labels.data_ptr(), n, h, w, torch.cuda.current_stream().cuda_stream)
        else:
            for i in range(n):
                session.segment(pixels[i].data_ptr(), labels[i].data_ptr(), h, w)
        return labels

    return session, run


def peers_of(a, folder, x, row):
    """The variants that can be made; `row` says of the others why not."""
    peers = {}
    for variant in a.variants.split(","):
        if variant.endswith("graph") and a.device != "cuda":
            row(variant, "", "", "", "", "", "", "graphs need a GPU")
        elif variant.endswith("compile") and a.budget and time.time() - START > a.budget:
            row(variant, "", "", "", "", "", "", f"left out: {a.budget} s are over")
        else:
            begin = time.time()
            try:
                peers[variant] = (runner(variant, folder, x, a.device), time.time() - begin)
            except Exception as why:  # one variant that fails takes no other with it
                row(variant, "", "", "", "", "", "", f"failed: {type(why).__name__}: {str(why).splitlines()[0] if str(why) else ''}"[:120])
                if a.verbose:
                    traceback.print_exc()
    return peers


def measure(a, name, folder, shape, precision, write):
    n, h, w = shape
    device = torch.device(a.device)
    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    generator = torch.Generator().manual_seed(7)
    coarse = torch.rand((n, 3, max(h // 16, 1), max(w // 16, 1)), generator=generator) * 255  # smooth, as pictures are
    pixels = torch.nn.functional.interpolate(coarse, size=(h, w), mode="bilinear").round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().to(device)
    mean, deviation = torch.tensor([123.675, 116.28, 103.53], device=device), torch.tensor([58.395, 57.12, 57.375], device=device)
    x = ((pixels.float() - mean) / deviation).permute(0, 3, 1, 2).contiguous()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    truth = published(folder, torch.float32).to(device)(x).clone()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32

    def row(*values):
        write(f"{name} {n}x{h}x{w}", precision, *values)

    runs, session = {}, None
    try:
        session, run = segrt_runner(a.library, folder, pixels, precision, a.device)
        runs["segrt"] = (run, 0.0)
        run()
    except (Failed, OSError) as why:
        runs.pop("segrt", None)
        row("segrt", "", "", "", "", "", "", f"failed: {why}")
    runs.update(peers_of(a, folder, x.to(TYPES[precision]), row))
    clock, times, equal = Clock(a.device), {k: [] for k in runs}, {}
    for k, (run, _) in runs.items():
        for _ in range(a.warm_up):
            out = run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        equal[k] = (out == truth).float().mean().item()
    for _ in range(a.rounds):  # in turn, so that clocks and heat are everybody's
        for k, (run, _) in runs.items():
            times[k].append(clock.time(run))
    base = statistics.median(times["segrt"]) if "segrt" in times else None
    for k, t in times.items():
        median = statistics.median(t)
        row(k, f"{min(t):.4f}", f"{median:.4f}", f"{sorted(t)[len(t) * 9 // 10]:.4f}", f"{median / n:.4f}", f"{median / base:.2f}" if base else "",
            f"{100 * equal[k]:.3f}", f"made ready in {runs[k][1]:.0f} s" if runs[k][1] >= 1 else "")
    if session:
        session.close()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def shape_of(text):
    name, _, size = text.partition(":")
    shape = tuple(int(side) for side in size.split("x"))
    if len(shape) != 3 or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a case is NAME:NxHxW")
    return name, shape


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--cases", default="b2:1x1024x1024,b2:1x512x512,b0:1x1024x1024,b0:1x512x512,b2:8x1024x1024")
    p.add_argument("--model", help="a checkpoint's folder with the published names, for all cases; else random weights")
    p.add_argument("--classes", type=int, default=19)
    p.add_argument("--precisions", default="float16")
    p.add_argument("--variants", default=",".join(VARIANTS))
    p.add_argument("--rounds", type=int, default=200)
    p.add_argument("--warm-up", type=int, default=20)
    p.add_argument("--budget", type=float, default=0, help="seconds after which no compilation begins (0: none)")
    p.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    p.add_argument("--library", default=os.path.join(ROOT, "build/release/src/libsegrt.so"))
    p.add_argument("--csv")
    p.add_argument("--verbose", action="store_true", help="the whole story of what fails")
    a = p.parse_args()
    unknown = [v for v in a.variants.split(",") if v not in VARIANTS] + [v for v in a.precisions.split(",") if v not in TYPES]
    if unknown:
        p.error(f"not known: {', '.join(unknown)}")
    try:
        cases = [shape_of(text) for text in a.cases.split(",")]
    except (argparse.ArgumentTypeError, ValueError) as why:
        p.error(str(why))
    if a.device == "cuda" and not torch.cuda.is_available():
        p.error("PyTorch finds no GPU here (--device cpu tries the script out)")
    machine = torch.cuda.get_device_name() if a.device == "cuda" else "processor"
    print(f"{machine}, torch {torch.__version__}, {a.rounds} rounds in turn; milliseconds of the whole batch")
    head = ("case", "precision", "runner", "min", "median", "p90", "a picture", "to segrt", "labels %", "remark")
    form = "{:18s} {:9s} {:18s} {:>9s} {:>9s} {:>9s} {:>9s} {:>8s} {:>8s} {}"
    print(form.format(*head), flush=True)
    out = open(a.csv, "a", newline="") if a.csv else None
    lines = csv.writer(out) if out else None
    if out and out.tell() == 0:
        lines.writerow(("machine", "torch", "case", "precision", "runner", "min_ms", "median_ms", "p90_ms", "ms_a_picture", "ratio_to_segrt",
                        "labels_equal_percent", "remark"))

    def write(*values):
        print(form.format(*values), flush=True)
        if lines:
            lines.writerow((machine, torch.__version__, *values))
            out.flush()

    with torch.no_grad(), tempfile.TemporaryDirectory() as temporary:
        for name, shape in cases:
            folder = a.model or os.path.join(temporary, name)
            if not os.path.exists(os.path.join(folder, "config.json")):
                random_checkpoint(name, a.classes, folder)
            for precision in a.precisions.split(","):
                measure(a, name, folder, shape, precision, write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
