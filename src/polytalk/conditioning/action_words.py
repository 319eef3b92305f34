"""Words for what people and cameras do, as patterns over a clause in lower case."""

from __future__ import annotations

import re

from polytalk.conditioning.gestures import CAMERA, WALK

_SOME = r"(?:\w+ ){0,3}?"
"""A few words between a verb and what it moves."""
_HEAD = rf"{_SOME}head"
_HAND = r"(?:hand|arm|palm|finger|fist|thumb)s?\b"
_EYES = r"(?:eyes?|eyelids?|lids)\b"
_BROWS = r"(?:eye)?brows?\b"
_OTHER = (
    r"(?:(?:the|his|her|their|its|each|one|an?)\b.*\b(?:other|neighbou?r|partner|friend|companion|colleague|left|right"
    r"|side|person|man|woman|one|boy|girl|listener|speaker)|one another|him|her|them)\b"
)
_THEY = r"(?:they|both|all|to|people|and|who|then|friends|everybody|everyone|we)"
_LENS = r"(?:camera|view|shot|frame|framing|picture|image|perspective|lens|we|zoom)"
_HELLO = r"\b(?:greet\w*|hello|goodbye|farewell|bye|hi)\b"
_NO = r"\b(?:disagree|refus|deny|denies|denial|disapprov|reject|disbelie)\w*"
_YES = r"\b(?:agree|approv|assent|affirm|consent)\w*"


def _do(verbs: str, what: str) -> str:
    """Verbs, without their endings, and what stands after them."""
    return rf"\b(?:{verbs})\w* {what}"


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


