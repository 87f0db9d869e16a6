"""Writes a folder of SegFormer ONNX files as different exporters, optimisers and converters make them, for test_onnx_zoo and
check_zoo.py.  With each X.onnx: an input, ONNX Runtime's answer, and the checkpoint that it was made of.

    python make_zoo.py OUT [REFERENCE] [PATTERN]     REFERENCE: the folder of segformer_torch.py and make_goldens.py

Needs torch (1.13 to the newest), transformers, onnx, onnxruntime; onnxscript, segmentation_models_pytorch, onnxslim, onnxsim where
there are (what needs a missing one is left out, and said).  Names carry PyTorch's version where it is before 2.
"""
import copy, os
import torch, onnx, onnxruntime as ort
from zoo import DYNAMIC, HAS_DYNAMO, Full, Labels, Logits, Normalised, arguments

zoo = arguments(__doc__)
from segformer_torch import SegFormer, SelfAttention, VARIANTS, HEADS, SR, rename
from make_goldens import randomise, NAMES

S, S2 = (1, 3, 64, 96), (2, 3, 64, 64)
OLD = 'torch113_' if torch.__version__.startswith('1.') else ''
VARIANTS['tiny']['mmseg_channels'] = 24
path, attempt, export = zoo.path, zoo.attempt, zoo.export


def keep(net, scheme, name):
    """The weights under a family's own names, beside the files made of them: <name>.pth."""
    state = {k: v.clone() for k, v in (rename(net.state_dict(), scheme) if scheme else net.state_dict()).items()}
    torch.save(state, os.path.join(zoo.out, name + '.pth'))


def transformers_net(weights, attention, **k):
    from transformers import SegformerConfig, SegformerForSemanticSegmentation
    v = VARIANTS['tiny']
    config = SegformerConfig(depths=v['depths'], hidden_sizes=v['hidden_sizes'], decoder_hidden_size=v['decoder_hidden_size'], num_attention_heads=HEADS,
                             sr_ratios=SR, num_labels=7, id2label=dict(enumerate(NAMES)), label2id={n: i for i, n in enumerate(NAMES)})
    try: m = SegformerForSemanticSegmentation._from_config(copy.deepcopy(config), attn_implementation=attention)
    except TypeError: m = SegformerForSemanticSegmentation(copy.deepcopy(config))  # before the choice of attention
    m.load_state_dict(rename(weights, 'hf5') if any('.stages.' in k for k in m.state_dict()) else weights, strict=False)
    return m.eval()


def torchscript(hf, hf_sdpa, nv, mm):
    for sdpa in (False, True):
        SelfAttention.sdpa = sdpa; tag = 'sdpa' if sdpa else 'eager'
        for opset in (9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20):
            if sdpa and (opset < 14 or OLD): continue
            for fam, net in (('nvlabs', nv), ('hf', hf_sdpa if sdpa else hf)):
                export(f'{fam}_{OLD}ts_{tag}_opset{opset}_static', net, S, opset_version=opset, dynamo=False)
                export(f'{fam}_{OLD}ts_{tag}_opset{opset}_dynamic', net, S, opset_version=opset, dynamo=False, dynamic_axes=DYNAMIC)
    SelfAttention.sdpa = False
    for opset in (11, 12, 13, 14, 15, 16, 17) if OLD else (11, 13, 17):
        more = dict(opset_version=opset, dynamo=False)
        export(f'mmseg_{OLD}ts_opset{opset}_static', mm, S, **more)
        export(f'mmseg_{OLD}ts_opset{opset}_dynamic', mm, S, dynamic_axes=DYNAMIC, **more)
        for fam, net in (('nvlabs', nv), ('hf', hf), ('mmseg', mm)):
            export(f'{fam}_{OLD}ts_opset{opset}_unfolded', net, S, do_constant_folding=False, **more)
            export(f'{fam}_{OLD}ts_opset{opset}_unfolded_dynamic', net, S, do_constant_folding=False, dynamic_axes=DYNAMIC, **more)
        export(f'nvlabs_{OLD}ts_opset{opset}_training_bn', nv, S, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False, **more)
        export(f'nvlabs_{OLD}ts_opset{opset}_full', Full(nv), S, **more)
        export(f'nvlabs_{OLD}ts_opset{opset}_labels', Labels(nv), S, **more)
        export(f'nvlabs_{OLD}ts_opset{opset}_normalised', Normalised(nv), S, **more)
        export(f'nvlabs_{OLD}ts_opset{opset}_weights_as_inputs', nv, S, keep_initializers_as_inputs=True, **more)
    export(f'hf_{OLD}ts_opset16_traced', torch.jit.trace(hf.eval(), torch.randn(S)), S, opset_version=16, dynamo=False)
    export(f'hf_{OLD}ts_opset16_f16_half', copy.deepcopy(hf).half(), S, half=True, opset_version=16, dynamo=False)
    export(f'nvlabs_{OLD}ts_opset17_f16_half', copy.deepcopy(nv).half(), S, half=True, opset_version=17, dynamo=False)


