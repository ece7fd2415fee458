"""The smallest ONNX file there is: one convolution of 1×1, written field by field as protobuf."""

import struct

FLOAT, INTS = 1, 7  # ONNX's numbers for a tensor of floats and an attribute of integers


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _image_of(name: str, channels: int, side: int) -> bytes:
    """A ValueInfo: batch of one, `channels` × `side` × `side` floats."""
    shape = b"".join(_field(1, _field(1, size)) for size in (1, channels, side, side))
    return _field(1, name) + _field(2, _field(1, _field(1, FLOAT) + _field(2, shape)))


def pixelwise_model(weights: tuple[float, float, float], side: int = 320) -> bytes:
    """Return a model whose answer at each pixel is the weighted sum of its red, green and blue."""
    tensor = b"".join(_field(1, size) for size in (1, 3, 1, 1)) + _field(2, FLOAT)
    tensor += _field(8, "w") + _field(9, struct.pack("<3f", *weights))
    kernel = _field(1, "kernel_shape") + _field(8, 1) + _field(8, 1) + _field(20, INTS)
    node = _field(1, "x") + _field(1, "w") + _field(2, "y") + _field(3, "conv") + _field(4, "Conv") + _field(5, kernel)
    graph = _field(1, node) + _field(2, "g") + _field(5, tensor)
    graph += _field(11, _image_of("x", 3, side)) + _field(12, _image_of("y", 1, side))
    return _field(1, 7) + _field(2, "tests") + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13))
