"""What says that somebody, or the camera, does something: one pattern per action, `PATTERNS`, over a clause.

Clauses are in lower case, patterns in the notation of `polytalk.motion.phrases`. Each action has verbs that say it
alone ("nods"), verbs with what they move ("lifts" and a hand), nouns that somebody gives, makes or has ("gives a nod"),
and what a part of the body does ("hand in the air").
"""

from __future__ import annotations

import re

from polytalk.motion.gestures import CAMERA, WALK
from polytalk.motion.phrases import phrases

_CAMERA = phrases(r"""
    LENS.*<mov com came get got go went push creep crept glid zoom dolly dollie drift track travel roll float inch edg
        draw drew drawn slid eas ease fly flie flew crawl advanc clos press pull punch truck sail swoop sneak steal
        dart rush lean rid driv drove rode walk sink plung div home bring brought tak took carry carrie end finish
        land settl hom proceed progress work magnify magnifie cut ramp start begin bore>.*INTO
    LENS.*<approach tighten narrow magnify magnifie advanc>
    LENS.*<get got grow grew becom becam turn chang>.*\b(tighter|larger|bigger|nearer|closer|narrower|close-?up)\b
    LENS.*<clos narrow shorten reduc shrink bridg> the MAYBE (distance|gap)
    ^<clos> in on
    distance to the camera ANY <shrink shrank decreas lessen narrow>
    LENS.*\bzoom(s|ed|ing)?\b(?! MAYBE (out|back|away|lens|meeting|call))
    <zoom> MAYBE (in(to|wards?)?|on|onto|to)\b
    \b(slow|gentle|gradual|smooth|soft|steady|quick|fast) zoom($| (on|to))
    \b(push|dolly|dollie|zoom|track|creep|punch)(ing)?[ -]in\b
    \b(zoom|dolly|push|tracking shot|push-in|camera move)(ing)? FEW (towards?|into|onto|closer|forward)\b
    <dolly dollie> MAYBE (in|forwards?|towards?|closer)\b
    \b(forward|inward) MAYBE (zoom|dolly|movement|move|motion|push|glide|track|shot)\b
    \b(viewer|audience|spectator)s? (is|are) (brought|drawn|pulled|taken) (closer|nearer|in)\b
    <fill> (up )?the (frame|screen|picture|shot|image)
    <grow grew get got becom loom> MAYBE (larger|bigger|closer) FEW in (the )?(frame|shot|picture|view)
""")

_TILTS = phrases(r"""
    <tilt cock tip slant angl cant list skew quirk> SOME HEAD(?!.*(VERTICALLY|HORIZONTALLY| forward))
    <tilt cock tip slant angl inclin stretch cran kink> SOME (chin|face|neck|gaze)\b(?!.*HORIZONTALLY).*SIDEWAYS
    <lean leant bend bent inclin lay laid rest drop roll let lower put hold held bring brought keep kept dip fall fell
        flop loll sink sank nestl sag crook twist droop hang hung carry carrie crick nudg ease slump duck bow set>
        SOME (HEAD|\b(neck|ear)\b)(?!.*HORIZONTALLY).*SIDEWAYS
    <mov> SOME HEAD.*shoulder
    <inclin crick crook kink> SOME (HEAD|neck\b)(?!.*\b(agree|assent|approv|affirm|yes|forward|greet))
    <tilt tip list lean slant cant> MAYBE (sideways|to (one|the) side)\b
    \bhead[ -]?(tilt|cock|tip|lean)(s|ing|ed)?\b
    <tilt cock slant tip lean cant> of SOME (head|neck)\b
    GIVES tilt\b(?! of)
    WITH SOME (tilted|cocked|slanted|inclined|tipped|angled) SOME HEAD
    # what the head does
    \b(head|neck) FEW (<tilt cock slant inclin tip angl>|leaning|askew|askance|aslant|crooked|lopsided)\b
    \b(head|neck) FEW (on (one|the) side|(at|on) an? MAYBE (angle|slant|tilt))
    (^|with )(HIS )?head FEW (sideways|(to|on|over) (HIS) (side|shoulder))
    (head|neck) MAYBE <lean lis loll fall flop droop drop sink roll>.*SIDEWAYS
    head MAYBE <loll>
    \b(ear|cheek|temple) ANY shoulder\b
    <cock inclin> (an|one) ear\b
""")

