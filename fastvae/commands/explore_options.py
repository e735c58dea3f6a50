"""The options of ``fastvae explore``."""

from fastvae.commands.arguments import (
    DATA_DIR,
    SHIPPED,
    Command,
    count,
    model,
    option,
    path_name,
    seed,
    shape,
)

EXPLORE = Command(
    "explore",
    "explore:explore",
    "write a page to play with a model in the browser",
    "Write a page, one HTML file, on which a model is played with: latents are moved, digits drawn "
    "and encoded. It needs no server and no network. Rows of the data are stored in it, as they "
    "are.",
    groups={
        "data": [
            option(
                "--data",
                "--dataset",
                dest="dataset",
                metavar="NAME",
                type=path_name,
                help="rows to store some of, as --dataset of other commands names them: a data set "
                "or a file (default: the named one that the model was trained on, if it is on this "
                "machine; else drawn digits for models of 28x28 pixels, and for others rows that "
                "the model draws)",
            ),
            DATA_DIR,
            option(
                "--rows",
                metavar="N",
                type=count,
                default=300,
                help="how many rows to store at most (default: %(default)s)",
            ),
        ]
    },
    options=[
        model(),
        option(
            "--out",
            "--output",
            dest="out",
            metavar="FILE",
            type=path_name,
            default="explore.html",
            help="page to write, .html; an existing one is replaced (default: %(default)s)",
        ),
        option(
            "--title",
            metavar="TEXT",
            type=path_name,
            help="heading of the page (default: the model's name)",
        ),
        option(
            "--image-shape",
            metavar="HxW",
            type=shape,
            help="height and width of rows that are images; 1xN shows rows of N features as they "
            "are (default: a square where the number of features is one and the likelihood is of "
            "grey values)",
        ),
        seed("the choice of the rows"),
    ],
    shipped=SHIPPED,
)