PATTERNS: dict[str, re.Pattern[str]] = {
    CAMERA: _any(
        rf"\b{_LENS}\b.*\b(?:mov|com|get|go|push|creep|glid|zoom|doll|drift|track|travel|roll|float|inch|edg|draw|slid"
        r"|eas|fly|flies|crawl|advanc|clos|press|pull)\w* .*\b(?:in|into|closer|nearer|forwards?|towards?|up)\b",
        rf"\b{_LENS}\b.*\b(?:approach|tighten|narrow)\w*",
        r"\bzoom(?:s|ing)? (?:\w+ )?in\b",
        r"\b(?:push|dolly|zoom)[ -]in\b",
        r"\bdoll(?:y|ies|ying) (?:in|forward|towards?)",
    ),
    WALK: _any(
        _do(
            "walk|cross|stroll|wander|march|run|step|stride|go|mov|pass|amble|shuffl|tiptoe|hurr|trot|pac|slip",
            r"(?!.*\b(?:head|hands?|eyes|brows|chin|gaze)\b)"
            r".*\b(?:side|sides|across|over|past|places?|behind|in front|around|from .* to)\b",
        ),
        _do("chang|swap|switch|trad|exchang|tak", r"(?:\w+ )?(?:sides|places|seats|positions|spots)"),
    ),
    "shakes the head": _any(
        _do("shak|wag|swing|swivel|twist|rock", _HEAD),
        _do("say|signal|answer|gestur|indicat", "no with"),
        rf"{_NO} .*\b(?:head|chin)",
        rf"\bhead .*{_NO}",
        r"\bhead ?shake|\bshake of \w+ head",
        r"\bhead .*\b(?:side to side|left (?:and|to) right|right (?:and|to) left|to and fro|back and forth)",
    ),
    "nods": _any(
        r"\bnod(?:s|ded|ding)?\b",
        _do("say|signal|answer|gestur|indicat", "yes with"),
        _do("mov|bob|dip|jerk|bow", rf"{_SOME}(?:head|chin)"),
        r"\b(?:head|chin) .*(?:up and down|down and up)",
        rf"{_YES} .*\b(?:head|chin)\b",
        rf"\b(?:head|chin) .*{_YES}",
    ),
    "waves": _any(
        r"(?<!radio )(?<!heat )(?<!sound )(?<!the )(?<!of )(?<!big )(?<!biggest )(?<!sea )(?<!light )"
        r"\bwav(?:es|ing|ed)\b",
        rf"\b{_THEY} wave\b",
        r"\b(?:a|his|her|their) (?:\w+ ){0,2}?wave\b(?! (?:in|through|across))",
        _do("swing|mov|shak|wiggl|flutter|flap|swish|waggl|wag", f"{_SOME}{_HAND}"),
        rf"{_HELLO}.*\b{_HAND}",
        rf"\b{_HAND} .*{_HELLO}",
        rf"\b(?:wiggl|flutter|waggl)\w* .*{_HELLO}",
    ),
    "raises a hand": _any(
        _do(
            "rais|lift|hold|put|stretch|show|stick|throw|reach|thrust|bring|extend|flash|shoot|fling|pop|point",
            f"{_SOME}{_HAND}",
        ),
        rf"\b{_HAND} (?:goes |shoots |flies |is |comes )?(?:up|in the air|raised|rises|high|overhead)\b",
    ),
    "closes the eyes": _any(
        _do("clos|shut|squeez|lower|drop|screw|rest", f"{_SOME}{_EYES}"),
        rf"\b{_EYES} .*\b(?:closed|shut|close|fall|droop|drop|sink)\b",
    ),
    "raises the brows": _any(
        _do("rais|lift|arch|pull|hitch|hik|hoist|quirk|jerk|flash|flick|shoot|perk|cock", f"{_SOME}{_BROWS}"),
        rf"\b{_BROWS} .*\b(?:up|upwards?|rise|go|shoot|jump|climb|lift|arch|raised|lifted)\b",
        r"\b(?:looks?|seems?|appears?|is|are) (?:\w+ )?(?:surprised|astonished|amazed|startled)",
        r"\bin (?:\w+ )?(?:surprise|astonishment|amazement)\b",
    ),
    "looks to the other": _any(
        _do(
            "look|turn|glanc|gaz|peek|peer|fac|star|swivel|rotat|twist|pivot|swing|shift|steal|cast|throw|direct",
            rf"(?:\w+ ){{0,4}}?(?:to|towards?|at|into) {_OTHER}",
        ),
        _do(
            "look|turn|glanc|gaz|peek|peer|fac|star|swivel|rotat|twist",
            r"(?:\w+ ){0,4}?(?:aside|sideways|away|across)\b",
        ),
        rf"\bfac(?:e|es|ing) {_OTHER}",
        r"\bover (?:his|her|their|the) shoulder\b",
    ),
    "tilts the head": _any(
        _do("tilt|cock|inclin|tip|slant|lean|bend|angl|lay|rest|drop|roll|let", _HEAD),
        r"\bhead .*\b(?:tilted|sideways|askew|to (?:one|a) side|shoulder)\b",
        r"\bear .*\bshoulder\b",
    ),
    "smiles": _any(
        r"\b(?:smil|grin|smirk|chuckl|giggl)(?:es|s|ing|ed|ned|ning)\b",
        rf"\b{_THEY} (?:smile|grin|laugh|smirk)\b",
        _do(
            "giv|flash|break|burst|show|crack|offer|put|wear|form|shar",
            r"(?:\w+ ){0,4}?(?:smile|grin|smirk|laughter)\b",
        ),
        r"\bbeam(?:s|ing|ed)\b|\blaugh(?:s|ing)\b|\bshow\w* (?:\w+ )?teeth\b",
        r"\b(?:looks?|seems?) (?:\w+ )?(?:happy|cheerful|delighted|joyful)",
        r"\b(?:mouth|lips|face) .*\b(?:smile|grin|curl|curve|light|brighten|broaden)",
    ),
    "leans in": _any(
        _do(
            "lean|bend|bow|hunch|cran|stoop|tilt|tip|lung|shift|press",
            r"(?:\w+ ){0,3}?(?:in|forwards?|towards?|closer|over|into|nearer)\b",
        ),
        _do(
            "com|mov|get|draw|edg|inch|step|scoot|slid|bring|push|put|stick",
            r"(?:\w+ ){0,3}?(?:closer|nearer|forwards?)\b",
        ),
        _do("com|mov|get|approach", r"(?:\w+ ){0,3}?(?:the )?(?:us|camera|lens|viewer|audience)\b"),
    ),
}
"""Action -> what says so, to be searched in this order."""
