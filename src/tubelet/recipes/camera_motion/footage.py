"""What a camera does to a picture besides moving: light, noise, blur, bars, captions, recompression.

All functions take and return frames as float (F, 3, S, S) in [0, 255]; chance comes from a numpy generator.
"""

import io

import av
import numpy as np
import torch
import torch.nn.functional as F
from av.video.stream import VideoStream
from PIL import Image
from torch import Tensor


def change_colours(rng: np.random.Generator, frames: Tensor) -> Tensor:
    """One development of the whole clip: channel order, gain and offset, now and then grey."""
    if rng.random() < 0.5:
        frames = frames[:, rng.permutation(3).tolist()]
    if rng.random() < 0.15:
        frames = frames.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    contrast = float(np.exp(rng.normal(-0.1, 0.35)))
    if rng.random() < 0.15:
        contrast *= float(rng.uniform(0.15, 0.5))  # night, fog
    tint = torch.from_numpy(np.exp(rng.normal(0, 0.08, (1, 3, 1, 1)))).float()
    middle = frames.mean()
    contrast = max(contrast, 6 / (float(frames.std()) + 1))  # something must stay to be seen
    return (frames - middle) * contrast * tint + float(rng.uniform(50, 200))


def change_light(rng: np.random.Generator, frames: Tensor) -> Tensor:
    """Light that changes during the clip: a drift of the exposure, flicker, a lamp switched on or off."""
    count = len(frames)
    place = np.arange(count) / count
    gain = np.ones(count)
    if rng.random() < 0.25:
        gain *= np.exp(rng.normal(0, 0.4) * place)
    if rng.random() < 0.15:
        gain *= 1 + rng.uniform(0.02, 0.25) * np.sin(
            2 * np.pi * rng.uniform(0.5, 12) * place + rng.uniform(0, 6)
        )
    if rng.random() < 0.05:
        gain *= np.where(place < rng.random(), 1, rng.uniform(0.4, 1.8))
    if rng.random() < 0.03:
        gain[int(rng.integers(count))] *= rng.uniform(1.2, 2.5)
    return frames * torch.from_numpy(gain).float()[:, None, None, None]


def soften(rng: np.random.Generator, frames: Tensor) -> Tensor:
    """Defocus, the same in every frame."""
    side = frames.shape[-1]
    small = int(side / rng.uniform(1.2, 4))
    frames = F.interpolate(frames, size=(small, small), mode="bilinear", antialias=True)
    return F.interpolate(frames, size=(side, side), mode="bilinear")


def add_noise(rng: np.random.Generator, frames: Tensor) -> Tensor:
    """Sensor noise, new in every frame; now and then fixed dirt on the lens as well."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    grain = torch.randn(frames.shape, generator=generator) * float(rng.uniform(1, 14))
    if rng.random() < 0.3:
        grain = grain.mean(1, keepdim=True) * 1.5
    return frames + grain


def add_bars(rng: np.random.Generator, frames: Tensor) -> Tensor:
    """Black bars above and below, or left and right: the picture itself is squashed between them."""
    side = frames.shape[-1]
    bar = int(rng.uniform(0.06, 0.2) * side)
    wide = rng.random() < 0.7
    inner = (side - 2 * bar, side) if wide else (side, side - 2 * bar)
    frames = F.interpolate(frames, size=inner, mode="bilinear", antialias=True)
    return F.pad(frames, (0, 0, bar, bar) if wide else (bar, bar, 0, 0))


def add_caption(rng: np.random.Generator, frames: Tensor) -> Tensor:
    """A still logo, caption or clock near an edge: it does not move with the picture."""
    side = frames.shape[-1]
    height, width = (int(side * v) for v in (rng.uniform(0.06, 0.2), rng.uniform(0.1, 0.9)))
    top = int(rng.choice([rng.uniform(0, 0.1), rng.uniform(0.7, 0.85)]) * side)
    left = int(rng.uniform(0, 1) * (side - width))
    cells = torch.from_numpy(rng.random((1, 1, max(1, height // 3), max(1, width // 3)))).float()
    mask = (F.interpolate(cells, size=(height, width)) < float(rng.choice([0.4, 0.6, 1.0]))).float()
    opacity = mask * float(rng.uniform(0.5, 1))
    colour = torch.from_numpy(rng.uniform(0, 255, (1, 3, 1, 1))).float()
    frames = frames.clone()
    region = frames[:, :, top : top + height, left : left + width]
    opacity = opacity[:, :, : region.shape[2]]
    region.mul_(1 - opacity).add_(colour * opacity)
    return frames


def recompress(rng: np.random.Generator, frames: Tensor) -> Tensor:
    """A round trip through JPEG pictures or an MPEG-4 stream of some quality."""
    pictures = frames.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    if rng.random() < 0.5:
        quality = int(rng.integers(25, 90))
        decoded = np.stack([through_jpeg(picture, quality) for picture in pictures])
    else:
        decoded = through_codec(pictures, "mpeg4", {"qmin": (q := str(int(rng.integers(2, 14)))), "qmax": q})
    return torch.from_numpy(decoded).permute(0, 3, 1, 2).float()


def through_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """One uint8 (H, W, 3) picture through JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def through_codec(pictures: np.ndarray, codec: str, options: dict[str, str], rate: int = 8) -> np.ndarray:
    """uint8 (F, H, W, 3) pictures through a video codec, in memory. H and W must be even."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as out:
        stream = out.add_stream(codec, rate=rate, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = pictures.shape[2], pictures.shape[1], "yuv420p"
        stream.thread_count = 1  # the same bytes on every machine
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, "r") as coded:
        coded.streams.video[0].thread_count = 1
        decoded = [frame.to_ndarray(format="rgb24") for frame in coded.decode(video=0)]
    assert len(decoded) == len(pictures), "the codec dropped frames"
    return np.stack(decoded)


def spoil(rng: np.random.Generator, frames: Tensor, amount: float = 1.0) -> Tensor:
    """What happens to footage, each harm at its own chance, all chances scaled by `amount` (0: only colours)."""
    frames = change_colours(rng, frames)
    harms = (
        (change_light, 1.0),
        (soften, 0.2),
        (add_bars, 0.12),
        (add_caption, 0.15),
        (add_noise, 0.5),
        (recompress, 0.3),
    )
    for harm, chance in harms:
        if rng.random() < chance * amount:
            frames = harm(rng, frames)
    return frames.clamp(0, 255)
