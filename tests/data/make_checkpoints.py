"""Writes checkpoints/: one very small SegFormer in every format and under every naming scheme that is read; and a smaller one still as
seeds for fuzzing into ../../fuzz/seeds.

Needs numpy and torch; run by hand, the outputs are committed.  Every weight is a multiple of 1/64 between -2 and 2, so that float16,
bfloat16 and float32 hold the same numbers and a test may ask for bit-equal weights.  Widths 8, 8, 10, 16, depths 1, 2, 1, 1, heads
1, 2, 5, 8, decoder 8, three classes.
"""
import collections
import io
import json
import os
import pickle
import shutil
import struct
import sys
import types
import zipfile

import numpy as np
import torch

here = os.path.dirname(os.path.abspath(__file__))
out = os.path.join(here, 'checkpoints')
WIDTHS, DEPTHS, REDUCTIONS, DECODER, CLASSES = [8, 8, 10, 16], [1, 2, 1, 1], [8, 4, 2, 1], 8, 3
NAMES, PALETTE = ['lawn', 'street', 'house'], [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
random = np.random.default_rng(1)


def values(*shape):
    return torch.from_numpy((random.integers(-128, 129, shape) / 64).astype(np.float32))


def network():
    """The weights under the names of the Hugging Face hub."""
    sd = {}

    def layer(name, *shape, bias=True):
        sd[name + '.weight'] = values(*shape)
        if bias:
            sd[name + '.bias'] = values(shape[0])

    for i, c in enumerate(WIDTHS):
        before, k, r = WIDTHS[i - 1] if i else 3, 3 if i else 7, REDUCTIONS[i]
        layer(f'segformer.encoder.patch_embeddings.{i}.proj', c, before, k, k)
        layer(f'segformer.encoder.patch_embeddings.{i}.layer_norm', c)
        for j in range(DEPTHS[i]):
            b = f'segformer.encoder.block.{i}.{j}.'
            layer(b + 'layer_norm_1', c)
            for part in ('query', 'key', 'value'):
                layer(b + 'attention.self.' + part, c, c)
            if r > 1:
                layer(b + 'attention.self.sr', c, c, r, r)
                layer(b + 'attention.self.layer_norm', c)
            layer(b + 'attention.output.dense', c, c)
            layer(b + 'layer_norm_2', c)
            layer(b + 'mlp.dense1', 4 * c, c)
            layer(b + 'mlp.dwconv.dwconv', 4 * c, 1, 3, 3)
            layer(b + 'mlp.dense2', c, 4 * c)
        layer(f'segformer.encoder.layer_norm.{i}', c)
    for i, c in enumerate(WIDTHS):
        layer(f'decode_head.linear_c.{i}.proj', DECODER, c)
    layer('decode_head.linear_fuse', DECODER, 4 * DECODER, 1, 1, bias=False)
    layer('decode_head.batch_norm', DECODER)
    sd['decode_head.batch_norm.running_mean'] = values(DECODER)
    sd['decode_head.batch_norm.running_var'] = values(DECODER).abs() + 0.5
    sd['decode_head.batch_norm.num_batches_tracked'] = torch.tensor(7)
    layer('decode_head.classifier', CLASSES, DECODER, 1, 1)
    return sd


def rename_block(k, table):
    for a, b in table:
        k = k.replace(a, b)
    return k


def nvlabs(sd, prefix='backbone.'):
    o = {}
    for k, v in sd.items():
        p = k.split('.')
        if k.startswith('segformer.encoder.patch_embeddings'):
            k = f'{prefix}patch_embed{int(p[3]) + 1}.' + '.'.join(p[4:]).replace('layer_norm', 'norm')
        elif k.startswith('segformer.encoder.layer_norm'):
            k = f'{prefix}norm{int(p[3]) + 1}.{p[4]}'
        elif k.startswith('segformer.encoder.block'):
            k = f'{prefix}block{int(p[3]) + 1}.{p[4]}.' + rename_block('.'.join(p[5:]), [
                ('layer_norm_', 'norm'), ('attention.self.query', 'attn.q'), ('attention.self.layer_norm', 'attn.norm'), ('attention.self.', 'attn.'),
                ('attention.output.dense', 'attn.proj'), ('mlp.dense', 'mlp.fc')])
        o[k] = v
    for k in [k for k in o if '.attn.key.' in k]:
        o[k.replace('.key.', '.kv.')] = torch.cat([o.pop(k), o.pop(k.replace('.key.', '.value.'))])
    return o


def head(sd, table):
    o = {}
    for k, v in sd.items():
        if k.startswith('decode_head.linear_c.'):
            i, part = int(k.split('.')[2]), k.split('.')[-1]
            k = table['level'](i) + '.' + part
        else:
            for a in ('linear_fuse', 'batch_norm', 'classifier'):
                if k.startswith(f'decode_head.{a}.'):
                    k = table[a] + k[len(f'decode_head.{a}'):]
        o[k] = v
    return o


NVLABS_HEAD = {'level': lambda i: f'decode_head.linear_c{i + 1}.proj', 'linear_fuse': 'decode_head.linear_fuse.conv', 'batch_norm': 'decode_head.linear_fuse.bn',
               'classifier': 'decode_head.linear_pred'}
SMP_HEAD = {'level': lambda i: f'decoder.mlp_stage.{3 - i}.linear', 'linear_fuse': 'decoder.fuse_stage.0', 'batch_norm': 'decoder.fuse_stage.1', 'classifier': 'segmentation_head.0'}
PADDLE_HEAD = {'level': lambda i: f'linear_c{i + 1}.proj', 'linear_fuse': 'linear_fuse._conv', 'batch_norm': 'linear_fuse._batch_norm', 'classifier': 'linear_pred'}


def transformers5(sd):
    o = {}
    for k, v in sd.items():
        p = k.split('.')
        if k.startswith('segformer.encoder.patch_embeddings'):
            k = f'segformer.stages.{p[3]}.patch_embeddings.' + '.'.join(p[4:])
        elif k.startswith('segformer.encoder.layer_norm'):
            k = f'segformer.stages.{p[3]}.layer_norm.{p[4]}'
        elif k.startswith('segformer.encoder.block'):
            k = f'segformer.stages.{p[3]}.blocks.{p[4]}.' + rename_block('.'.join(p[5:]), [
                ('layer_norm_1', 'layernorm_before'), ('layer_norm_2', 'layernorm_after'), ('attention.self.query', 'attention.q_proj'), ('attention.self.key', 'attention.k_proj'),
                ('attention.self.value', 'attention.v_proj'), ('attention.self.sr', 'attention.sequence_reduction.sequence_reduction'),
                ('attention.self.layer_norm', 'attention.sequence_reduction.layer_norm'), ('attention.output.dense', 'attention.o_proj'), ('mlp.dense', 'mlp.fc')])
        else:
            k = k.replace('linear_c.', 'linear_projections.')
        o[k] = v
    return o


def mmseg(sd):
    """The backbone's weights with mmsegmentation's own head, whose levels have a batch norm and no bias."""
    o = {}
    for k, v in sd.items():
        p = k.split('.')
        if k.startswith('segformer.encoder.patch_embeddings'):
            k = f'backbone.layers.{p[3]}.0.' + '.'.join(p[4:]).replace('layer_norm', 'norm').replace('proj.', 'projection.')
        elif k.startswith('segformer.encoder.layer_norm'):
            k = f'backbone.layers.{p[3]}.2.{p[4]}'
        elif k.startswith('segformer.encoder.block'):
            if '.mlp.dense' in k and k.endswith('weight'):
                v = v[:, :, None, None]
            k = f'backbone.layers.{p[3]}.1.{p[4]}.' + rename_block('.'.join(p[5:]), [
                ('layer_norm_', 'norm'), ('attention.self.sr', 'attn.sr'), ('attention.self.layer_norm', 'attn.norm'), ('attention.self.', 'attn.attn.'),
                ('attention.output.dense', 'attn.attn.out_proj'), ('mlp.dense1', 'ffn.layers.0'), ('mlp.dwconv.dwconv', 'ffn.layers.1'), ('mlp.dense2', 'ffn.layers.4')])
        else:
            continue
        o[k] = v
    for k in [k for k in o if '.attn.attn.query.' in k]:
        o[k.replace('query.', 'in_proj_')] = torch.cat([o.pop(k), o.pop(k.replace('.query.', '.key.')), o.pop(k.replace('.query.', '.value.'))])

    def conv_bn(name, width, inputs):
        o[f'decode_head.{name}.conv.weight'] = values(width, inputs, 1, 1)
        for part in ('weight', 'bias', 'running_mean'):
            o[f'decode_head.{name}.bn.{part}'] = values(width)
        o[f'decode_head.{name}.bn.running_var'] = values(width).abs() + 0.5
        o[f'decode_head.{name}.bn.num_batches_tracked'] = torch.tensor(7)

    for i, c in enumerate(WIDTHS):
        conv_bn(f'convs.{i}', DECODER, c)
    conv_bn('fusion_conv', DECODER, 4 * DECODER)
    o['decode_head.conv_seg.weight'], o['decode_head.conv_seg.bias'] = values(CLASSES, DECODER, 1, 1), values(CLASSES)
    return o


def as_type(sd, dtype):
    return {k: v.to(dtype) if v.is_floating_point() else v for k, v in sd.items()}


def put(name, data):
    path = os.path.join(out, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as f:
        f.write(data)


def safetensors(name, sd):
    types_of = {torch.float32: 'F32', torch.float16: 'F16', torch.bfloat16: 'BF16', torch.float64: 'F64', torch.int64: 'I64'}
    header, data = {'__metadata__': {'format': 'pt'}}, b''
    for k, v in sd.items():
        raw = v.contiguous().flatten().view(torch.uint8).numpy().tobytes() if v.ndim else v.reshape(1).view(torch.uint8).numpy().tobytes()
        header[k] = {'dtype': types_of[v.dtype], 'shape': list(v.shape), 'data_offsets': [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    put(name, struct.pack('<Q', len(text)) + text + data)


def torch_zip(obj):
    f = io.BytesIO()
    torch.save(obj, f)
    return f.getvalue()


def torch_legacy(obj):
    f = io.BytesIO()
    torch.save(obj, f, _use_new_zipfile_serialization=False)
    return f.getvalue()


class Unseekable(io.RawIOBase):
    """Makes zipfile write data descriptors: sizes follow the data, local headers hold zeros."""
    def __init__(self): self.data = bytearray()
    def writable(self): return True
    def write(self, b): self.data += b; return len(b)


def repacked(data):
    source = zipfile.ZipFile(io.BytesIO(data))
    target = Unseekable()
    with zipfile.ZipFile(target, 'w', zipfile.ZIP_STORED) as z:
        for entry in source.infolist():
            info = zipfile.ZipInfo(entry.filename, (1980, 1, 1, 0, 0, 0))
            with z.open(info, 'w', force_zip64=True) as f:
                f.write(source.read(entry))
    return bytes(target.data)


def with_zip64_end(data):
    """The same archive with a zip64 end record, as archives of more than 4 GB have it, and sizes that only stand in extra fields."""
    end = data.rindex(b'PK\5\6')
    count, size, offset = struct.unpack('<HII', data[end + 10:end + 20])
    central, new, at = data[offset:offset + size], b'', 0
    for _ in range(count):
        fields = list(struct.unpack('<IHHHHHHIIIHHHHHII', central[at:at + 46]))
        name_length, extra_length, comment_length = fields[10:13]
        name = central[at + 46:at + 46 + name_length]
        at += 46 + name_length + extra_length + comment_length
        extra = struct.pack('<HHQQQ', 1, 24, fields[9], fields[8], fields[16])
        fields[8] = fields[9] = fields[16] = 0xffffffff
        fields[11], fields[12] = len(extra), 0
        new += struct.pack('<IHHHHHHIIIHHHHHII', *fields) + name + extra
    record = struct.pack('<IQHHIIQQQQ', 0x06064b50, 44, 45, 45, 0, 0, count, count, len(new), offset)
    locator = struct.pack('<IIQI', 0x07064b50, 0, offset + len(new), 1)
    tail = struct.pack('<IHHHHIIH', 0x06054b50, 0, 0, 0xffff, 0xffff, 0xffffffff, 0xffffffff, 0)
    return data[:offset] + new + record + locator + tail


def strided(sd):
    """The same numbers in other memory: transposed, from the middle of a larger storage, several in one storage, with a stride of 0."""
    o, pool, at = {}, torch.zeros(sum(v.numel() for v in sd.values()) // 2, dtype=torch.float16), 5
    for n, (k, v) in enumerate(sd.items()):
        if not v.is_floating_point():
            o[k] = v
        elif v.ndim == 2:
            o[k] = v.t().contiguous().t()
        elif v.ndim == 4 and n % 2:
            o[k] = v.contiguous(memory_format=torch.channels_last)
        elif n % 3 == 0:
            o[k] = torch.nn.Parameter(v)
        else:
            pool[at:at + v.numel()] = v.flatten()
            o[k] = pool[at:at + v.numel()].view(v.shape)
            at += v.numel()
    return o


def mmengine_container(sd):
    """mmengine's container with its own classes in it, which a reader must not need."""
    module = types.ModuleType('mmengine.logging.history_buffer')

    class HistoryBuffer:
        def __init__(self): self._log_history, self._max_length, self._statistics_methods = np.arange(4.0), 1000000, {'mean': len}
    HistoryBuffer.__module__, HistoryBuffer.__qualname__ = module.__name__, 'HistoryBuffer'
    module.HistoryBuffer = HistoryBuffer
    for name in ('mmengine', 'mmengine.logging'):
        sys.modules[name] = types.ModuleType(name)
    sys.modules[module.__name__] = module
    config = "model = dict(\n    type='EncoderDecoder',\n    test_cfg=dict(crop_size=(\n        512,\n        512,\n    ), mode='slide', stride=(\n        384,\n        384,\n    )))\ntest_cfg = dict(type='TestLoop')\n"
    return {'meta': {'epoch': 1, 'mmengine_version': '0.10.4', 'cfg': config, 'dataset_meta': {'classes': tuple(NAMES), 'palette': PALETTE}}, 'state_dict': collections.OrderedDict(sd),
            'message_hub': {'log_scalars': collections.OrderedDict({'train/loss': HistoryBuffer()}), 'runtime_info': collections.OrderedDict({'iter': 1, 'big': 1 << 80})},
            'optimizer': {'state': {0: {'step': torch.tensor(1.0)}}, 'param_groups': [{'lr': 6e-5, 'params': [0]}]}}


def paddle(sd):
    o = {}
    for k, v in sd.items():
        if k.endswith('num_batches_tracked'):
            continue
        k = k.replace('.running_mean', '._mean').replace('.running_var', '._variance')
        o[k] = (v.t() if v.ndim == 2 else v).numpy().copy()
    o['StructuredToParameterName@@'] = {k: 'parameter_' + k for k in list(o)}
    return o


class PaddleTensor:
    """How paddle.save since 2.1 writes a tensor: a call of tuple with its name and its array."""
    def __init__(self, name, array): self.name, self.array = name, array
    def __reduce__(self): return (tuple, ((self.name, self.array),))


def main():
    shutil.rmtree(out, ignore_errors=True)
    sd = network()
    config = {'model_type': 'segformer', 'architectures': ['SegformerForSemanticSegmentation'], 'hidden_sizes': WIDTHS, 'depths': DEPTHS, 'sr_ratios': REDUCTIONS,
              'num_attention_heads': [1, 2, 5, 8], 'patch_sizes': [7, 3, 3, 3], 'strides': [4, 2, 2, 2], 'decoder_hidden_size': DECODER, 'hidden_act': 'gelu',
              'layer_norm_eps': 1e-6, 'id2label': {str(i): n for i, n in enumerate(NAMES)}}
    as_json = lambda o: json.dumps(o, indent=1).encode()
    safetensors('hf/model.safetensors', sd)
    put('hf/config.json', as_json(config))
    put('hf/preprocessor_config.json', as_json({'feature_extractor_type': 'SegformerFeatureExtractor', 'size': 256, 'resample': 3, 'reduce_labels': True,
                                                'image_mean': [0.5, 0.5, 0.5], 'image_std': [0.25, 0.25, 0.25], 'do_normalize': True, 'do_resize': True}))
    half, bhalf = as_type(sd, torch.float16), as_type(sd, torch.bfloat16)
    safetensors('hf_f16.safetensors', half)
    safetensors('hf_bf16.safetensors', bhalf)
    safetensors('transformers5.safetensors', transformers5(half))
    names = list(half)
    shards = {'model-00001-of-00002.safetensors': names[::2], 'model-00002-of-00002.safetensors': names[1::2]}
    for shard, keys in shards.items():
        safetensors('sharded/' + shard, {k: half[k] for k in keys})
    put('sharded/model.safetensors.index.json', as_json({'metadata': {'total_size': 1}, 'weight_map': {k: shard for shard, keys in shards.items() for k in keys}}))
    put('sharded/config.json', as_json(config))

    nv = head(nvlabs(half), NVLABS_HEAD)
    nv['decode_head.conv_seg.weight'], nv['decode_head.conv_seg.bias'] = torch.zeros(CLASSES, DECODER, 1, 1), torch.zeros(CLASSES)
    container = {'meta': {'mmseg_version': '0.11.0', 'CLASSES': tuple(NAMES), 'PALETTE': PALETTE, 'config': 'norm_cfg = dict(type="SyncBN")\n', 'iter': 160000}, 'state_dict': nv, 'optimizer': {}}
    put('nvlabs.pth', torch_zip(container))
    put('nvlabs_legacy.pth', torch_legacy(container))
    backbone = {k[len('backbone.'):]: v for k, v in nv.items() if k.startswith('backbone.')}
    put('mit.pth', torch_zip(collections.OrderedDict({**backbone, 'head.weight': torch.zeros(10, 16), 'head.bias': torch.zeros(10)})))

    plain = torch_zip(half)
    put('hf.bin', plain)
    put('hf_bf16_legacy.bin', torch_legacy(bhalf))
    put('hf_zip64.bin', with_zip64_end(repacked(plain)))
    put('hf_strided.bin', torch_zip({'state_dict': {'module.' + k: v for k, v in strided(half).items()}}))
    put('hf_mixed.bin', torch_zip({k: v.double() if 'norm' in k else v for k, v in half.items()}))
    put('mmseg.pth', torch_zip(mmengine_container(mmseg(half))))

    smp = head(nvlabs(half, 'encoder.'), SMP_HEAD)
    safetensors('smp/model.safetensors', smp)
    put('smp/config.json', as_json({'_model_class': 'Segformer', 'encoder_name': 'mit_b0', 'encoder_depth': 5, 'encoder_weights': None, 'in_channels': 3, 'classes': CLASSES,
                                    'decoder_segmentation_channels': DECODER, 'activation': None, 'aux_params': None}))
    pd = paddle(head(nvlabs(half), PADDLE_HEAD))
    put('paddle.pdparams', pickle.dumps(pd, protocol=4))
    put('paddle_protocol2.pdparams', pickle.dumps(pd, protocol=2))
    put('paddle_tuples.pdparams', pickle.dumps({k: PaddleTensor(k, np.asfortranarray(v)) if isinstance(v, np.ndarray) else v for k, v in pd.items()}, protocol=4))


def seeds():
    """Widths of 1, so that a mutation meets structure and not weights."""
    global out, WIDTHS, DEPTHS, DECODER, CLASSES
    out, WIDTHS, DEPTHS, DECODER, CLASSES = os.path.join(here, '../../fuzz/seeds'), [1, 1, 1, 1], [1, 1, 1, 1], 1, 1
    shutil.rmtree(out, ignore_errors=True)
    half = as_type(network(), torch.float16)
    nv = {'meta': {'CLASSES': ('one',), 'PALETTE': [[1, 2, 3]]}, 'state_dict': head(nvlabs(half), NVLABS_HEAD)}
    safetensors('hf.safetensors', half)
    put('nvlabs_zip.bin', torch_zip(nv))
    put('nvlabs_legacy.bin', torch_legacy(nv))
    put('strided_zip.bin', torch_zip(strided(half)))
    put('mmseg_zip.bin', torch_zip(mmengine_container(mmseg(half))))
    put('mmseg_zip64_zip.bin', with_zip64_end(repacked(torch_zip(mmseg(half)))))
    pd = paddle(head(nvlabs(half), PADDLE_HEAD))
    put('protocol4.pdparams', pickle.dumps(pd, protocol=4))
    put('protocol2.pdparams', pickle.dumps(pd, protocol=2))


main()
seeds()
