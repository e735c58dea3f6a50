"""Pictures of a variational autoencoder and of its training, drawn with matplotlib.

Each function takes an optional ``ax`` (or ``figure``), makes a new one where none is given, and
returns it. Only matplotlib's object interface is used: no display is needed, and neither
``matplotlib.pyplot`` nor any global setting is touched. Many small images are drawn as one tiled
image, which is faster than an Axes for each and gives a smaller file.

matplotlib is loaded when the first of these functions is asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastvae.plots.charts import activity, losses
    from fastvae.plots.classes import classes_by_styles
    from fastvae.plots.drawing import save_figure, tile_images
    from fastvae.plots.latents import interpolate
    from fastvae.plots.pictures import (
        interpolation,
        manifold,
        prior_and_posterior,
        reconstructions,
        samples,
    )
    from fastvae.plots.scatter import latent_space

__all__ = [
    "activity",
    "classes_by_styles",
    "interpolate",
    "interpolation",
    "latent_space",
    "losses",
    "manifold",
    "prior_and_posterior",
    "reconstructions",
    "samples",
    "save_figure",
    "tile_images",
]

_HOMES = {
    "activity": "charts",
    "classes_by_styles": "classes",
    "interpolate": "latents",
    "latent_space": "scatter",
    "losses": "charts",
    "save_figure": "drawing",
    "tile_images": "drawing",
}


if not TYPE_CHECKING:  # to a type checker every name would be one that there is

    def __getattr__(name: str) -> Any:
        if name in __all__:
            home = importlib.import_module(f"fastvae.plots.{_HOMES.get(name, 'pictures')}")
            globals()[name] = value = getattr(home, name)
            return value
        raise AttributeError(f"module 'fastvae.plots' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
