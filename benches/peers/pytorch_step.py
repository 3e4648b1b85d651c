#!/usr/bin/env python3
"""The same training step in PyTorch, for a fair comparison in `cargo xtask bench`.

It uses the same networks, quantizers (`torch.autograd.Function`), batch size and optimizer as ours, in eager mode. As in ours, the
graph is cut at committed activations: layers upstream of one run under `no_grad`, so they save nothing and have no
backward pass. Committed weights get no gradient and are not in the optimizer.

Reads one JSON request per line from standard input and answers with one JSON line, so that its steps can alternate with ours.
A request names a case and the number of steps to time:

    {"model": "resnet20", "width": 16, "image_size": 32, "batch": 64, "method": "stompp", "committed": 0.5,
     "layout": "channels_last", "steps": 5}

or a single convolution, stride 1, given as [batch, inputs, side, outputs, kernel, stride], or both of its gradients:

    {"conv": [32, 64, 32, 64, 3, 1], "backward": false, "layout": "nchw", "steps": 1}

Answer: {"seconds": [...], "peak_mib": ...}, one value per step, and the peak memory of the process above its memory before the
first request. Networks are kept; the first request of a case is the warm-up.
"""

import argparse
import json
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


DEVICE = "cpu"


def synchronize():
    """Waits until the device has finished its work."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


class Quantize(torch.autograd.Function):
    """M * sign(u) + (1 - M) * clip(u, -1, 1). Frozen entries block the gradient or use a surrogate gradient."""

    @staticmethod
    def forward(ctx, u, mask, surrogate):
        ctx.surrogate = surrogate
        ctx.save_for_backward(u, mask)
        if mask is None:
            return u.clamp(-1, 1)
        sign = torch.where(u >= 0, 1.0, -1.0)
        return sign if mask is True else torch.where(mask, sign, u.clamp(-1, 1))

    @staticmethod
    def backward(ctx, grad):
        u, mask = ctx.saved_tensors
        inside = u.abs() <= 1
        if mask is None:
            return grad * inside, None, None
        if ctx.surrogate == "blocked":
            return grad * (inside & ~mask), None, None
        if ctx.surrogate == "clipped":
            return grad * inside, None, None
        return grad * (inside | mask), None, None


class Sign(torch.autograd.Function):
    """A complete mask with a straight-through gradient, identity or clipped."""

    @staticmethod
    def forward(ctx, u, surrogate):
        ctx.surrogate = surrogate
        if surrogate == "clipped":
            ctx.save_for_backward(u)
        return torch.where(u >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, grad):
        if ctx.surrogate == "identity":
            return grad, None
        (u,) = ctx.saved_tensors
        return grad * (u.abs() <= 1), None


class Quantizer:
    """State of one quantized tensor: open, freezing with a mask, or committed."""

    def __init__(self, surrogate):
        self.surrogate = surrogate
        self.mask = None
        self.committed = False

    def blocks_gradient(self):
        return self.committed and self.surrogate == "blocked"

    def __call__(self, u):
        if self.blocks_gradient():
            with torch.no_grad():
                return torch.where(u >= 0, 1.0, -1.0)
        if self.committed:
            return Sign.apply(u, self.surrogate)
        return Quantize.apply(u, self.mask, self.surrogate)


class Unit(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, surrogates):
        super().__init__()
        self.activation = Quantizer(surrogates[0])
        self.quantizer = Quantizer(surrogates[1])
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, q):
        weight = self.quantizer(self.conv.weight)
        return self.norm(F.conv2d(q, weight, None, self.conv.stride, self.conv.padding))


class Block(nn.Module):
    def __init__(self, units, shortcut):
        super().__init__()
        self.units = nn.ModuleList(units)
        self.shortcut = shortcut

    def forward(self, x):
        q = self.units[0].activation(x)
        # The main path upstream of the last activation that blocks the gradient gets no gradient.
        blocked = [i for i, unit in enumerate(self.units) if i > 0 and unit.activation.blocks_gradient()]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not blocked):
            y = self.units[0](q)
        for index, unit in enumerate(self.units[1:], 1):
            with torch.set_grad_enabled(torch.is_grad_enabled() and not any(s > index for s in blocked)):
                y = unit(unit.activation(y))
        return y + (q if self.shortcut is None else self.shortcut(q))


class ResNet(nn.Module):
    STAGES = {"resnet18": ([2, 2, 2, 2], 1), "resnet34": ([3, 4, 6, 3], 1), "resnet50": ([3, 4, 6, 3], 4)}

    def __init__(self, model, width, classes, image_size, surrogates):
        super().__init__()
        stages, expansion = self.STAGES.get(model, ([(int(model[6:]) - 2) // 6] * 3, 1))
        # Large images have ImageNet's stem. As in ours, its maximum pool comes before the first activation.
        large = image_size > 64
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False) if large else nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.pool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        self.bn1 = nn.BatchNorm2d(width)
        blocks, channels = [], width
        for stage, count in enumerate(stages):
            inner = width << stage
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                outputs = inner * expansion
                if expansion == 1:
                    sizes = [(channels, inner, 3, stride), (inner, inner, 3, 1)]
                else:
                    sizes = [(channels, inner, 1, 1), (inner, inner, 3, stride), (inner, outputs, 1, 1)]
                shortcut = None
                if stride != 1 or channels != outputs:
                    shortcut = nn.Sequential(
                        nn.Conv2d(channels, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
                    )
                blocks.append(Block([Unit(*size, surrogates) for size in sizes], shortcut))
                channels = outputs
        self.blocks = nn.ModuleList(blocks)
        self.final = Quantizer(surrogates[0])
        self.fc = nn.Linear(channels, classes)

    def units(self):
        return [unit for block in self.blocks for unit in block.units]

    def forward(self, x):
        starts = [block.units[0].activation for block in self.blocks] + [self.final]
        boundary = max((i for i, quantizer in enumerate(starts) if quantizer.blocks_gradient()), default=-1)
        with torch.set_grad_enabled(boundary < 0):
            x = self.pool(self.bn1(self.conv1(x)))
        for index, block in enumerate(self.blocks):
            with torch.set_grad_enabled(boundary <= index):
                x = block(x)
        return self.fc(self.final(x).mean((2, 3)))


class Case:
    """A network in a given freeze state, with data and optimizer."""

    def __init__(self, request):
        torch.manual_seed(0)
        ste = request["method"] == "ste"
        surrogates = ("clipped", "identity") if ste else ("blocked", "blocked")
        size, batch = request["image_size"], request["batch"]
        self.net = ResNet(request["model"], request["width"], 10, size, surrogates).to(DEVICE)
        self.x = torch.randn(batch, 3, size, size, device=DEVICE)
        self.y = torch.arange(batch, device=DEVICE) % 10
        if request["layout"] == "channels_last":
            self.net = self.net.to(memory_format=torch.channels_last)
            self.x = self.x.contiguous(memory_format=torch.channels_last)
        units = self.net.units()
        committed = len(units) if ste else round(request["committed"] * len(units))
        for unit in units[:committed]:
            unit.activation.committed = unit.quantizer.committed = True
        self.net.final.committed = committed == len(units)
        if committed < len(units):
            self.freeze_half(units[committed], request)
        self.bounded = [u.conv.weight for u in units if not u.quantizer.blocks_gradient()]
        stopped = {id(u.conv.weight) for u in units if u.quantizer.blocks_gradient()}
        learning = [p for p in self.net.parameters() if id(p) not in stopped]
        self.optimizer = torch.optim.SGD(learning, lr=0.01, momentum=0.9)

    def freeze_half(self, unit, request):
        """Freezes an eighth of the entries, as a cubic schedule does half way through a window."""
        unit.quantizer.mask = torch.rand_like(unit.conv.weight) < 0.125
        seen = []
        hook = unit.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
        with torch.no_grad():
            self.net(self.x[:2])
        hook.remove()
        mask = torch.rand(1, *seen[0][1:], device=DEVICE) < 0.125
        if request["layout"] == "channels_last":
            mask = mask.contiguous(memory_format=torch.channels_last)
        unit.activation.mask = mask

    def step(self):
        synchronize()
        start = time.perf_counter()
        loss = F.cross_entropy(self.net(self.x), self.y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_clamp_min_(self.bounded, -1.0) if self.bounded else None
            torch._foreach_clamp_max_(self.bounded, 1.0) if self.bounded else None
        synchronize()
        return time.perf_counter() - start


class Convolution:
    """One convolution, forward or backward with respect to both operands."""

    def __init__(self, request):
        batch, inputs, side, outputs, kernel, self.stride = request["conv"]
        self.padding = kernel // 2
        self.backward = request["backward"]
        layout = torch.channels_last if request["layout"] == "channels_last" else torch.contiguous_format
        self.x = torch.randn(batch, inputs, side, side).contiguous(memory_format=layout)
        self.w = torch.randn(outputs, inputs, kernel, kernel).contiguous(memory_format=layout)
        if self.backward:
            self.x.requires_grad_(), self.w.requires_grad_()
            y = F.conv2d(self.x, self.w, None, self.stride, self.padding)
            self.gy = torch.randn_like(y)

    def step(self):
        with torch.set_grad_enabled(self.backward):
            start = time.perf_counter()
            y = F.conv2d(self.x, self.w, None, self.stride, self.padding)
            if self.backward:
                start = time.perf_counter()
                torch.autograd.grad(y, [self.x, self.w], self.gy)
            return time.perf_counter() - start


def memory_mib(field):
    """A field of this process's status, in mebibytes; 0 if the system does not provide it."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(field + ":")) / 1024
    except OSError:
        return 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    global DEVICE
    DEVICE = arguments.device
    if DEVICE == "cuda":
        # TF32 is PyTorch's default for convolutions. Ours uses it for matrix products, too.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
        torch.zeros(1, device=DEVICE)  # fails if there is no GPU
    print(json.dumps({"peer": f"PyTorch {torch.__version__}", "threads": torch.get_num_threads()}), flush=True)
    before = memory_mib("VmRSS")
    cases = {}
    for line in sys.stdin:
        request = json.loads(line)
        steps = request.pop("steps")
        key = json.dumps(request, sort_keys=True)
        if key not in cases:
            cases[key] = Convolution(request) if "conv" in request else Case(request)
        seconds = [cases[key].step() for _ in range(steps)]
        print(json.dumps({"seconds": seconds, "peak_mib": memory_mib("VmHWM") - before}), flush=True)


if __name__ == "__main__":
    main()
