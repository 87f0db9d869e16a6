"""Adds to a zoo (make_zoo.py) what mmsegmentation's own classes export: MixVisionTransformer and SegformerHead in an EncoderDecoder,
the network alone, its whole and its sliding test path, as logits and as labels.

    python make_zoo_mmseg.py OUT [REFERENCE] [PATTERN]     REFERENCE: the folder of make_goldens.py

Needs mmsegmentation 1.x (mmengine, mmcv or mmcv-lite 2.x) or 0.x (mmcv 1.x), torch, onnx, onnxruntime.  mmcv's compiled operators and
torchvision are not needed: SegFormer uses none of them, so a stand-in takes their names where they are missing.
"""
import os, sys, types
from functools import partial
import torch, torch.nn as nn
from zoo import DYNAMIC, arguments

zoo = arguments(__doc__)
from make_goldens import randomise


class Absent(types.ModuleType):
    """A module of which other networks than SegFormer import names."""
    __path__, __version__ = [], '0.0.0'
    def __getattr__(s, name):
        if name.startswith('__'): raise AttributeError(name)
        return type(name, (nn.Module,), {})

try: import torchvision
except ImportError:
    for name in ('torchvision', 'torchvision.models', 'torchvision.transforms'): sys.modules[name] = Absent(name)
try: import mmcv.ops
except Exception:
    import mmcv
    sys.modules['mmcv.ops'] = mmcv.ops = Absent('mmcv.ops')
try: from mmengine import ConfigDict
except ImportError: from mmcv import ConfigDict
import mmseg
from mmseg.models import build_segmentor

IS_0 = mmseg.__version__.startswith('0.')
TAG = 'mmsegreal' + ('0' if IS_0 else '1')
CLASSES, CROP, STEP = 7, 64, 48


def network(mode):
    norm = dict(type='BN', requires_grad=True)
    test = dict(mode=mode, **(dict(crop_size=(CROP, CROP), stride=(STEP, STEP)) if mode == 'slide' else {}))
    return build_segmentor(ConfigDict(
        type='EncoderDecoder', pretrained=None,
        backbone=dict(type='MixVisionTransformer', in_channels=3, embed_dims=8, num_stages=4, num_layers=[2, 1, 2, 1], num_heads=[1, 2, 5, 8], patch_sizes=[7, 3, 3, 3],
                      sr_ratios=[8, 4, 2, 1], out_indices=(0, 1, 2, 3), mlp_ratio=4, qkv_bias=True, drop_rate=0.0, attn_drop_rate=0.0, drop_path_rate=0.1),
        decode_head=dict(type='SegformerHead', in_channels=[8, 16, 40, 64], in_index=[0, 1, 2, 3], channels=24, dropout_ratio=0.1, num_classes=CLASSES, norm_cfg=norm, align_corners=False,
                         loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
        train_cfg=dict(), test_cfg=test)).eval()


class Path(nn.Module):
    """The network alone ('raw': logits at a quarter), or its test path: logits, labels."""
    def __init__(s, net, output): super().__init__(); s.net, s.output = net, output
    def metas(s, x):
        size = tuple(int(v) for v in x.shape[2:])
        return [dict(ori_shape=size + (3,) if IS_0 else size, img_shape=size + (3,) if IS_0 else size, pad_shape=size + (3,) if IS_0 else size, padding_size=[0] * 4, flip=False) for _ in range(int(x.shape[0]))]
    def forward(s, x):
        if s.output == 'raw': return s.net.decode_head(s.net.extract_feat(x)) if IS_0 else s.net(x, mode='tensor')
        if IS_0:  # as tools/pytorch2onnx.py calls it: softmax inside, labels [1, n, h, w]
            if s.output == 'labels': return s.net.simple_test(x, s.metas(x), rescale=True)
            return s.net.inference(x, s.metas(x), rescale=True)
        y = s.net.inference(x, s.metas(x))
        return y if s.output == 'logits' else y.argmax(dim=1, keepdim=True)


def main():
    torch.manual_seed(0)
    whole, slide = network('whole'), network('slide')
    randomise(whole, 11)
    slide.load_state_dict(whole.state_dict())
    torch.save({'meta': {}, 'state_dict': {k: v.clone() for k, v in whole.state_dict().items()}}, os.path.join(zoo.out, TAG + '.pth'))
    newest = 16 if torch.__version__.startswith('1.') else 17
    for opset, fold in ((11, True), (13, True), (newest, True), (11, False), (newest, False)):
        end = f'opset{opset}' + ('' if fold else '_unfolded')
        export = partial(zoo.export, opset_version=opset, do_constant_folding=fold)
        for output in ('raw', 'logits', 'labels'):
            export(f'{TAG}_{output}_static_{end}', Path(whole, output), (1, 3, 64, 96))
            if fold: export(f'{TAG}_{output}_dynamic_{end}', Path(whole, output), (1, 3, 64, 96), dynamic_axes={'input': DYNAMIC['input'], 'output': {0: 'batch', 2: 'h', 3: 'w'}})
        for output in ('logits', 'labels') if opset != 13 else ():
            for h, w in ((64, 64), (64, 96), (112, 112), (64, 160)):
                export(f'{TAG}_slide_{output}_{h}x{w}_{end}', Path(slide, output), (1, 3, h, w))
    print(len(zoo.made), 'files')


if __name__ == '__main__': main()
