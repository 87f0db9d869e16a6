"""What the makers of a folder of ONNX files share (make_zoo.py, make_zoo_mmseg.py): how a file is exported and recorded with an
input and ONNX Runtime's answer (X.onnx, X.input.npy, X.output.npy), and the modules that are put around a network.

Runs with PyTorch from 1.13 to the newest.  Seeds are fixed; what is there already is
left, a file that an exporter refuses to write is reported and left out.
"""
import fnmatch, inspect, os, sys, warnings
import numpy as np, torch, torch.nn as nn, torch.nn.functional as F
import onnx, onnxruntime as ort

warnings.filterwarnings('ignore')
DYNAMIC = {'input': {0: 'batch', 2: 'height', 3: 'width'}, 'output': {0: 'batch', 2: 'h4', 3: 'w4'}}
HAS_DYNAMO = 'dynamo' in inspect.signature(torch.onnx.export).parameters


class Zoo:
    def __init__(s, out, pattern='*'):
        s.out, s.pattern, s.made = out, pattern, []
        os.makedirs(out, exist_ok=True)

    def path(s, name): return os.path.join(s.out, name + '.onnx')

    def record(s, name, shape):
        """Runs the file in ONNX Runtime, without its optimisations, on a fixed input."""
        x = np.random.default_rng(7).normal(0, 1, shape).astype(np.float32)
        options = ort.SessionOptions(); options.log_severity_level = 4; options.intra_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(s.path(name), options, providers=['CPUExecutionProvider'])
        i = session.get_inputs()[0]
        y = session.run(None, {i.name: x.astype(np.float16) if 'float16' in i.type else x})[0]
        np.save(os.path.join(s.out, name + '.input.npy'), x)
        np.save(os.path.join(s.out, name + '.output.npy'), y.astype(np.float32) if y.dtype == np.float16 else y)
        s.made.append(name); print('made', name, os.path.getsize(s.path(name)), flush=True)

    def attempt(s, name, shape, make):
        if not any(fnmatch.fnmatch(name, p) for p in s.pattern.split(',')) or os.path.exists(os.path.join(s.out, name + '.output.npy')): return
        try: make(); s.record(name, shape)
        except Exception as e: print('not made', name, type(e).__name__, str(e).splitlines()[0][:160] if str(e) else '', flush=True)

    def export(s, name, net, shape, half=False, **k):
        """torch.onnx.export of a module; dynamo: the exporter on torch.export, else the TorchScript one."""
        def make():
            x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
            if not HAS_DYNAMO: k.pop('dynamo', None)
            if k.get('dynamo'): k.setdefault('external_data', False)
            torch.onnx.export(net.eval(), (x.half() if half else x,), s.path(name), **{'input_names': ['input'], 'output_names': ['output'], **k})
        if k.get('dynamo') and not HAS_DYNAMO: print('not made', name, 'this PyTorch has no such exporter'); return
        s.attempt(name, shape, make)


class Logits(nn.Module):
    def __init__(s, m): super().__init__(); s.m = m
    def forward(s, x): return s.m(x).logits
class Full(nn.Module):
    def __init__(s, m): super().__init__(); s.m = m
    def forward(s, x): return F.interpolate(s.m(x), size=x.shape[2:], mode='bilinear', align_corners=False)
class Labels(nn.Module):
    def __init__(s, m): super().__init__(); s.m = m
    def forward(s, x): return F.interpolate(s.m(x), size=x.shape[2:], mode='bilinear', align_corners=False).argmax(1, keepdim=True)
class Normalised(nn.Module):
    """Pixels 0..1 in, normalised inside the graph."""
    def __init__(s, m):
        super().__init__(); s.m = m
        s.register_buffer('mean', torch.tensor([.485, .456, .406]).view(1, 3, 1, 1)); s.register_buffer('std', torch.tensor([.229, .224, .225]).view(1, 3, 1, 1))
    def forward(s, x): return s.m((x - s.mean) / s.std)


def arguments(doc):
    """OUT [REFERENCE] [PATTERN[,PATTERN ...]]; REFERENCE becomes importable."""
    if len(sys.argv) < 2: sys.exit(doc)
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, sys.argv[2] if len(sys.argv) > 2 else os.path.join(here, '../../../shared/reference'))
    return Zoo(sys.argv[1], sys.argv[3] if len(sys.argv) > 3 else '*')
