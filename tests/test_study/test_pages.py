"""The study's pages are what its results say."""

import re
import shutil

import pytest

from study import pages

from ..conftest import ROOT

BLOCK = '<!-- begin: .*?<!-- end -->'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the pages and the results, where relative paths lead."""
    (tmp_path / 'docs').mkdir()
    for page in pages.PAGES:
        shutil.copy(ROOT / page, tmp_path / page)
    (tmp_path / 'study').mkdir()
    shutil.copytree(ROOT / 'study/results', tmp_path / 'study/results')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_pages_are_what_the_results_render(folder):
    shutil.rmtree(folder / pages.PICTURES)
    pages.main()
    for page in pages.PAGES:
        assert (folder / page).read_text() == (ROOT / page).read_text(), page
    drawn = sorted(path.name for path in (folder / pages.PICTURES).iterdir())
    assert drawn == ['groups.png', 'prior_corrected.png', 'what_w_adds.png']


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
        for name in ('results', 'study_log')
        for block in re.findall(
            BLOCK, (ROOT / f'docs/{name}.md').read_text(), re.S
        )
    )
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
