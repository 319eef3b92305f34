"""Text to speech: who can speak (`voices`), how a text is read (`reading`), and what speaks it (`hibari`, `kokoro`)."""

from polytalk.tts.speech import Speech
from polytalk.tts.synthesizer import Synthesizer, synthesize
from polytalk.tts.voices import Voice, cast_voices, find_voice, list_voices

__all__ = ["Speech", "Synthesizer", "Voice", "cast_voices", "find_voice", "list_voices", "synthesize"]
