"""The models against numbers recorded from the official code: logits 2e-5, activations 5e-5 of the largest."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tubelet.layers.block import DropPath
from tubelet.layers.embedding import sinusoidal_1d, sinusoidal_3d, uniform_frames
from tubelet.layers.encoder import Encoder
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT, build_encoder
from tubelet.weights import scenic
from tubelet.weights.files import flatten, read_msgpack
from tubelet.weights.rename import read, write

SHARED = Path(__file__).resolve().parents[3] / "shared" / "golden" / "scenic"
ATTENTION = {
    "spacetime": "joint",
    "factorized_encoder": "factorised_encoder",
    "factorized_self_attention_block": "factorised_self_attention",
    "factorized_dot_product_attention": "factorised_dot_product",
}
POOL = {"token": "class", "gap": "mean", "gmp": "max", "gsp": "sum", "0": "first"}


def cases(kind: str) -> list[str]:
    found = sorted(p.name for p in (SHARED / kind).glob("*") if p.is_dir()) if SHARED.is_dir() else []
    return found or ["absent"]


def close(ours: Tensor, theirs: np.ndarray, tolerance: float) -> None:
    """Within `tolerance` of the largest recorded value."""
    assert tuple(ours.shape) == theirs.shape
    error = (ours.detach().double() - torch.from_numpy(theirs).double()).abs().max().item()
    assert error <= tolerance * np.abs(theirs).max()


def config_of(case: dict[str, Any]) -> ViViTConfig:
    """Our config for a recorded case's own."""
    height, width, *time = case["patches"]
    fields: dict[str, Any] = {
        "attention": ATTENTION[case["attention_type"]],
        "pool": POOL[case["classifier"]],
        "frames": case["frames"],
        "size": tuple(case["size"]),
        "tubelet": (*(time or [1]), height, width),
        "sampled_frames": case.get("n_sampled_frames"),
        "width": case["hidden_size"],
        "classes": tuple(case.get("class_splits", [case["num_classes"]])),
        "representation": case.get("representation_size"),
        "order": case.get("attention_order"),
        "drop_path": case.get("stochastic_droplayer_rate", 0.0),
    }
    encoder = case.get("spatial_transformer", case)
    fields |= {"depth": encoder["num_layers"], "heads": encoder["num_heads"], "hidden": encoder["mlp_dim"]}
    if fields["attention"] == "factorised_encoder":
        temporal = case.get("temporal_transformer", {"num_layers": 0, "num_heads": None, "mlp_dim": None})
        if case.get("spatial_only_baseline"):
            temporal = {"num_layers": 0, "num_heads": None, "mlp_dim": None}
        fields |= {
            "temporal_depth": temporal["num_layers"],
            "temporal_heads": temporal["num_heads"],
            "temporal_hidden": temporal["mlp_dim"],
        }
    return ViViTConfig(**fields)


def recorder(model: ViViT) -> dict[str, Tensor]:
    """Every activation that the official cases record, under their names; filled by the next forward."""
    seen: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module) -> None:
        module.register_forward_hook(lambda _m, _i, out: seen.update({name: out}))

    keep("embedding", model.embedding)
    for attribute, prefix in (("encoder", ""), ("spatial", "spatial_"), ("temporal", "temporal_")):
        encoder = getattr(model, attribute)
        if not isinstance(encoder, Encoder):
            continue
        encoder.blocks[0].register_forward_pre_hook(
            lambda _m, i, p=prefix: seen.update({f"{p}tokens_in": i[0]})
        )
        for i, block in enumerate(encoder.blocks):
            keep(f"{prefix}block_{i}", block)
        keep(f"{prefix}encoder_norm", encoder.norm)
        if attribute == "temporal":
            encoder.register_forward_pre_hook(lambda _m, i: seen.update({"spatial_pooled": i[0]}))
    return seen


def pixels(video: np.ndarray) -> Tensor:
    """`(B, F, H, W, C)` as recorded to `(B, F, C, H, W)`."""
    return torch.from_numpy(video).movedim(-1, 2)


@pytest.mark.parametrize("name", cases("forward"))
def test_forward(golden: Path, name: str) -> None:
    folder = golden / "forward" / name
    case = json.loads((folder / "config.json").read_text())
    recorded = np.load(folder / "io.npz")
    model, report = scenic.load_scenic(folder / "checkpoint", config_of(case))
    assert report.count("taken") == len(model.state_dict()) == len(case["params"])
    assert sum(p.numel() for p in model.parameters()) == case["num_params"]
    video = pixels(recorded["video"])
    expected = recorded["logits_eval" if name.startswith("droplayer") else "logits"]
    for every_token in (False, True):  # the last time with somebody who listens
        seen = recorder(model) if every_token else {}
        with torch.no_grad():
            logits, features = model(video, every_token), model.features(video, every_token)
        close(logits, expected, 2e-5)
        if "prelogits" in recorded:
            close(features, recorded["prelogits"], 5e-5)
    for key in recorded.files:
        if key in seen:
            close(seen[key].reshape(recorded[key].shape), recorded[key], 5e-5)
    activations = {"embedding", "tokens_in", "block_", "encoder_norm"}
    wanted = {k for k in recorded.files if any(a in k for a in activations)}
    assert wanted <= set(seen)
    if "spatial_pooled" in recorded and model.temporal is not None:
        assert "spatial_pooled" in seen


