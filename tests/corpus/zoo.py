"""The models of the corpus: small modules (`mod/`), and torchvision's (`tv/`, `seg/`, `vid/`).

A zoo is a Python file with a dict `MODELS`: name -> (module factory, inputs factory). A name is
`family/model`; the inputs are a tuple of tensors, given to `forward` by position. `LAYERS`, if there,
names the models whose numbers are wanted layer by layer.
"""

import torch
import torch.nn.functional as F
import torchvision
from torch import nn


class SimpleModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(16 * 14 * 14, 10)
        self.batchnorm = nn.BatchNorm2d(16)

    def forward(self, x):
        x = self.pool(self.relu(self.batchnorm(self.conv1(x))))
        return self.fc(x.view(x.size(0), -1))


class FunctionalNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 8, 3, padding=1)
        self.l = nn.Linear(8, 5)

    def forward(self, x):
        x = F.relu(self.c(x))
        x = F.max_pool2d(x, 2)
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return F.softmax(self.l(x), dim=-1)


class SharedNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(32, 32)
        self.act = nn.ReLU()

    def forward(self, x):
        for _ in range(3):
            x = self.act(self.l(x))
        return x


class FrozenNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3).requires_grad_(False)
        self.b = nn.Conv2d(8, 16, 3)

    def forward(self, x):
        return self.b(self.a(x))


class RawParam(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(16))
        self.l = nn.Linear(16, 16)

    def forward(self, x):
        return self.l(x) * self.scale


class MatmulNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 64)

    def forward(self, x):
        q, k, v = self.q(x), self.k(x), self.v(x)
        return torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-1, -2)), -1), v)


class EinsumNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(64, 64)

    def forward(self, x):
        q = self.q(x).view(2, 10, 4, 16)
        return torch.einsum("bnhd,bmhd->bhnm", q, q)


