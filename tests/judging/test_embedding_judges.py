"""Judges on SentenceBERT embeddings, with the encoder that the notebooks use."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from deepprune_core.judging.embedding_judge import EmbeddingJudge
from deepprune_core.judging.inputs import JudgeInput, TokenMeter
from deepprune_core.judging.sentence_bert import SentenceBertJudge, TextVectors, open_encoder

ADD = "First we add the apples and the pears, so the sum is twelve."
ADD_AGAIN = "Let us sum up apples and pears first; that makes twelve."
PLANE = "The plane to Lisbon was late because of a storm over the sea."


@pytest.fixture(scope="module")
def encoder():
    return open_encoder()


@pytest.fixture(scope="module")
def vectors(encoder):
    return TextVectors(encoder)


def pair(first: str, second: str) -> JudgeInput:
    return JudgeInput("How many?", first, second)


def test_cosine_is_that_of_the_encoders_own_vectors(encoder, vectors):
    scores = SentenceBertJudge(vectors).score([pair(ADD, ADD_AGAIN), pair(ADD, PLANE)])
    vectors = encoder.encode([ADD, ADD_AGAIN, PLANE]).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = [(1 + vectors[0] @ vectors[1]) / 2, (1 + vectors[0] @ vectors[2]) / 2]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert scores[0] > scores[1]


def test_similarity_has_no_order_and_is_one_for_equal_texts(vectors):
    judge = SentenceBertJudge(vectors)
    forth, back, same = judge.score([pair(ADD, PLANE), pair(PLANE, ADD), pair(ADD, ADD)])
    assert forth == pytest.approx(back, abs=1e-6) and same == pytest.approx(1, abs=1e-5)
    assert judge.score([]).shape == (0,)


def test_the_trained_judge_is_scikit_learns_regression_on_difference_and_product(encoder, vectors):
    inputs = [pair(ADD, ADD_AGAIN), pair(ADD, PLANE), pair(ADD_AGAIN, PLANE), pair(ADD, ADD)]
    same = np.array([True, False, False, True])
    scores = EmbeddingJudge(vectors, penalty=0.5).fit(inputs, same).score(inputs)
    u = encoder.encode([p.first for p in inputs], normalize_embeddings=True).astype(np.float64)
    v = encoder.encode([p.second for p in inputs], normalize_embeddings=True).astype(np.float64)
    features = np.hstack([np.abs(u - v), u * v])
    model = LogisticRegression(C=2.0, max_iter=2000).fit(features, same)
    np.testing.assert_allclose(scores, model.predict_proba(features)[:, 1], atol=1e-4)
    assert (scores > 0.5).tolist() == same.tolist()


def test_one_kind_of_pairs_teaches_nothing_and_is_refused(vectors):
    with pytest.raises(ValueError, match="one kind only"):
        EmbeddingJudge(vectors).fit([pair(ADD, PLANE)], np.array([False]))


def test_a_prefix_is_counted_once_and_up_to_what_the_encoder_reads(encoder, vectors):
    one, two = (len(encoder.tokenizer.encode(t, add_special_tokens=False)) for t in (ADD, PLANE))
    pairs = [pair(ADD, "apple " * 1000), pair(ADD, PLANE), pair(PLANE, ADD)]
    for judge in (SentenceBertJudge(vectors), EmbeddingJudge(vectors)):
        assert judge.num_tokens(pairs).tolist() == [one + encoder.max_seq_length, two, 0]
        meter = TokenMeter(judge)
        for asked in pairs:
            meter.add([asked])
        assert meter.tokens == one + encoder.max_seq_length + two


def test_kept_vectors_are_the_encoders_own_and_a_second_opening_embeds_nothing(encoder, tmp_path):
    path, texts = tmp_path / "vectors.npz", [PLANE, ADD, PLANE]
    TextVectors(encoder, path)([ADD])
    TextVectors(encoder, path)(texts)
    again = TextVectors(encoder, path)
    again.encoder = None  # nothing may be embedded any more
    np.testing.assert_allclose(
        again(texts), encoder.encode(texts, normalize_embeddings=True), atol=1e-6
    )


def test_vectors_of_another_window_are_not_taken_for_its_own(encoder, tmp_path):
    path, text = tmp_path / "vectors.npz", "one two three four five six seven eight nine ten"
    other = open_encoder()
    other.max_seq_length = 6
    kept, short = TextVectors(encoder, path)([text]), TextVectors(other, path)([text])
    assert np.abs(kept - short).max() > 0.01
    np.testing.assert_array_equal(TextVectors(encoder, path)([text]), kept)


def test_a_broken_file_of_vectors_is_named(encoder, tmp_path):
    path = tmp_path / "vectors.npz"
    path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match=r"vectors\.npz: expected vectors .* delete the file"):
        TextVectors(encoder, path)
