"""SubRip (.srt) and WebVTT (.vtt) subtitles whose lines say who speaks.

`Anna: Hello.` and `<v Anna>Hello.` name the speaker; `- Anna: ...` on further lines another one in the same time, who
gets a share of it by the length of the text. `[smiling]` is a prompt for as long as somebody speaks, and a subtitle
that is nothing but `[It rains.]` changes the prompt from its start on. Other marks (italics, colours, positions) are
left out.

WebVTT: https://www.w3.org/TR/webvtt1/
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from polytalk.errors import PolytalkError
from polytalk.scene import Cue, Scene, Utterance
from polytalk.scene.formats.draft import Beside, Draft
from polytalk.scene.formats.position import TextFile, shortened

_CLOCK = r"(-?)(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES = re.compile(rf"[ \t]*{_CLOCK}[ \t]*-->[ \t]*{_CLOCK}(?:[ \t].*)?")
_SRT_MARKS = re.compile(r"</?(?:i|b|u|s|c|font)(?:[ .][^<>]*)?>|\{\\[^{}]*\}", re.IGNORECASE)
_VTT_MARKS = re.compile(r"<[^<>]*>")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?[ \t]+([^<>]+)>")
_NAMED = re.compile(r"([^:<>\[\]\s][^:<>\[\]]{0,99}?)\s*:(?:\s+|$)")
_DASH = re.compile(r"[-–—]\s*")
_BRACKET = re.compile(r"\[([^\[\]]*)\]")
_SHOWN = 1.0
"""Seconds for which a change of the prompt is shown as a subtitle; of no meaning when it is read."""


@dataclass(frozen=True)
class _Block:
    """One subtitle."""

    offset: int
    start: float
    end: float
    lines: tuple[tuple[int, str], ...]
    """Offset and text of each."""


@dataclass(frozen=True)
class _Part:
    """What one person says in a subtitle."""

    offset: int
    name: str | None
    text: str


def parse_srt(source: TextFile, beside: Beside) -> Scene:
    """The scene in SubRip subtitles.

    Raises:
        PolytalkError: what cannot be understood, with line and column.
    """
    return _scene(source, beside, _blocks(source, 0, is_vtt=False), is_vtt=False)


def parse_vtt(source: TextFile, beside: Beside) -> Scene:
    """The scene in WebVTT subtitles.

    Raises:
        PolytalkError: what cannot be understood, with line and column.
    """
    first = source.lines[0][1]
    if not re.fullmatch(r"WEBVTT([ \t].*)?", first):
        problem = f"the first line is {shortened(first)!r}"
        raise source.error(0, "subtitles", problem, "A WebVTT file begins with WEBVTT.")
    # what stands right below belongs to the head
    body = next((i for i, (_, line) in enumerate(source.lines) if i and (not line.strip() or "-->" in line)), None)
    return _scene(
        source, beside, _blocks(source, len(source.lines) if body is None else body, is_vtt=True), is_vtt=True
    )


def format_srt(scene: Scene, path: Path) -> str:
    """A scene as SubRip subtitles.

    Raises:
        PolytalkError: an utterance without start and end, a speaker without a name.
    """
    blocks = []
    for number, (start, end, item) in enumerate(_shown(scene), start=1):
        words = f"[{item.prompt}]" if isinstance(item, Cue) else _srt_words(item)
        times = f"{_clock(start, ',')} --> {_clock(end, ',')}"
        blocks.append(f"{number}\n{times}\n{words}\n")
    return "\n".join(blocks)


def format_vtt(scene: Scene, path: Path) -> str:
    """A scene as WebVTT subtitles.

    Raises:
        PolytalkError: an utterance without start and end, a speaker without a name.
    """
    blocks = ["WEBVTT\n"]
    for start, end, item in _shown(scene):
        words = f"[{_escaped(item.prompt or '')}]" if isinstance(item, Cue) else _vtt_words(item)
        blocks.append(f"{_clock(start, '.')} --> {_clock(end, '.')}\n{words}\n")
    return "\n".join(blocks)


def _scene(source: TextFile, beside: Beside, blocks: Iterator[_Block], *, is_vtt: bool) -> Scene:
    draft = Draft(source, beside)
    for block in blocks:
        parts = _parts(block, is_vtt=is_vtt)
        alone = _BRACKET.fullmatch(parts[0].text.strip()) if len(parts) == 1 else None
        if alone is not None and parts[0].name is None:
            draft.change(block.offset, start=block.start, prompt=_readable(alone.group(1), is_vtt=is_vtt))
            continue
        for part, start, end in _shares(block, parts):
            name = part.name or draft.only_speaker
            if name is None:
                problem = f"nobody is named in {shortened(part.text)!r}"
                raise source.error(part.offset, "speaker", problem, _who(is_vtt))
            prompts = [_readable(found, is_vtt=is_vtt) for found in _BRACKET.findall(part.text)]
            text = _readable(_BRACKET.sub(" ", part.text), is_vtt=is_vtt)
            values = {"text": text, "prompt": " ".join(prompts)}
            draft.say(part.offset, _readable(name, is_vtt=is_vtt), start=start, end=end, **values)
    return draft.scene()


def _who(is_vtt: bool) -> str:
    return 'Begin it with "<v Anna>" or "Anna: ".' if is_vtt else 'Begin it with "Anna: ".'


def _blocks(source: TextFile, first: int, *, is_vtt: bool) -> Iterator[_Block]:
    """Groups of lines between empty ones."""
    group: list[tuple[int, str]] = []
    for offset, line in [*source.lines[first:], (len(source.text), "")]:
        if line.strip():
            group.append((offset, line))
        elif group:
            block = _block(source, group, is_vtt=is_vtt)
            if block is not None:
                yield block
            group = []


def _block(source: TextFile, group: list[tuple[int, str]], *, is_vtt: bool) -> _Block | None:
    place = next((i for i, (_, line) in enumerate(group[:2]) if "-->" in line), None)
    offset, line = group[0]
    if is_vtt and re.match(r"(NOTE|STYLE|REGION)\b", line):
        return None
    if place is None or (place == 1 and not is_vtt and not line.strip().isdigit()):
        remedy = "A subtitle is a line like 00:00:01,500 --> 00:00:03,000 and lines of text."
        raise source.error(offset, "subtitles", f"{shortened(line)!r} is not understood", remedy)
    offset, line = group[place]
    match = _TIMES.fullmatch(line)
    if match is None:
        remedy = "Write it like 00:00:01,500 --> 00:00:03,000."
        raise source.error(offset, "time", f"{shortened(line)!r} is not understood", remedy)
    try:
        start, end = _seconds(match.groups()[:5]), _seconds(match.groups()[5:])
    except PolytalkError as error:
        raise source.at(offset, error) from None
    lines = tuple(group[place + 1 :])
    if not lines:
        raise source.error(offset, "subtitles", "there is no text", "Say who speaks, and what.")
    return _Block(offset, start, end, lines)


def _seconds(clock: tuple[str | None, ...]) -> float:
    sign, hours, minutes, seconds, fraction = clock
    if sign:
        raise PolytalkError("time", "it is negative", "Give times from 0 on.")
    if int(minutes or 0) > 59 or int(seconds or 0) > 59:
        raise PolytalkError("time", f"{minutes}:{seconds} is none", "Minutes and seconds go up to 59.")
    whole = (int(hours or 0) * 60 + int(minutes or 0)) * 60 + int(seconds or 0)
    return (whole * 1000 + int((fraction or "0").ljust(3, "0"))) / 1000


def _parts(block: _Block, *, is_vtt: bool) -> list[_Part]:
    """Who says what in a subtitle, marks left out."""
    offset = block.lines[0][0]
    whole = "\n".join(line for _, line in block.lines)
    spans = list(_VOICE.finditer(whole))
    marks = _VTT_MARKS if is_vtt else _SRT_MARKS
    if spans:
        before = whole[: spans[0].start()]
        stops = [span.start() for span in spans[1:]] + [len(whole)]
        spoken = [
            marks.sub("", _no_voice_end(whole[span.end() : stop])) for span, stop in zip(spans, stops, strict=True)
        ]
        parts = [_Part(offset + s.start(), s.group(1), text) for s, text in zip(spans, spoken, strict=True)]
        if marks.sub("", before).strip():
            parts.insert(0, _Part(offset, None, marks.sub("", before)))
        return parts
    parts = []
    for place, (at, line) in enumerate(block.lines):
        bare = marks.sub("", line).strip()
        dash = _DASH.match(bare)
        match = _NAMED.match(bare, dash.end() if dash else 0)
        if match is not None and (place == 0 or dash):
            parts.append(_Part(at, match.group(1), bare[match.end() :]))
        elif parts:
            last = parts[-1]
            parts[-1] = _Part(last.offset, last.name, f"{last.text} {bare}")
        else:
            parts.append(_Part(at, None, bare))
    return parts


def _no_voice_end(text: str) -> str:
    return text.replace("</v>", "")


def _shares(block: _Block, parts: list[_Part]) -> Iterator[tuple[_Part, float, float]]:
    """Each part's time: all of it for one, else by the length of its text."""
    lengths = [len(_BRACKET.sub("", part.text).strip()) + 1 for part in parts]
    total, done = sum(lengths), 0
    start = block.start
    for part, length in zip(parts, lengths, strict=True):
        done += length
        end = block.end if done == total else round(block.start + (block.end - block.start) * done / total, 3)
        yield part, start, end
        start = end


