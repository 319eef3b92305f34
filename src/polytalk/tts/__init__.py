"""How a text becomes speech: who can speak (`voices`), how it is read (`reading`), what speaks it (`hibari`, ...)."""

from polytalk.tts.speech import Speech
from polytalk.tts.synthesizer import Synthesizer, synthesize
from polytalk.tts.voices import Voice, cast_voices, find_voice, list_voices

__all__ = ["Speech", "Synthesizer", "Voice", "cast_voices", "find_voice", "list_voices", "synthesize"]
