"""Figure 2b and 2c: SentenceBERT and the zero-shot judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from deepprune_core.judging.score_cache import CachedJudge
from deepprune_core.judging.sentence_bert import SentenceBertJudge
from deepprune_core.metrics import Interval
from replication.judges import base_model, open_judge, test_data
from replication.reporting.evidence import CONFIRMED, OPEN, REFUTED, WEAK, above
from replication.reporting.plots import Curve
from replication.reporting.reference import load_reference
from replication.run import Run
from replication.skill import JudgeResult, assess
from replication.text import number
from replication.vectors import first_words
from replication.workflow.profile import ROOT

Judged = tuple[str, JudgeResult]
NAMES = {"sentence_bert": "SentenceBERT cosine", "zero_shot": "Zero-shot judge"}


def judge_tokenizer(run: Run) -> Any:
    """Return the tokenizer that cuts prefixes: the judge's, the profile's, or SentenceBERT's."""
    from transformers import AutoTokenizer

    source = base_model(run) if run.profile.judge.base else run.profile.tokenizer
    if source is None:
        return first_words(run).encoder.tokenizer
    return AutoTokenizer.from_pretrained(source, trust_remote_code=False)


def zero_shot(run: Run, tokenizer: Any) -> JudgeResult:
    """Return the result of the judge's base model without any training on pairs of traces."""
    cut, judge = run.cuts.online(), zero_shot_judge(run)
    result = assess(run, NAMES["zero_shot"], judge, test_data(run, cut, tokenizer), cut)
    judge.save()
    return result


def zero_shot_judge(run: Run) -> CachedJudge:
    """Return the base model as a judge, with the scores that ship or that the run keeps."""
    shipped = run.profile.judge.zero_shot_scores
    scores = ROOT / shipped if shipped else run.work / "scores" / "zero-shot.parquet"
    return open_judge(run, None, scores, autocast=run.profile.judge.autocast)


def sentence_bert(run: Run, tokenizer: Any) -> JudgeResult:
    """Return the result of SentenceBERT on the first tokens, as in the paper."""
    cut = run.cuts.table1()[0]
    judge = SentenceBertJudge(first_words(run))
    return assess(run, NAMES["sentence_bert"], judge, test_data(run, cut, tokenizer), cut)


def untrained_judges(run: Run) -> list[Judged]:
    """Return SentenceBERT, and the zero-shot judge where the profile has one."""
    tokenizer = judge_tokenizer(run)
    found = [("sentence_bert", sentence_bert(run, tokenizer))]
    if run.profile.judge.base and has_zero_shot(run):
        found.append(("zero_shot", zero_shot(run, tokenizer)))
    return found


def has_zero_shot(run: Run) -> bool:
    """Return whether zero-shot scores ship, or are cheap enough to be computed in a run."""
    shipped = run.profile.judge.zero_shot_scores
    return shipped is None or (ROOT / shipped).is_file()


def untrained_panels(judged: Sequence[Judged]) -> dict[str, list[Curve]]:
    """Return one panel a judge."""
    titles = {"sentence_bert": "SentenceBERT (Figure 2b)", "zero_shot": "Zero-shot (Figure 2c)"}
    reported = load_reference().figure2bc
    return {
        titles[key]: [replace(result.curve, paper=(reported[key].auroc, reported[key].tnr))]  # type: ignore[index]
        for key, result in judged
    }


def against_chance(auroc: Interval) -> str:
    """Return on which side of chance an AUROC lies, if its interval tells.

    >>> against_chance(Interval(0.43, 0.37, 0.49, 30))
    'below chance'
    """
    told = {CONFIRMED: "above", REFUTED: "below", OPEN: "not told from"}
    return f"{told[above(auroc, 0.5)]} chance"


def untrained_words(run: Run, judged: Sequence[Judged]) -> str:
    """Return what agrees with the paper's Figure 2b and 2c and what does not."""
    reference = load_reference().figure2bc
    sentences = []
    run.headline(
        "02",
        *((f"{result.name}, AUROC", f"{reference[key].auroc:.2f}", number(result.auroc))  # type: ignore[index]
          for key, result in judged),
    )  # fmt: skip
    for key, result in judged:
        paper = reference[key].auroc  # type: ignore[index]
        sentences.append(
            f"{result.name}: AUROC {number(result.auroc)} here, {paper:.2f} in the paper; "
            f"{against_chance(result.auroc)}."
        )
    if all(result.auroc.high < WEAK for _, result in judged):
        sentences.append(
            f"As in the paper, {'both stay' if len(judged) > 1 else 'it stays'} below {WEAK}: what "
            "beginnings look like says little."
        )
    elif any(result.auroc.low > WEAK for _, result in judged):
        sentences.append("Here the beginnings alone say more than in the paper.")
    if run.profile.judge.base and run.profile.contradictions:
        sentences.append(
            "Our zero-shot judge is a language model of the miniature world that has met the "
            "question format, so it stands for an instruct model, not for a blank one."
        )
    return run.note("02", *sentences)
