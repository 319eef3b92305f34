"""Who is in the picture, who is in the sound, and who is who: a proposal that the user confirms or corrects."""

from polytalk.casting.found import Diarization, FoundPerson, VoiceTurn

__all__ = ["Diarization", "FoundPerson", "VoiceTurn"]
