"""Plain scripts, as one writes them down (what stands at the right explains them and is no part of them):

    # A line that starts with a hash is a comment.
    [<cafe.png> Two friends in a café.]     before the first line: picture and prompt of the scene
    Anna: (voice af_heart)                  a voice for the synthesiser
    Carl:                                   somebody who says nothing; also fixes the order from left to right
    Anna: Hello, Ben!                       0.2 s after whatever was before
    Ben: [smiling] Hi.                      a prompt for as long as he speaks
       And how are you?                     an indented line goes on
    (pause 1.5s)                            instead of the 0.2 s; an empty line is a pause of 0.5 s
    Anna: Fine. (pause 1s) Well, mostly.    the same inside a line
    (overlap 0.3s)
    Ben: <laugh.wav>                        a file with sound
    Anna: <talk.wav 3.2-5> I said so.       a part of one, and what is said in it
    [It begins to rain.]                    from here on another prompt; [<b.png> ...] another picture
    Ben@12.5: Oh no!                        at a time: seconds, m:ss or h:mm:ss
    Anna@12.5-14: Oh no!                    a slot that it must fit; people may overlap
    [@20 The sun is back.]

A backslash takes the meaning from `[ ] < > ( ) # @ : \\`.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from polytalk.errors import PolytalkError
from polytalk.scene import Cue, Scene, Utterance
from polytalk.scene.formats.draft import TIME, Beside, Draft, parse_time
from polytalk.scene.formats.position import TextFile, relative_name, shortened
from polytalk.scene.values import checked_text

BLANK_PAUSE = 0.5
"""Seconds that an empty line stands for."""
_SPECIALS = "\\[]<>()#@:"
_SPECIAL = re.escape(_SPECIALS)
_PAUSE = re.compile(rf"\([ \t]{{0,9}}(pause|overlap)[ \t]{{1,9}}({TIME})[ \t]{{0,9}}s?[ \t]{{0,9}}\)", re.IGNORECASE)
_VOICE = re.compile(r"\s*\([ \t]{0,9}voice[ \t]{1,9}([^()\n]{1,200})\)\s*", re.IGNORECASE)
_COMMAND = re.compile(r"\((?=[ \t]{0,9}(?:pause|overlap|voice)\b)", re.IGNORECASE)
_ESCAPE = rf"\\[{_SPECIAL}]|\\(?![{_SPECIAL}])"
_NAME = re.compile(rf"(?:{_ESCAPE}|[^\\\n@:])*")
_SLOT = re.compile(rf"@\s*({TIME})(?:\s*-\s*({TIME}))?\s*:")
_AT = re.compile(rf"@\s*({TIME})(?![\d.:])\s*")
_FILE = re.compile(r"<([^<>\n]{1,1000})>")
_CUT = re.compile(rf"(.*\S)[ \t]{{1,9}}({TIME})-({TIME})\s*")
_BRACKET = re.compile(rf"\[((?:{_ESCAPE}|[^\\\]])*)\]")
_GRAMMAR = 'A line is "Name: what is said", "[direction]", "(pause 1s)" or "# comment".'


def parse_script(source: TextFile, beside: Beside) -> Scene:
    """The scene in a script; its grammar stands above.

    Raises:
        PolytalkError: what cannot be understood, with line and column.
    """
    return _Reader(source, beside).scene()


class _Reader:
    """One pass over the lines; what waits for the next utterance lives here."""

    def __init__(self, source: TextFile, beside: Beside) -> None:
        self.source, self.draft = source, Draft(source, beside)
        self.pause: float | None = None
        self.pause_offset = 0
        self.blank = False
        self.direction: tuple[int, str | None, Path | None] | None = None

    def scene(self) -> Scene:
        lines = self.source.lines
        place = 0
        while place < len(lines):
            offset, line = lines[place]
            stop = offset + len(line)
            place += 1
            while _goes_on(line) and place < len(lines) and _is_more(lines[place][1]):
                stop = lines[place][0] + len(lines[place][1])
                place += 1
            self._line(offset, line, stop)
        if self.direction is not None:
            self._refuse(self.direction[0], "direction", "nobody speaks after it", "Give it a time: [@12 ...].")
        if self.pause is not None:
            self._refuse(self.pause_offset, "pause", "nobody speaks after it", "Leave it out.")
        return self.draft.scene()

    def _line(self, offset: int, line: str, stop: int) -> None:
        bare = line.strip()
        if not bare:
            self.blank = True
        elif bare.startswith("#"):
            pass
        elif line[0].isspace():
            self._refuse(offset, "line", "it is indented, and there is nothing that it goes on", _GRAMMAR)
        elif bare.startswith("["):
            self._directions(offset, offset + len(line))
        elif bare.startswith("("):
            match = _PAUSE.fullmatch(bare)
            if match is None:
                self._refuse(offset, "line", f"{shortened(bare)!r} is not understood", _GRAMMAR)
            else:
                self._note_pause(offset, match)
        else:
            self._speech(offset, stop)

    def _refuse(self, offset: int, field: str, problem: str, remedy: str) -> None:
        raise self.source.error(offset, field, problem, remedy)

    def _note_pause(self, offset: int, match: re.Match[str]) -> None:
        if self.pause is not None:
            self._refuse(offset, "pause", "there is one already", "Join the two.")
        seconds = parse_time(match.group(2))
        self.pause, self.pause_offset = (seconds if match.group(1).lower() == "pause" else -seconds), offset

    def _directions(self, offset: int, stop: int) -> None:
        """One or more brackets on a line of their own."""
        text = self.source.text
        while offset < stop:
            match = _BRACKET.match(text, offset, stop)
            if match is None:
                rest = text[offset:stop]
                if not rest.startswith("["):
                    self._refuse(offset, "direction", f"{shortened(rest)!r} follows it", "Give it its own line.")
                self._refuse(offset, "direction", "the bracket is not closed", "Close it with ] on the same line.")
                return
            self._direction(match.start(), match.start(1), match.end(1))
            offset = match.end()
            while offset < stop and text[offset].isspace():
                offset += 1

    def _direction(self, offset: int, begin: int, end: int) -> None:
        text = self.source.text
        begin = _skip_space(text, begin, end)
        time, image = None, None
        if text.startswith("@", begin, end):
            match = _AT.match(text, begin, end)
            if match is None:
                self._refuse(begin, "direction", "after @ comes a time", "Write it like [@12.5 ...] or [@1:20 ...].")
                return
            time, begin = parse_time(match.group(1)), match.end()
        if text.startswith("<", begin, end):
            match = _FILE.match(text, begin, end)
            if match is None:
                self._refuse(begin, "direction", "this names no picture", "Write it like [<picture.png> ...].")
                return
            image, begin = self.source.find(match.group(1).strip(), begin, "direction"), match.end()
        try:
            words = checked_text(_plain(text[begin:end]), "direction")
        except PolytalkError as error:
            raise self.source.at(begin, error) from None
        prompt = words if words or image is None else None
        if time is not None:
            self.draft.change(offset, start=time, prompt=prompt, image=image)
        else:
            self._wait(offset, prompt, image)

    def _wait(self, offset: int, prompt: str | None, image: Path | None) -> None:
        """Keep a direction for the next utterance, joined with one that waits already."""
        if self.direction is not None:
            offset, before, picture = self.direction
            if image is not None and picture is not None:
                self._refuse(offset, "direction", "there are two pictures at once", "Keep one of them.")
            image = image or picture
            if before is not None:
                prompt = before if prompt is None else " ".join(part for part in (before, prompt) if part)
        self.direction = (offset, prompt, image)

    def _speech(self, offset: int, stop: int) -> None:
        """`Name: text` or `Name@time: text`."""
        text = self.source.text
        match = _NAME.match(text, offset, stop)
        assert match is not None
        at = match.end()
        if at >= stop or text[at] == "\n":
            self._refuse(offset, "line", f"{shortened(match.group())!r} is not understood", _GRAMMAR)
        start, end = None, None
        body = at + 1
        if text[at] == "@":
            slot = _SLOT.match(text, at, stop)
            if slot is None:
                remedy = "Write it like Anna@12.5: or Anna@12.5-14: with seconds, 0 or more."
                self._refuse(at, "time", "after @ comes a time and a colon", remedy)
                return
            start, body = parse_time(slot.group(1)), slot.end()
            end = parse_time(slot.group(2)) if slot.group(2) else None
        name = _plain(match.group())
        voice = _VOICE.fullmatch(text, body, stop)
        if voice and start is None:
            self.draft.person(name, offset, voice.group(1).strip())
        elif not text[body:stop].strip() and start is None:
            self.draft.person(name, offset)
        else:
            self._pieces(offset, name, start, end, body, stop)

    def _pieces(self, offset: int, name: str, start: float | None, end: float | None, body: int, stop: int) -> None:
        """What is said, cut where the line says `(pause ...)`."""
        piece = _Piece(offset)
        at, text = body, self.source.text
        while at < stop:
            character = text[at]
            if character == "\\" and text[at + 1 : at + 2] and text[at + 1] in _SPECIALS:
                piece.text.append(text[at + 1])
                at += 2
                continue
            match = _PAUSE.match(text, at, stop) if character == "(" else None
            if match is not None:
                if end is not None:
                    self._refuse(at, "pause", "a slot holds one sound", "Leave out its end.")
                self._add(piece, name, start, end)
                self._note_pause(at, match)
                piece, start = _Piece(_skip_space(text, match.end(), stop)), None
            elif character == "[":
                match = _BRACKET.match(text, at, stop)
                if match is None:
                    self._refuse(at, "direction", "the bracket is not closed", "Close it with ], or write \\[.")
                else:
                    piece.prompts.append(" ".join(_plain(match.group(1)).split()))
            elif character == "<":
                match = self._file(piece, at, stop)
            if match is None:
                piece.text.append(character)
            at = match.end() if match is not None else at + 1
        self._add(piece, name, start, end)

    def _file(self, piece: _Piece, at: int, stop: int) -> re.Match[str] | None:
        """A file at the begin of a piece; None if the character means itself."""
        text = self.source.text
        match = _FILE.match(text, at, stop)
        if piece.audio is not None or "".join(piece.text).strip():
            if match is not None and re.search(r"\.\w{1,5}(\s|$)", match.group(1)):
                problem = "there are two files for one slot" if piece.audio else "a file stands after the text"
                self._refuse(at, "file", problem, "Name one file, first; or write \\<.")
            return None
        if match is None or not match.group(1).strip():
            self._refuse(at, "file", "this names no file", "Write it like <hello.wav>, or \\< for the sign itself.")
            return None
        name = match.group(1)
        cut = _CUT.fullmatch(name)
        if cut is not None:
            name, piece.cut = cut.group(1), (parse_time(cut.group(2)), parse_time(cut.group(3)))
        piece.audio = self.source.find(name.strip(), at, "file")
        return match

    def _add(self, piece: _Piece, name: str, start: float | None, end: float | None) -> None:
        text = " ".join("".join(piece.text).split())
        if not text and piece.audio is None:
            remedy = "Give a direction its own line, and a pause too."
            self._refuse(piece.offset, "line", f"{shortened(name)} says nothing", remedy)
        pause = self.pause
        if pause is None and self.blank and self.draft.num_utterances and start is None:
            pause = BLANK_PAUSE
        if self.direction is not None:
            offset, prompt, image = self.direction
            if self.draft.num_utterances == 0:
                self.draft.prompt, self.draft.image = prompt or "", image
            else:
                self.draft.change(offset, utterance=self.draft.num_utterances, prompt=prompt, image=image)
        values = {"text": text, "audio": piece.audio, "cut": piece.cut, "prompt": " ".join(piece.prompts)}
        self.draft.say(piece.offset, name, start=start, end=end, pause=pause, **values)
        self.pause, self.blank, self.direction = None, False, None


class _Piece:
    """One utterance of a line."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.text: list[str] = []
        self.prompts: list[str] = []
        self.audio: Path | None = None
        self.cut: tuple[float, float] | None = None


