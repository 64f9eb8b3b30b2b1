"""Other tools' trace files, written here as those tools write them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepprune_core.answers import UNGRADABLE, grade, grade_all
from deepprune_core.formats.fields import gold_of
from deepprune_core.formats.foreign import described
from deepprune_core.formats.trace_files import TraceFileError, read_traces, read_with_report

HARNESS = {
    "doc_id": 3, "doc": {"question": "2 + 2?"}, "target": "4", "arguments": {},
    "resps": [["so \\boxed{4}", "hmm, \\boxed{5}"]], "filtered_resps": ["4"], "exact_match": 1.0,
}  # fmt: skip
CODE = {"idx": 7, "question": "1 + 1?", "gt": "2", "code": ["\\boxed{2}", "\\boxed{3}"], "pred": []}


def batch(custom_id: str, text: str) -> dict:
    body = {"model": "m", "choices": [{"message": {"content": text}}],
            "usage": {"completion_tokens": 9}}  # fmt: skip
    return {"id": "b", "custom_id": custom_id, "response": {"status_code": 200, "body": body}}


def inspect_sample(name: str, epoch: int, text: str) -> dict:
    message = {"role": "assistant", "content": [{"type": "reasoning", "reasoning": "hmm"},
                                                {"type": "text", "text": text}]}  # fmt: skip
    return {
        "id": name, "epoch": epoch, "input": [{"role": "user", "content": "How much?"}],
        "target": "A", "output": {"model": "m", "choices": [{"message": message}],
                                  "usage": {"output_tokens": 11}}, "scores": {},
    }  # fmt: skip


def lines(path: Path, *records: dict) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_harness_samples_with_repeats(tmp_path):
    traces = read_traces(lines(tmp_path / "samples_gsm8k.jsonl", HARNESS))
    (question,), (group,) = traces.questions, traces.traces
    assert (question.question_id, question.text, question.gold) == ("3", "2 + 2?", "4")
    assert [t.text for t in group] == HARNESS["resps"][0]
    assert traces.counts_are_words and traces.model == "samples_gsm8k"


def test_lists_of_code(tmp_path):
    traces = read_traces(lines(tmp_path / "out.jsonl", CODE))
    assert (traces.questions[0].question_id, traces.questions[0].gold) == ("7", "2")
    assert [t.trace_id for t in traces.traces[0]] == ["0", "1"]


def test_batch_output_joins_a_questions_requests_and_keeps_token_counts(tmp_path):
    rows = [batch("q1#0", "a"), batch("q2#0", "b"), batch("q1#1", "c")]
    traces = read_traces(lines(tmp_path / "batch.jsonl", *rows))
    assert [q.question_id for q in traces.questions] == ["q1", "q2"]
    assert [t.text for t in traces.traces[0]] == ["a", "c"]
    assert traces.traces[0][0].num_tokens == 9 and not traces.counts_are_words


@pytest.mark.parametrize("suffix", ["json", "eval"])
def test_inspect_logs_order_epochs_and_join_reasoning(tmp_path, suffix):
    samples = [inspect_sample("x", 2, "B"), inspect_sample("x", 1, "A")]
    path = tmp_path / f"log.{suffix}"
    if suffix == "json":
        path.write_text(json.dumps({"version": 2, "eval": {}, "samples": samples}))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.json", "{}")
            for sample in samples:
                archive.writestr(f"samples/x_epoch_{sample['epoch']}.json", json.dumps(sample))
    traces = read_traces(path)
    assert [t.text for t in traces.traces[0]] == [
        "<think>\nhmm\n</think>\n\nA",
        "<think>\nhmm\n</think>\n\nB",
    ]
    assert (traces.model, traces.questions[0].text, traces.questions[0].gold) == (
        "m", "How much?", "A",
    )  # fmt: skip


def test_what_is_not_read_is_named():
    text = described(HARNESS)
    assert text.startswith("lm-evaluation-harness samples: doc_id → question_id")
    assert text.endswith("not read: arguments, exact_match")
    assert "no known format" in described({"foo": 1})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.eval", "no zip", "no inspect-ai log"),
        ("a.json", '{"samples": []}', "holds no samples"),
        ("a.json", "{", "not JSON"),
        ("a.jsonl", '{"doc_id": 1, "resps": []}', "not a record of lm-evaluation-harness"),
        ("a.jsonl", '{"foo": 1}', "expected 'question_id'"),
        ("a.json", '{"foo": 1}', "expected a list of records"),
        ("a.json", "[1]", "expected an object, got int"),
        ("a.json", '"text"', "expected a list of records, got str"),
        ("a.jsonl", '{"doc_id": 1, "resps": [[[-1.5, false]]]}', "got log-likelihoods"),
        ("a.jsonl", '{"custom_id": "q", "response": null}', "1 requests that failed"),
    ],
)
def test_damage_is_told_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(TraceFileError, match=message) as error:
        read_traces(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def told(path: Path) -> str:
    traces, report = read_with_report(path)
    return report.line(path.name, traces)


def test_of_several_harness_filters_one_is_read_and_named(tmp_path):
    texts = ["so 4", "so 5", "so 4", "none"]
    rows = [
        {"doc_id": doc, "doc": {"question": "?"}, "target": "4", "filter": name, "resps": [texts],
         "filtered_resps": own}
        for doc in (0, 1)
        for name, own in (("score-first", ["4"]), ("each", [["4", "5", "4", "[invalid]"]]),
                          ("maj@64", ["4"]), ("maj@8", ["4"]))
    ]  # fmt: skip
    traces = read_traces(lines(tmp_path / "samples.jsonl", *rows))
    assert [len(group) for group in traces.traces] == [4, 4]
    assert [t.answer for t in traces.traces[0]] == ["4", "5", "4", None]
    assert "filter each" in told(tmp_path / "samples.jsonl")
    first = [row for row in rows if row["filter"] != "each"]
    assert (
        "filter score-first: 2 questions, 8 traces; answers: 8 of 8 traces have no answer"
        in told(lines(tmp_path / "first.jsonl", *first))
    )


def test_a_tools_own_answer_counts_where_there_is_no_box(tmp_path):
    row = {**HARNESS, "resps": [["so \\boxed{4}", "so it is five"]], "filtered_resps": ["9", "5"]}
    path = lines(tmp_path / "samples.jsonl", row)
    traces = read_traces(path)
    assert [t.answer for t in traces.traces[0]] == [None, "5"]
    assert grade_all(traces)[0].classes.tolist() == [0, 1]
    assert told(path).endswith("answers: 1 stored in the file, 1 in a box")
    sample = {**inspect_sample("x", 1, "It is five"), "scores": {"match": {"answer": "5"}}}
    (tmp_path / "log.json").write_text(json.dumps({"samples": [sample]}))
    assert read_traces(tmp_path / "log.json").traces[0][0].answer == "5"


def test_what_a_log_keeps_apart_is_put_back(tmp_path):
    sample = inspect_sample("x", 1, "attachment://abc") | {
        "attachments": {"abc": "so \\boxed{4}", "q": "2 + 2?"}, "input": "attachment://q",
    }  # fmt: skip
    (tmp_path / "log.json").write_text(json.dumps({"samples": [sample]}))
    traces = read_traces(tmp_path / "log.json")
    assert traces.questions[0].text == "2 + 2?"
    assert traces.traces[0][0].text.endswith("so \\boxed{4}")


@pytest.mark.parametrize(
    ("target", "gold"),
    [
        ("She has 3 + 4 = 7.\n#### 7", "7"),
        ("long " * 100 + "\n#### 1,234", "1,234"),
        ("thus \\boxed{7}", "7"),
        (["7"], "7"),
        (7, "7"),
        ("long " * 100, None),
        ("", None),
        (None, None),
        ([], None),
    ],
)
def test_a_target_may_be_a_solution_and_what_cannot_be_read_is_unknown(tmp_path, target, gold):
    assert gold_of(target) == gold
    traces = read_traces(lines(tmp_path / "s.jsonl", {**HARNESS, "target": target}))
    assert traces.questions[0].gold == gold
    own = {"question_id": "q", "gold": target, "traces": [{"text": "\\boxed{7}"}]}
    (question,), (group,) = (lambda t: (t.questions, t.traces))(
        read_traces(lines(tmp_path / "own.jsonl", own))
    )
    assert grade(question, group).gold_class == {"7": 0, None: UNGRADABLE}.get(gold, 1)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_sample_that_failed_is_left_out_and_counted_wherever_it_stands(tmp_path, place):
    failed = {"id": "f", "epoch": 1, "input": "?", "target": "A", "error": {"message": "boom"},
              "output": {"model": "", "choices": []}, "scores": {}}  # fmt: skip
    samples = [inspect_sample("x", 1, "A"), inspect_sample("y", 1, "B")]
    samples.insert(place, failed)
    path = tmp_path / "log.json"
    path.write_text(json.dumps({"samples": samples}))
    traces = read_traces(path)
    assert (traces.model, [q.question_id for q in traces.questions]) == ("m", ["x", "y"])
    assert told(path).endswith("left out: 1 samples that failed")
    rows = [batch("q1#0", "a"), batch("q1#1", "b")]
    rows.insert(place, {"custom_id": "q2#0", "response": None, "error": {"message": "boom"}})
    path = lines(tmp_path / "batch.jsonl", *rows)
    assert read_traces(path).num_traces == 2 and "1 requests that failed" in told(path)


def test_a_sample_whose_model_is_not_named_is_no_second_model(tmp_path):
    nameless = inspect_sample("y", 1, "B")
    nameless["output"]["model"] = ""
    path = tmp_path / "log.json"
    path.write_text(json.dumps({"samples": [nameless, inspect_sample("x", 1, "A")]}))
    assert read_traces(path).model == "m"


def test_an_archive_with_zstandard_is_read(tmp_path):
    """The member is written by hand: Python's zipfile cannot pack it."""
    content = json.dumps(inspect_sample("x", 1, "so \\boxed{4} " * 50)).encode()
    packed = pa.compress(content, codec="zstd", asbytes=True)
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("samples/x_epoch_1.json", packed)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        info = archive.infolist()[0]
    local, central = info.header_offset, data.index(b"PK\x01\x02")
    data = bytearray(data)
    for start, method, size in ((local, 8, 22), (central, 10, 24)):
        data[start + method : start + method + 2] = (93).to_bytes(2, "little")
        data[start + size : start + size + 4] = len(content).to_bytes(4, "little")
    path.write_bytes(data)
    assert grade_all(read_traces(path))[0].classes.tolist() == [0]