def dynamo(hf, hf_sdpa, nv, mm):
    D = torch.export.Dim
    dynamic = {0: D('batch', min=1, max=8), 2: D.AUTO, 3: D.AUTO}
    for sdpa in (False, True):
        SelfAttention.sdpa = sdpa; tag = 'sdpa' if sdpa else 'eager'
        for opset in (18, 19, 20, 21, 22, 23, 24, 25):
            more = dict(opset_version=opset, dynamo=True)
            export(f'nvlabs_dynamo_{tag}_opset{opset}_static', nv, S, **more)
            export(f'hf_dynamo_{tag}_opset{opset}_static', hf_sdpa if sdpa else hf, S, **more)
            export(f'nvlabs_dynamo_{tag}_opset{opset}_dynamic', nv, S2, dynamic_shapes=(dynamic,), **more)
            export(f'hf_dynamo_{tag}_opset{opset}_dynamic', hf_sdpa if sdpa else hf, S2, dynamic_shapes=(dynamic,), **more)
            export(f'mmseg_dynamo_{tag}_opset{opset}_static', mm, S, **more)
    SelfAttention.sdpa = False
    export('nvlabs_dynamo_opset18_labels', Labels(nv), S, opset_version=18, dynamo=True)
    export('nvlabs_dynamo_opset18_normalised', Normalised(nv), S, opset_version=18, dynamo=True)
    export('nvlabs_dynamo_opset18_unoptimised', nv, S, opset_version=18, dynamo=True, optimize=False)
    export('hf_dynamo_opset20_unoptimised', hf, S, opset_version=20, dynamo=True, optimize=False)
    export('hf_dynamo_opset18_f16_half', copy.deepcopy(hf).half(), S, half=True, opset_version=18, dynamo=True)


def as_a_user_would(model):
    """transformers' class itself, with as few arguments as it takes."""
    export('hf_plain_default', model, S, input_names=None, output_names=None, external_data=True)
    export('hf_plain_dynamic_axes', model, S, input_names=['pixel_values'], output_names=['logits'], dynamic_axes={'pixel_values': {0: 'n', 2: 'h', 3: 'w'}, 'logits': {0: 'n', 2: 'h4', 3: 'w4'}})
    export('hf_plain_ts', model, S, input_names=['pixel_values'], output_names=['logits'], dynamo=False)
    export('hf_plain_ts_dynamic', model, S, input_names=['pixel_values'], output_names=['logits'], dynamo=False, dynamic_axes={'pixel_values': {0: 'n', 2: 'h', 3: 'w'}, 'logits': {0: 'n', 2: 'h4', 3: 'w4'}})


def segmentation_models():
    import segmentation_models_pytorch as smp
    net = randomise(smp.Segformer('mit_b0', encoder_weights=None, classes=7), 6)
    keep(net, None, 'smp')
    io = {'input': DYNAMIC['input'], 'output': {0: 'batch', 2: 'h', 3: 'w'}}
    for opset in (11, 13, 17, 20):
        export(f'smp_ts_opset{opset}_static', net, S, opset_version=opset, dynamo=False)
        export(f'smp_ts_opset{opset}_dynamic', net, S, opset_version=opset, dynamo=False, dynamic_axes=io)
    for opset in (18, 20, 23): export(f'smp_dynamo_opset{opset}_static', net, S, opset_version=opset, dynamo=True)


def optimised(bases):
    """What optimisers and converters make of the files."""
    def part(name, package):
        try: return __import__(package, fromlist=['x'])
        except ImportError: print('left out:', name, 'needs', package)
    onnxslim, onnxsim = part('slim', 'onnxslim'), part('sim', 'onnxsim')
    float16, optimizer = part('float16', 'onnxruntime.transformers.float16'), part('fused', 'onnxruntime.transformers.optimizer')
    quantization = part('quantized', 'onnxruntime.quantization')
    for b in bases:
        if onnxslim: attempt(b + '_slim', S, lambda: onnx.save(onnxslim.slim(path(b)), path(b + '_slim')))
        if onnxsim: attempt(b + '_sim', S, lambda: onnx.save(onnxsim.simplify(onnx.load(path(b)))[0], path(b + '_sim')))
        if onnxsim and 'dynamic' in b: attempt(b + '_sim_static', S, lambda: onnx.save(onnxsim.simplify(onnx.load(path(b)), overwrite_input_shapes={'input': list(S)})[0], path(b + '_sim_static')))
        for level in ('basic', 'extended', 'all'):
            def optimise():
                o = ort.SessionOptions(); o.log_severity_level = 4; o.optimized_model_filepath = path(f'{b}_ort_{level}')
                o.graph_optimization_level = getattr(ort.GraphOptimizationLevel, 'ORT_ENABLE_' + level.upper())
                ort.InferenceSession(path(b), o, providers=['CPUExecutionProvider'])
            attempt(f'{b}_ort_{level}', S, optimise)
        if float16:
            attempt(b + '_f16', S, lambda: onnx.save(float16.convert_float_to_float16(onnx.load(path(b))), path(b + '_f16')))
            attempt(b + '_f16_io32', S, lambda: onnx.save(float16.convert_float_to_float16(onnx.load(path(b)), keep_io_types=True), path(b + '_f16_io32')))
        for kind in ('bert', 'vit', 'unet') if optimizer else ():
            def fuse():
                m = optimizer.optimize_model(path(b), model_type=kind, num_heads=0, hidden_size=0, opt_level=0); m.save_model_to_file(path(f'{b}_fused_{kind}'))
            attempt(f'{b}_fused_{kind}', S, fuse)
        attempt(b + '_external', S, lambda: onnx.save(onnx.load(path(b)), path(b + '_external'), save_as_external_data=True, location=b + '_external.data', size_threshold=64))
        attempt(b + '_inferred', S, lambda: onnx.save(onnx.shape_inference.infer_shapes(onnx.load(path(b)), data_prop=True), path(b + '_inferred')))
        attempt(b + '_converted21', S, lambda: onnx.save(onnx.version_converter.convert_version(onnx.load(path(b)), 21), path(b + '_converted21')))
    for b in bases[:2] if quantization else ():  # 8-bit weights are another network: refused
        attempt(b + '_quantized', S, lambda: quantization.quantize_dynamic(path(b), path(b + '_quantized')))