def format_script(scene: Scene, path: Path) -> str:
    """A scene as the text of a script at `path`.

    Raises:
        PolytalkError: a speaker without a name, a sound or a later picture in memory only.
    """
    lines = []
    if any(speaker.name is None for speaker in scene.speakers):
        raise PolytalkError("speakers", "a script calls people by name", "Give everybody a name.")
    head = Cue(0, scene.prompt, scene.image if isinstance(scene.image, Path) else None)
    if head.prompt or head.image is not None:
        lines.append(f"[{_direction_text(head, path)}]")
    for speaker in scene.speakers:
        voice = f" (voice {speaker.voice})" if speaker.voice else ""
        lines.append(f"{_escaped(speaker.name or '')}:{voice}")
    with_utterance = {cue.utterance: cue for cue in scene.cues if cue.utterance is not None}
    for cue in scene.cues:
        if cue.start is not None:
            lines.append(f"[@{seconds_text(cue.start)} {_direction_text(cue, path)}]")
    for place, utterance in enumerate(scene.utterances):
        if place in with_utterance:
            lines.append(f"[{_direction_text(with_utterance[place], path)}]")
        if utterance.pause is not None:
            word = "pause" if utterance.pause >= 0 else "overlap"
            lines.append(f"({word} {seconds_text(abs(utterance.pause))}s)")
        lines.append(_utterance_line(utterance, path))
    return "\n".join(lines) + "\n"