class SDPANet(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(64, 192)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        return F.scaled_dot_product_attention(q, k, v)


class TiedLM(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(1000, 64)
        self.l = nn.Linear(64, 64)
        self.head = nn.Linear(64, 1000, bias=False)
        self.head.weight = self.emb.weight

    def forward(self, t):
        return self.head(self.l(self.emb(t)))


class MHAWrap(nn.Module):
    def __init__(self, *args, **kwargs):
        super().__init__()
        self.mha = nn.MultiheadAttention(*args, **kwargs)

    def forward(self, x):
        return self.mha(x, x, x)[0]


class LSTMWrap(nn.Module):
    def __init__(self, *args, **kwargs):
        super().__init__()
        self.lstm = nn.LSTM(*args, **kwargs)

    def forward(self, x):
        return self.lstm(x)[0]


class GRUWrap(nn.Module):
    def __init__(self, *args, **kwargs):
        super().__init__()
        self.gru = nn.GRU(*args, **kwargs)

    def forward(self, x):
        return self.gru(x)[0]


class RNNWrap(nn.Module):
    def __init__(self, *args, **kwargs):
        super().__init__()
        self.rnn = nn.RNN(*args, **kwargs)

    def forward(self, x):
        return self.rnn(x)[0]


def activations():
    return nn.Sequential(
        nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(), nn.PReLU(3), nn.ELU(), nn.GELU(), nn.SiLU(), nn.Sigmoid(),
        nn.Tanh(), nn.Hardswish(), nn.Hardsigmoid(), nn.Mish(), nn.Softplus(), nn.SELU(), nn.CELU(),
    )  # fmt: skip


def encoder_layer(width, heads, feedforward):
    return nn.TransformerEncoderLayer(width, heads, feedforward, batch_first=True)


def random(*shapes):
    return lambda: tuple(torch.randn(shape) for shape in shapes)


def tokens(*shape):
    return lambda: (torch.randint(0, 1000, shape),)


MODELS = {
    "mod/acts": (activations, random((2, 3, 8, 8))),
    "mod/adaptive_avg": (lambda: nn.AdaptiveAvgPool2d((6, 6)), random((1, 256, 13, 13))),
    "mod/adaptive_avg_1": (lambda: nn.AdaptiveAvgPool2d(1), random((2, 256, 7, 7))),
    "mod/adaptive_max": (lambda: nn.AdaptiveMaxPool2d(2), random((2, 16, 9, 9))),
    "mod/avgpool": (lambda: nn.AvgPool2d(2), random((2, 8, 14, 14))),
    "mod/bilinear": (lambda: nn.Bilinear(20, 30, 40), random((8, 20), (8, 30))),
    "mod/bn1d": (lambda: nn.BatchNorm1d(64), random((4, 64))),
    "mod/bn2d": (lambda: nn.BatchNorm2d(64), random((1, 64, 32, 32))),
    "mod/bn2d_noaffine": (lambda: nn.BatchNorm2d(64, affine=False), random((2, 64, 8, 8))),
    "mod/conv1d": (lambda: nn.Conv1d(16, 33, 3, stride=2), random((2, 16, 50))),
    "mod/conv2d_3_64": (lambda: nn.Conv2d(3, 64, 3, padding=1), random((1, 3, 224, 224))),
    "mod/conv2d_batch": (lambda: nn.Conv2d(3, 64, 3, padding=1), random((5, 3, 32, 32))),
    "mod/conv2d_nobias_stride_dil": (
        lambda: nn.Conv2d(16, 24, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2), bias=False),
        random((2, 16, 33, 47)),
    ),
    "mod/conv3d": (lambda: nn.Conv3d(3, 8, 3, padding=1), random((1, 3, 8, 16, 16))),
    "mod/convT1d": (lambda: nn.ConvTranspose1d(8, 4, 5, stride=3), random((1, 8, 20))),
    "mod/convT2d": (lambda: nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1), random((2, 16, 14, 14))),
    "mod/convT2d_groups_outpad": (
        lambda: nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1, groups=4, bias=False),
        random((1, 16, 14, 14)),
    ),
    "mod/depthwise_separable": (
        lambda: nn.Sequential(nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.Conv2d(32, 64, 1)),
        random((1, 32, 56, 56)),
    ),
    "mod/dropout": (lambda: nn.Sequential(nn.Linear(8, 8), nn.Dropout(), nn.Flatten()), random((2, 4, 8))),
    "mod/einsum": (EinsumNet, random((2, 10, 64))),
    "mod/embedding": (lambda: nn.Embedding(1000, 64), tokens(2, 12)),
    "mod/encoder_6": (lambda: nn.TransformerEncoder(encoder_layer(64, 4, 128), 6), random((2, 16, 64))),
    "mod/encoder_layer": (lambda: encoder_layer(512, 8, 2048), random((32, 16, 512))),
    "mod/frozen": (FrozenNet, random((1, 3, 16, 16))),
    "mod/functional": (FunctionalNet, random((2, 3, 16, 16))),
    "mod/gconv": (lambda: nn.Conv2d(32, 64, 3, padding=1, groups=2), random((1, 32, 56, 56))),
    "mod/gn": (lambda: nn.GroupNorm(8, 32), random((2, 32, 8, 8))),
    "mod/gru": (lambda: GRUWrap(128, 256, batch_first=True), random((32, 10, 128))),
    "mod/gru_2l_bi_nobias": (
        lambda: GRUWrap(128, 256, num_layers=2, bias=False, batch_first=True, bidirectional=True),
        random((4, 7, 128)),
    ),
    "mod/gru_cell": (lambda: nn.GRUCell(32, 48), random((5, 32))),
    "mod/in2d": (lambda: nn.InstanceNorm2d(16, affine=True), random((1, 16, 8, 8))),
    "mod/linear_3d": (lambda: nn.Linear(64, 128), random((4, 10, 64))),
    "mod/linear_512_1000": (lambda: nn.Linear(512, 1000), random((1, 512))),
    "mod/linear_nobias": (lambda: nn.Linear(64, 128, bias=False), random((3, 64))),
    "mod/ln": (lambda: nn.LayerNorm(128), random((1, 10, 128))),
    "mod/ln_noaffine": (lambda: nn.LayerNorm(128, elementwise_affine=False), random((2, 10, 128))),
    "mod/lstm": (lambda: LSTMWrap(128, 256, batch_first=True), random((32, 10, 128))),
    "mod/lstm_2l_bi": (
        lambda: LSTMWrap(128, 256, num_layers=2, batch_first=True, bidirectional=True),
        random((4, 7, 128)),
    ),
    "mod/lstm_cell": (lambda: nn.LSTMCell(32, 48), random((5, 32))),
    "mod/lstm_nobias_seqfirst": (lambda: LSTMWrap(128, 256, bias=False), random((7, 4, 128))),
    "mod/matmul": (MatmulNet, random((2, 10, 64))),
    "mod/maxpool": (lambda: nn.MaxPool2d(3, 2, 1), random((1, 64, 112, 112))),
    "mod/maxpool_ceil": (lambda: nn.MaxPool2d(3, 2, ceil_mode=True), random((1, 8, 110, 111))),
    "mod/mha": (lambda: MHAWrap(512, 8, batch_first=True), random((32, 16, 512))),
    "mod/pixelshuffle": (
        lambda: nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2)),
        random((1, 3, 8, 8)),
    ),
    "mod/raw_param": (RawParam, random((2, 16))),
    "mod/relu": (nn.ReLU, random((2, 3, 8, 8))),
    "mod/rmsnorm": (lambda: nn.RMSNorm(64), random((2, 10, 64))),
    "mod/rnn": (lambda: RNNWrap(128, 256, batch_first=True), random((4, 7, 128))),
    "mod/sdpa": (SDPANet, random((2, 10, 64))),
    "mod/shared": (SharedNet, random((2, 32))),
    "mod/simple_model": (SimpleModel, random((1, 3, 28, 28))),
    "mod/softmax": (lambda: nn.Softmax(dim=-1), random((2, 10, 100))),
    "mod/tied_lm": (TiedLM, tokens(2, 12)),
    "mod/transformer": (
        lambda: nn.Transformer(64, 4, 2, 2, 128, batch_first=True),
        random((2, 9, 64), (2, 7, 64)),
    ),
    "mod/upsample_bicubic": (lambda: nn.Upsample(size=(20, 30), mode="bicubic"), random((2, 3, 7, 7))),
    "mod/upsample_bilinear": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), random((1, 8, 7, 7))),
    "mod/upsample_nearest": (lambda: nn.Upsample(scale_factor=2), random((1, 8, 7, 7))),
}

