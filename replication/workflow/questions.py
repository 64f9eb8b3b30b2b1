"""The questions of the profile ``small``, made by reasoning-gym from a seed.

``python -m replication.workflow.questions`` reads ``data/small/questions.yaml`` and writes
``data/small/questions.parquet``. A question depends on the seed, its template and its number
only, so a benchmark can grow without changing what is there. ``reasoning-gym`` is needed for
making questions, not for reading them: ``pip install -r requirements-questions.txt``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from random import Random
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import Field, ValidationError

from deepprune_core.traces import Question
from replication.workflow.profile import ROOT
from replication.workflow.sections import Section

FOLDER = ROOT / "data" / "small"


class QuestionsError(ValueError):
    """Questions that cannot be made; one line with the fault and the fix."""


Template = int | str | tuple[int, int]


class Split(Section):
    """``each`` questions of every template; see :class:`Source` for what a template is."""

    each: int = Field(ge=1)
    templates: tuple[Template, ...]


class Kind(Section):
    """A kind of question: a data set of the generator and how it is set."""

    dataset: str
    settings: dict[str, Any] = Field(default_factory=dict)


class Source(Section):
    """One benchmark: a data set of the generator and its splits, whose templates differ.

    A template of ``gsm_symbolic`` is a number of the generator's, one of ``chain_sum`` is
    [terms, digits], and one of ``several`` names one of ``kinds``.
    """

    dataset: Literal["gsm_symbolic", "chain_sum", "several"]
    kinds: dict[str, Kind] = Field(default_factory=dict)
    splits: dict[Literal["train", "dev", "test"], Split]


class Plan(Section):
    """All benchmarks of a file."""

    generator: str
    seed: int
    benchmarks: dict[str, Source]


def load_plan(path: Path) -> Plan:
    """Return a plan whose splits share no template.

    Raises:
        QuestionsError: the file is no plan, or a template stands in two splits.
    """
    try:
        plan = Plan.model_validate(yaml.safe_load(path.read_text()))
    except (ValidationError, yaml.YAMLError) as error:
        raise QuestionsError(f"{path}: {error}") from None
    for name, source in plan.benchmarks.items():
        named = {t for part in source.splits.values() for t in part.templates if isinstance(t, str)}
        if unknown := sorted(named - set(source.kinds)):
            raise QuestionsError(f"{path}: {name}: no kind {unknown[0]!r}; add it to kinds")
        owners: dict[Any, str] = {}
        for split, part in source.splits.items():
            for template in part.templates:
                if owners.setdefault(template, split) != split:
                    raise QuestionsError(
                        f"{path}: {name}: template {template} stands in {owners[template]} and "
                        f"in {split}; a template belongs to one split"
                    )
    return plan


def make_questions(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield one row a question: its id, benchmark, split, template, text and right answer.

    Raises:
        QuestionsError: the pinned generator is not installed.
    """
    package, _, wanted = plan.generator.partition("==")
    try:
        found = version(package)
    except PackageNotFoundError:
        found = "none"
    if found != wanted:
        raise QuestionsError(
            f"expected {plan.generator}, got {found}; pip install -r requirements-questions.txt"
        )
    for name, source in plan.benchmarks.items():
        for split, part in source.splits.items():
            for template in part.templates:
                texts: set[str] = set()
                for number in range(part.each):
                    label = (
                        "x".join(map(str, template))
                        if isinstance(template, tuple)
                        else str(template)
                    )
                    key = f"{name}/{label}/{number}"
                    rng = Random(f"{plan.seed}/{key}")
                    text, gold = _drawn(source, template, rng)
                    while text in texts:  # a template with few names repeats itself
                        text, gold = _drawn(source, template, rng)
                    texts.add(text)
                    yield {
                        "question_id": key, "benchmark": name, "split": split, "template": label,
                        "text": text, "gold": gold, "generator": plan.generator, "seed": plan.seed,
                    }  # fmt: skip


def _drawn(source: Source, template: Template, rng: Random) -> tuple[str, str]:
    """Return a question of a template and its answer."""
    import reasoning_gym

    if isinstance(template, int):
        templates = reasoning_gym.create_dataset(source.dataset, size=1, seed=0).generators
        found = templates[template](rng, 1.0)
    else:
        kind = source.kinds[template] if isinstance(template, str) else sized(*template)
        seed = rng.randrange(2**31)
        found = reasoning_gym.create_dataset(kind.dataset, size=1, seed=seed, **kind.settings)[0]
    return " ".join(found["question"].split()), str(found["answer"])


def sized(terms: int, digits: int) -> Kind:
    """Return sums of so many terms of so many digits."""
    return Kind(dataset="chain_sum", settings={
        "min_terms": terms, "max_terms": terms, "min_digits": digits, "max_digits": digits,
    })  # fmt: skip


def stored_questions(name: str, path: Path = FOLDER / "questions.parquet") -> tuple[Question, ...]:
    """Return the questions of ``benchmark:split``, such as ``words:test``, in the file's order.

    Raises:
        QuestionsError: there is no such file, or none of that name in it.
    """
    if not path.is_file():
        raise QuestionsError(f"{path}: no such file; run make questions")
    rows = pq.read_table(path).to_pylist()
    names = list(dict.fromkeys(f"{row['benchmark']}:{row['split']}" for row in rows))
    if name not in names:
        raise QuestionsError(f"{path}: no questions {name!r}; there are {', '.join(names)}")
    return tuple(
        Question(row["question_id"], row["text"], row["gold"], row["benchmark"])
        for row in rows
        if f"{row['benchmark']}:{row['split']}" == name
    )


def main(arguments: list[str] | None = None) -> int:
    """Write the questions of a plan."""
    parser = argparse.ArgumentParser(
        prog="python -m replication.workflow.questions", description=main.__doc__
    )
    parser.add_argument("--plan", type=Path, default=FOLDER / "questions.yaml")
    parser.add_argument("--out", type=Path, default=FOLDER / "questions.parquet")
    options = parser.parse_args(arguments)
    try:
        rows = list(make_questions(load_plan(options.plan)))
    except (QuestionsError, OSError) as error:
        print(f"questions: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    pq.write_table(pa.Table.from_pylist(rows), options.out)
    print(f"{options.out}: {len(rows)} questions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
