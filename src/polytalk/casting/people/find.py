"""Everybody in a picture: heads found by two kinds of detectors, bodies and masks around them; and the user's word."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from polytalk.casting.found import Finder, FoundPerson
from polytalk.casting.people.drawn_faces import DrawnHead, find_drawn
from polytalk.casting.people.faces import Face, find_faces
from polytalk.casting.people.geometry import Rect, area, common, overlap, overlap_of_smaller, to_box
from polytalk.casting.people.outlines import Outline, body_of, face_of, head_of, masks_of
from polytalk.conditioning.given_masks import MaskedBox, given_masks
from polytalk.errors import PolytalkError
from polytalk.media.image import load_image
from polytalk.scene import Box, Scene, Speaker

FACE_SCORE = DRAWN_SCORE = 0.6
"""From these scores on a find of the two kinds of detectors counts."""
BESIDE_FACES = 0.75
"""The same for what only the finder of drawings sees in a picture in which the other one finds faces: helmets and balls
look like drawn heads."""
UNSURE_DRAWN = 0.2
"""From this on, if more people are expected than were found."""
SAME_HEAD = 0.5
"""A face of which so much lies in a drawn head, or the other way round, belongs to it."""
LEAST_SIDE = 8
"""Pixels of a head's shorter side; nobody can speak in less."""


@dataclass(frozen=True, eq=False)
class _Find:
    """A head, whoever found it."""

    head: Rect
    face: Rect
    score: float
    drawn: bool
    """The box is that of the finder of drawings."""
    seen_drawn: bool
    """That finder sees a head here, too."""
    landmarks: np.ndarray | None


def find_people(picture: np.ndarray, *, expected: int | None = None) -> list[FoundPerson]:
    """The people in a picture, animals with faces included where they are drawn, from left to right.

    Args:
        picture: uint8 (height, width, 3).
        expected: how many there should be at least; finds that are less sure make up the number.

    Raises:
        PolytalkError: the face models are not installed.
    """
    height, width = picture.shape[:2]
    heads, figures = find_drawn(picture, least=UNSURE_DRAWN)
    finds = _joined(find_faces(picture), heads)
    chosen = _chosen(finds, expected or 0)
    chosen = [find for find in chosen if min(find.head[2] - find.head[0], find.head[3] - find.head[1]) >= LEAST_SIDE]
    chosen.sort(key=lambda find: (find.head[0] + find.head[2], find.head[1]))
    outlines = [Outline(find.head, find.landmarks, find.seen_drawn) for find in chosen]
    masks = masks_of((height, width), outlines, figures)
    people = []
    for number, (find, mask) in enumerate(zip(chosen, masks, strict=True), start=1):
        face, head = to_box(find.face, width, height), to_box(find.head, width, height)
        body = to_box(body_of(find.head, mask), width, height)
        finder: Finder = "drawing" if find.drawn else "photograph"
        people.append(FoundPerson(f"person {number}", face, head, body, find.score, finder, find.landmarks, mask))
    return people


def _chosen(finds: list[_Find], expected: int) -> list[_Find]:
    """The sure ones, and the best of the others as long as too few are there."""
    faces = any(find.landmarks is not None for find in finds)
    sure: list[_Find] = []
    unsure: list[_Find] = []
    for find in finds:
        least = FACE_SCORE if not find.drawn else BESIDE_FACES if faces and find.landmarks is None else DRAWN_SCORE
        (sure if find.score >= least else unsure).append(find)
    unsure.sort(key=lambda find: -find.score)
    return sure + unsure[: max(0, expected - len(sure))]


def _joined(faces: list[Face], heads: list[DrawnHead]) -> list[_Find]:
    """One find for each head, though both kinds of detectors may have seen it."""
    finds, left = [], list(heads)
    for face in faces:
        around_face = head_of(face)
        same = [head for head in left if _is_same(face, around_face, head)]
        left = [head for head in left if head not in same]
        best = max(same, key=lambda head: head.score, default=None)
        if best is not None and best.score >= DRAWN_SCORE and best.score >= face.score:
            finds.append(_Find(best.box, face.box, best.score, True, True, face.landmarks))
        else:
            seen = best is not None and best.score >= DRAWN_SCORE
            finds.append(_Find(around_face, face.box, face.score, False, seen, face.landmarks))
    return finds + [_Find(head.box, face_of(head.box), head.score, True, True, None) for head in left]


def _is_same(face: Face, head: Rect, drawn: DrawnHead) -> bool:
    return overlap(head, drawn.box) > SAME_HEAD / 2 or overlap_of_smaller(face.box, drawn.box) > SAME_HEAD


