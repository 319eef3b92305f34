"""The notation that `action_words` is written in: verbs by their stems and named pieces, expanded to one pattern.

`<lift rais>`: any form of verbs, given by stems without a last e, of irregular verbs also by the other forms.
`<not the of>`, `<after they both>`: a word that must not, or must, stand before; the latter may be none at all.
` ANY `: whatever may stand between. Another name in capitals: one of `PIECES`. The rest is an ordinary pattern.
"""

from __future__ import annotations

import re

PIECES = {
    # words between
    "MAYBE": r"(?:[\w'-]+ )?",
    "FEW": r"(?:(?!(?:talk|speak|say|sing|tell)\w* )[\w'-]+ ){0,3}?",
    "WORDS": r"(?:[\w'-]+ ){0,6}?",
    # within one phrase
    "SOME": (
        r"(?:(?!(?:about|at|by|for|from|how|like|on|that|to|towards?|what|which|who|with|(?<!one )(?<!both )(?<!each"
        r" )of)\b)[\w'-]+ ){0,4}?"
    ),
    "HIS": r"(?:his|her|their|its|the|one|an?|each)\b",
    # who gives, makes or has something, or does something with it
    "HAS": (
        r"(?:<giv gave offer throw threw thrown toss send sent do did mak made perform execut flash shoot shot manag"
        r" shar produc deliver sport wear wore has have had having show display add let break broke burst crack put"
        r" return exchang flick drop blow reward try trie spar provid extend rais present bestow ventur attempt repeat"
        r" begin start keep kept slip don allow forc pull muster summon>)"
    ),
    "WITH": (
        r"\b(?:with|by|has|have|had|having|keep(?:s|ing)?|kept|hold(?:s|ing)?|held|leav(?:es|ing)|through|behind"
        r"|under)\b"
    ),
    "GIVES": (
        r"(?:HAS|\b(?:with|by|in|into|through|using|via|up a)\b) (?:(?!(?:about|at|for|from|how|like|of|that|what"
        r"|which|who)\b)[\w',-]+ ){0,6}?"
    ),
    # what is moved; a hyphen makes something else of it: "hand-painted"
    "HEAD": r"\b(?:head|noggin)(?![\w-])(?! (?:of (?!the one)|chef|office|teacher|waiter|coach|nurse|cold|start))",
    "CHIN": r"(?:HEAD|\bchin\b)",
    "HAND": (
        r"\b(?:hand|arm|palm|fist|finger|forefinger|fingertip|thumb|wrist|paw|limb)s?(?![\w-])(?! (?:trees?|leaf"
        r"|leaves|beach|oil|grove|mirror|clinic))"
    ),
    "EYES": r"\b(?:eyes?|eyelids?|lids|eyelashes|lashes)(?![\w-])",
    "BROW": r"\b(?:eye)?brows?(?![\w-])(?! (?:pencil|of))",
    "BODY": (
        r"\b(?:(?:upper |whole )?body|torso|trunk|chest|shoulders?|face|nose|neck|head|weight|himself|herself|itself"
        r"|themselves|chair|seat)\b"
    ),
    # how it is moved
    "LIFT": r"<rais lift hoist elevat heave uprais uplift>",
    "DIP": r"<rais lift lower drop dip duck>",
    "VERTICALLY": (
        r"\b(?:up[ -](?:and[ -])?down|down and up|rises? and falls?|rising and falling|vertically|forwards? and"
        r" back(?:wards?)?)\b"
    ),
    "HORIZONTALLY": (
        r"\b(?:side[ -]to[ -]side|one side to (?:the other|another)|side and (?:then )?the other|left(?: and | to | or"
        r" |-|/)(?:to )?(?:the )?right|right(?: and | to | or |-|/)(?:to )?(?:the )?left|to and fro|back and forth"
        r"|both ways|horizontally|this way and that)\b"
    ),
    "SIDEWAYS": (
        r"\b(?:(?:to|on|onto|over to|off to|towards?) (?:HIS|either|another)(?: \w+)? ?(?:left|right|side|shoulder)"
        r"|(?:HIS) shoulder|sideways?|sidewards|askew|askance|aslant|awry|crooked|lopsided|off-kilter|(?:at|to|into"
        r"|on) an? (?:\w+ )?(?:angle|slant|tilt)|obliquely|diagonally|over$|left|right|leftwards?|rightwards?)\b"
    ),
    "UPWARDS": (
        r"\b(?:up|upwards?|upraised|aloft|skywards?|heavenwards?|overhead|high|higher|raised|lifted|uplifted|erect"
        r"|above|(?:in|into|to|through|towards?) the (?:\w+ )?(?:air|sky|ceiling|heavens)|over HIS head|(?:at|to)"
        r" (?:\w+ )?(?:head|eye|face|chest|shoulder|ear)[ -](?:level|height))\b"
    ),
    "FORWARDS": (
        r"\b(?:forwards?|towards? (?:us|you|him|them|some(?:one|body)|HIS)|to the front|closer|nearer|in close|up"
        r" close)\b"
    ),
    # towards whom
    "VIEWER": r"\b(?:us|(?:the|our|your) (?:camera|lens|viewers?|audience|screen|spectators?|onlookers?|glass))\b",
    "PERSON": (
        r"(?:others?|neighbou?r|partner|friend|companion|colleague|(?:co-?|fellow )?(?:host|guest|worker|presenter)"
        r"|interlocutor|counterpart|opposite number|mate|buddy|pal|peer|sibling|brother|sister|wife|husband|mother"
        r"|father|person|man|woman|boy|girl|lady|guy|gentleman|child|kid|one|fellow|speaker|listener|talker"
        r"|interviewer|interviewee|opponent|character|figure|cat|dog|bear|fox|rabbit|panda|mouse|animal|robot)"
    ),
    "OTHER": (
        r"(?:(?:HIS|that|this)(?: [\w'-]+){0,3}? PERSON\b|one another|each other|who(?:m?ever)\b|some(?:one|body)"
        r" (?:else|next|beside)|(?:him|her|them)(?=$| (?:with|for|in|from|once|again|over|a|the|\w+ly)\b))"
    ),
    # yes, no and good day
    "ASSENT": (
        r"\b(?:(?:agree|approv|assent|affirm|consent|confirm|concur|acquiesc|accept|acknowledg|understanding)\w*|yes"
        r"|yep|yeah|okay|ok)\b"
    ),
    "DENIAL": (
        r"\b(?:(?:disagree|dissent|refus|deny|denie|denial|disapprov|reject|disbelie|declin|negat|object|protest|veto"
        r"|contradict|dismiss|forbid)\w*|no way|nope|nay|no\b(?=$|[\"',]| (?:with|by|using|through|gesture|motion"
        r"|movement|sign|signal)))"
    ),
    "HELLO": (
        r"\b(?:greet\w*|hello|hullo|goodbye|good-bye|farewell|bye|bye-bye|hi|hey|adieu|so long|cheerio|salutation"
        r"|welcome|see you)\b"
    ),
    # before a verb that could be a noun
    "PLURAL": (
        r"<after they both all to people two three four will would can could may might must should does did friends"
        r" everybody everyone we men women children kids girls boys guys ladies cats dogs bears animals guests"
        r" speakers who then let lets make makes man woman>"
    ),
    # what faces show
    "SMILE": r"\b(?:smile|grin|smirk|laugh|laughter|chuckle|giggle|beam|simper)s?\b",
    "HAPPY": (
        r"\b(?:happy|happily|cheerful|delighted|joyful|pleased|amused|overjoyed|glad|jolly|merry|elated|thrilled"
        r"|content|radiant)\b"
    ),
    "AMAZED": (
        r"\b(?:surprised|astonished|amazed|startled|stunned|shocked|astounded|taken aback|dumbfounded|flabbergasted"
        r"|incredulous|wide-eyed)\b"
    ),
    "SURPRISE": r"\b(?:surprise|astonishment|amazement|wonder|shock|disbelief)\b",
    # looks
    "LOOK": r"<look glanc gaz peek peer peep star squint gawk gap gawp goggl glar glower leer>",
    "TURN": (
        r"(?:<turn swivel rotat twist pivot swing swung spin spun shift wheel whirl veer angl revolv>|\bfac(?:es|ing"
        r"|ed)\b)"
    ),
    "SEND": (
        r"<giv gave steal stole cast throw threw direct shoot shot dart flick fix set rest focus train lay laid let"
        r" drift wander mov send sent sneak slip toss point aim keep kept bring brought shift turn tak took slid"
        r" swivel fasten has have having land fling flung avert swing swung los rivet bend bent exchang trad spar"
        r" stray>"
    ),
    "GAZE": r"\b(?:gaze|eyes?|look|glance|attention|face|head|stare|peek|peep|once-over|focus|nose|sight)s?\b",
    "TOWARDS": (
        r"\b(?:to|towards?|at|into|on|onto|upon|round to|in the direction of|to face|to see|to watch|opposite)\b"
    ),
    "WHOM": r"(?:OTHER|(?:his|her|their) MAYBE (?:eyes?|face|profile)\b(?! (?:up|down|away)))",
    "ASIDE": (
        r"\b(?:aside|sideways|sidewards|sidelong|askance|away|across|leftwards?|rightwards?|left|right|over HIS MAYBE"
        r" shoulder|(?:to|towards?|at) (?:HIS|either)(?: \w+)? (?:left|right|side|shoulder))\b"
    ),
    # comes closer
    "LEAN": (
        r"<push surg lean leant bend bent bow hunch cran stoop tilt tip lung shift press inclin stretch huddl crouch"
        r" dip slouch loom swoop strain sway rock angl bob duck slump hover reach crumpl fold crick drop pitch>"
    ),
    "COME": (
        r"<com came mov get got draw drew drawn edg inch step scoot slid shuffl scooch creep crept ease nudg wriggl"
        r" hitch roll advanc approach shift slip walk go went glid drift lean leant bend bent swing swung pop press"
        r" surg hop>"
    ),
    "PUSH": (
        r"<bring brought push put stick stuck pok thrust jut mov pull shov lean leant bend bent cran press project"
        r" stretch lower inclin tip tilt shift throw threw drag scoot slid nos hunch extend crowd advanc>"
    ),
    # goes elsewhere, all of somebody and not a part
    "WALKS": (
        r"(?:<not the their his her both its>\b(?:heads|headed|heading)\b|<walk cross sidestep stroll wander march run"
        r" ran step strid strode go went mov pass ambl shuffl tiptoe hurry hurrie trot pac slip saunter limp jog dash"
        r" rush sprint skip hop danc waltz sneak creep crept glid stagger stumbl swagger strut trudg plod waddl toddl"
        r" scurry scurrie scamper bolt dart sidl circl skirt travel travers mosey drift relocat migrat shift scoot"
        r" slid leap jump lumber roam stalk prowl hobbl lurch rac hasten speed sped zip transfer wheel roll crawl"
        r" parad skat rambl promenad proceed journey weav duck com came switch chang swap pad hik nip pop bound breez"
        r" coast stomp steal stole advanc edg dodg squeez brush>|<mak made find found work tak took wend weav thread"
        r" pick wind> HIS MAYBE way\b|<mak made tak took> (?:a|several|some|two|three) (?:few )?(?:walk|stroll|steps?"
        r"|trip|turn|move)\b|<end wind wound finish reappear resurfac land arriv settl emerg reach>(?: up)?) WHOLLY"
        r" WORDS "
    ),
    "WHOLLY": (
        r"(?!.*\b(?:background|distance|heads?|hands?|arms?|eyes|brows|chin|gaze|face|body|torso|finger|palm|glance"
        r"|look|ear|weight|neck|smile|grin|lips|mouth|to and fro|back and forth)\b)"
    ),
    "FARSIDE": (
        r"(?:HIS )?(?:very |exact )?(?:(?:other|opposite|opposing|far|another|left|right|left-hand|right-hand|reverse"
        r"|farther|further) (?:side|end|edge|half|part|spot|place|position|seat|chair|corner|flank)s?|(?:side|end"
        r"|place|seat) opposite)\b"
    ),
    "SEAT": r"\b(?:place|seat|spot|side|position|chair)\b",
    "SWAP": r"<chang swap switch trad exchang swop revers interchang rotat shuffl>",
    # the camera
    "LENS": (
        r"\b(?:camera|view|viewpoint|point of view|viewfinder|shot|frame|framing|picture|image|perspective|lens|we"
        r"|zoom|scene)\b"
    ),
    "INTO": (
        r"\b(?:in(?! (?:place|focus|the (?:same|middle|cent))\b)|into|inwards?|closer|nearer|forwards?|towards?"
        r"|close(?:[ -]up)?|up (?:to|on)|near)\b"
    ),
}
"""Name -> pattern, which may be made of others."""

