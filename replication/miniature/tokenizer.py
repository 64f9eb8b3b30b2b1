"""A word-level tokenizer whose vocabulary is exactly the miniature world's words.

One word, number or mark is one token, so that prefixes cut at a token are readable and a
lookup copies a single token. It is saved in the transformers format and loads anywhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from replication.miniature import phrases as spoken
from replication.miniature.problems import LETTERS, MODULUS, NAMES, OPS
from replication.miniature.terms import READINGS, TERMS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS, UNK = "<pad>", "<s>", "</s>", "<unk>"
GLUE = """Problem: Question: what has Options: is equals that are missing right answer: wrong and
    Solution: Trace 1: 2: Verdict: same different Same Different the will both two reach agree
    yes no Yes No ? , . : } Text lookup"""
MARKS = r"\\boxed\{|[.,:?}]"


def vocabulary() -> list[str]:
    """Return every token in a fixed order: specials, marks, words (with ``▁``), bare values."""
    phrases = [GLUE, *NAMES, *OPS, *LETTERS, *(str(v) for v in range(MODULUS))]
    for name in ("OPENERS", "LEAVES", "RESULTS", "CAUSES", "MUSINGS", "CHECKS", "REPAIR"):
        phrases += getattr(spoken, name)
    words = sorted(set(re.sub(MARKS, " ", " ".join(phrases)).split()))
    bare = [*(str(v) for v in range(MODULUS)), *LETTERS]
    # Behind all others, so that models which have not met terms keep their ids.
    late = [*TERMS, "or", *(reading for of in READINGS.values() for reading in of)]
    return [
        PAD,
        BOS,
        EOS,
        UNK,
        *".,:?}",
        "\\boxed{",
        "▁\\boxed{",
        "▁",
        *("▁" + w for w in words),
        *bare,
        *("▁" + w for w in late),
    ]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer; encoding adds no special tokens, decoding restores the text."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = {token: i for i, token in enumerate(vocabulary())}
    raw = Tokenizer(models.WordLevel(tokens, unk_token=UNK))
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always"),
            pre_tokenizers.Split(Regex(r"▁?\\boxed\{|[.,:?}]"), "isolated"),
        ]
    )
    raw.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )


def prompt_text(question: str) -> str:
    """Return the text a reasoner continues: the start mark, the question and ``Solution:``."""
    return f"{BOS} {question} Solution:"