def people_of(scene: Scene) -> list[FoundPerson]:
    """Everybody who speaks or listens in a scene, in the order of its speakers.

    The user's word goes before what is found: a mask is the person's shape; a box the body, with whoever's head was
    found in it; a point means whoever is found under it, or nearest to it. Where the scene says nothing of places, it
    is who was found, from left to right.

    Raises:
        PolytalkError: the picture cannot be read, a place does not fit it, nobody is found for a point, two points show
            the same person, or fewer people are found than speak.
    """
    image = load_image(scene.image)
    scene.check_boxes(image.width, image.height)
    found = find_people(np.asarray(image), expected=len(scene.speakers))
    masks = given_masks(scene, image.width, image.height)
    if not any(speaker.has_place for speaker in scene.speakers):
        return _from_left(found, scene)
    people: list[FoundPerson] = []
    for number, (speaker, mask) in enumerate(zip(scene.speakers, masks, strict=True)):
        name = scene.names[number]
        if mask is not None:
            people.append(_in_mask(name, mask, found))
        elif speaker.box is not None:
            people.append(_in_box(name, speaker.box, found))
        else:
            assert speaker.point is not None
            people.append(replace(_at_point(speaker.point, found, number), name=name))
    pointed = [person.head for person, speaker in zip(people, scene.speakers, strict=True) if _only_point(speaker)]
    if len(set(pointed)) < len(pointed):
        raise PolytalkError("point", "two points show the same person", "Point at a person each, or give boxes.")
    return people


def with_places(scene: Scene) -> Scene:
    """The scene with a box for every speaker who has a point or a mask only, and the mask of whoever a point shows.

    Raises:
        PolytalkError: as `people_of`.
    """
    if all(speaker.box is not None or not speaker.has_place for speaker in scene.speakers):
        return scene
    speakers = []
    for speaker, person in zip(scene.speakers, people_of(scene), strict=True):
        mask = person.mask if _only_point(speaker) else speaker.mask
        speakers.append(replace(speaker, box=speaker.box or person.body, mask=mask))
    return replace(scene, speakers=speakers)


def _only_point(speaker: Speaker) -> bool:
    return speaker.point is not None and speaker.box is None and speaker.mask is None


def _from_left(found: list[FoundPerson], scene: Scene) -> list[FoundPerson]:
    count = len(scene.speakers)
    if len(found) < count:
        problem = f"{len(found)} people were found for {count} speakers"
        raise PolytalkError("image", problem, "Give every speaker a box, a point or a mask.")
    largest = sorted(found, key=lambda person: -person.head.width * person.head.height)[:count]
    chosen = [person for person in found if person in largest]
    return [replace(person, name=name) for person, name in zip(chosen, scene.names, strict=True)]


def _in_mask(name: str, mask: np.ndarray, found: list[FoundPerson]) -> FoundPerson:
    """Whoever's head lies in the mask most, with the mask's extent as body."""
    shape = MaskedBox.around(mask)
    body = Box(shape.left, shape.top, shape.right, shape.bottom)
    shares = [float(mask[p.head.top : p.head.bottom, p.head.left : p.head.right].mean()) for p in found]
    best = int(np.argmax(shares)) if found else -1
    if found and shares[best] > 0.4:
        return replace(found[best], name=name, body=body, mask=mask, finder="user")
    return FoundPerson(name, body, body, body, 0.0, "user", None, mask)


def _in_box(name: str, box: Box, found: list[FoundPerson]) -> FoundPerson:
    """Whoever's head lies in the box most, with the box as body; without a mask, since the box is the user's word."""
    edges = (box.left, box.top, box.right, box.bottom)

    def inside(person: FoundPerson) -> float:
        head = (person.head.left, person.head.top, person.head.right, person.head.bottom)
        return area(common(edges, head))

    best = max(found, key=inside, default=None)
    if best is None or inside(best) < 0.5 * best.head.width * best.head.height:
        return FoundPerson(name, box, box, box, 0.0, "user")
    return replace(best, name=name, body=box, mask=None, finder="user")


def _at_point(point: tuple[float, float], found: list[FoundPerson], number: int) -> FoundPerson:
    """Whoever is under the point: the head, else the mask, else the body around it; else the nearest head."""
    if not found:
        problem = f"nobody was found in the picture for the point of speaker {number + 1}"
        raise PolytalkError("point", problem, "Give a box or a mask.")
    x, y = point
    column, row = int(x), int(y)

    def distance(person: FoundPerson) -> float:
        head = person.head
        return float(np.hypot(x - (head.left + head.right) / 2, y - (head.top + head.bottom) / 2))

    def holds(box: Box) -> bool:
        return box.left <= x < box.right and box.top <= y < box.bottom

    under = [person for person in found if holds(person.head)]
    under = under or [person for person in found if person.mask is not None and person.mask[row, column]]
    under = under or [person for person in found if holds(person.body)]
    return min(under or found, key=distance)