# torchvision's models by name; those that do not take 224×224 pixels with the side that they take.
CLASSIFIERS = """
    alexnet convnext_small convnext_tiny densenet121 densenet169 efficientnet_b0 efficientnet_b1:240
    efficientnet_b2:288 efficientnet_b3:300 efficientnet_b4:380 efficientnet_v2_s:384 googlenet inception_v3:299
    maxvit_t mnasnet0_5 mnasnet0_75 mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small
    regnet_x_1_6gf regnet_x_3_2gf regnet_x_400mf regnet_x_800mf regnet_y_1_6gf regnet_y_3_2gf regnet_y_400mf
    regnet_y_800mf resnet101 resnet152 resnet18 resnet34 resnet50 resnext101_32x8d resnext50_32x4d
    shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1
    swin_s swin_t swin_v2_t:256 vgg11_bn vgg13 vgg16 vgg16_bn vgg19_bn vit_b_16 vit_b_32 wide_resnet50_2
"""
SEGMENTATION = "deeplabv3_mobilenet_v3_large fcn_resnet50 lraspp_mobilenet_v3_large"
VIDEO = "mvit_v1_b:224 r3d_18:112 s3d:224"


def from_torchvision(models, name, **kwargs):
    """No weights are asked for, not even a backbone's, so nothing is downloaded."""
    return lambda: getattr(models, name)(weights=None, **kwargs)


for entry in CLASSIFIERS.split():
    name, _, side = entry.partition(":")
    side = int(side or 224)
    kwargs = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    MODELS["tv/" + name] = (from_torchvision(torchvision.models, name, **kwargs), random((1, 3, side, side)))
for name in SEGMENTATION.split():
    factory = from_torchvision(torchvision.models.segmentation, name, weights_backbone=None)
    MODELS["seg/" + name] = (factory, random((1, 3, 256, 256)))
for entry in VIDEO.split():
    name, _, side = entry.partition(":")
    factory = from_torchvision(torchvision.models.video, name)
    MODELS["vid/" + name] = (factory, random((1, 3, 16, int(side), int(side))))

LAYERS = {
    "mod/encoder_layer", "mod/frozen", "mod/functional", "mod/lstm", "mod/mha", "mod/raw_param", "mod/shared",
    "mod/simple_model", "mod/tied_lm", "tv/alexnet", "tv/convnext_tiny", "tv/densenet121", "tv/googlenet",
    "tv/mobilenet_v2", "tv/resnet18", "tv/vit_b_16",
}  # fmt: skip
