"""Train the camera-motion model: `python -m tubelet.recipes.camera_motion.train OUT` (about an hour on 2 cores).

One process makes clips, one learns. Every new clip enters a pool and is learnt from a few times, each time as
another of its mirror images in space and time, whose labels are known. Clip i of a seed is always the same,
and so are the batches: a run of one seed gives the same model on the same machine.

B: batch, F: frames, S: side of the square picture.
"""

import argparse
import json
import math
import multiprocessing
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.pool import AsyncResult, Pool
from pathlib import Path

import torch
from rich.progress import Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors.torch import save_file
from torch import Tensor

from tubelet.models.vivit import ViViT
from tubelet.recipes.camera_motion.flow import DenseLesson
from tubelet.recipes.camera_motion.generator import Clips, make_clip
from tubelet.recipes.camera_motion.recipe import MODEL, CameraMotion
from tubelet.recipes.camera_motion.scenes import HELD_OUT, PHOTOGRAPHS, Plate, make_plates
from tubelet.recipes.camera_motion.scoring import as_input, balanced_accuracy, loss_of, predict
from tubelet.recipes.camera_motion.symmetry import Batch, random_symmetry
from tubelet.recipes.camera_motion.waves import start_from_motion


def plates_of(seed: int, textures: int, *, validation: bool) -> list[Plate]:
    """The scenes of training or of validation: other photographs and other textures."""
    names = HELD_OUT if validation else tuple(name for name in PHOTOGRAPHS if name not in HELD_OUT)
    # A photograph counts for several textures: list it again, the pyramids are shared.
    plates = make_plates(seed, textures=textures, photographs=names)
    return plates[: len(names)] * 4 + plates[len(names) :]


WORKER: dict[str, tuple[CameraMotion, list[Plate]]] = {}


def start_worker(recipe: CameraMotion) -> None:
    """Give a worker process its scenes, once."""
    torch.set_num_threads(1)
    WORKER["scenes"] = recipe, plates_of(recipe.seed, recipe.textures, validation=False)


def make_clips(start: int, count: int) -> Batch:
    """Clips `start` to `start + count` of the worker's recipe."""
    recipe, plates = WORKER["scenes"]
    return Batch.of([make_clip(recipe.settings(i), plates, i) for i in range(start, start + count)])


def stream(workers: Pool, start: int, chunk: int, ahead: int) -> Iterator[Batch]:
    """Chunks of clips from `start` on, in order, made ahead in other processes."""
    waiting: deque[AsyncResult[Batch]] = deque()
    while True:
        while len(waiting) <= ahead:
            waiting.append(workers.apply_async(make_clips, (start, chunk)))
            start += chunk
        yield waiting.popleft().get()


