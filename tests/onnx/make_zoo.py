"""Writes a folder of SegFormer ONNX files as different exporters, optimisers and converters make them, each with an
input and ONNX Runtime's answer beside it (X.onnx, X.input.npy, X.output.npy), for test_onnx_zoo and the recogniser's tests.

    python make_zoo.py OUT [REFERENCE] [PATTERN]     REFERENCE: the folder of segformer_torch.py and make_goldens.py

Needs torch, transformers, segmentation_models_pytorch, onnx, onnxscript, onnxslim, onnxruntime (PyPI). Seeds are fixed; a
file that an exporter refuses to write is reported and left out.
"""
import copy, fnmatch, os, sys, warnings
import numpy as np, torch, torch.nn as nn, torch.nn.functional as F
import onnx, onnxruntime as ort

warnings.filterwarnings('ignore')
out = sys.argv[1]
here = os.path.dirname(os.path.abspath(__file__))
reference = sys.argv[2] if len(sys.argv) > 2 else os.path.join(here, '../../../shared/reference')
pattern = sys.argv[3] if len(sys.argv) > 3 else '*'
sys.path.insert(0, reference)
from segformer_torch import SegFormer, SelfAttention, VARIANTS, HEADS, SR, rename
from make_goldens import randomise, NAMES
os.makedirs(out, exist_ok=True)
made, DYNAMIC = [], {'input': {0: 'batch', 2: 'height', 3: 'width'}, 'output': {0: 'batch', 2: 'h4', 3: 'w4'}}


def path(name): return os.path.join(out, name + '.onnx')
def wanted(name): return fnmatch.fnmatch(name, pattern)


def record(name, model, shape, domain_options=None):
    """Runs the file in ONNX Runtime, without its optimisations, on a fixed input."""
    x = np.random.default_rng(7).normal(0, 1, shape).astype(np.float32)
    options = ort.SessionOptions(); options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path(name), options, providers=['CPUExecutionProvider'])
    i = session.get_inputs()[0]
    y = session.run(None, {i.name: x.astype(np.float16) if 'float16' in i.type else x})[0]
    np.save(os.path.join(out, name + '.input.npy'), x)
    np.save(os.path.join(out, name + '.output.npy'), y.astype(np.float32) if y.dtype == np.float16 else y)
    made.append(name); print('made', name, os.path.getsize(path(name)), flush=True)


def attempt(name, shape, make):
    if not wanted(name): return
    try: make(); record(name, None, shape)
    except Exception as e: print('not made', name, type(e).__name__, str(e).splitlines()[0][:160] if str(e) else '', flush=True)


def export(name, net, shape, **k):
    if k.get('dynamo'): k.setdefault('external_data', False)
    attempt(name, shape, lambda: torch.onnx.export(net.eval(), (torch.randn(shape, generator=torch.Generator().manual_seed(0)),), path(name),
                                                   input_names=['input'], output_names=['output'], **k))


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


