"""Documents laid out in another order, beside plain Python. (Counts and windows are tested with the audit.)"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmill.pipeline.kernels.bpe.token_ids import lay_documents


@pytest.mark.parametrize(("dtype", "end"), [("<u2", 2**16 - 1), ("<u4", 2**31 - 1)])
@given(st.data())
@settings(max_examples=50, deadline=None)
def test_documents_are_laid_out_in_any_order(dtype: str, end: int, data: st.DataObject) -> None:
    documents = data.draw(st.lists(st.lists(st.integers(0, end), max_size=40), max_size=12))
    order = data.draw(st.permutations(range(len(documents))))
    ids = np.array([number for document in documents for number in document], dtype=np.uint32)
    counts = np.array([len(document) for document in documents], dtype=np.int64)
    starts = np.cumsum(counts) - counts
    out = np.zeros(len(ids) + len(counts), dtype=dtype)
    told = lay_documents(ids, starts[list(order)], counts[list(order)], end, out)
    assert told == (max(ids, default=0), ids.tolist().count(end))
    assert out.tolist() == [number for place in order for number in (*documents[place], end)]