_ENDING = r"(?:[a-z]?(?:ing|ed)|e?[sd]?)\b"
_NAME = re.compile(r"(MAYBE|FEW|WORDS|SOME|GIVES|WALKS|WHOLLY|PLURAL) |([A-Z]{3,})")
"""The first ones take the space after them along: there may be no words."""


def phrases(text: str) -> re.Pattern[str]:
    """Any of some phrases, one a line; a line further to the right goes on with the one above."""
    text = re.sub(r"\n {5,}", " ", text)
    lines = [line.strip() for line in text.splitlines()]
    return re.compile("|".join(_expand(line) for line in lines if line and not line.startswith("#")))


def _expand(phrase: str) -> str:
    phrase = re.sub(r"<(not |after |)([a-z ]+)>", lambda found: _words(found[1].strip(), found[2].split()), phrase)
    phrase = phrase.replace(" ANY ", r"\b.*\b")
    return _NAME.sub(lambda name: _expand(PIECES[name[1] or name[2]]), phrase)


def _words(kind: str, words: list[str]) -> str:
    if kind == "not":
        return "".join(rf"(?<!\b{word} )" for word in words)
    if kind == "after":
        return "|".join(["(?:^", *(rf"(?<=\b{word} )" for word in words)]) + ")"
    return rf"\b(?:{'|'.join(words)}){_ENDING}"