def main():
    torch.manual_seed(0); S = (1, 3, 64, 96); S2 = (2, 3, 64, 64); D = torch.export.Dim
    from transformers import SegformerConfig, SegformerForSemanticSegmentation
    VARIANTS['tiny']['mmseg_channels'] = 24
    v = VARIANTS['tiny']
    config = SegformerConfig(depths=v['depths'], hidden_sizes=v['hidden_sizes'], decoder_hidden_size=v['decoder_hidden_size'], num_attention_heads=HEADS,
                             sr_ratios=SR, num_labels=7, id2label=dict(enumerate(NAMES)), label2id={n: i for i, n in enumerate(NAMES)})
    weights = randomise(SegFormer('tiny', 7), 3).state_dict()
    def transformers_net(attention):
        m = SegformerForSemanticSegmentation._from_config(copy.deepcopy(config), attn_implementation=attention).eval()
        m.load_state_dict(rename(weights, 'hf5') if any('.stages.' in k for k in m.state_dict()) else weights, strict=False)
        return Logits(m)
    hf, hf_sdpa = transformers_net('eager'), transformers_net('sdpa')
    nv, mm = randomise(SegFormer('tiny', 7, family='nvlabs'), 4), randomise(SegFormer('tiny', 7, family='mmseg'), 5)

    for sdpa in (False, True):
        SelfAttention.sdpa = sdpa; tag = 'sdpa' if sdpa else 'eager'
        for opset in (9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20):
            if sdpa and opset < 14: continue
            export(f'nvlabs_ts_{tag}_opset{opset}_static', nv, S, opset_version=opset, dynamo=False)
            export(f'nvlabs_ts_{tag}_opset{opset}_dynamic', nv, S, opset_version=opset, dynamo=False, dynamic_axes=DYNAMIC)
            export(f'hf_ts_{tag}_opset{opset}_static', hf_sdpa if sdpa else hf, S, opset_version=opset, dynamo=False)
            export(f'hf_ts_{tag}_opset{opset}_dynamic', hf_sdpa if sdpa else hf, S, opset_version=opset, dynamo=False, dynamic_axes=DYNAMIC)
        for opset in (18, 19, 20, 21, 22, 23):
            export(f'nvlabs_dynamo_{tag}_opset{opset}_static', nv, S, opset_version=opset, dynamo=True)
            export(f'hf_dynamo_{tag}_opset{opset}_static', hf_sdpa if sdpa else hf, S, opset_version=opset, dynamo=True)
            export(f'nvlabs_dynamo_{tag}_opset{opset}_dynamic', nv, S2, opset_version=opset, dynamo=True,
                   dynamic_shapes=({0: D('batch', min=1, max=8), 2: D.AUTO, 3: D.AUTO},))
            export(f'mmseg_dynamo_{tag}_opset{opset}_static', mm, S, opset_version=opset, dynamo=True)
    SelfAttention.sdpa = False
    for opset in (11, 13, 17):
        export(f'mmseg_ts_opset{opset}_static', mm, S, opset_version=opset, dynamo=False)
        export(f'mmseg_ts_opset{opset}_dynamic', mm, S, opset_version=opset, dynamo=False, dynamic_axes=DYNAMIC)
        export(f'nvlabs_ts_opset{opset}_unfolded', nv, S, opset_version=opset, dynamo=False, do_constant_folding=False)
        export(f'nvlabs_ts_opset{opset}_training_bn', nv, S, opset_version=opset, dynamo=False, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
        export(f'nvlabs_ts_opset{opset}_full', Full(nv), S, opset_version=opset, dynamo=False)
        export(f'nvlabs_ts_opset{opset}_labels', Labels(nv), S, opset_version=opset, dynamo=False)
        export(f'nvlabs_ts_opset{opset}_normalised', Normalised(nv), S, opset_version=opset, dynamo=False)
    export('nvlabs_dynamo_opset18_labels', Labels(nv), S, opset_version=18, dynamo=True)
    export('nvlabs_dynamo_opset18_unoptimised', nv, S, opset_version=18, dynamo=True, optimize=False)
    export('hf_dynamo_opset20_unoptimised', hf, S, opset_version=20, dynamo=True, optimize=False)

    # Real classes of segmentation_models_pytorch, and a published size.
    try:
        import segmentation_models_pytorch as smp
        net = randomise(smp.Segformer('mit_b0', encoder_weights=None, classes=7), 6)
        export('smp_ts_opset17_static', net, S, opset_version=17, dynamo=False)
        export('smp_ts_opset13_dynamic', net, S, opset_version=13, dynamo=False, dynamic_axes={'input': DYNAMIC['input'], 'output': {0: 'batch', 2: 'h', 3: 'w'}})
        export('smp_dynamo_opset20_static', net, S, opset_version=20, dynamo=True)
    except ImportError: print('no segmentation_models_pytorch')
    export('b0_ts_opset17_512', randomise(SegFormer('b0', 19, family='nvlabs'), 8), (1, 3, 512, 512), opset_version=17, dynamo=False)

    # What optimisers and converters make of them.
    bases = [b for b in ('nvlabs_ts_eager_opset11_static', 'nvlabs_ts_eager_opset17_dynamic', 'hf_ts_eager_opset12_static', 'hf_ts_eager_opset17_static', 'hf_ts_sdpa_opset17_dynamic',
                         'mmseg_ts_opset13_static', 'nvlabs_dynamo_eager_opset18_static', 'nvlabs_dynamo_sdpa_opset20_static', 'nvlabs_ts_opset13_labels')
             if os.path.exists(path(b))]
    import onnxslim
    from onnxruntime.transformers import float16, optimizer
    for b in bases:
        shape = S
        attempt(b + '_slim', shape, lambda: onnx.save(onnxslim.slim(path(b)), path(b + '_slim')))
        for level in ('basic', 'extended', 'all'):
            def optimise():
                o = ort.SessionOptions(); o.log_severity_level = 4; o.optimized_model_filepath = path(f'{b}_ort_{level}')
                o.graph_optimization_level = getattr(ort.GraphOptimizationLevel, 'ORT_ENABLE_' + level.upper())
                ort.InferenceSession(path(b), o, providers=['CPUExecutionProvider'])
            attempt(f'{b}_ort_{level}', shape, optimise)
        attempt(b + '_f16', shape, lambda: onnx.save(float16.convert_float_to_float16(onnx.load(path(b))), path(b + '_f16')))
        attempt(b + '_f16_io32', shape, lambda: onnx.save(float16.convert_float_to_float16(onnx.load(path(b)), keep_io_types=True), path(b + '_f16_io32')))
        for kind in ('bert', 'vit', 'unet'):
            def fuse():
                m = optimizer.optimize_model(path(b), model_type=kind, num_heads=0, hidden_size=0, opt_level=0); m.save_model_to_file(path(f'{b}_fused_{kind}'))
            attempt(f'{b}_fused_{kind}', shape, fuse)
        attempt(b + '_external', shape, lambda: onnx.save(onnx.load(path(b)), path(b + '_external'), save_as_external_data=True, location=b + '_external.data', size_threshold=64))
        attempt(b + '_inferred', shape, lambda: onnx.save(onnx.shape_inference.infer_shapes(onnx.load(path(b)), data_prop=True), path(b + '_inferred')))

    # A model-local function: every MatMul + Add pair stays, every Gelu-like Erf moves into a function of its own.
    def local_function(base, name):
        m = onnx.load(path(base)); op = onnx.helper
        f = op.make_function('local', 'MyErf', ['x'], ['y'], [op.make_node('Identity', ['x'], ['t']), op.make_node('Erf', ['t'], ['y'])], list(m.opset_import))
        n = op.make_function('local', 'MySoftmax', ['x'], ['y'], [], list(m.opset_import), ['dim'])
        s = op.make_node('Softmax', ['x'], ['y']); a = s.attribute.add(); a.name = 'axis'; a.ref_attr_name = 'dim'; a.type = onnx.AttributeProto.INT; n.node.append(s)
        for node in m.graph.node:
            if node.op_type == 'Erf': node.op_type, node.domain = 'MyErf', 'local'
            if node.op_type == 'Softmax': node.op_type, node.domain, node.attribute[0].name = 'MySoftmax', 'local', 'dim'
        m.functions.extend([f, n]); m.opset_import.append(op.make_opsetid('local', 1)); onnx.save(m, path(name))
    for b in bases[:3]: attempt(b + '_functions', S, lambda: local_function(b, b + '_functions'))
    print(len(made), 'files')


if __name__ == '__main__': main()
