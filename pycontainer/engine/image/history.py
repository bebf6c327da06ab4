"""``history``: how an image came to be, the last step first."""

from __future__ import annotations

from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from pycontainer.image.model import Image


class Step(Record):
    """One step of its making.

    Attributes:
        image_id: of the image after it, where that is known; "" for all but the last.
        created: RFC 3339 time, or "".
        created_by: the command or instruction.
        comment: what its maker said.
        size: bytes of the layer that it made.
    """

    image_id: str
    created: str
    created_by: str
    comment: str
    size: int


def history(image: Image) -> list[Step]:
    """The steps, the last first. A layer that the image's history leaves out is a step about which nothing is known."""
    sizes = [layer.facts.size for layer in image.layers]
    steps = []
    for step in image.config.history:
        size = sizes.pop(0) if not step.empty_layer and sizes else 0
        steps.append(Step("", step.created, step.created_by, step.comment, size))
    steps += [Step("", "", "", "", size) for size in sizes]
    if steps:
        steps[-1] = steps[-1]._replace(image_id=image.id)
    return steps[::-1]
