"""What the judge reads: a prompt template as data, and its exact token ids.

A template is text with the fields ``{question}`` (optional), ``{first}`` and ``{second}``,
in that order. Every fixed piece and every field is turned into token ids on its own and the
ids are joined. So all prompts with the same question and first prefix begin with the same
ids (the *head*), and the judge can read that head once; the rest is the *tail*. The paper
does not publish its prompt, nor whether the judge sees the question: both are settings here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

FIELDS = ("question", "first", "second")
_FIELD = re.compile(r"\{(question|first|second)\}")
_REMEMBERED = 16_384

SYSTEM = (
    "You compare two unfinished solutions of the same problem and predict whether they will "
    "reach the same final answer."
)
USER_QUESTION = "Problem:\n{question}\n\n"
USER_TRACES = (
    "Unfinished solution 1:\n{first}\n\nUnfinished solution 2:\n{second}\n\n"
    "Will both solutions reach the same final answer? Reply with one word, yes or no."
)


@dataclass(frozen=True)
class JudgePrompt:
    """How a pair becomes a prompt, and the two words that answer it.

    ``template`` holds the fields once each, in the order question, first, second; the
    question may be left out. Other braces are plain text. ``same_label`` and
    ``different_label`` must be single tokens of the judge's tokenizer, a leading space
    included where the word follows a space.

    Raises:
        ValueError: a field is missing, repeated, out of order, or ends the template.
    """

    template: str
    same_label: str
    different_label: str

    def __post_init__(self) -> None:
        found = tuple(_FIELD.findall(self.template))
        if found not in (FIELDS, FIELDS[1:]):
            raise ValueError(
                f"expected the fields {FIELDS} (question is optional) once each and in this "
                f"order, got {found} in the template {self.template!r}; reorder the template"
            )

        if self.template.endswith("{second}"):
            raise ValueError(
                "expected text after {second} that asks for the verdict, got a template that "
                "ends with it; end the template with words such as ' Verdict:'"
            )

    @property
    def reads_question(self) -> bool:
        """Whether the judge sees the question."""
        return "{question}" in self.template


def plain_prompt(tokenizer: Any, *, with_question: bool = True) -> JudgePrompt:
    """Return the prompt for a base model: plain text that ends with ``Verdict:``."""
    start = tokenizer.bos_token or ""
    question = "{question} " if with_question else ""
    template = f"{start}{question}Trace 1: {{first}} Trace 2: {{second}} Verdict:"
    return JudgePrompt(template, " same", " different")


def chat_prompt(
    tokenizer: Any, *, with_question: bool = True, system: str = SYSTEM, user: str | None = None
) -> JudgePrompt:
    """Return the prompt for a chat model: its own chat template, answered with yes or no.

    ``user`` is the user message with the fields in it (default: :data:`USER_TRACES`, with the
    question before it). Thinking is switched off where the chat template knows the switch.

    Raises:
        ValueError: the tokenizer has no chat template.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError(
            "expected a tokenizer with a chat template, got none; use plain_prompt for base models"
        )
    default = (USER_QUESTION if with_question else "") + USER_TRACES
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user or default}]
    template = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    return JudgePrompt(template, "yes", "no")


@dataclass(frozen=True)
class EncodedPair:
    """The token ids of one prompt: ``head`` (shared by pairs with one first prefix), ``tail``.

    ``shortened`` says that the prefixes did not fit and were cut to one common length.
    """

    head: np.ndarray
    tail: np.ndarray
    shortened: bool

    @property
    def num_tokens(self) -> int:
        """Prompt tokens the judge reads for this pair."""
        return len(self.head) + len(self.tail)


def label_token(tokenizer: Any, label: str) -> int:
    """Return the id of a label word.

    Raises:
        ValueError: the word is not exactly one known token in this tokenizer.
    """
    ids = list(tokenizer.encode(label, add_special_tokens=False))
    unknown = getattr(tokenizer, "unk_token_id", None)
    if len(ids) != 1 or ids[0] == unknown:
        raise ValueError(
            f"expected the label {label!r} to be one token, got {len(ids)} token(s) {ids}; "
            "choose a label word that is a single token of this tokenizer (mind leading spaces)"
        )
    return int(ids[0])


