"""Complete trainings as functions: each takes data and a folder, and returns a `Train` that can be changed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Where a recipe is, and what it is, in a line."""

    module: str
    """Of `tubelet.recipes`, where it is the function of its name."""
    about: str


RECIPES: dict[str, Recipe] = {
    "folder": Recipe("folder", "your own clips: a folder per class, or a CSV of paths and labels"),
    "small_data": Recipe(
        "small_data", "your own clips and a pretrained model: frozen, then partial, then full"
    ),
    "modern": Recipe("modern", "a large set: AdamW, layer-wise decay, mixup and cutmix (not in the paper)"),
    "smoke": Recipe("smoke", "does everything work here? A tiny model, two epochs"),
    "vivit_b_k400": Recipe("kinetics", "official: ViViT-B/16x2, Model 1, Kinetics-400"),
    "vivit_b_fe_k400": Recipe("kinetics", "official: ViViT-B/16x2, Model 2, Kinetics-400"),
    "vivit_l_fe_k400": Recipe("kinetics", "official: ViViT-L/16x2, Model 2, Kinetics-400"),
    "vivit_l_fe_k600": Recipe("kinetics", "official: ViViT-L/16x2, Model 2, Kinetics-600"),
    "vivit_l_fe_epic": Recipe("epic", "official: ViViT-L/16x2, Model 2, EPIC-Kitchens-100, verb and noun"),
    "vivit_l_fe_ssv2": Recipe("ssv2", "official: ViViT-L/16x2, Model 2, Something-Something v2"),
    "vivit_l_fe_moments": Recipe("kinetics", "of the paper, from memory, UNVERIFIED: Moments in Time"),
}
"""In the order in which `tubelet train --list` shows them."""
