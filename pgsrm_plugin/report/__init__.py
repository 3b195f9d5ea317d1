"""Training runs -> one self-contained HTML page. Needs plotly (``pip install 'pgsrm-plugin[demo]'``) to write one."""

from pgsrm_plugin.report.figures import Panel
from pgsrm_plugin.report.machine import machine, versions
from pgsrm_plugin.report.page import Page, write_report
from pgsrm_plugin.report.run import Run, RunInfo, Series, read_run, write_info

__all__ = ["Page", "Panel", "Run", "RunInfo", "Series", "machine", "read_run", "versions", "write_info", "write_report"]
