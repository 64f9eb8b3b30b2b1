"""The log of finished traces: what was appended is there again, whatever a kill cut off."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deepprune_core.engines.trace_log import TraceLog
from deepprune_core.traces import Trace

texts = st.text(st.characters(), max_size=40)


def trace(index, text, confidences=None):
    return Trace("q", str(index), text, 3, None, "stop", confidences)


@given(texts, st.integers(0, 400))
def test_a_cut_log_loses_the_last_trace_at_most(tmp_path_factory, text, cut):
    log = TraceLog(tmp_path_factory.mktemp("log") / "q.traces", "q")
    values = np.array([0.5, 1.25, 7.0], np.float16)
    log.append(0, trace(0, text, values))
    whole = log.path.stat().st_size
    log.append(1, trace(1, text))
    data = log.path.read_bytes()
    log.path.write_bytes(data[: max(whole, len(data) - cut)])
    found = log.read()
    assert found[0].text == text
    assert (found[0].confidences == values).all()
    log.append(2, trace(2, "after"))
    assert log.read()[2].text == "after"
    assert set(log.read()) >= {0, 2}


def test_a_trace_sampled_twice_counts_once(tmp_path):
    log = TraceLog(tmp_path / "q.traces", "q")
    log.append(0, trace(0, "first"))
    log.append(0, trace(0, "again"))
    assert [t.text for t in log.read().values()] == ["first"]
