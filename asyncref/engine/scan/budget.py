"""How many objects a scan may still take: more are an error, never a cut."""

from __future__ import annotations

import math
from dataclasses import dataclass

from asyncref.errors import TooManyObjectsError


@dataclass(slots=True)
class Budget:
    """`max_objects`, shared by the sources of one scan.

    Args:
        most: None for no bound.
        uri: For the error.
    """

    most: int | None = None
    uri: str | None = None
    taken: int = 0

    def take(self, count: int) -> None:
        """Count rows.

        Raises:
            TooManyObjectsError: More than `most`.
        """
        self.taken += count
        if self.taken > (math.inf if self.most is None else self.most):
            raise TooManyObjectsError(
                f"more than max_objects={self.most} objects",
                uri=self.uri,
                hint="raise max_objects, or narrow the prefix",
            )
