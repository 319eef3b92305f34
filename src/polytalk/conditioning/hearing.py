"""A scene's sounds, with texts spoken by Polytalk's own synthesiser unless another is given."""

from __future__ import annotations

import dataclasses

from polytalk.media.conversation import Conversation, Synthesiser, load_conversation
from polytalk.scene import Scene


def hear(scene: Scene, synthesise: Synthesiser | None = None) -> Conversation:
    """Every sound of a scene at its time.

    Args:
        scene: what is asked for.
        synthesise: speaks utterances that have only a text; None: Polytalk's own, which gives everybody without a
            voice one of their own.

    Raises:
        PolytalkError: as `load_conversation`; no such voice, or a text that it cannot read.
    """
    silent = [utterance for utterance in scene.utterances if utterance.audio is None]
    if synthesise is None and silent:
        from polytalk.conditioning.synthesis import Synthesizer, cast_voices

        synthesise = Synthesizer()
        people = sorted({scene.index_of(utterance) for utterance in silent})
        cast = dict(zip(people, cast_voices([scene.speakers[person].voice for person in people]), strict=True))
        speakers = [
            dataclasses.replace(speaker, voice=cast.get(person, speaker.voice))
            for person, speaker in enumerate(scene.speakers)
        ]
        scene = dataclasses.replace(scene, speakers=speakers)
    return load_conversation(scene, synthesise)