def _readable(text: str, *, is_vtt: bool) -> str:
    return " ".join((html.unescape(text) if is_vtt else text).split())


def _shown(scene: Scene) -> list[tuple[float, float, Cue | Utterance]]:
    """Start, end and what is shown, in order of time: changes of the prompt and utterances with words.

    Without words only those are kept whose sound a recording given beside will bring.
    """
    shown: list[tuple[float, float, Cue | Utterance]] = []
    for place, cue in enumerate(scene.cues):
        if cue.start is None or cue.prompt is None or cue.image is not None:
            problem = "subtitles change only prompts, at times"
            raise PolytalkError(f"cues[{place}]", problem, "Write JSON, or time the scene first.")
        shown.append((cue.start, cue.start + _SHOWN, cue))
    for place, utterance in enumerate(scene.utterances):
        if utterance.start is None or utterance.end is None:
            problem = "subtitles need start and end"
            raise PolytalkError(
                f"utterances[{place}]", problem, "Time the scene first (polytalk.scene.formats.registry.timed)."
            )
        if not isinstance(utterance.speaker, str):
            raise PolytalkError("speakers", "subtitles call people by name", "Give everybody a name.")
        if utterance.text is not None or utterance.cut == (utterance.start, utterance.end):
            shown.append((utterance.start, utterance.end, utterance))
    return sorted(shown, key=lambda item: item[0])


def _clock(seconds: float, point: str) -> str:
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def _srt_words(utterance: Utterance) -> str:
    prompt = f"[{utterance.prompt}] " if utterance.prompt else ""
    return f"{utterance.speaker}: {prompt}{utterance.text or ''}"


def _vtt_words(utterance: Utterance) -> str:
    prompt = f"[{_escaped(utterance.prompt)}] " if utterance.prompt else ""
    return f"<v {_escaped(str(utterance.speaker))}>{prompt}{_escaped(utterance.text or '')}"


def _escaped(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("[", "&#91;").replace("]", "&#93;")
