"""The environments of the pages."""

import pytest
from jinja2 import UndefinedError

from pgsrm_plugin.report.templates import environment


@pytest.mark.parametrize(("html", "written"), [(True, "&lt;b&gt; {{ x }}"), (False, "<b> {{ x }}")])
def test_html_is_escaped_and_markdown_is_not(html, written):
    pages = environment("pgsrm_plugin.report", html=html)
    assert pages.from_string("{{ text }}").render(text="<b> {{ x }}") == written


def test_a_name_that_is_not_given_is_an_error():
    with pytest.raises(UndefinedError, match="'text' is undefined"):
        environment("pgsrm_plugin.report").from_string("{{ text }}").render()
