"""The training step of `ofa bench train` in Python torch: the same net, shapes, loss and optimiser, channels-last.

Reads one line of JSON: {"layers": [ofa's layers, with their input shapes], "batch", "threads", "warm_up"}, builds the
net, takes the steps of the warm-up and prints `ready`. For each further line, a number of steps, it takes these and
prints one line: a JSON list of the seconds of each.
"""

import json
import sys
import time

import torch
from torch import nn

ACTIVATIONS = {"none": nn.Identity, "relu": nn.ReLU, "relu6": nn.ReLU6, "h-swish": nn.Hardswish}


def convolution(inputs, outputs, kernel, stride, groups, activation):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        ACTIVATIONS[activation](),
    )


class Block(nn.Module):
    def __init__(self, block):
        super().__init__()
        inputs, expanded, activation = block["input"]["channels"], block["expanded"], block["activation"]
        layers = []
        if expanded != inputs:
            layers.append(convolution(inputs, expanded, 1, 1, 1, activation))
        layers.append(convolution(expanded, expanded, block["kernel"], block["stride"], expanded, activation))
        layers.append(convolution(expanded, block["channels"], 1, 1, 1, "none"))
        self.layers = nn.Sequential(*layers)
        self.residual = block["residual"]
        if block["squeeze"]:
            sys.exit("squeeze-and-excite is not part of this benchmark")

    def forward(self, x):
        return self.layers(x) + x if self.residual else self.layers(x)


def module(layer):
    ((kind, layer),) = layer.items()
    if kind == "conv":
        stride, activation = layer["stride"], layer["activation"]
        return convolution(layer["input"]["channels"], layer["channels"], layer["kernel"], stride, 1, activation)
    if kind == "block":
        return Block(layer)
    if kind == "pool":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(nn.Linear(layer["inputs"], layer["outputs"]), ACTIVATIONS[layer["activation"]]())


def main():
    problem = json.loads(sys.stdin.readline())
    torch.set_num_threads(problem["threads"])
    torch.manual_seed(0)
    layers = problem["layers"]
    net = nn.Sequential(*map(module, layers)).to(memory_format=torch.channels_last).train()
    shape = next(iter(layers[0].values()))["input"]
    images = torch.randn(problem["batch"], shape["channels"], shape["height"], shape["width"])
    images = images.to(memory_format=torch.channels_last)
    classes = next(iter(layers[-1].values()))["outputs"]
    labels = torch.arange(problem["batch"]) % classes
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4)

    def step():
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(images), labels, label_smoothing=0.1).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()

    for _ in range(problem["warm_up"]):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        print(json.dumps(seconds), flush=True)


main()
