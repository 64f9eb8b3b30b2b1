"""Table 1 once more on a second base, where a profile names one."""

from __future__ import annotations

from deepprune_core.reporting.tables import Table, write_table
from replication.judges import is_trained, table1_specs
from replication.paired import paired_table
from replication.run import Run
from replication.table1 import assess_all, row_differences, table1
from replication.untrained import has_zero_shot, judge_tokenizer, zero_shot
from replication.workflow.profile import ROOT, load_profile


def second_base(run: Run) -> tuple[Table | str, ...]:
    """Write and return the rows on the second base and their differences, or say why not."""
    name = run.profile.judge.second
    if name is None:
        return ("Left out: the profile names no second base (judge.second).",)
    profile = load_profile(ROOT / "replication" / "profiles" / f"{name}.yaml")
    second = Run(profile, run.out, run.work / name)
    specs = table1_specs(second)
    if not has_zero_shot(second) or not any(is_trained(second, spec) for spec in specs):
        return (f"Left out: no judge is trained yet; `make judges PROFILE={name}` trains them.",)
    tokenizer = judge_tokenizer(second)
    results, zero = assess_all(second, specs, tokenizer), zero_shot(second, tokenizer)
    found = row_differences(second, results, zero)
    tables = (
        table1(second, results, name="table1_second"),
        paired_table(second, found, zero, name="table1_second_paired"),
    )
    return tuple(write_table(table, run.out) for table in tables)