_SHAKES = phrases(r"""
    <shak shook wag waggl wobbl> SOME HEAD(?!.*VERTICALLY)
    <swing swung swivel twist rock sway> 
        SOME HEAD(?!.*\b(to|towards?|at|up and down|round|sideways|aside|away|back|over|forward)\b(?! (say|and|fro)\b))
    (HEAD|\b(face|chin)\b).*HORIZONTALLY
    HORIZONTALLY.*(HEAD|DENIAL)
    \bhead[ -]?shak\w*
    <shak> of SOME HEAD
    <giv gave> HIS head SOME shake\b
    DENIAL.*CHIN
    CHIN.*DENIAL
    GIVES (negative|disapproving|dismissive|no|no-no)[ -]MAYBE (shake|gesture|motion|movement|sign)\b
    <gestur motion sign mim> (a )?no\b
    <say said answer signal> no(?= (without|silently|wordlessly))
    \b(silent|mute|wordless)\w* (disagree|refus|reject|disapprov|den)
""")

_NODS = phrases(r"""
    \bnod(s|ded|ding)?\b(?! (off|acquaintance)\b)
    \bhead[ -](nod|bob|dip)
    \b(head|chin) MAYBE <bob nod dip bounc>
    CHIN.*VERTICALLY
    VERTICALLY.*CHIN
    DIP and (then )?DIP SOME CHIN
    DIP SOME CHIN and (then )?DIP it
    <bob jerk bow pump bounc dip duck jog> SOME CHIN
    <lower drop tuck> SOME chin\b
    GIVES (dip|bob|jerk|bow|inclination|duck)s? (of|with) SOME CHIN
    ASSENT.*CHIN
    CHIN.*ASSENT
    GIVES (nodding|agreeing|approving|affirmative|affirming|yes)[ -]MAYBE (motion|movement|gesture|sign)\b
    <gestur motion sign mim> (a )?yes\b
    <say said answer signal> yes(?= (without|silently|wordlessly))
    \b(silent|mute|wordless)\w* (agree|assent|approv|consent)
""")

_WAVES = phrases(r"""
    <not radio heat sound the of big biggest sea light brain crime ocean shock tidal micro high giant long short golden
        these permanent new cold about by over how why which where gravity theta alpha huge small soft beach pressure
        blond brown dark and on your my>\bwave[sd]\b(?! (roll|crash|break|lap|form|of\b|in the (wind|breeze|sea|hair)))
    \bwaving\b(?! (of\b|in the (wind|breeze|sea|back)))
    PLURAL (\w+ly )?wave\b(?! (of (?!HIS)|in the wind))
    \bwave (MAYBE (hello|goodbye|hi|bye|farewell|back|(at|to) (us|HIS|him))\b|SOME HAND)
    \bwave-
    hand[ -]?wave\b
    GIVES <not heat crime permanent sound radio brain shock tidal cold big
        light new sea>wave\b(?! (in|through|across|of (?!HIS))\b)
    GIVES (waving|wave) (of |motion|gesture|movement|HAND)
    <swing swung wiggl flutter flap swish waggl wag oscillat twirl flick flourish jiggl twiddl sway>
        SOME HAND(?! (to|towards|into|onto|up|down|over|away|across)\b(?! and))
    <shak shook> (HIS|both) SOME (hand|arm|palm|finger|paw)s?\b(?! with\b)
    HAND.*HORIZONTALLY
    HORIZONTALLY.*HAND
    HAND MAYBE <wav wiggl flap flutter waggl>
    HELLO.*HAND
    HAND.*HELLO
    <wiggl flutter waggl>.*HELLO
    <hail beckon motion> .*HAND
""")

