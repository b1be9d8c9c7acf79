"""A CNN with batch normalization in two layouts, a ResNet whose flat blocks become stages, and a U-Net."""

from __future__ import annotations

from itertools import pairwise

import flax.linen as nn
import jax.numpy as jnp
from flax import nnx

from tests.planning.suggest.models.case import case, floats

WIDTHS = (3, 8, 16)


class LinenCNN(nn.Module):
    """Convolutions and norms side by side."""

    @nn.compact
    def __call__(self, x):
        for width in WIDTHS[1:]:
            x = nn.Conv(width, (3, 3))(x)
            x = nn.relu(nn.BatchNorm(use_running_average=True)(x))
        x = nn.relu(nn.Dense(32)(x.mean((1, 2))))
        return nn.Dense(10)(x)


class ConvNorm(nnx.Module):
    def __init__(self, before, after, rngs):
        self.conv = nnx.Conv(before, after, (3, 3), rngs=rngs)
        self.bn = nnx.BatchNorm(after, use_running_average=True, rngs=rngs)

    def __call__(self, x):
        return nnx.relu(self.bn(self.conv(x)))


class CNN(nnx.Module):
    """Blocks of a convolution and its norm, and layers with names of their own."""

    def __init__(self, rngs):
        self.features = nnx.List(ConvNorm(a, b, rngs) for a, b in pairwise(WIDTHS))
        self.hidden = nnx.Linear(16, 32, rngs=rngs)
        self.classifier = nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, x):
        for block in self.features:
            x = block(x)
        return self.classifier(nnx.relu(self.hidden(x.mean((1, 2)))))


def make_cnn(rngs: nnx.Rngs) -> CNN:
    return CNN(rngs)


STAGES = (8, 16)
BLOCKS = 2


class ResNetBlock(nn.Module):
    features: int
    strides: int = 1

    @nn.compact
    def __call__(self, x):
        norm = lambda **kw: nn.BatchNorm(use_running_average=True, **kw)  # noqa: E731
        y = nn.Conv(self.features, (3, 3), (self.strides, self.strides), use_bias=False)(x)
        y = nn.relu(norm()(y))
        y = norm()(nn.Conv(self.features, (3, 3), use_bias=False)(y))
        if x.shape != y.shape:
            x = nn.Conv(self.features, (1, 1), (self.strides, self.strides), use_bias=False, name="conv_proj")(x)
            x = norm(name="norm_proj")(x)
        return nn.relu(x + y)


