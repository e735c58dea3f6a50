"""Conditional models: which classes there are, and the labels that come with rows and latents.

References
----------
Kingma, Rezende, Mohamed & Welling (2014), "Semi-supervised learning with deep generative models",
NeurIPS, section 2.2 (their M2, with all labels known); Sohn, Lee & Yan (2015), "Learning structured
output representation using deep conditional generative models", NeurIPS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastvae.checks.labels import class_labels, class_names, class_number
from fastvae.checks.quoting import quoted
from fastvae.data.dataset import Dataset
from fastvae.data.labelled import Labelled
from fastvae.data.rows import Rows, Use, labels_of
from fastvae.model.layers import Dense
from fastvae.model.names import Prior

Label: TypeAlias = int | str
"""A class by its number, or by its name."""

_UNCONDITIONAL = (
    "this model is not conditional and takes no {name}: build one with "
    "VAE.from_sizes(..., n_classes=...)"
)


class Conditional:
    """Base of a model: its classes, none where it is not conditional."""

    _n_classes: int
    _class_names: list[str] | None
    _prior: Prior
    _prior_layer: Dense | None

    @property
    def n_classes(self) -> int:
        """Number of classes K of a conditional model, else 0."""
        return self._n_classes

    @property
    def prior(self) -> Prior:
        """Of the latents: "normal", or of each class its own, "label"."""
        return self._prior

    @property
    def prior_layer(self) -> Dense | None:
        """With the prior "label" the layer that says it, of K one-hot inputs and 2 Z outputs.

        Mean and log-variance of class y are the two halves of weight[:, y] + bias.
        """
        return self._prior_layer

    @property
    def class_names(self) -> list[str] | None:
        """What the classes are called, in their order, where they have names."""
        return None if self._class_names is None else list(self._class_names)

    @class_names.setter
    def class_names(self, names: Sequence[str] | None) -> None:
        if names is not None and not self.n_classes:
            raise ValueError(_UNCONDITIONAL.format(name="class_names"))
        self._class_names = class_names(names, self.n_classes)

    def take_names(self, X: Rows) -> None:
        """Keep what a data set calls its labels, if it has a name for each class and none is kept.

        Parameters
        ----------
        X : array_like or Dataset
        """
        names: Mapping[int, str] | None = X.label_names if isinstance(X, Dataset) else None
        if names is None or self._class_names is not None or not self.n_classes:
            return
        listed = [names.get(label, "") for label in range(self.n_classes)]
        if all(listed) and len(set(listed)) == len(listed):
            self._class_names = listed

    def class_number(self, label: Label, name: str = "label") -> int:
        """The number of a class that is given by its number or its name.

        Raises
        ------
        TypeError, ValueError
            If there is no such class, or the model is not conditional.
        """
        if not self.n_classes:
            raise ValueError(_UNCONDITIONAL.format(name=name))
        return class_number(label, self.n_classes, self._class_names, name)

    def _with_labels(self, rows: Any, labels: ArrayLike | None, name: str) -> Any:
        """Checked rows with their labels, which are checked here; as they are without classes.

        Raises
        ------
        TypeError, ValueError
            If labels are missing, not to be there, or not what they must be.
        """
        if labels is None:
            if self.n_classes:
                raise ValueError(
                    f"this model is conditional, of {self.n_classes} classes: it needs {name}, an "
                    f"integer from 0 to {self.n_classes - 1} for each of the {len(rows):,} rows"
                )
            return rows
        if not self.n_classes:
            raise ValueError(_UNCONDITIONAL.format(name=name))
        return Labelled(rows, class_labels(labels, name, len(rows), self.n_classes))

    def _rows_and_labels(
        self, X: Rows, name: str, use: Use, labels: ArrayLike | None
    ) -> tuple[Rows, ArrayLike | None, str]:
        """Rows, their labels and what to call these: those of a data set, those of a pair that is
        held out, or those that were given beside the rows."""
        if labels is not None or not self.n_classes:
            return X, labels, "labels"
        if isinstance(X, Dataset):
            found, part = labels_of(X, use)
            if found is None:
                raise ValueError(
                    f"this model is conditional, of {self.n_classes} classes: it needs labels; the "
                    f"data set {X.name} has none ({part} is None)"
                )
            return X, found, f"{name}.{part}"
        if use != "validation":
            return X, None, "labels="
        if isinstance(X, tuple) and len(X) == 2:
            return X[0], X[1], f"{name}[1]"
        raise ValueError(
            f"this model is conditional, of {self.n_classes} classes: {name} must be a pair (rows, "
            f"labels), or a Dataset with labels; got {quoted(type(X).__name__)}"
        )

    def _sampled_labels(
        self, n: int, label: Label | Iterable[Label] | None
    ) -> NDArray[np.int64] | None:
        """The labels of n samples, None without classes; where none are asked for, all classes in
        turn.

        Raises
        ------
        TypeError, ValueError
            If they are no classes, not as many as samples, or the model is not conditional.
        """
        if label is None:
            return np.arange(n) % self.n_classes if self.n_classes else None
        if not self.n_classes:
            raise ValueError(_UNCONDITIONAL.format(name="label"))
        if isinstance(label, str) or np.ndim(label) == 0:  # type: ignore[arg-type]
            return np.full(n, self.class_number(label))  # type: ignore[arg-type]
        given = list(label)  # type: ignore[arg-type]
        if any(isinstance(one, str) for one in given):
            label = [self.class_number(one, f"label[{i}]") for i, one in enumerate(given)]
        return class_labels(label, "label", n, self.n_classes)