@pytest.mark.parametrize("name", [c for c in cases("forward") if c.startswith("droplayer")] or ["absent"])
def test_stochastic_depth(golden: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In training with the recorded draws. The official Model 3 draws none, so there ours is set to keep all."""
    folder = golden / "forward" / name
    case = json.loads((folder / "config.json").read_text())
    recorded = np.load(folder / "io.npz")
    model, _ = scenic.load_scenic(folder / "checkpoint", config_of(case))
    draws: dict[DropPath, Tensor] = {}
    for attribute, prefix in (("encoder", ""), ("spatial", "spatial_"), ("temporal", "temporal_")):
        encoder = getattr(model, attribute)
        for i, block in enumerate(encoder.blocks if encoder is not None else ()):
            for branch_name, branch in block.items():
                key = f"{prefix}drop_{'mlp' if branch_name == 'mlp' else 'attn'}_{i}"
                drop = recorded[key] if case["masks_sampled"] else np.zeros_like(recorded[key])
                draws[branch.drop_path] = 1 - torch.from_numpy(drop).float()
                expected = case["drop_probability"][f"{prefix}block_{i}"]
                assert branch.drop_path.rate == pytest.approx(expected)
    monkeypatch.setattr(
        DropPath, "draw", lambda self, x: draws[self].reshape(-1, *(1,) * (x.ndim - 1)).to(x.dtype)
    )
    with torch.no_grad():
        logits = model.train()(pixels(recorded["video"]))
    close(logits, recorded["logits_train"], 2e-5)


@pytest.mark.parametrize("name", cases("encoder"))
def test_encoder(golden: Path, name: str) -> None:
    folder = golden / "encoder" / name
    case = json.loads((folder / "config.json").read_text())
    recorded = np.load(folder / "io.npz")
    config = ViViTConfig(
        attention=ATTENTION[case["attention_type"]],  # pyright: ignore[reportArgumentType]
        frames=case["temporal_dims"],
        size=tuple(case["grid"]),
        tubelet=(1, 1, 1),
        width=case["hidden_size"],
        depth=case["num_layers"],
        heads=case["num_heads"],
        hidden=case["mlp_dim"],
        pool="mean",
        order=case.get("attention_order"),
        positions=case["positional_embedding"].replace("learned_1d", "learned"),
        final_norm=case["normalise_output"],
    ).resolved()
    encoder = build_encoder(config, config.grid, (1,) if config.attention == "joint" else (1, 2))
    parameters = flatten(read_msgpack(folder / "params.msgpack"))
    parameters = {f"Transformer/{name}": tensor for name, tensor in parameters.items()}
    names = scenic.table(factorised_attention=scenic.is_factorised_attention(parameters))
    renamed, unknown = read(parameters, names)
    assert not unknown
    encoder.load_state_dict({r.ours.removeprefix("encoder."): r.tensor for r in renamed})
    blocks: list[Tensor] = []
    for block in encoder.blocks:
        block.register_forward_hook(lambda _m, _i, out: blocks.append(out))
    with torch.no_grad():
        output = encoder.eval()(torch.from_numpy(recorded["tokens"]), config.grid)
    close(output, recorded["output"], 2e-5)
    for i, block in enumerate(blocks):
        close(block.reshape(recorded[f"block_{i}"].shape), recorded[f"block_{i}"], 5e-5)


@pytest.mark.parametrize("name", cases("checkpoints"))
def test_checkpoint_layouts(golden: Path, name: str) -> None:
    folder = golden / "checkpoints" / name
    case = json.loads((folder / "config.json").read_text())
    recorded = np.load(folder / "io.npz")
    model, _ = scenic.load_scenic(folder / "checkpoint", config_of(case))
    with torch.no_grad():
        close(model(pixels(recorded["video"])), recorded["logits"], 2e-5)


def recipe(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """A random parameter as the recorded full-size cases define it."""
    r = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape)
    *parents, leaf = name.split("/")
    if leaf == "scale":
        r = 1 + 0.3 * r
    elif leaf == "bias":
        r = 0.3 * r
    elif leaf.startswith("cls"):
        r = 0.8 * r
    elif leaf == "pos_embedding":
        r = 0.5 * r
    elif parents[-1] in ("query", "key"):
        r = 1.6 * r / np.sqrt(shape[0])
    elif parents[-1] == "out":
        r = 1.2 * r / np.sqrt(shape[0] * shape[1])
    elif parents[-1] == "embedding":
        r = 1.5 * r / np.sqrt(np.prod(shape[:-1]))
    else:
        r = 1.2 * r / np.sqrt(shape[0])
    return r.astype(np.float32)


FULL_SIZE = sorted(p.stem for p in (SHARED / "full_size").glob("*.json")) or ["absent"]


@pytest.mark.parametrize("name", FULL_SIZE)
def test_full_size(golden: Path, name: str) -> None:
    """The paper's sizes, whole: parameters by the recorded recipe, one clip of 32 frames."""
    case = json.loads((golden / "full_size" / f"{name}.json").read_text())
    parameters: dict[str, Tensor] = {}
    for theirs, facts in case["parameters"].items():
        value = recipe(theirs, tuple(facts["shape"]), case["seed"])
        assert value.flatten()[:2] == pytest.approx(facts["first"], rel=1e-6)
        parameters[theirs] = torch.from_numpy(value)
    renamed, unknown = read(parameters, scenic.table(False, scenic.is_factorised_attention(parameters)))
    assert not unknown
    with torch.device("meta"):
        model = ViViT(config_of(case)).eval()
    model.load_state_dict({r.ours: r.tensor for r in renamed}, assign=True)
    assert sum(p.numel() for p in model.parameters()) == case["num_params"]
    shape = (1, 32, *case["size"], 3)
    video = np.random.default_rng([case["seed"], 777]).uniform(-1, 1, shape).astype(np.float32)
    assert float(video.astype(np.float64).sum()) == pytest.approx(case["video"]["sum"], rel=1e-6)
    recorded = np.load(golden / "full_size" / f"{name}.npz")
    with torch.inference_mode():
        close(model(pixels(video)), recorded["logits"], 2e-5)


TREES = sorted(p.stem for p in (SHARED / "parameter_trees").glob("*.json")) or ["absent"]


def tree_config(name: str) -> ViViTConfig:
    """The model behind a recorded tree of parameters."""
    attention = next(
        (a for a in ("factorised_self", "factorised_dot", "factorised_enc") if a in name), "joint"
    )
    attention = {
        "factorised_self": "factorised_self_attention",
        "factorised_dot": "factorised_dot_product",
        "factorised_enc": "factorised_encoder",
    }.get(attention, "factorised_encoder" if name.endswith("_fe") else "joint")
    fields: dict[str, Any] = {"attention": attention}
    if name.startswith("vivit"):
        fields["pool"] = "class" if name.endswith("token") else "mean"
    if "avgpool" in name:
        fields["temporal_depth"] = 0
    if "large" in name:
        fields |= {"width": 1024, "depth": 24, "heads": 16, "hidden": 4096}
        fields["temporal_depth"] = 24 if "k400" in name or "k600" in name else 4
    if "k600" in name:
        fields["classes"] = (600,)
    if "epic" in name:
        fields["classes"] = (300, 97)
    if "ssv2" in name:
        fields |= {"classes": (174,), "size": 256}
    return ViViTConfig(**fields)


@pytest.mark.parametrize("name", TREES)
def test_parameter_trees(golden: Path, name: str) -> None:
    """Names, shapes and number of parameters map one to one."""
    case = json.loads((golden / "parameter_trees" / f"{name}.json").read_text())
    config = tree_config(name)
    with torch.device("meta"):
        model = ViViT(config)
    state = model.state_dict()
    assert sum(p.numel() for p in model.parameters()) == case["num_params"]
    table = scenic.table(False, config.attention == "factorised_self_attention")
    temporal = model.config.temporal_heads or model.config.heads
    written = write(state, table, lambda n: temporal if n.startswith("temporal") else model.config.heads)
    assert {n: list(t.shape) for n, t in written.items()} == case["params"]
    renamed, unknown = read(written, table)
    assert not unknown
    assert {r.ours: r.tensor.shape for r in renamed} == {n: t.shape for n, t in state.items()}


def test_sinusoidal_tables(golden: Path) -> None:
    recorded = np.load(golden / "functions" / "positional_embedding.npz")
    for name in recorded.files:
        kind = name.split("_")[1]
        sizes = [int(part.lstrip("thwlendim")) for part in name.split("_")[2:]]
        if kind == "1d":
            close(sinusoidal_1d(*sizes).reshape(recorded[name].shape), recorded[name], 1e-6)
        elif kind == "3d":
            table = sinusoidal_3d((sizes[0], sizes[1], sizes[2]), sizes[3])
            close(table.reshape(recorded[name].shape), recorded[name], 1e-6)


def test_uniform_frames(golden: Path) -> None:
    """Exactly as many as asked for by default; the official rule, one too many included, by name."""
    recorded = json.loads((golden / "functions" / "frame_sampling.json").read_text())["indices"]
    too_many = 0
    for key, indices in recorded.items():
        length, count = (int(n) for n in key.split("/"))
        assert uniform_frames(length, count, official=True) == indices
        ours = uniform_frames(length, count)
        assert len(ours) == min(count, length)
        if len(indices) == len(ours):
            assert ours == indices
        else:
            too_many += 1
    assert too_many
