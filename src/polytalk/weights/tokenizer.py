"""A small tokenizer in the files of google/umt5-xxl: characters, words of a few sentences, and bytes for the rest."""

from __future__ import annotations

import io
import json
from pathlib import Path

_SPECIAL = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
_SAMPLE = (
    "The quick brown fox jumps over the lazy dog. Two people sit at a table and talk, smile and listen to each other.",
    "A woman sings into a microphone; a man in a blue shirt answers: how are you? I am fine, thank you! 0123456789",
    "In a studio, people speak on camera (close up) and wave their hands - 'yes', \"no\", and so on & on.",
)


def write_tokenizer(folder: Path, vocab: int = 512) -> None:
    """Write spiece.model, tokenizer.json, tokenizer_config.json and special_tokens_map.json, at most `vocab` pieces."""
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_SAMPLE),
        model_writer=model,
        vocab_size=vocab,
        hard_vocab_limit=False,
        model_type="unigram",
        byte_fallback=True,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        pad_piece=_SPECIAL["pad_token"],
        num_threads=1,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    scored = [(pieces.IdToPiece(i), pieces.GetScore(i)) for i in range(len(pieces))]
    (folder / "tokenizer.json").write_text(_fast_tokenizer(scored), encoding="utf-8")
    settings = _SPECIAL | {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "model_max_length": 10**30, "legacy": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(_SPECIAL, indent=2) + "\n", encoding="utf-8")


def _fast_tokenizer(scored: list[tuple[str, float]]) -> str:
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram(scored, unk_id=2, byte_fallback=True))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in _SPECIAL.values()])
    return tokenizer.to_str()