def local_function(base, name):
    """Erf and Softmax each in a model-local function."""
    m = onnx.load(path(base)); op = onnx.helper
    f = op.make_function('local', 'MyErf', ['x'], ['y'], [op.make_node('Identity', ['x'], ['t']), op.make_node('Erf', ['t'], ['y'])], list(m.opset_import))
    n = op.make_function('local', 'MySoftmax', ['x'], ['y'], [], list(m.opset_import), ['dim'])
    s = op.make_node('Softmax', ['x'], ['y']); a = s.attribute.add(); a.name = 'axis'; a.ref_attr_name = 'dim'; a.type = onnx.AttributeProto.INT; n.node.append(s)
    for node in m.graph.node:
        if node.op_type == 'Erf': node.op_type, node.domain = 'MyErf', 'local'
        if node.op_type == 'Softmax': node.op_type, node.domain, node.attribute[0].name = 'MySoftmax', 'local', 'dim'
    m.functions.extend([f, n]); m.opset_import.append(op.make_opsetid('local', 1)); onnx.save(m, path(name))


def main():
    torch.manual_seed(0)
    base = randomise(SegFormer('tiny', 7), 3)
    weights = {k: v.clone() for k, v in base.state_dict().items()}
    eager = transformers_net(weights, 'eager')
    hf, hf_sdpa = Logits(eager), Logits(transformers_net(weights, 'sdpa'))
    nv, mm = randomise(SegFormer('tiny', 7, family='nvlabs'), 4), randomise(SegFormer('tiny', 7, family='mmseg'), 5)
    keep(base, None, 'hf'), keep(nv, 'nvlabs', 'nvlabs'), keep(mm, 'mmseg', 'mmseg')
    torchscript(hf, hf_sdpa, nv, mm)
    if HAS_DYNAMO:
        dynamo(hf, hf_sdpa, nv, mm)
        as_a_user_would(eager)
        try: segmentation_models()
        except ImportError: print('left out: segmentation_models_pytorch is not here')
    b0 = randomise(SegFormer('b0', 19, family='nvlabs'), 8)
    keep(b0, 'nvlabs', 'b0')
    export(f'b0_{OLD}ts_opset17_512', b0, (1, 3, 512, 512), opset_version=17, dynamo=False)
    wanted = ('nvlabs_ts_eager_opset11_static', 'nvlabs_ts_eager_opset17_dynamic', 'hf_ts_eager_opset12_static', 'hf_ts_eager_opset17_static', 'hf_ts_sdpa_opset17_dynamic',
              'mmseg_ts_opset13_static', 'mmseg_ts_opset17_dynamic', 'nvlabs_dynamo_eager_opset18_static', 'nvlabs_dynamo_sdpa_opset20_static', 'hf_dynamo_sdpa_opset23_static',
              'hf_dynamo_eager_opset18_dynamic', 'nvlabs_ts_opset13_labels', 'hf_ts_opset17_unfolded_dynamic', 'smp_ts_opset17_static', 'smp_dynamo_opset20_static',
              'nvlabs_torch113_ts_eager_opset11_static', 'hf_torch113_ts_eager_opset13_dynamic', 'mmseg_torch113_ts_opset11_unfolded', 'nvlabs_torch113_ts_opset13_labels')
    bases = [b for b in wanted if os.path.exists(path(b)) and bool(OLD) == ('torch113' in b)]
    optimised(bases)
    for b in bases[:3]: attempt(b + '_functions', S, lambda: local_function(b, b + '_functions'))
    print(len(zoo.made), 'files')


if __name__ == '__main__': main()