class PairEncoder:
    """Turns (question, first, second) into token ids of at most ``max_tokens``.

    White space around a field is dropped; a space before a field in the template belongs to
    the field's first word, as tokenizers expect. Text inside a field never becomes a control
    token: a trace that spells ``</s>`` is read as those characters. When a prompt is too
    long, both prefixes keep at most the same number of tokens, the largest that fits, cut
    from their ends; question and template are never cut.
    """

    def __init__(self, tokenizer: Any, prompt: JudgePrompt, max_tokens: int) -> None:
        self.prompt = prompt
        self.max_tokens = max_tokens
        self._tokenizer = tokenizer
        self._literals, self._spaces = self._split_template()
        # Few texts, many pairs: each text is tokenized once and each head and tail joined once.
        self._content = lru_cache(_REMEMBERED)(self._encode_content)
        self._head = lru_cache(_REMEMBERED)(self._join_head)
        self._tail = lru_cache(_REMEMBERED)(self._join_tail)

    def encode(self, question: str, first: str, second: str) -> EncodedPair:
        """Return the prompt's ids, shortened if need be.

        Raises:
            ValueError: not even one token of each prefix fits beside question and template.
        """
        question = question if self.prompt.reads_question else ""
        lengths = len(self._content(first, "first")), len(self._content(second, "second"))
        fixed = sum(map(len, self._literals.values()))
        fixed += len(self._content(question, "question")) if question else 0
        keep = self._tokens_to_keep(self.max_tokens - fixed, *lengths)
        head = self._head(question, first, min(keep, lengths[0]))
        tail = self._tail(second, min(keep, lengths[1]))
        return EncodedPair(head, tail, keep < max(lengths))

    def encode_one(self, question: str, text: str) -> EncodedPair:
        """Return the prompt up to its first prefix: the question's part, and the prefix's.

        Raises:
            ValueError: not even one token of the prefix fits beside the question.
        """
        head = np.empty(0, dtype=np.int32)
        if self.prompt.reads_question:
            head = np.concatenate([self._literals["question"], self._content(question, "question")])
        content = self._content(text, "first")
        room = self.max_tokens - len(head) - len(self._literals["first"])
        if room < 1:
            raise ValueError(
                f"expected room for a prefix within max_tokens={self.max_tokens}, got none beside "
                "the question; raise max_tokens"
            )
        tail = np.concatenate([self._literals["first"], content[:room]])
        return EncodedPair(head, tail, len(content) > room)

    def _tokens_to_keep(self, room: int, first: int, second: int) -> int:
        """Return the largest k with min(first, k) + min(second, k) <= room."""
        short, long = sorted((first, second))
        if first + second <= room:
            return long
        if room < 2:
            raise ValueError(
                f"expected room for both prefixes within max_tokens={self.max_tokens}, got "
                f"{room} token(s) left beside question and template; raise max_tokens"
            )
        return max(room // 2, room - short)

    def _split_template(self) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """Return the fixed ids before each field (and at the ``end``) and each field's space."""
        parts = _FIELD.split(self.prompt.template)
        literals, spaces = {}, {}
        for literal, field in zip(parts[::2], [*parts[1::2], "end"], strict=True):
            spaces[field] = " " if literal.endswith(" ") and field != "end" else ""
            text = literal.removesuffix(spaces[field])
            ids = self._tokenizer.encode(text, add_special_tokens=False) if text else []
            literals[field] = np.asarray(ids, dtype=np.int32)
        return literals, spaces

    def _encode_content(self, text: str, field: str) -> np.ndarray:
        text = text.strip()
        if not text:
            return np.empty(0, dtype=np.int32)
        ids = self._tokenizer.encode(
            self._spaces[field] + text, add_special_tokens=False, split_special_tokens=True
        )
        return np.asarray(ids, dtype=np.int32)

    def _join_head(self, question: str, first: str, keep: int) -> np.ndarray:
        pieces = [self._literals["first"], self._content(first, "first")[:keep]]
        if self.prompt.reads_question:
            pieces = [self._literals["question"], self._content(question, "question"), *pieces]
        return np.concatenate(pieces)

    def _join_tail(self, second: str, keep: int) -> np.ndarray:
        content = self._content(second, "second")[:keep]
        return np.concatenate([self._literals["second"], content, self._literals["end"]])