_RAISES = phrases(r"""
    LIFT SOME HAND
    <hold held put stretch stick stuck throw threw reach thrust bring brought extend shoot shot fling flung pop point
        get got keep kept has have having jab punch pump push pok stab mov jerk snap float let send sent hurl plac
        carry carrie draw drew pull tak took swing swung fly flie rear toss wav sweep swept jut>
        (SOME HAND SOME UPWARDS|UPWARDS SOME HAND)
    <show flash present display stretch reach extend thrust stick stuck point> SOME HAND
    <hold held> out SOME HAND
    <reach> MAYBE (up|skywards?) with SOME HAND
    <reach> for the (sky|ceiling|stars)\b
    <punch> the air\b
    <pump> SOME fist
    <signal gestur motion mak> WORDS (stop|halt|wait) ANY HAND
    WITH SOME (raised|upraised|lifted|uplifted|outstretched|outspread|extended|hoisted|elevated) SOME HAND
    WITH SOME HAND SOME UPWARDS
    HAND FEW UPWARDS
    up (goes|go|went|shoots?) SOME HAND
    HAND MAYBE (<ascend>|rises?|rising|rose)\b
    GIVES (raise|raising|lift|lifting) of MAYBE HAND
    \bhand[ -]?(raise|raising)\b
    \bshow of hands\b
    \bhigh[ -]five
    \bthumbs?[- ]up\b
    <salut>
    \b(peace|victory|stop) sign\b
""")

_CLOSES = phrases(r"""
    <clos shut squeez screw scrunch squinch clench press pinch seal clamp shutter> SOME EYES
    <lower drop rest droop veil> SOME EYES(?! (on|to|towards?|at)\b)
    <pull put draw drew> SOME lids\b
    EYES FEW ((close[sd]?|closing|shut|shutting|lowered)\b|<squeez screw press clench scrunch fall fell droop drop
        sink sank slid>)
    WITH SOME (closed|shut|lowered|shuttered|sealed) SOME EYES
    GIVES (closing|shutting|lowering) of MAYBE EYES
    # sleep
    \b(long|slow) blink\b
    <blink> (slowly|languidly|lazily)
    \bshut-?eye\b
    \bforty winks\b
    <fall fell drift> MAYBE asleep\b
    <doz nod drift> off\b
    <go went> to sleep\b
    <snooz>
    <tak took> a MAYBE nap\b
    <pretend> to (sleep|be asleep)
""")

_WALK = phrases(r"""
    WALKS (to|for|at|on|onto|in|into|towards?|over|reach|round|around)? ?FARSIDE
    WALKS (past|behind|around|round|in front of|by|beyond|across from) OTHER
    (?!com|came)WALKS (over(?! (HIS|some|what|how)\b)|across(?! the (road|street|bridge|river|valley)\b))
    WALKS from (HIS )?(left|right|side|end) ANY to\b
    WALKS to ((HIS) MAYBE (left|right)\b|where OTHER)
    WALKS (?<!the )(left|right)$
    <pass round> OTHER(?! (HIS|some)\b)
    <walk stroll> past\b
    <get got reposition> WHOLLY WORDS (to|on) FARSIDE
    <reposition> WORDS (on|to) the (left|right)\b
    <leav left> WORDS SEAT for (FARSIDE|the (left|right))
    <mak made set leav left start> (off |out )?for FARSIDE
    <cross travers> MAYBE the (frame|picture|screen|room|stage|scene|floor|shot|image)\b
    # changes places
    SWAP (HIS )?SEAT(?! of)
    SWAP SOME (sides|places|seats|positions|spots|chairs|ends|locations|spaces)\b
    SWAP (SEAT )?with OTHER
    <tak took occup assum claim> (over |up )?(OTHER's? MAYBE SEAT|(the )?SEAT of OTHER)
    <tak took occup assum claim> (?!place )SOME (on|at) (FARSIDE|the (left|right))
    GIVES (swap|switch|change|exchange|trade) of (place|seat|spot|side|position|chair)s
    SEAT[ -](swap|switch|change)
""")

