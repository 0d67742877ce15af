"""The study's pages are what its results say."""

import re

import pytest

from ..conftest import ROOT

BLOCK = '<!-- begin: .*?<!-- end -->'


@pytest.mark.parametrize('page', ['findings', 'study_log'])
def test_what_the_text_quotes_stands_in_a_table(page):
    text = (ROOT / f'docs/{page}.md').read_text()
    written = re.sub(BLOCK, '', text, flags=re.S)
    quoted = re.findall(
        r'[+-]?\d+\.\d+\s\[[+-]?\d[\d.]*,\s[+-]?\d[\d.]*\]', written
    )
    assert len(quoted) > 8
    tables = ''.join(
        block
        for name in ('results', 'study_log', 'which_loss')
        for block in re.findall(
            BLOCK, (ROOT / f'docs/{name}.md').read_text(), re.S
        )
    )
    # Line ends, and blanks that do not break.
    tables = re.sub(r'\s', ' ', tables)
    for one in quoted:
        assert re.sub(r'\s', ' ', one) in tables


def test_a_gain_is_what_the_table_says():
    """The sentences of findings.md follow the verdicts of their table."""
    table = (ROOT / 'docs/results.md').read_text()
    verdict = {
        row[3]: row[4]
        for row in (
            line.strip('| ').split(' | ') for line in table.splitlines()
        )
        if len(row) == 5
    }
    assert verdict['+6.23 [+4.67, +7.78]'] == 'gain'
    assert verdict['+0.16 [-0.08, +0.41]'] == 'tied'
    assert verdict['+0.38 [+0.12, +0.64]'] == 'open'
