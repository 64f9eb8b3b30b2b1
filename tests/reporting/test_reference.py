from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from replication.reporting.reference import PATH, load_reference

REFERENCE = load_reference()
BENCHMARKS = ["AIME24", "AIME25", "GPQA"]


def test_the_untrained_judges_are_those_of_figure_2() -> None:
    bert, zero = REFERENCE.figure2bc["sentence_bert"], REFERENCE.figure2bc["zero_shot"]
    assert (bert.auroc, bert.tnr, zero.auroc, zero.tnr) == (0.58, 0.31, 0.66, 0.38)


def test_the_printed_average_is_not_the_mean_of_the_bars() -> None:
    assert REFERENCE.figure2a_average == 0.816
    assert np.mean(list(REFERENCE.figure2a.values())) == pytest.approx(0.8875)


@pytest.mark.parametrize("cut", ["tokens", "words"])
@pytest.mark.parametrize("row", ["plain", "focal", "oversampling", "both"])
def test_each_average_of_table_1_is_the_mean_of_its_reasoners(cut: str, row: str) -> None:
    models = dict(REFERENCE.table1[cut][row])
    average = models.pop("average")
    assert len(models) == 3
    assert np.mean(list(models.values()), axis=0) == pytest.approx(average, abs=6e-5)


def test_table_1_of_the_second_version_is_far_below_the_first() -> None:
    best = max(m["average"][0] for rows in REFERENCE.table1.values() for m in rows.values())
    assert (best, REFERENCE.table1_v2_auroc) == (0.8701, 0.7072)


def test_table_2_has_every_cell_but_the_two_that_deepconf_left_out() -> None:
    for model, methods in REFERENCE.table2.items():
        assert len(methods) == 5
        for method, cells in methods.items():
            missing = model == "GPT-OSS-20B" and "DeepConf paper" in method
            assert list(cells) == (BENCHMARKS[:2] if missing else BENCHMARKS)


def test_the_threshold_of_a_half_in_table_3_repeats_table_2() -> None:
    for benchmark in ("AIME24", "AIME25"):
        voting = REFERENCE.table3[benchmark][0.5].voting
        assert voting == REFERENCE.table2["Qwen3-32B"]["DeepPrune"][benchmark]
        assert sorted(REFERENCE.table3[benchmark]) == [0.25, 0.5, 0.63, 0.75]


def test_figure_4_agrees_with_table_1_for_words_and_not_for_tokens() -> None:
    words, tokens = (REFERENCE.table1[cut]["both"]["average"][0] for cut in ("words", "tokens"))
    assert REFERENCE.figure4["words"][25] == pytest.approx(words, abs=0.001)
    assert REFERENCE.figure4["tokens"][500] - tokens == pytest.approx(0.026, abs=0.001)


def test_an_unknown_key_or_a_share_above_one_is_refused(tmp_path: Path) -> None:
    good = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    bad = [{**good, "table9": 1}, {**good, "figure2bc": {"zero_shot": {"auroc": 66, "tnr": 0.3}}}]
    for i, content in enumerate(bad):
        path = tmp_path / f"{i}.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        with pytest.raises(ValidationError):
            load_reference(path)