def test_bodies_of_responses_and_completions_and_thinking_apart(tmp_path):
    def body(name: str, content: dict) -> dict:
        return {
            "custom_id": name,
            "response": {"status_code": 200, "body": {"model": "m"} | content},
        }

    message = {"content": None, "reasoning_content": "hmm \\boxed{9}"}
    rows = [
        body("q#0", {"choices": [{"text": "so \\boxed{4}"}]}),
        body("q#1", {"choices": [{"message": message}]}),
        body("q#2", {"output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm \\boxed{9}"}]},
            {"type": "message", "content": [{"type": "output_text", "text": "so \\boxed{5}"}]}],
            "usage": {"output_tokens": 7}}),
    ]  # fmt: skip
    traces = read_traces(lines(tmp_path / "batch.jsonl", *rows))
    assert grade_all(traces)[0].classes.tolist() == [0, UNGRADABLE, 1]
    assert traces.traces[0][1].text.startswith("<think>\nhmm")


def test_lists_of_records_capitals_and_plain_responses_are_read(tmp_path):
    own = {"Question_ID": "q", "Question": "?", "Gold": "4", "Model": "m",
           "Traces": [{"Text": "\\boxed{4}"}]}  # fmt: skip
    (tmp_path / "own.json").write_text(json.dumps([own]))
    traces = read_traces(tmp_path / "own.json")
    assert (traces.model, traces.questions[0].gold, traces.num_traces) == ("m", "4", 1)
    plain = [{"Problem": "2+2?", "Answer": "4", "Response": text} for text in ("a", "b")]
    (tmp_path / "plain.json").write_text(json.dumps({"data": plain}))
    traces = read_traces(tmp_path / "plain.json")
    assert ([t.text for t in traces.traces[0]], traces.questions[0].gold) == (["a", "b"], "4")
    pq.write_table(pa.Table.from_pylist(plain), tmp_path / "plain.parquet")
    assert read_traces(tmp_path / "plain.parquet").traces[0][1].text == "b"
    lines_in_json = "".join(json.dumps(row) + "\n" for row in plain)
    (tmp_path / "lines.json").write_text(lines_in_json)
    assert read_traces(tmp_path / "lines.json").num_traces == 2
