"""Who is who: whom a picture shows, whose voices a sound holds, and which is whose; a proposal to be corrected.

Example:
    scene = Scene("us.jpg", speakers=[Speaker("anna.wav"), Speaker("ben.wav")])
    scene = cast_scene(scene).scene                                # with everybody's box
    proposal = cast_recording("us.jpg", "talk.wav", num_voices=2)  # one recording of everybody
    save_proposal(proposal, "cast.json")
"""

from polytalk.casting.cast import CastProposal, cast_scene, save_proposal
from polytalk.casting.found import Diarization, FoundPerson, VoiceTurn
from polytalk.casting.match import Match, Pair, Reason, match_voices
from polytalk.casting.recording import cast_recording, scene_of_recording

__all__ = [
    "CastProposal",
    "Diarization",
    "FoundPerson",
    "Match",
    "Pair",
    "Reason",
    "VoiceTurn",
    "cast_recording",
    "cast_scene",
    "match_voices",
    "save_proposal",
    "scene_of_recording",
]