def rate_at(recipe: CameraMotion, step: int) -> float:
    """Learning rate: linear warm-up, then a cosine to zero.

    The rate is whole one step before those of `training.schedule`, and unlike `training.optimizer.build_optimizer`
    the run decays positions, and trains the lesson's layers. The model in the box was made so: they stay apart.
    """
    place = max(0, step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.learning_rate * min(1.0, (step + 1) / recipe.warmup) * 0.5 * (1 + math.cos(math.pi * place))


def validation_set(recipe: CameraMotion) -> Batch:
    """Clips of held-out photographs and textures, at full difficulty."""
    plates = plates_of(recipe.seed + 1000, 24, validation=True)
    settings = replace(recipe.clips, seed=recipe.clips.seed + 1000)
    return Batch.of([make_clip(settings, plates, i) for i in range(recipe.held_out)])


class Trainer:
    """A run: model, optimiser, pool and where they stand."""

    def __init__(self, recipe: CameraMotion) -> None:
        self.recipe = recipe
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.model = ViViT(recipe.model, self.generator)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)  # its layers draw from torch's own source
            self.lesson = DenseLesson(self.model)
        self.parameters = [*self.model.parameters(), *self.lesson.parameters()]
        decayed = [p for p in self.parameters if p.ndim > 1]
        plain = [p for p in self.parameters if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": recipe.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))
        self.pool: Batch | None = None
        self.made = 0
        self.filled = 0
        """Clips that this process put into the pool."""
        self.step = 0
        self.refill = recipe.pool // 4
        """Clips to make before learning starts."""

    def take(self, new: Batch) -> None:
        """Put new clips into the pool, over the oldest."""
        size = self.recipe.pool
        if self.pool is None:
            self.pool = Batch(*(torch.zeros(size, *part.shape[1:], dtype=part.dtype) for part in new))
        slots = (self.filled + torch.arange(len(new.clips))) % size
        for whole, part in zip(self.pool, new, strict=True):
            whole[slots] = part
        self.made += len(new.clips)
        self.filled += len(new.clips)

    def start(self) -> None:
        """Give a new model its first weights, by the clips that are there."""
        assert self.pool is not None, "no clips yet"
        first = Batch(*(part[: self.filled] for part in self.pool))
        start_from_motion(self.model, random_symmetry(first, self.generator), self.generator)

    def learn(self, fresh: int) -> Tensor:
        """One step: the newest `fresh` clips and others of the pool. Returns the loss."""
        recipe = self.recipe
        assert self.pool is not None, "no clips yet"
        newest = (self.filled - 1 - torch.arange(fresh)) % recipe.pool
        others = torch.randint(
            min(self.filled, recipe.pool), (recipe.batch - fresh,), generator=self.generator
        )
        chosen = torch.cat([newest, others])
        batch = random_symmetry(Batch(*(part[chosen] for part in self.pool)), self.generator)
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(recipe, self.step)
        self.model.train()
        loss = loss_of(self.model(as_input(batch.clips)), batch.labels)
        self.optimizer.zero_grad()
        (loss + self.lesson(batch.flow, batch.rates)).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, recipe.max_grad_norm)
        self.optimizer.step()
        self.step += 1
        return loss.detach()

    def save(self, path: Path) -> None:
        """Everything needed to go on. The pool is not kept: a resumed run fills it again."""
        state = {
            "model": self.model.state_dict(),
            "lesson": self.lesson.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "made": self.made,
            "step": self.step,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Go on where `save` stood."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.lesson.load_state_dict(state["lesson"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.step = state["step"]
        # The newest clips of the lost pool are made again.
        self.made = max(0, state["made"] - self.refill)


def train(recipe: CameraMotion, out: Path, *, minutes_between_saves: float = 3) -> ViViT:
    """Run the recipe, or go on with the run in `out`. Leaves `model.safetensors` and `config.json` there."""
    out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(recipe)
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        trainer.load(checkpoint)
    fill = trainer.refill
    held_out = validation_set(recipe)
    columns = (
        *Progress.get_default_columns()[:2],
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with (
        multiprocessing.get_context("spawn").Pool(1, start_worker, (recipe,)) as workers,
        Progress(*columns) as bar,
    ):
        chunks = stream(workers, trainer.made, recipe.fresh, ahead=8)
        task = bar.add_task("training", total=recipe.steps, completed=trainer.step, note="filling the pool")
        while fill > 0:
            trainer.take(new := next(chunks))
            fill -= len(new.clips)
        if trainer.step == 0:
            trainer.start()
            write_log(out, trainer, None, held_out)
        saved, mean = time.monotonic(), torch.tensor(0.0)
        while trainer.step < recipe.steps:
            trainer.take(next(chunks))
            mean = mean + trainer.learn(recipe.fresh)
            if trainer.step % 100 == 0:
                write_log(out, trainer, float(mean) / 100, held_out if trainer.step % 500 == 0 else None)
                mean = torch.tensor(0.0)
            bar.update(task, completed=trainer.step, note=f"{trainer.made} clips")
            if time.monotonic() - saved > 60 * minutes_between_saves:
                trainer.save(checkpoint)
                saved = time.monotonic()
    trainer.save(checkpoint)
    # Half precision halves the file and changes no answer.
    save_file({k: v.half() for k, v in trainer.model.state_dict().items()}, out / "model.safetensors")
    (out / "config.json").write_text(json.dumps(recipe.model.to_dict(), indent=2) + "\n")
    return trainer.model


def write_log(out: Path, trainer: Trainer, loss: float | None, held_out: Batch | None) -> None:
    """One line of JSON: step, and where given the loss and the balanced accuracies on held-out scenes."""
    line: dict[str, float] = {
        "step": trainer.step,
        "clips": trainer.made,
        "cpu_seconds": round(time.process_time()),
    }
    if loss is not None:
        line["loss"] = round(loss, 4)
    if held_out is not None:
        line |= {
            k: round(v, 4)
            for k, v in balanced_accuracy(predict(trainer.model, held_out.clips), held_out.labels).items()
        }
    with (out / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder of the run; an unfinished run there goes on")
    parser.add_argument("--steps", type=int, default=CameraMotion().steps)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--threads", type=int, default=1, help="threads that learn; one more process makes clips"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    seed = arguments.seed
    train(
        CameraMotion(steps=arguments.steps, seed=seed, clips=Clips(seed=seed, side=MODEL.pixels[0])),
        arguments.out,
    )


if __name__ == "__main__":
    main()
