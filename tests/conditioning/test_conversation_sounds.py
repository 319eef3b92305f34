"""Every sound of a scene at its time: tracks, files, cuts of recordings, spoken texts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polytalk import PolytalkError, Scene, Speaker, Utterance
from polytalk.conditioning.conversation import arrange, lay_down, load_conversation, load_voices
from polytalk.media.audio import Sound, mix

RATE = 16_000


def noise(seconds, rate=RATE, level=0.1, seed=0):
    return (np.random.default_rng(seed).standard_normal(round(seconds * rate)) * level).astype(np.float32)


def scene(*said, speakers=None):
    return Scene(
        np.zeros((8, 8, 3), np.uint8), "", speakers or [Speaker(name="Anna"), Speaker(name="Ben")], utterances=said
    )


def write_wav(path, samples, rate=RATE):
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("arrangement", ["together", "turns"])
def test_without_utterances_nothing_changes(arrangement):
    speakers = [Speaker(noise(1.3, 44_100), 44_100, offset=0.3), Speaker(), Speaker(noise(2, seed=1), RATE)]
    wanted = Scene(np.zeros((8, 8, 3), np.uint8), "", speakers, arrangement)
    offsets = [speaker.offset for speaker in speakers]
    mixed = mix(arrange(load_voices(wanted), 44_100, arrangement, offsets))
    found = load_conversation(wanted).mix()
    assert found.sample_rate == 44_100
    assert np.array_equal(found.samples, mixed)


@settings(deadline=None, max_examples=30)
@given(starts=st.lists(st.integers(0, 50_000), min_size=1, max_size=4), rate=st.sampled_from([8_000, 16_000]))
def test_sounds_are_heard_at_their_times(starts, rate):
    sounds = [noise(0.2, rate, 0.05, seed) for seed, _ in enumerate(starts)]
    wanted = np.zeros(rate * 5, np.float32)
    for start, sound in zip(starts, sounds, strict=True):
        first = round(start / 16_000 * rate)
        wanted[first : first + len(sound)] += sound
    placed = [(start / 16_000, sound) for start, sound in zip(starts, sounds, strict=True)]
    found = lay_down(placed, rate, 5)
    assert np.allclose(found, wanted, atol=1e-6)
    speakers = [Speaker(name=str(place)) for place, _ in enumerate(starts)]
    said = [
        Utterance(str(place), audio=sound, sample_rate=rate, start=start / 16_000)
        for place, (start, sound) in enumerate(zip(starts, sounds, strict=True))
    ]
    mixed = load_conversation(scene(*said, speakers=speakers)).mix()
    assert np.allclose(mixed.samples, wanted[: len(mixed.samples)], atol=1e-6)


def test_turns_are_cut_from_a_recording_without_a_click(tmp_path):
    path = write_wav(tmp_path / "talk.wav", np.full(3 * RATE, 0.5))
    said = [
        Utterance("Anna", audio=path, start=0, end=1, cut=(0, 1)),
        Utterance("Ben", audio=path, start=1, end=3, cut=(1, 3)),
    ]
    conversation = load_conversation(scene(*said))
    anna, ben = conversation.sounds
    assert len(anna.samples) == RATE
    assert len(ben.samples) == 2 * RATE
    assert anna.samples[0] == pytest.approx(0.5, abs=1e-3)  # where the recording begins there is no cut
    assert ben.samples[-1] == pytest.approx(0.5, abs=1e-3)
    assert abs(np.diff(np.append(anna.samples, 0))).max() < 0.02
    assert abs(np.diff(np.insert(ben.samples, 0, 0))).max() < 0.02
    middle = conversation.mix().samples
    assert np.allclose(middle[: RATE - 100], 0.5, atol=1e-3)
    assert np.allclose(middle[RATE + 100 :], 0.5, atol=1e-3)


def test_a_cut_must_lie_in_the_recording(tmp_path):
    path = write_wav(tmp_path / "talk.wav", noise(1))
    with pytest.raises(
        PolytalkError, match=r"utterances\[0\]\.cut: it goes on to 2.00 s, and the sound ends at 1.00 s"
    ):
        load_conversation(scene(Utterance("Anna", audio=path, cut=(0.5, 2))))
    with pytest.raises(PolytalkError, match=r"utterances\[0\]\.cut: it is shorter than one sample"):
        load_conversation(scene(Utterance("Anna", audio=path, cut=(0.5, 0.500001))))
    with pytest.raises(PolytalkError, match=r"utterances\[1\]\.audio: there is no file"):
        load_conversation(scene(Utterance("Anna", audio=path), Utterance("Ben", audio="none.wav")))


def test_texts_are_spoken_in_each_voice():
    asked = []

    def synthesise(text, voice):
        asked.append((text, voice))
        return Sound(noise(len(text) / 10), RATE)

    speakers = [Speaker(name="Anna", voice="af_heart"), Speaker(name="Ben")]
    said = [
        Utterance("Anna", "0123456789"),
        Utterance("Ben", "01234"),
        Utterance("Anna", audio=noise(1), sample_rate=RATE),
    ]
    conversation = load_conversation(scene(*said, speakers=speakers), synthesise)
    assert asked == [("0123456789", "af_heart"), ("01234", None)]
    assert [(turn.speaker, turn.start, turn.stop) for turn in conversation.schedule.turns] == [
        (0, 0, 1),
        (1, 1.2, 1.7),
        (0, pytest.approx(1.9), pytest.approx(2.9)),
    ]


def test_a_text_needs_a_synthesiser_that_gives_sound():
    with pytest.raises(PolytalkError, match=r"utterances\[0\]: Anna has a text and no sound.*synthesiser"):
        load_conversation(scene(Utterance("Anna", "Hello.")))
    with pytest.raises(PolytalkError, match=r"utterances\[0\]: .*no samples"):
        load_conversation(scene(Utterance("Anna", "Hello.")), lambda text, voice: Sound(noise(0), RATE))


def test_a_voice_longer_than_its_slot_is_refused():
    said = Utterance("Anna", audio=noise(2), sample_rate=RATE, start=1, end=2)
    with pytest.raises(PolytalkError, match=r"Anna speaks for 2\.00 s in a slot of 1\.00 s"):
        load_conversation(scene(said))