_LOOKS = phrases(r"""
    LOOK(?! (up to|forward|after|for|like)\b) WORDS TOWARDS WHOM
    TURN WORDS TOWARDS WHOM
    (LOOK|TURN) FEW ASIDE
    <look glanc peek peer> (over|around|about)$
    (LOOK|TURN) MAYBE (OTHER's?|his|her|their|the other) way\b
    TURN WORDS (in|into|to) profile\b
    (LOOK|TURN|SEND) WORDS (in|into) (OTHER's? MAYBE (direction|eyes|face)|the direction of OTHER)
    <look> OTHER (in the|straight|up|over|square|dead|right)\b
    <fac watch regard study studie observ contemplat consider behold beheld ogl survey examin inspect scrutinis
        scrutiniz address> SOME OTHER
    <watch observ> MAYBE (how|what) OTHER
    \b(side-)?ey(es?|ed|eing|ing) (up )?OTHER
    SEND SOME GAZE WORDS ((TOWARDS|with) WHOM|ASIDE(?! (up|in|into|at)\b))
    SEND OTHER WORDS GAZE
    \b(eyes?|gaze|attention|glance|look|stare|peek|face|head turned) FEW TOWARDS OTHER
    \b(eyes|gaze) FEW ASIDE
    <meet met catch caught hold held seek sought find found search> OTHER's? MAYBE (eye|gaze|glance|look)
    \beyes? ((contact )?(with|on)|only for|just for) OTHER
    <pay paid giv gave> WORDS attention to OTHER
    <catch caught get got steal snatch> WORDS (glimpse|sight) of OTHER
    <focus concentrat check> WORDS on WHOM
    <avert> SOME (eyes|gaze|face|head|look)\b
    <turn> HIS (head|face)($| \w+ly)
    \b(sideways?|sidelong) (glance|look|gaze)\b
    GIVES side[ -]eye
""")

_SMILES = phrases(r"""
    \b(smil|grin|smirk|chuckl|giggl|simper|snigger|snicker|chortl|laugh)(e?s|n?ing|n?ed)\b(?! (about|over))
    <not oak laser sun light steel wooden the of roof head high its these>\bbeam(s|ed|ing)\b
    PLURAL (\w+ly )?(smile|grin|laugh|smirk|beam|chuckle|giggle)\b
    <crack> up\b
    GIVES (half-)?SMILE(?! lines)
    \b(all|nothing but) SMILE
    SMILE MAYBE (on|across|over|upon|at)\b
    SMILE MAYBE <tug play spread creep cross light flicker appear form danc break dawn grow>
    (\bca(n't|nnot|n not) |\bcould(n't| not) )?<suppress repress hid hold help stifl contain conceal fight
        resist> FEW SMILE
    \b(mouth|lips?) ANY (smile|grin|curl|curv|lift|turn up|turning up|quirk|tug|upwards?|ear to ear)
    <curl curv lift turn quirk tug stretch pull rais twist> (up )?SOME (corners? of |(lips?|mouth) ANY up)
    <show bar flash expos reveal display> SOME (teeth|dimples|pearly whites|gums)\b
    \b(face|features|expression|countenance) MAYBE (<light lit> up(?! by)|<brighten broaden beam glow shin shon>)
    <light lit brighten cheer perk> up\b(?! (by|the|a))
    <look seem appear feel felt> FEW HAPPY
    <mak made pull put wear wore show has have having> (on )?SOME HAPPY MAYBE (face|expression|look)
    <radiat exud glow beam shin> (with )?MAYBE (joy|happiness|delight|cheer|glee|pleasure|warmth)\b
""")