def seconds_text(seconds: float) -> str:
    """A number that reads back as the same float, without an exponent."""
    text = format(Decimal(repr(float(seconds))), "f")
    return text.removesuffix(".0")


def _utterance_line(utterance: Utterance, path: Path) -> str:
    slot = "" if utterance.start is None else f"@{seconds_text(utterance.start)}"
    slot += "" if utterance.end is None else f"-{seconds_text(utterance.end)}"
    parts = [f"{_escaped(str(utterance.speaker))}{slot}:"]
    if utterance.prompt is not None:
        parts.append(f"[{_escaped(utterance.prompt)}]")
    if utterance.audio is not None:
        cut = "" if utterance.cut is None else " " + "-".join(map(seconds_text, utterance.cut))
        parts.append(f"<{relative_name(utterance.audio, 'utterance.audio', path)}{cut}>")
    if utterance.text is not None:
        text = re.sub(r"[\\\[<]", r"\\\g<0>", utterance.text)
        parts.append(_COMMAND.sub(r"\\(", text))
    return " ".join(parts)


def _direction_text(cue: Cue, path: Path) -> str:
    parts = [] if cue.image is None else [f"<{relative_name(cue.image, 'cue.image', path)}>"]
    return " ".join([*parts, *([_escaped(cue.prompt)] if cue.prompt else [])])


def _escaped(text: str) -> str:
    return re.sub(rf"[{_SPECIAL}]", r"\\\g<0>", text)


def _plain(text: str) -> str:
    return re.sub(rf"\\([{_SPECIAL}])", r"\1", text)


def _skip_space(text: str, at: int, stop: int) -> int:
    while at < stop and text[at].isspace():
        at += 1
    return at


def _goes_on(line: str) -> bool:
    """Whether indented lines after it belong to it: only speech is continued."""
    return bool(line) and not line[0].isspace() and line[0] not in "#[("


def _is_more(line: str) -> bool:
    return bool(line.strip()) and line[0].isspace()
