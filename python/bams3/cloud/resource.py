"""A resource of a deployment: what it is, how it should be, and how it gets so.

Each kind says whether it is there, how it is created and removed, and its *aspects*: what AWS
should say of it, and what to ask for where that differs. Making, mending and judging are then the
same for all kinds, and a deployment that broke off anywhere is finished by the next one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bams3.cloud.aws import Aws
from bams3.cloud.deployment import TAG, Deployment, Settings
from bams3.errors import ExistsError


@dataclass(frozen=True, slots=True)
class Aspect:
    """One thing about a resource.

    Attributes:
        name: What, for people.
        wanted: How it should be.
        there: Returns how it is.
        put: Makes it so.
    """

    name: str
    wanted: Any
    there: Callable[[], Any]
    put: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Found:
    """A resource that is there.

    Attributes:
        kind: What it is.
        name: Its name.
        wrong: Aspects that are not as they should be.
        counts: How many things it holds.
    """

    kind: str
    name: str
    wrong: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


class Resource(ABC):
    """A resource; `settings` is None where nothing is going to be made."""

    kind: ClassVar[str]

    def __init__(self, aws: Aws, place: Deployment, settings: Settings | None = None) -> None:
        self.aws, self.place, self.settings = aws, place, settings

    @property
    def name(self) -> str:
        """Its name."""
        return self.place.stem

    @abstractmethod
    def exists(self) -> bool:
        """Whether it is there. Raises ExistsError where it is somebody else's."""

    @abstractmethod
    def create(self) -> None:
        """Create it."""

    @abstractmethod
    def remove(self) -> None:
        """Remove it, and all in it."""

    def aspects(self) -> Sequence[Aspect]:
        """Return how it should be."""
        return ()

    def counts(self) -> dict[str, int]:
        """Count what it holds."""
        return {}

    def look(self) -> Found | None:
        """Look at it; nothing is changed."""
        if not self.exists():
            return None
        return Found(self.kind, self.name, tuple(a.name for a in self._wrong()), self.counts())

    def ensure(self) -> str:
        """Make it be there, and as it should; return what was done: created, mended or kept."""
        made = not self.exists()
        if made:
            self.create()
        wrong = self._wrong()
        for aspect in wrong:
            aspect.put()
        return "created" if made else f"mended: {_names(wrong)}" if wrong else "kept"

    def _wrong(self) -> list[Aspect]:
        return [aspect for aspect in self.aspects() if aspect.there() != aspect.wanted]

    def check_owner(self, tags: Mapping[str, str]) -> bool:
        """Return True where the tags are those of the deployment.

        Raises:
            ExistsError: They are not.
        """
        if tags.get(TAG) != self.place.name:
            raise ExistsError(
                f"{self.kind} {self.name}: is there, but without the tag {TAG}={self.place.name}",
                "choose another name, or tag it if it is to belong to the deployment",
            )
        return True


def _names(aspects: Sequence[Aspect]) -> str:
    return ", ".join(aspect.name for aspect in aspects)


def pairs(tags: Mapping[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Return tags as most services list them."""
    return [{key: name, value: text} for name, text in tags.items()]


def mapping(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Read tags as most services list them."""
    return {tag["Key"]: tag["Value"] for tag in tags}