_LEANS = phrases(r"""
    LEAN WORDS (FORWARDS|up to|near )
    <lean leant bend bent hunch cran tilt tip inclin stoop huddl bow lung crouch hunker dip> MAYBE (in|inwards?)(?!
        (his|her|their|its|(?!as\b)\w+s|(the|an?) (?!direction|little|bit|touch|moment|while)\w+)\b)
    <lean leant bend bent bow hunch stoop cran> MAYBE (over|across)\b(?! backwards)
    <stoop>
    <inclin tilt tip bend bent lean> SOME (torso|upper body|trunk)\b
    <cran stretch strain extend> SOME neck\b
    <bend bent bow inclin fold lean> MAYBE (at|from) the (waist|hips?)\b
    <bow> (to|before|deeply|low|politely|down)\b
    <bend bent> down\b
    <tak took giv gave mak made> a MAYBE bow\b
    \blean(ing)?-in\b
    \bforward (lean|bend|tilt|bow)\b
    GIVES lean (in|into|forward|towards?|over|closer|at)\b
    # comes closer
    <mov press com step> in($| (on|to|for|close|towards?|slowly)\b)
    COME SOME (closer|nearer|forwards?)\b(?!
        (with the|the|an?|to (an?|the (truth|end|goal)|HIS (goal|dream|aim|end)))\b)
    <sit sat> forward
    COME FEW (to|towards?|up to|near|against|on|at) VIEWER
    <approach near> MAYBE VIEWER
    <approach>$
    <com came draw drew go went step> MAYBE near\b
    <get got com came mov go went> MAYBE (up )?close\b
    PUSH SOME BODY WORDS (FORWARDS|(up|right|close|near|in|into|against|over|at|to) (to |against )?VIEWER)
    PUSH SOME BODY FEW (in\b|over HIS)
    <draw drew pull hitch scoot> SOME (chair|seat|stool) (up|in)\b
    <scoot> up\b
    <lung clos crowd loom scoot> MAYBE (at|in on|towards?|up to|over|up)? ?VIEWER
    FORWARDS in HIS (seat|chair)
    <peer star look> MAYBE clos(ely|er) (at|into) VIEWER
    <loom grow grew get becom> MAYBE (larger|bigger)\b
    <clos narrow shorten reduc shrink bridg> (the|some) MAYBE (distance|gap)\b
    edge of HIS (seat|chair)\b
""")

_BROWS_UP = phrases(r"""
    <rais lift arch pull hitch hik hoist quirk jerk flash flick shoot shot perk cock elevat pop push draw drew send
        sent bring brought mov wiggl waggl bounc crook let curv throw threw twitch tweak jump wriggl boost inch jack
        tilt crank bob work pump tug> SOME BROW(?! (together|down|into a frown))
    BROW FEW (UPWARDS|<climb lift arch jump hik quirk cock shoot>|rises?|rising|rose)
    (WITH|HAS) SOME (raised|arched|lifted|cocked|quirked|hoisted|elevated|hiked|upraised) SOME BROW
    LIFT SOME forehead\b
    GIVES (raise|raising|arch|arching|lift|lifting|quirk|twitch|flash|flick|hitch) of SOME BROW
    \b(eye)?brow[ -](raise|lift|flash|arch|wiggle)\b
    \bspock (eye)?brow
    # surprise
    <look seem appear act> FEW AMAZED
    \b(is|are) MAYBE AMAZED
    \btaken by surprise\b
    GIVES (AMAZED MAYBE (face|expression|look|stare|eyes)|(look|face|expression|air|gasp) of SURPRISE)
    \bin MAYBE SURPRISE
    <show express register react feign display signal> WORDS SURPRISE
    <widen> SOME EYES
    \beyes MAYBE (<widen bulg>|go(es|ing)? wide|wide\b)
    <mak> (big|round|huge) eyes\b
""")

PATTERNS: dict[str, re.Pattern[str]] = {
    CAMERA: _CAMERA,
    "tilts the head": _TILTS,
    "shakes the head": _SHAKES,
    "nods": _NODS,
    "closes the eyes": _CLOSES,
    WALK: _WALK,
    "waves": _WAVES,
    "raises a hand": _RAISES,
    "looks to the other": _LOOKS,
    "smiles": _SMILES,
    "leans in": _LEANS,
    "raises the brows": _BROWS_UP,
}
"""Action -> what says so, to be searched in this order: surer ones first; surprise only where nothing else is told."""