class LinenResNet(nn.Module):
    """Blocks numbered through all stages, as in Flax's own ImageNet example."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(8, (7, 7), use_bias=False, name="conv_init")(x)
        x = nn.relu(nn.BatchNorm(use_running_average=True, name="bn_init")(x))
        for stage, features in enumerate(STAGES):
            for block in range(BLOCKS):
                x = ResNetBlock(features, 2 if stage and not block else 1)(x)
        return nn.Dense(10)(x.mean((1, 2)))


class BasicBlock(nnx.Module):
    def __init__(self, before, after, strides, rngs):
        conv = lambda a, b, k, s: nnx.Conv(a, b, (k, k), (s, s), use_bias=False, rngs=rngs)  # noqa: E731
        norm = lambda: nnx.BatchNorm(after, use_running_average=True, rngs=rngs)  # noqa: E731
        self.conv1, self.bn1 = conv(before, after, 3, strides), norm()
        self.conv2, self.bn2 = conv(after, after, 3, 1), norm()
        self.short = nnx.Sequential(conv(before, after, 1, strides), norm()) if before != after else None

    def __call__(self, x):
        y = self.bn2(self.conv2(nnx.relu(self.bn1(self.conv1(x)))))
        return nnx.relu(y + (self.short(x) if self.short is not None else x))


class ResNet(nnx.Module):
    """Stages of blocks."""

    def __init__(self, rngs):
        self.stem = nnx.Conv(3, 8, (7, 7), use_bias=False, rngs=rngs)
        self.stem_norm = nnx.BatchNorm(8, use_running_average=True, rngs=rngs)
        stages, width = [], 8
        for stage, features in enumerate(STAGES):
            blocks = []
            for block in range(BLOCKS):
                blocks.append(BasicBlock(width, features, 2 if stage and not block else 1, rngs))
                width = features
            stages.append(nnx.List(blocks))
        self.stages = nnx.List(stages)
        self.head = nnx.Linear(width, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.stem_norm(self.stem(x)))
        for stage in self.stages:
            for block in stage:
                x = block(x)
        return self.head(x.mean((1, 2)))


def make_resnet(rngs: nnx.Rngs) -> ResNet:
    return ResNet(rngs)


class DoubleConv(nn.Module):
    features: int

    @nn.compact
    def __call__(self, x):
        for _ in range(2):
            x = nn.relu(nn.GroupNorm(4)(nn.Conv(self.features, (3, 3))(x)))
        return x


class LinenUNet(nn.Module):
    """Two levels down and two up again, joined by skips."""

    @nn.compact
    def __call__(self, x):
        skips = []
        for level, width in enumerate((8, 16)):
            x = DoubleConv(width, name=f"down_{level}")(x)
            skips.append(x)
            x = nn.avg_pool(x, (2, 2), (2, 2))
        x = DoubleConv(32, name="mid")(x)
        for level, width in enumerate((16, 8)):
            x = nn.ConvTranspose(width, (2, 2), (2, 2), name=f"upsample_{level}")(x)
            x = DoubleConv(width, name=f"up_{level}")(jnp.concatenate([skips.pop(), x], -1))
        return nn.Conv(3, (1, 1), name="out")(x)


class Twice(nnx.Module):
    def __init__(self, before, after, rngs):
        self.conv1 = nnx.Conv(before, after, (3, 3), rngs=rngs)
        self.norm1 = nnx.GroupNorm(after, 4, rngs=rngs)
        self.conv2 = nnx.Conv(after, after, (3, 3), rngs=rngs)
        self.norm2 = nnx.GroupNorm(after, 4, rngs=rngs)

    def __call__(self, x):
        return nnx.relu(self.norm2(self.conv2(nnx.relu(self.norm1(self.conv1(x))))))


class UNet(nnx.Module):
    def __init__(self, rngs):
        self.encoder = nnx.List([Twice(3, 8, rngs), Twice(8, 16, rngs)])
        self.bottleneck = Twice(16, 32, rngs)
        self.upsample = nnx.List(nnx.ConvTranspose(2 * w, w, (2, 2), (2, 2), rngs=rngs) for w in (16, 8))
        self.decoder = nnx.List([Twice(32, 16, rngs), Twice(16, 8, rngs)])
        self.head = nnx.Conv(8, 3, (1, 1), rngs=rngs)

    def __call__(self, x):
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
            x = nnx.avg_pool(x, (2, 2), (2, 2))
        x = self.bottleneck(x)
        for up, block in zip(self.upsample, self.decoder, strict=True):
            x = block(jnp.concatenate([skips.pop(), up(x)], -1))
        return self.head(x)


def make_unet(rngs: nnx.Rngs) -> UNet:
    return UNet(rngs)


CASES = (
    case(
        "cnn_blocks", "CNN with BatchNorm", LinenCNN(), floats(2, 8, 8, 3), "convolutional:make_cnn",
        """
        - "params/Conv_{i}/** -> features/{i}/conv/**"
        - "{c:params|batch_stats}/BatchNorm_{i}/** -> features/{i}/bn/**"
        - "params/Dense_0/** -> hidden/**"
        - "params/Dense_1/** -> classifier/**"
        """,
    ),
    case(
        "resnet_stages", "ResNet", LinenResNet(), floats(2, 8, 8, 3), "convolutional:make_resnet",
        """
        - "params/conv_init/** -> stem/**"
        - "{c:params|batch_stats}/bn_init/** -> stem_norm/**"
        - "params/ResNetBlock_{k}/Conv_{i}/** -> stages/{k//2}/{k%2}/conv{i+1}/**"
        - "{c:params|batch_stats}/ResNetBlock_{k}/BatchNorm_{i}/** -> stages/{k//2}/{k%2}/bn{i+1}/**"
        - "params/ResNetBlock_{k}/conv_proj/** -> stages/{k//2}/{k%2}/short/layers/0/**"
        - "{c:params|batch_stats}/ResNetBlock_{k}/norm_proj/** -> stages/{k//2}/{k%2}/short/layers/1/**"
        - "params/Dense_0/** -> head/**"
        """,
    ),
    case(
        "unet", "U-Net", LinenUNet(), floats(2, 8, 8, 3), "convolutional:make_unet",
        """
        - "params/down_{i}/Conv_{k}/** -> encoder/{i}/conv{k+1}/**"
        - "params/down_{i}/GroupNorm_{k}/** -> encoder/{i}/norm{k+1}/**"
        - "params/mid/Conv_{k}/** -> bottleneck/conv{k+1}/**"
        - "params/mid/GroupNorm_{k}/** -> bottleneck/norm{k+1}/**"
        - "params/upsample_{i}/** -> upsample/{i}/**"
        - "params/up_{i}/Conv_{k}/** -> decoder/{i}/conv{k+1}/**"
        - "params/up_{i}/GroupNorm_{k}/** -> decoder/{i}/norm{k+1}/**"
        - "params/out/** -> head/**"
        """,
    ),
)  # fmt: skip
